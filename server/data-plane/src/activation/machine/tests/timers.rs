//! Timers by a clock that the test turns.

use callboard_types::settings;

use super::*;
use crate::activation::machine::TIMER_ENTRY;

/// A counter whose action `add` is fired every 100 ms, and `read` every 250 ms.
fn ticking(durability: Durability) -> TypeDefinition {
    let mut definition = definition(durability);
    let timer = |action: &str, interval_ms| settings::Timer { action: action.into(), interval_ms };
    definition.settings.timers = vec![timer("add", 100), timer("read", 250)];
    definition
}

impl Stage {
    fn ticking(durability: Durability) -> Self {
        let mut stage = Self::new(ticking(durability));
        assert!(stage.run().is_empty());
        stage
    }

    /// What a host would get now, by the timers that fired it.
    fn fired(&mut self) -> Vec<(u64, String)> {
        let turns = self.run();
        let entries = self.activation.run().map(|turn| turn.call.metadata[TIMER_ENTRY].clone());
        turns.into_iter().zip(entries).collect()
    }

    /// Passes the time and lets a host answer what the timers fire, without a change.
    fn pass_quietly(&mut self, millis: u64) -> Vec<String> {
        self.pass(millis);
        let fired = self.fired();
        for (turn, _) in &fired {
            self.result(*turn, ok("", None));
        }
        fired.into_iter().map(|(_, action)| action).collect()
    }
}

#[test]
fn a_timer_fires_at_its_interval_from_the_moment_that_the_actor_is_ready() {
    for durability in [Durability::Durable, Durability::Snapshot, Durability::Volatile] {
        let mut stage = Stage::ticking(durability);
        assert!(stage.pass_quietly(99).is_empty(), "{durability:?}");
        assert_eq!(stage.pass_quietly(1), ["add"]);
        assert_eq!(stage.pass_quietly(100), ["add"]);
        assert_eq!(stage.pass_quietly(50), ["read"]);
        assert_eq!(stage.pass_quietly(50), ["add"]);
    }
}

#[test]
fn the_first_firing_comes_an_interval_after_the_initialisation_not_after_the_load() {
    let mut definition = ticking(Durability::Volatile);
    definition.actions.insert("init".into(), Action::default());
    let mut stage = Stage::new(definition);
    let _call = stage.call("1", "add");
    let init = stage.run()[0];
    stage.pass(500);
    stage.result(init, ok("", None));
    let call = stage.run();
    stage.result(call[0], ok("", None));
    assert!(stage.pass_quietly(99).is_empty());
    assert_eq!(stage.pass_quietly(1), ["add"]);
}

#[test]
fn a_timer_that_is_late_fires_once_however_many_turns_it_missed() {
    let mut stage = Stage::ticking(Durability::Volatile);
    stage.pass(100);
    let running = stage.fired();
    assert_eq!(running.len(), 1);
    for _ in 0..20 {
        stage.pass(100);
    }
    assert_eq!(stage.activation.depth(), 2, "one of `add` runs, one of `read` waits");
    stage.result(running[0].0, ok("", None));
    let read = stage.fired();
    assert_eq!(read.len(), 1, "what was missed is not made up for");
    stage.result(read[0].0, ok("", None));
    assert!(stage.pass_quietly(50).is_empty(), "and the rhythm is the old one");
    assert_eq!(stage.pass_quietly(50), ["add"]);
    let fired = stage.pass_quietly(5_000);
    assert_eq!(fired, ["add", "read"], "a worker that slept fires each once");
}

#[test]
fn timers_do_not_keep_an_actor_in_memory_that_nobody_calls() {
    let mut definition = ticking(Durability::Volatile);
    definition.idle_timeout_ms = 1_000;
    let mut stage = Stage::new(definition.clone());
    stage.run();
    for _ in 0..9 {
        assert!(!stage.pass_quietly(100).is_empty());
    }
    stage.pass(99);
    assert_eq!(stage.pass(1), Timer::Stay, "its timer has just fired and must end");
    for (turn, _) in stage.fired() {
        stage.result(turn, ok("", None));
    }
    assert_eq!(stage.pass(0), Timer::Evict);

    let mut stage = Stage::new(TypeDefinition { kind: Kind::Named, ..definition });
    stage.run();
    for _ in 0..100 {
        stage.pass_quietly(100);
        assert_eq!(stage.pass(0), Timer::Stay, "NAMED actors stay");
    }
}

