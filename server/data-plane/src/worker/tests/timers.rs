//! Timers of actors at a worker.

use callboard_types::settings;

use super::*;

const ACTORS: usize = 200;

fn ticking(idle_timeout_ms: u64) -> TypeDefinition {
    let mut definition = counter(Durability::Volatile);
    definition.idle_timeout_ms = idle_timeout_ms;
    definition.settings.timers =
        vec![settings::Timer { action: "add".to_owned(), interval_ms: 10 }];
    definition
}

impl Stage {
    /// Activates actors by reads, which need no host.
    fn wake(&mut self, actors: usize) {
        let calls = (0..actors).map(|number| {
            let mut routed = self.routed("", "get", ReplyTo::Nobody, |_| ());
            routed.key = format!("actor-{number}");
            routed.key_hash = key_hash(&routed.key);
            routed
        });
        let calls = Message::Calls(calls.collect());
        self.round(vec![calls]);
    }

    /// The host answers every turn that it has got, and those that it gets for that. Returns how many there were.
    fn answer_everything(&mut self) -> usize {
        let mut answered = 0;
        loop {
            let mut results = Vec::new();
            while let Some(frame) = self.frame() {
                let Frame::Run(run) = frame else { continue };
                let reply = |turn: Turn| {
                    let end = TurnEnd { outcome: Some(Ok(Payload::default())), ..no_change() };
                    (turn.turn_id, end)
                };
                results.extend(run.turns.into_iter().map(reply));
            }
            if results.is_empty() {
                return answered;
            }
            answered += results.len();
            self.session.release(u32::try_from(results.len()).expect("few"));
            let session = Arc::clone(&self.session);
            self.round(vec![Message::Results { session, results }]);
        }
    }
}

fn no_change() -> TurnEnd {
    TurnEnd { outcome: None, state: None, tags: None, workflow: None }
}

#[tokio::test]
async fn timers_of_many_actors_fire_at_their_rate_in_bounded_memory() {
    let mut stage = Stage::serving(ticking(60_000));
    stage.wake(ACTORS);
    let (mut fired, mut most) = (0, 0);
    for _ in 0..50 {
        stage.pass(10);
        fired += stage.answer_everything();
        most = most.max(stage.worker.timers.len());
    }
    assert_eq!(fired, 50 * ACTORS);
    assert!(most <= 3 * ACTORS, "{most} wake-ups for {ACTORS} actors");
}

#[tokio::test]
async fn actors_with_timers_leave_memory_when_nobody_calls_them_and_their_timers_with_them() {
    let mut stage = Stage::serving(ticking(200));
    stage.wake(ACTORS);
    let mut fired = 0;
    for _ in 0..100 {
        stage.pass(10);
        fired += stage.answer_everything();
    }
    assert!((15 * ACTORS..=21 * ACTORS).contains(&fired), "{fired}");
    assert_eq!(stage.worker.table.len(), 0);
    stage.pass(30_000);
    assert_eq!(
        stage.worker.timers.len(),
        0,
        "not even the deadlines of their first calls are left"
    );
}

#[tokio::test]
async fn no_timer_fires_while_the_shard_is_to_move_or_the_node_drains() {
    let mut stage = Stage::serving(ticking(60_000));
    stage.wake(1);
    let mut running = stage.call("1", "add");
    let turn = stage.run().await.remove(0);
    stage.agree_on_move(1);
    for _ in 0..5 {
        stage.pass(10);
        assert_eq!(stage.answer_everything(), 0);
    }
    stage.answer(&turn, "one");
    stage.outcome(&mut running).await.expect("it may end");

    let mut stage = Stage::serving(ticking(60_000));
    stage.wake(1);
    stage.pass(10);
    assert_eq!(stage.answer_everything(), 1);
    let (to, drained) = oneshot::channel();
    stage.round(vec![Message::Drain(to)]);
    for _ in 0..20 {
        stage.pass(10);
        assert_eq!(stage.answer_everything(), 0);
    }
    drained.await.expect("timers do not keep the node from stopping");
}

#[tokio::test]
async fn no_timer_fires_while_the_lease_has_lapsed() {
    let mut stage = Stage::serving(ticking(60_000));
    let lease = Lease::lapsed();
    lease.extend_to(stage.now.plus_millis(25));
    stage.worker.lease = lease.clone();
    stage.wake(1);
    let mut fired = Vec::new();
    for step in 0..6 {
        stage.pass(10);
        if step == 3 {
            lease.extend_to(stage.now.plus_millis(1_000));
        }
        fired.push(stage.answer_everything());
    }
    assert_eq!(fired, [1, 1, 0, 0, 1, 1]);
}
