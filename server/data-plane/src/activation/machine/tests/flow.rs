//! What turns set going, and deliveries as their targets see them.

use super::*;
use crate::{
    activation::workflow::{NextCall, SideEffect, Workflow},
    call::{DeliveryEnd, DeliveryWaiter, Lineage},
    deliveries::{
        Item,
        confirm::{self, Confirmed},
    },
};

fn to(key: &str) -> ActorId {
    ActorId { system: "".into(), actor_type: "Counter".into(), key: key.into() }
}

fn effect(key: &str, id: &str) -> SideEffect {
    SideEffect {
        target: to(key),
        action: "add".into(),
        argument: Payload::default(),
        delay_ms: 0,
        due_at: Millis(0),
        metadata: Metadata::new(),
        request_id: id.into(),
    }
}

fn next(key: &str, action: &str) -> Workflow {
    let request_id = "next-id".to_owned();
    let next = NextCall { target: to(key), action: action.into(), forwards: false, request_id };
    Workflow { next: Some(next), ..Workflow::default() }
}

fn with_flow(flow: Workflow) -> TurnEnd {
    TurnEnd { workflow: Some(Ok(Box::new(flow))), ..ok("done", Some("s")) }
}

impl Stage {
    /// Makes an attempt at a delivery, and returns where its end is heard.
    fn attempt(
        &mut self,
        id: &str,
        created_at: Millis,
    ) -> tokio::sync::mpsc::Receiver<DeliveryEnd> {
        let (ends, heard) = tokio::sync::mpsc::channel(4);
        drop(self.call_with(id, "add", |call| {
            call.delivery = true;
            call.deadline = Tick::NEVER;
            call.created_at = created_at;
            call.reply_to = ReplyTo::Delivery(DeliveryWaiter::new(ends, 1));
        }));
        self.deliver();
        heard
    }

    /// Passes answers to deliveries on.
    fn deliver(&mut self) {
        for effect in std::mem::take(&mut self.fx) {
            match effect {
                Effect::Answer { to: ReplyTo::Delivery(waiter), outcome } => waiter.answer(outcome),
                effect => self.fx.push(effect),
            }
        }
    }

    fn run_and_commit(&mut self) {
        for turn in self.run() {
            self.reply(turn, "s");
        }
        while let Some(unit) = self.commit() {
            self.committed(&unit);
        }
        self.deliver();
    }

    fn confirm(&mut self, id: &str, restamped: bool) {
        let confirmed = vec![Confirmed { request_id: id.into(), restamped }];
        let call = confirm::call(confirmed, self.now);
        self.with(|a, env, fx| a.on_call(env, call, 0, false, fx));
    }

    fn delivered(&mut self) -> Vec<(Option<u64>, Vec<String>)> {
        let mut delivered = Vec::new();
        for effect in std::mem::take(&mut self.fx) {
            match effect {
                Effect::Deliver(deliver) => {
                    let ids = deliver.outputs.iter().map(|o| o.item.id().to_owned()).collect();
                    delivered.push((deliver.first_sequence, ids));
                }
                effect => self.fx.push(effect),
            }
        }
        delivered
    }
}

#[test]
fn rows_go_with_their_own_turn_and_are_delivered_once_it_is_durable() {
    let mut stage = Stage::durable();
    let _waiters = [stage.call("1", "add"), stage.call("2", "add")];
    let turns = stage.run();
    let effects = vec![effect("x", "a"), effect("y", "b")];
    stage.result(turns[0], with_flow(Workflow { effects, ..Workflow::default() }));
    let first = stage.commit().expect("the first turn");
    let effects = vec![effect("x", "c")];
    stage.result(turns[1], with_flow(Workflow { effects, ..Workflow::default() }));
    let second = stage.with(|a, env, _| a.take_commit(env, actor, 0, &mut 3)).expect("the second");
    let places = |unit: &CommitUnit| -> Vec<u64> {
        unit.commit.outbox.iter().map(|row| row.sequence).collect()
    };
    assert_eq!((places(&first), places(&second)), (vec![1, 2], vec![3]));
    assert!(stage.delivered().is_empty(), "nothing leaves before its commit");
    stage.committed(&first);
    assert_eq!(stage.delivered(), [(Some(1), vec!["a".to_owned(), "b".to_owned()])]);
    stage.committed(&second);
    assert_eq!(stage.delivered(), [(Some(3), vec!["c".to_owned()])]);
}

