//! Calls that leave without an answer.

use super::*;

impl Stage {
    /// The calls that were handed back since this was asked last, as (request id, waits for acceptance only).
    fn handed_back(&mut self) -> Vec<(String, bool)> {
        let of = |effect: &Effect| match effect {
            Effect::HandBack(call) => Some((call.request_id.clone(), call.asynchronous)),
            _ => None,
        };
        let calls = self.fx.iter().filter_map(of).collect();
        self.fx.retain(|effect| !matches!(effect, Effect::HandBack(_)));
        calls
    }

    fn end_epoch(&mut self) {
        self.with(|a, env, fx| a.hand_back_all(env.now, fx));
    }

    fn begin_move(&mut self) {
        self.with(|a, env, fx| a.hand_back_waiting(env.now, fx));
    }
}

fn sync(ids: &[&str]) -> Vec<(String, bool)> {
    ids.iter().map(|id| ((*id).to_owned(), false)).collect()
}

#[test]
fn at_the_end_of_an_epoch_settled_running_and_waiting_calls_leave_in_order_once_per_waiter() {
    let mut stage = Stage::durable();
    let _settled = (stage.call("1", "add"), stage.call("2", "add"));
    let turns = stage.run();
    stage.reply(turns[0], "one");
    stage.commit().expect("on its way to the store");
    let _joined = (stage.call("1", "add"), stage.call("2", "add"));
    let _waiting = (stage.call("3", "add"), stage.call("3", "add"), stage.call("4", "get"));
    stage.end_epoch();
    assert_eq!(stage.cancelled_turns(), [turns[1]]);
    assert_eq!(stage.handed_back(), sync(&["1", "1", "2", "2", "3", "3", "4"]));
    assert_eq!(stage.activation.held(), 0);
    assert_eq!(stage.reply(turns[1], "late"), Answered::Stale);
    assert!(stage.commit().is_none());
}

#[test]
fn every_waiter_that_leaves_keeps_its_own_deadline_and_the_calls_identity() {
    let mut stage = Stage::durable();
    let until = stage.now.plus_millis(77);
    let _first = stage.call_with("1", "add", |call| {
        call.metadata.insert("k".into(), "v".into());
    });
    let _joined = stage.call_with("1", "add", |call| call.deadline = until);
    stage.end_epoch();
    let calls: Vec<&Call> = (stage.fx.iter())
        .filter_map(|effect| match effect {
            Effect::HandBack(call) => Some(&**call),
            _ => None,
        })
        .collect();
    assert_eq!(calls.len(), 2);
    assert!(calls.iter().any(|call| call.deadline == until));
    assert!(calls.iter().all(|call| call.created_at == WALL && call.metadata["k"] == "v"));
}

#[test]
fn callers_who_wait_for_acceptance_leave_as_such_and_a_written_row_is_left_to_the_next_owner() {
    let mut stage = Stage::durable();
    let _unwritten = stage.call_with("1", "add", |call| call.asynchronous = true);
    stage.end_epoch();
    assert_eq!(stage.handed_back(), [("1".to_owned(), true)]);
    let mut stage = Stage::durable();
    let mut accepted = stage.call_with("1", "add", |call| call.asynchronous = true);
    let _joined = stage.call("1", "add");
    stage.with(|a, _, fx| a.on_accepted(40, fx));
    assert!(accepted.answer().expect("accepted").is_ok());
    stage.end_epoch();
    assert_eq!(stage.handed_back(), sync(&["1"]), "only whoever still waits");
}

#[test]
fn a_call_that_was_accepted_in_memory_only_is_not_forgotten() {
    let mut stage = Stage::new(definition(Durability::Volatile));
    let mut accepted = stage.call_with("1", "add", |call| call.asynchronous = true);
    assert!(!accepted.answer().expect("accepted").expect("ok").durable);
    stage.end_epoch();
    assert_eq!(stage.handed_back(), [("1".to_owned(), true)]);
}

#[test]
fn of_a_moving_actor_the_running_turn_ends_and_commits_before_it_may_leave() {
    let mut stage = Stage::durable();
    let mut running = stage.call("1", "add");
    let turns = stage.run();
    let _waiting = stage.call("2", "add");
    stage.begin_move();
    assert_eq!(stage.handed_back(), sync(&["2"]));
    assert!(!stage.activation.may_leave());
    stage.reply(turns[0], "one");
    assert!(!stage.activation.may_leave());
    let unit = stage.commit().expect("a commit");
    stage.committed(&unit);
    assert!(running.answer().expect("answered").is_ok() && stage.activation.may_leave());
}

