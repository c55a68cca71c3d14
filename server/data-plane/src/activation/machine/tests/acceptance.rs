//! Calls whose callers wait for acceptance only.

use super::*;
use crate::deliveries::{Item, letter::Origin};

fn asynchronous(call: &mut Call) {
    call.asynchronous = true;
}

#[test]
fn whoever_waits_for_acceptance_hears_by_their_deadline_even_if_the_store_stands_still() {
    let mut stage = Stage::durable();
    let mut first = stage.call_with("1", "add", asynchronous);
    let soon = stage.now.plus_millis(1_000);
    let mut joined = stage.call_with("1", "add", |call| {
        asynchronous(call);
        call.deadline = soon;
    });
    let wakes = |stage: &Stage, at: Tick| {
        stage.fx.iter().any(|fx| matches!(fx, Effect::Wake(wake) if *wake <= at))
    };
    assert!(wakes(&stage, soon), "somebody looks at the clock in time");
    stage.fx.clear();
    stage.pass(1_001);
    assert_eq!(joined.error(), ErrorKind::DeadlineExceeded);
    assert!(first.answer().is_none());
    assert!(wakes(&stage, soon.plus_millis(9_000)));
    stage.pass(9_000);
    assert_eq!(first.error(), ErrorKind::DeadlineExceeded);
    // Nobody waits, but that does not make the row durable.
    let mut again = stage.call_with("1", "add", asynchronous);
    assert!(again.answer().is_none(), "nothing is acknowledged that is not written");
    stage.with(|a, _, fx| a.on_accepted(40, fx));
    assert!(again.answer().expect("accepted").expect("ok").durable);
}

#[test]
fn waiters_for_acceptance_that_have_gone_are_forgotten_and_the_call_is_run_all_the_same() {
    let mut stage = Stage::durable();
    let waiter = stage.call_with("1", "add", asynchronous);
    drop(waiter);
    stage.with(|a, _, fx| a.on_callers_gone(|to| to.is_gone(&Default::default()), fx));
    let busy = stage.activation.busy.as_ref().expect("it holds the call");
    assert!(busy.mailbox[0].acceptance.is_empty(), "nobody is left to be told");
    assert_eq!(stage.run().len(), 1);
}

#[test]
fn an_accepted_call_that_cannot_succeed_ends_for_good_and_takes_its_row_along() {
    let mut stage = Stage::durable();
    let _waiter = stage.call_with("1", "add", asynchronous);
    let turn = stage.run()[0];
    stage.reply(turn, &"x".repeat(limits::STATE_BYTES_MAX + 1));
    let unit = stage.commit().expect("a stored error");
    assert_eq!(unit.commit.inbox_done, [40]);
    assert_eq!(unit.given_up[0].error.kind, ErrorKind::StateTooLarge);
}

#[test]
fn an_accepted_call_that_is_given_up_becomes_a_letter_of_its_commit_and_others_do_not() {
    let mut stage = Stage::durable();
    let _accepted = stage.call_with("1", "add", |call| {
        asynchronous(call);
        call.argument.data = "poison".into();
    });
    let _waited_for = stage.call("2", "add");
    for _ in 0..2 * limits::TURN_ATTEMPTS_MAX {
        stage.pass(limits::TURN_LAST_ATTEMPT_PAUSE_MS);
        stage.run();
        stage.lost();
    }
    let _failed = stage.call_with("3", "add", asynchronous);
    let turn = stage.run()[0];
    stage.result(turn, refused("the action's own error is an outcome"));
    let unit = stage.commit().expect("stored errors");
    let [dead] = &unit.given_up[..] else { panic!("one letter: {:?}", unit.given_up) };
    assert_eq!((dead.error.kind, dead.attempts), (ErrorKind::TurnCrashedHost, 3));
    assert_eq!((&dead.source, dead.origin), (&actor(), Origin::Outside));
    let Ok(Item::Call(item)) = Item::decode(&dead.item) else { panic!("a call") };
    assert_eq!((item.request_id.as_str(), &*item.argument.data), ("1", b"poison".as_slice()));
    assert_eq!((item.target, item.created_at), (actor(), WALL));
    assert!(stage.commit().is_none_or(|unit| unit.given_up.is_empty()), "once");
}

#[test]
fn an_accepted_call_whose_turn_is_cancelled_is_run_again() {
    let mut stage = Stage::durable();
    let _waiter = stage.call_with("1", "add", asynchronous);
    let turn = stage.run()[0];
    stage.result(turn, TurnEnd { outcome: None, state: None, tags: None, workflow: None });
    assert_eq!(stage.run().len(), 1);
}