#[test]
fn outputs_of_a_discarded_commit_are_nowhere() {
    let mut stage = Stage::durable();
    let _waiter = stage.call("1", "add");
    let turns = stage.run();
    let effects = vec![effect("x", "a")];
    stage.result(turns[0], with_flow(Workflow { effects, ..Workflow::default() }));
    stage.commit().expect("a commit");
    stage.with(|a, env, fx| a.restart(env, fx));
    stage.load(None);
    stage.run_and_commit();
    assert!(stage.delivered().is_empty(), "the turn was run again, and said nothing this time");
}

#[test]
fn a_volatile_actors_outputs_leave_at_once_unless_too_many_wait() {
    let mut stage = Stage::new(definition(Durability::Volatile));
    let mut waiter = stage.call("1", "add");
    let turns = stage.run();
    let effects = vec![effect("x", "a")];
    stage.result(turns[0], with_flow(Workflow { effects, ..Workflow::default() }));
    assert_eq!(stage.delivered(), [(None, vec!["a".to_owned()])]);
    assert!(waiter.answer().expect("answered").is_ok());
    let mut waiter = stage.call("2", "add");
    let turns = stage.run();
    let flow = Workflow { effects: vec![effect("x", "b")], ..Workflow::default() };
    let end = TurnEnd { workflow: Some(Ok(Box::new(flow))), ..ok("done", Some("full")) };
    stage.with(|a, env, fx| {
        a.on_result(Env { outbox_full: true, ..env }, SESSION, turns[0], end, fx)
    });
    assert_eq!(waiter.error(), ErrorKind::MailboxFull);
    assert_eq!(stage.state(), "s", "its turn was discarded");
}

#[test]
fn a_durable_actors_rows_need_no_room_in_memory() {
    let mut stage = Stage::durable();
    let mut waiter = stage.call("1", "add");
    let turns = stage.run();
    let flow = Workflow { effects: vec![effect("x", "a")], ..Workflow::default() };
    stage.with(|a, env, fx| {
        a.on_result(Env { outbox_full: true, ..env }, SESSION, turns[0], with_flow(flow), fx)
    });
    let unit = stage.commit().expect("its turn");
    assert_eq!(unit.commit.outbox.len(), 1);
    stage.committed(&unit);
    assert!(waiter.answer().expect("answered").is_ok());
}

#[test]
fn a_delay_counts_from_the_latest_that_the_time_can_be() {
    let mut stage = Stage::durable();
    let _waiter = stage.call("1", "add");
    let turns = stage.run();
    let delayed = SideEffect { delay_ms: 1_000, ..effect("x", "a") };
    let at = SideEffect { due_at: WALL.plus(1_000), ..effect("x", "b") };
    let flow = Workflow { effects: vec![delayed, at], ..Workflow::default() };
    let latest = WALL.plus(40);
    stage.with(|a, env, fx| {
        a.on_result(Env { latest, ..env }, SESSION, turns[0], with_flow(flow), fx)
    });
    let unit = stage.commit().expect("its turn");
    let due: Vec<Millis> = unit.commit.outbox.iter().map(|row| row.due_at).collect();
    assert_eq!(due, [WALL.plus(1_040), WALL.plus(1_000)]);
}

#[test]
fn a_delivery_that_found_no_room_is_run_when_it_comes_again() {
    let mut stage = Stage::new(definition(Durability::Volatile));
    let mut heard = stage.attempt("d", WALL);
    let turns = stage.run();
    let flow = Workflow { effects: vec![effect("x", "a")], ..Workflow::default() };
    let end = with_flow(flow);
    stage.with(|a, env, fx| {
        a.on_result(Env { outbox_full: true, ..env }, SESSION, turns[0], end, fx)
    });
    stage.deliver();
    let refused = heard.try_recv().expect("heard").outcome.expect_err("no room");
    assert_eq!(refused.kind, ErrorKind::MailboxFull);
    let mut heard = stage.attempt("d", WALL);
    stage.run_and_commit();
    assert!(heard.try_recv().expect("heard").outcome.is_ok());
}