#[test]
fn of_a_moving_actor_abandoned_turns_leave_and_their_late_answers_do_not_count() {
    let mut stage = Stage::durable();
    let _calls = (stage.call("1", "add"), stage.call("2", "add"));
    let turns = stage.run();
    stage.with(|a, env, fx| a.abandon_turns(env.now, fx));
    assert_eq!(stage.handed_back(), sync(&["1", "2"]));
    assert_eq!(stage.reply(turns[0], "late"), Answered::Stale);
    assert!(stage.activation.may_leave());
}

#[test]
fn an_unsaved_snapshot_actor_may_not_leave() {
    let mut stage = Stage::new(definition(Durability::Snapshot));
    stage.load(None);
    let _call = stage.call("1", "add");
    let turns = stage.run();
    stage.reply(turns[0], "one");
    assert!(!stage.activation.may_leave());
    stage.with(|a, env, _| a.take_snapshot(env, actor, 0, true)).expect("a save");
    assert!(!stage.activation.may_leave());
    stage.with(|a, env, fx| a.on_snapshot_saved(env, fx));
    assert!(stage.activation.may_leave());
}

#[test]
fn a_row_that_is_read_again_while_its_call_is_in_flight_is_neither_run_twice_nor_dropped() {
    let mut stage = Stage::durable();
    let mut accepted = stage.call_with("1", "add", |call| call.asynchronous = true);
    let row = stage.fx.iter().find_map(|effect| match effect {
        Effect::Accept { call, .. } => Some(call.clone()),
        _ => None,
    });
    let row = row.expect("a row was written");
    stage.with(|a, _, fx| a.on_accepted(40, fx));
    assert!(accepted.answer().expect("accepted").is_ok());
    let _before = stage.call("0", "add");
    let again = || crate::activation::inbox_record::decode(&row).expect("decodes");
    stage.with(|a, env, fx| a.on_call(env, again(), 40, true, fx));
    let turns = stage.run();
    assert_eq!(turns.len(), 2);
    stage.reply(turns[0], "one");
    let unit = stage.commit().expect("a commit");
    assert_eq!(unit.commit.inbox_done, [40], "the row goes with its own turn");
}

#[test]
fn a_row_of_a_call_that_others_wait_for_is_kept_until_that_call_is_done() {
    let mut stage = Stage::durable();
    let mut waiting = stage.call("1", "add");
    let call = stage.activation.busy.as_ref().expect("busy").mailbox[0].call.request_id.clone();
    let mut written = Stage::durable();
    let _accepted = written.call_with(&call, "add", |call| call.asynchronous = true);
    let row = written.fx.iter().find_map(|effect| match effect {
        Effect::Accept { call, .. } => Some(call.clone()),
        _ => None,
    });
    let row = crate::activation::inbox_record::decode(&row.expect("a row")).expect("decodes");
    stage.with(|a, env, fx| a.on_call(env, row, 41, true, fx));
    assert!(stage.commit().is_none(), "the row is not dropped before its call is done");
    let turns = stage.run();
    stage.reply(turns[0], "one");
    let unit = stage.commit().expect("a commit");
    assert_eq!(unit.commit.inbox_done, [41]);
    stage.committed(&unit);
    assert!(waiting.answer().expect("answered").is_ok());
}

#[test]
fn an_acceptance_that_nobody_knows_about_is_not_written_again_once_its_turn_is_on_its_way() {
    let mut stage = Stage::durable();
    let mut accepted = stage.call_with("1", "add", |call| call.asynchronous = true);
    let turns = stage.run();
    stage.reply(turns[0], "one");
    let unit = stage.commit().expect("a commit");
    stage.fx.clear();
    stage.with(|a, _, fx| a.on_acceptance_unknown(40, 41, fx));
    assert!(stage.fx.is_empty(), "a second row would stay for ever");
    assert_eq!(unit.commit.inbox_done, [40]);
    stage.committed(&unit);
    assert!(accepted.answer().expect("accepted").expect("ok").durable);
}

#[test]
fn an_accepted_call_whose_row_is_on_its_way_stays_even_if_nobody_waits_for_it_any_longer() {
    let mut stage = Stage::durable();
    let mut waiter = stage.call_with("1", "add", |call| call.asynchronous = true);
    stage.pass(10_001);
    assert_eq!(waiter.error(), ErrorKind::DeadlineExceeded);
    stage.begin_move();
    assert_eq!(stage.activation.held(), 1, "the row may come to be there after the move");
    stage.with(|a, _, fx| a.on_accepted(40, fx));
    stage.begin_move();
    assert_eq!(stage.activation.held(), 0);
    assert!(stage.handed_back().is_empty(), "the row is enough");
}
