//! Calls whose callers wait for acceptance only.

use super::*;

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
}

#[test]
fn an_accepted_call_whose_turn_is_cancelled_is_run_again() {
    let mut stage = Stage::durable();
    let _waiter = stage.call_with("1", "add", asynchronous);
    let turn = stage.run()[0];
    stage.result(turn, TurnEnd { outcome: None, state: None, tags: None, workflow: None });
    assert_eq!(stage.run().len(), 1);
}