#[test]
fn an_accepted_call_whose_turn_may_yet_succeed_is_run_again() {
    let mut stage = Stage::durable();
    let _waiter = stage.call_with("1", "add", |call| call.asynchronous = true);
    let turns = stage.run();
    let full = CallError::new(ErrorKind::MailboxFull, "no room");
    stage.result(turns[0], TurnEnd { workflow: Some(Err(full)), ..ok("done", Some("bad")) });
    assert!(stage.commit().is_none(), "nothing of it is stored");
    let again = stage.run();
    assert_eq!(again.len(), 1);
    stage.reply(again[0], "s");
    assert!(stage.commit().is_some());
    assert_eq!(stage.state(), "s");
}

#[test]
fn a_delivery_that_is_confirmed_before_it_has_run_leaves_no_mark() {
    let mut stage = Stage::durable();
    let (ends, _heard) = tokio::sync::mpsc::channel(4);
    drop(stage.call_with("d", "add", |call| {
        (call.delivery, call.asynchronous) = (true, true);
        call.reply_to = ReplyTo::Delivery(DeliveryWaiter::new(ends, 1));
    }));
    stage.with(|a, _, fx| a.on_accepted(40, fx));
    stage.confirm("d", false);
    stage.run_and_commit();
    assert_eq!(stage.state(), "s");
    stage.confirm("d", false);
    assert!(!stage.activation.outcomes.save_confirmed(), "there was nothing left to confirm");
}

#[test]
fn an_actor_that_leaves_after_a_delivery_waits_for_its_confirmation_and_saves_it() {
    let leaves = |stage: &Stage| stage.fx.iter().any(|effect| matches!(effect, Effect::Leave));
    for is_confirmed in [true, false] {
        let mut stage = Stage::durable();
        let _heard = stage.attempt("d", WALL);
        let turn = stage.run()[0];
        stage.result(turn, with_flow(Workflow { deactivate: true, ..Workflow::default() }));
        let unit = stage.commit().expect("the turn");
        stage.committed(&unit);
        stage.run();
        assert!(!leaves(&stage), "the confirmation would find nobody");
        if is_confirmed {
            stage.confirm("d", false);
            stage.run();
            assert!(!leaves(&stage) && stage.activation.wants_commit());
            let saved = stage.commit().expect("the row without the mark");
            assert_ne!(saved.commit.record.outcomes, unit.commit.record.outcomes);
            stage.committed(&saved);
            stage.pass(50);
        } else {
            stage.pass(250);
        }
        stage.run();
        assert!(leaves(&stage), "confirmed: {is_confirmed}");
    }
}

#[test]
fn an_accepted_call_that_is_repeated_after_it_has_failed_hears_of_the_failure() {
    let mut stage = Stage::durable();
    let asynchronous = |call: &mut Call| call.asynchronous = true;
    drop(stage.call_with("1", "add", asynchronous));
    stage.with(|a, _, fx| a.on_accepted(40, fx));
    let turn = stage.run()[0];
    let broken = CallError::new(ErrorKind::InvalidHostAnswer, "no");
    stage.result(turn, TurnEnd { workflow: Some(Err(broken)), ..ok("done", Some("bad")) });
    let unit = stage.commit().expect("its end is stored");
    stage.committed(&unit);
    assert_eq!(stage.call_with("1", "add", asynchronous).error(), ErrorKind::InvalidHostAnswer);
}