#[test]
fn what_a_timer_changes_is_committed_and_what_it_leaves_alone_costs_no_commit() {
    let mut stage = Stage::ticking(Durability::Durable);
    stage.pass(100);
    let turn = stage.fired()[0].0;
    stage.reply(turn, "one");
    let unit = stage.commit().expect("the state changed");
    let outcomes = crate::activation::outcome::decode(&unit.commit.record.outcomes);
    assert_eq!(outcomes.expect("readable"), [], "nobody asks how a timer ended");
    stage.committed(&unit);
    assert_eq!((stage.state(), stage.activation.revision().0), ("one".to_owned(), 1));
    for millis in [100, 50] {
        stage.pass_quietly(millis);
        assert!(stage.commit().is_none());
    }
    assert_eq!(stage.activation.revision().0, 1);
}

#[test]
fn a_discarded_commit_of_a_timer_is_not_run_again_for_the_same_firing() {
    let mut stage = Stage::ticking(Durability::Durable);
    stage.pass(100);
    let turn = stage.fired()[0].0;
    stage.reply(turn, "one");
    stage.commit().expect("a commit");
    stage.with(|a, env, fx| a.restart(env, fx));
    stage.load(None);
    assert!(stage.run().is_empty());
    assert!(stage.pass_quietly(99).is_empty());
    assert_eq!(stage.pass_quietly(1), ["add"], "the next one comes an interval after the load");
}

#[test]
fn nothing_fires_while_the_node_may_not_begin_anything_and_the_rhythm_goes_on_afterwards() {
    let mut stage = Stage::ticking(Durability::Volatile);
    stage.now = stage.now.plus_millis(100);
    stage.with(|a, env, fx| a.on_timer(Env { quiet: true, ..env }, fx));
    assert_eq!(stage.activation.depth(), 0);
    assert_eq!(stage.pass_quietly(100), ["add"]);
}

#[test]
fn without_a_host_nothing_fires_and_what_was_fired_before_keeps_no_actor_in_memory() {
    let mut stage = Stage::ticking(Durability::Volatile);
    stage.pass(100);
    assert_eq!(stage.activation.depth(), 1);
    stage.now = stage.now.plus_millis(100);
    stage.with(|a, env, fx| a.on_timer(Env { hosted: false, ..env }, fx));
    assert_eq!(stage.activation.depth(), 0);
    stage.now = stage.now.plus_millis(stage.definition.idle_timeout_ms);
    let idle = stage.with(|a, env, fx| a.on_timer(Env { hosted: false, ..env }, fx));
    assert_eq!(idle, Timer::Evict);
}

#[test]
fn firings_stay_behind_when_the_calls_of_their_actor_leave() {
    let mut stage = Stage::ticking(Durability::Volatile);
    stage.pass(100);
    let _call = stage.call("1", "add");
    let now = stage.now;
    stage.with(|a, _, fx| a.hand_back_waiting(now, fx));
    let back = |effect: &Effect| match effect {
        Effect::HandBack(call) => Some(call.request_id.clone()),
        _ => None,
    };
    assert_eq!(stage.fx.iter().filter_map(back).collect::<Vec<_>>(), ["1"]);
    assert!(stage.activation.may_leave());
}

#[test]
fn timers_of_a_type_that_changes_start_anew_with_their_new_intervals() {
    let mut stage = Stage::ticking(Durability::Volatile);
    stage.definition.settings.timers.truncate(1);
    stage.definition.settings.timers[0].interval_ms = 400;
    assert!(stage.pass_quietly(90).is_empty());
    assert!(stage.pass_quietly(390).is_empty());
    assert_eq!(stage.pass_quietly(10), ["add"]);
    stage.definition.settings.timers.clear();
    stage.run();
    assert!(stage.pass_quietly(400).is_empty() && stage.pass_quietly(400).is_empty());
}
