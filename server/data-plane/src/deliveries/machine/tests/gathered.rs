//! Confirmations for targets of other workers and nodes: when they go, and that none is lost.

use super::*;

fn confirmed(id: &str) -> Confirmed {
    Confirmed { request_id: id.into(), restamped: false }
}

impl Stage {
    fn gather(&mut self, target: &str, id: &str) {
        self.machine.gather(actor(target), confirmed(id), self.now);
    }

    /// What targets are told now: whom, and of which deliveries.
    fn told(&mut self) -> Vec<(String, Vec<String>)> {
        self.machine.turn(self.now, &mut self.fx);
        let mut told = Vec::new();
        for effect in self.fx.drain(..) {
            let Effect::Tell { target, confirmed } = effect else { continue };
            let ids = confirmed.into_iter().map(|one| one.request_id).collect();
            told.push((target.key.to_string(), ids));
        }
        told
    }
}

#[test]
fn one_call_tells_a_target_of_all_rows_that_went_within_a_short_time() {
    let mut stage = Stage::new();
    stage.gather("x", "1");
    stage.gather("y", "2");
    stage.pass(GATHER_MS - 1);
    stage.gather("x", "3");
    assert!(stage.told().is_empty(), "others may still come");
    let wake = stage.machine.next_wake(stage.now);
    assert_eq!(wake, stage.now.tick.plus_millis(1), "it asks to be called when the time is over");
    stage.pass(1);
    let all =
        [("x".to_owned(), vec!["1".to_owned(), "3".to_owned()]), ("y".into(), vec!["2".into()])];
    assert_eq!(stage.told(), all);
    stage.pass(GATHER_MS);
    assert!(stage.told().is_empty(), "each is told once");
    assert_eq!(stage.machine.next_wake(stage.now), Tick::NEVER);
}

#[test]
fn a_target_that_many_rows_were_for_hears_of_them_at_once_and_others_wait() {
    let mut stage = Stage::new();
    stage.gather("y", "first");
    (0..GATHER_MAX).for_each(|n| stage.gather("x", &n.to_string()));
    assert!(stage.machine.next_wake(stage.now) <= stage.now.tick);
    let told = stage.told();
    assert_eq!((told.len(), told[0].0.as_str(), told[0].1.len()), (1, "x", GATHER_MAX));
    stage.pass(GATHER_MS);
    assert_eq!(stage.told(), [("y".to_owned(), vec!["first".to_owned()])]);
}

#[test]
fn no_more_confirmations_wait_than_may() {
    let mut stage = Stage::new();
    (1..GATHERED_MAX).for_each(|n| stage.gather(&n.to_string(), "r"));
    assert!(stage.told().is_empty());
    stage.gather("one more", "r");
    assert_eq!(stage.told().len(), GATHERED_MAX);
    assert!(stage.told().is_empty());
}

#[test]
fn a_node_that_stops_keeps_no_confirmation_back() {
    let mut stage = Stage::new();
    stage.gather("x", "1");
    assert!(stage.machine.is_busy(), "it must not stop before it has told x");
    stage.machine.close_down();
    assert_eq!(stage.told(), [("x".to_owned(), vec!["1".to_owned()])]);
    assert!(!stage.machine.is_busy());
    stage.gather("x", "2");
    assert_eq!(stage.told().len(), 1, "nor one that comes while it stops");
}

#[test]
fn a_target_hears_of_a_row_that_went_although_its_shard_was_lost_or_released_since() {
    let mut stage = Stage::new();
    stage.gather("x", "1");
    stage.machine.close(SHARD);
    stage.machine.pause(true);
    stage.pass(GATHER_MS);
    assert_eq!(stage.told(), [("x".to_owned(), vec!["1".to_owned()])]);
}