#[test]
fn an_invalid_workflow_fails_its_turn_and_later_ones_are_run_again() {
    let mut stage = Stage::durable();
    let (mut first, _second) = (stage.call("1", "add"), stage.call("2", "add"));
    let turns = stage.run();
    let broken = CallError::new(ErrorKind::InvalidHostAnswer, "no");
    let end = TurnEnd { workflow: Some(Err(broken.clone())), ..ok("done", Some("bad")) };
    stage.result(turns[0], end);
    assert_eq!(first.error(), ErrorKind::InvalidHostAnswer);
    assert_eq!((stage.state().as_str(), stage.cancelled_turns()), ("", vec![turns[1]]));
    let mut read = stage.call("3", "read");
    stage.run_and_commit();
    let _ = read.answer();
    let mut read = stage.call("4", "read");
    let turn = stage.run()[0];
    stage.result(turn, TurnEnd { workflow: Some(Err(broken)), ..ok("seen", None) });
    assert!(read.answer().expect("answered").is_ok(), "what a read-only turn says is ignored");
}

#[test]
fn a_turn_that_passes_its_call_on_links_to_the_next_and_a_repetition_follows() {
    let mut stage = Stage::durable();
    let _waiter = stage.call("1", "add");
    let turn = stage.run()[0];
    stage.result(turn, with_flow(next("b", "add")));
    let unit = stage.commit().expect("a commit");
    let [row] = &unit.commit.outbox[..] else { panic!("one row") };
    let Ok(Item::Call(item)) = Item::decode(&row.item) else { panic!("a call") };
    assert_eq!(item.argument.data, "done", "a pipe passes its reply on");
    assert_eq!((item.hops.len(), &*item.hops[0].actor.key), (1, "a"));
    stage.committed(&unit);
    let _waiter = stage.call("1", "add");
    let follows = stage.fx.iter().filter(|effect| match effect {
        Effect::Follow { link, .. } => link.request_id == "next-id" && &*link.actor.key == "b",
        _ => false,
    });
    assert_eq!(follows.count(), 2);
}

#[test]
fn a_chain_that_would_never_end_fails_the_turn_that_lengthens_it() {
    let mut stage = Stage::durable();
    let mut waiter = stage.call("1", "add");
    let turn = stage.run()[0];
    stage.result(turn, with_flow(next("a", "add")));
    assert_eq!(waiter.error(), ErrorKind::CallCycle);
    let mut waits_for_us = stage.call_with("2", "add", |call| {
        let chain = vec![ActorId::parse("default", "Counter", "c").expect("a valid name")];
        call.lineage = Some(Box::new(Lineage { caller: None, chain }));
    });
    let turn = stage.run()[0];
    stage.result(turn, with_flow(next("c", "other")));
    assert_eq!(waits_for_us.error(), ErrorKind::CallCycle, "that actor's turn waits for us");
    let mut long = stage.call_with("3", "add", |call| {
        let hop = |n: usize| crate::call::Hop { actor: to(&n.to_string()), action: "add".into() };
        call.hops = Some(Box::new((0..limits::HOPS_MAX).map(hop).collect()));
    });
    let turn = stage.run()[0];
    stage.result(turn, with_flow(next("z", "add")));
    assert_eq!(long.error(), ErrorKind::ChainTooLong);
    assert_eq!(stage.state(), "");
}

#[test]
fn a_delivery_is_applied_once_whatever_time_its_attempts_carry() {
    let mut stage = Stage::durable();
    let mut heard = stage.attempt("d", WALL.plus(-1_000));
    stage.run_and_commit();
    assert!(heard.try_recv().expect("its end").outcome.is_ok());
    // Many calls later its outcome is in no memory.
    for n in 0..20 {
        drop(stage.call(&format!("other-{n}"), "add"));
        stage.run_and_commit();
    }
    let mut again = stage.attempt("d", WALL);
    let outcome = again.try_recv().expect("known by its mark").outcome;
    assert!(outcome.expect("it ran").durable);
    stage.confirm("d", true);
    let mut late = stage.attempt("d", WALL);
    assert!(
        late.try_recv().expect("still known").outcome.is_ok(),
        "a late attempt of its own time"
    );
    stage.confirm("d", false);
    assert!(stage.attempt("d", WALL).try_recv().is_err(), "now it would be a new one");
}

#[test]
fn a_delivery_without_a_host_or_room_comes_again_later() {
    let mut stage = Stage::durable();
    let (ends, mut heard) = tokio::sync::mpsc::channel(4);
    let waiter = DeliveryWaiter::new(ends, 1);
    let call = Call {
        action: "add".into(),
        request_id: "d".into(),
        created_at: WALL,
        delivery: true,
        activates_only: false,
        deadline: Tick::NEVER,
        ..Call::activation(ReplyTo::Delivery(waiter), stage.now)
    };
    stage.with(|a, env, fx| a.on_call(Env { hosted: false, ..env }, call, 0, false, fx));
    stage.deliver();
    let refused = heard.try_recv().expect("at once").outcome.expect_err("refused");
    assert_eq!(refused.kind, ErrorKind::NoHost);
    for n in 0..crate::activation::marks::MARKS_MAX {
        let _heard = stage.attempt(&format!("d{n}"), WALL);
        stage.run_and_commit();
    }
    let mut full = stage.attempt("one too many", WALL);
    let refused = full.try_recv().expect("at once").outcome.expect_err("refused");
    assert_eq!(refused.kind, ErrorKind::MailboxFull);
    stage.confirm("d0", false);
    assert!(stage.attempt("one too many", WALL).try_recv().is_err(), "there is room again");
}

#[test]
fn whoever_waits_for_the_end_of_a_chain_hears_it_before_during_and_after_its_call() {
    let mut stage = Stage::durable();
    let ask = |stage: &mut Stage| stage.call("end", OUTCOME_ACTION);
    let mut before = ask(&mut stage);
    assert!(before.answer().is_none());
    let _heard = stage.attempt("end", WALL);
    let mut during = ask(&mut stage);
    stage.run_and_commit();
    let mut after = ask(&mut stage);
    for waiter in [&mut before, &mut during, &mut after] {
        let reply = waiter.answer().expect("answered").expect("the reply");
        assert_eq!(reply.payload.data, "done");
    }
    let mut never = stage.call("another", OUTCOME_ACTION);
    stage.pass(10_001);
    assert_eq!(never.error(), ErrorKind::DeadlineExceeded);
}

#[test]
fn whoever_waits_at_a_new_owner_hears_from_the_store_what_a_repeated_delivery_came_to() {
    let mut before = Stage::durable();
    let _heard = before.attempt("end", WALL);
    before.run_and_commit();
    // Its outcome leaves the row, and its mark stays there.
    let mut row = None;
    for id in 0..limits::INLINE_OUTCOMES_MAX {
        let _waiter = before.call(&id.to_string(), "add");
        let turn = before.run()[0];
        before.reply(turn, "s");
        let unit = before.commit().expect("a commit");
        before.committed(&unit);
        row = Some(unit.commit.record);
    }
    let mut stage = Stage::durable();
    stage.activation = Activation::new(env(&stage.definition, stage.now));
    let mut asked = stage.call("end", OUTCOME_ACTION);
    let mut again = stage.attempt("end", WALL);
    stage.fx.clear();
    stage.load(row);
    stage.deliver();
    assert!(again.try_recv().expect("heard").outcome.is_ok(), "the sender knows that it ran");
    assert!(asked.answer().is_none(), "an empty reply would be a lie");
    let looked_up = |effect: &Effect| matches!(effect, Effect::LookUp { request_id, .. } if request_id == "end");
    assert_eq!(stage.fx.iter().filter(|effect| looked_up(effect)).count(), 1);
}

#[test]
fn whoever_waits_for_a_delivery_that_is_handed_back_goes_on_waiting_for_its_end() {
    let mut stage = Stage::durable();
    let _heard = stage.attempt("end", WALL);
    let _asked = stage.call("end", OUTCOME_ACTION);
    stage.run();
    stage.with(|a, env, fx| a.hand_back_all(env.now, fx));
    let handed = stage.fx.iter().filter_map(|effect| match effect {
        Effect::HandBack(call) => Some((call.action.as_str(), call.delivery)),
        _ => None,
    });
    let mut handed: Vec<_> = handed.collect();
    handed.sort_unstable();
    assert_eq!(handed, [(OUTCOME_ACTION, false), ("add", true)]);
}
