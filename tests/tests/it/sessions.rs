//! Hosts: what they may do, what they may not, and what their misfortunes cost.

use std::time::Duration;

use callboard_proto::{
    host::v1::{Turn, TurnCall, host_frame, node_frame, turn_call_result},
    types::v1::{Durability, Kind},
};
use callboard_tests::local::{
    LocalNode, ScriptedHost,
    caller::{actor, call, json, text},
    host::{Definition, counter, definition, hello, result, state_of},
};
use callboard_types::ErrorKind;
use prost::Message;

/// The incrementor of the examples as a host registers it: its type and its descriptors.
pub(crate) fn incrementor() -> (Definition, Vec<u8>) {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let includes = [format!("{root}/examples/incrementor"), format!("{root}/proto")];
    let set = protox_compile(&includes);
    let mut incrementor = definition("Incrementor", Durability::Durable, &["Add", "Total?"]);
    for action in &mut incrementor.actions {
        let package = "callboard.examples.incrementor.v1";
        action.input_type = format!("{package}.{}Request", action.name);
        action.output_type = format!("{package}.{}Response", action.name);
    }
    (incrementor, set)
}

fn protox_compile(includes: &[String]) -> Vec<u8> {
    let files = ["incrementor.proto"];
    protox::compile(files, includes).expect("the example compiles").encode_to_vec()
}

fn add(key: &str) -> callboard_proto::gateway::v1::InvokeRequest {
    call("Counter", key, "add", "1")
}

fn counter_type() -> Definition {
    definition("Counter", Durability::Durable, &["add", "total?"])
}

#[tokio::test]
async fn a_run_of_a_hot_actor_is_one_frame_and_its_replies_come_in_order() {
    let node = LocalNode::start().await;
    let mut host = node.host(counter_type()).await;
    let mut stream = node.caller().await.stream().await;
    stream.send(vec![(0, add("hot"))]).await;
    let first = host.turn().await;
    stream.send((1..=20).map(|n| (n, add("hot"))).collect()).await;
    // The first turn is answered only after the others wait, so they must come as one run.
    stream.send(vec![(99, call("Counter", "other", "add", "1"))]).await;
    let other = host.turn().await;
    host.reply(&other, "1", Some("1")).await;
    host.reply(&first, "1", Some("1")).await;
    let run = host.run().await;
    assert_eq!((run.turns.len(), state_of(&run).as_deref()), (20, Some("1")));
    let results =
        run.turns.iter().zip(2..).map(|(turn, total)| {
            result(turn.turn_id, &format!("{total}"), Some(&format!("{total}")))
        });
    host.send(results.collect()).await;
    let mut last = 0;
    for _ in 0..22 {
        let (id, reply) = stream.reply().await;
        let total: u64 = text(&reply.expect("added")).parse().expect("a number");
        if id != 99 {
            assert_eq!(total, last + 1);
            last = total;
        }
    }
}

#[tokio::test]
async fn a_host_that_dies_in_a_turn_costs_no_call() {
    let node = LocalNode::start().await;
    let mut doomed = node.host(counter_type()).await;
    let caller = node.caller().await;
    let pending = tokio::spawn(async move { caller.invoke(add("a")).await });
    let turn = doomed.turn().await;
    assert_eq!(turn.attempt, 1);
    let mut heir = node.host(counter_type()).await;
    drop(doomed);
    let again = heir.turn().await;
    assert_eq!((again.attempt, again.request_id), (2, turn.request_id));
    heir.reply(&heir_turn(&again.turn_id), "1", Some("1")).await;
    assert_eq!(text(&pending.await.expect("no panic").expect("added")), "1");
}

fn heir_turn(turn_id: &u64) -> Turn {
    Turn { turn_id: *turn_id, ..Turn::default() }
}

#[tokio::test]
async fn a_turn_that_kills_each_of_its_hosts_ends_with_a_stored_error() {
    let node = LocalNode::start().await;
    let caller = node.caller().await;
    let poison = add("poison");
    let mut host = node.host(counter_type()).await;
    let pending = tokio::spawn({
        let (caller, poison) = (caller.clone(), poison.clone());
        async move { caller.invoke(poison).await }
    });
    for attempt in 1..=3 {
        assert_eq!(host.turn().await.attempt, attempt);
        let next = node.host(counter_type()).await;
        drop(std::mem::replace(&mut host, next));
    }
    let error = pending.await.expect("no panic").expect_err("given up");
    assert_eq!(error.kind, ErrorKind::TurnCrashedHost);
    let error = caller.invoke(poison).await.expect_err("stored");
    assert_eq!(error.kind, ErrorKind::TurnCrashedHost);
}

#[tokio::test]
async fn a_turn_that_takes_too_long_is_run_elsewhere_and_the_late_answer_is_dropped() {
    let node = LocalNode::start().await;
    let mut hasty = counter_type();
    hasty.turn_timeout_ms = 200;
    let mut slow = node.host(hasty.clone()).await;
    let caller = node.caller().await;
    let pending = tokio::spawn(async move { caller.invoke(add("a")).await });
    let late = slow.turn().await;
    slow.credit(0).await;
    let mut quick = node.host(hasty).await;
    let turn = quick.turn().await;
    slow.reply(&late, "100", Some("100")).await;
    quick.reply(&turn, "1", Some("1")).await;
    assert_eq!(text(&pending.await.expect("no panic").expect("added")), "1");
    assert!(matches!(slow.next().await, Some(node_frame::Frame::Cancel(_))));
}

#[tokio::test]
async fn answers_that_are_not_the_hosts_to_give_change_nothing() {
    let node = LocalNode::start().await;
    let mut host = node.host(counter_type()).await;
    let thief = node.host(counter_type()).await;
    thief.credit(0).await;
    let caller = node.caller().await;
    let pending = tokio::spawn({
        let caller = caller.clone();
        async move { caller.invoke(add("a")).await }
    });
    let turn = host.turn().await;
    thief.reply(&turn, "666", Some("666")).await;
    host.send(vec![result(u64::MAX, "0", None), result(12_345, "0", Some("0"))]).await;
    host.reply(&turn, "1", Some("1")).await;
    host.reply(&turn, "2", Some("2")).await;
    assert_eq!(text(&pending.await.expect("no panic").expect("added")), "1");
    let state = caller.state(actor("Counter", "a")).await.expect("state");
    assert_eq!(state.state.expect("a state").data, "1");
    assert_eq!(state.revision, 1);
}

#[tokio::test]
async fn a_host_that_answers_garbage_fails_its_turn_and_nothing_else() {
    let node = LocalNode::start().await;
    let mut host = node.host(counter_type()).await;
    let caller = node.caller().await;
    let pending = tokio::spawn({
        let caller = caller.clone();
        async move { caller.invoke(add("a")).await }
    });
    let turn = host.turn().await;
    let empty =
        callboard_proto::host::v1::TurnResult { turn_id: turn.turn_id, ..Default::default() };
    host.send(vec![host_frame::Frame::Result(empty)]).await;
    let error = pending.await.expect("no panic").expect_err("no outcome");
    assert_eq!(error.code(), 13);
    host.answer_all(counter);
    assert_eq!(text(&caller.invoke(add("a")).await.expect("added")), "1");
}

#[tokio::test]
async fn a_host_of_another_major_version_is_told_what_to_do() {
    let node = LocalNode::start().await;
    let mut old = hello(10);
    old.protocol_major = 9;
    let error = ScriptedHost::try_connect(node.channel().await, old).await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::ProtocolVersion);
    assert!(error.message.contains("major version 1"), "{}", error.message);
}

#[tokio::test]
async fn a_registration_that_contradicts_stored_actors_is_refused_whole() {
    let node = LocalNode::start().await;
    node.host(counter_type()).await.answer_all(counter);
    let mut host = ScriptedHost::connect(node.channel().await, 10).await;
    let contrary = definition("Counter", Durability::Volatile, &["add"]);
    let fine = definition("Fine", Durability::Durable, &["go"]);
    let error = host.register("default", vec![fine, contrary]).await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::IncompatibleType);
    assert!(error.message.contains("durability"), "{}", error.message);
    let caller = node.caller().await;
    let unknown = caller.invoke(call("Fine", "a", "go", "")).await.expect_err("not registered");
    assert_eq!(unknown.kind, ErrorKind::UnknownType);
    assert_eq!(text(&caller.invoke(add("a")).await.expect("added")), "1");
}

#[tokio::test]
async fn a_new_action_goes_only_to_hosts_that_have_it() {
    let node = LocalNode::start().await;
    let mut old = node.host(counter_type()).await;
    let newer = definition("Counter", Durability::Durable, &["add", "total?", "reset"]);
    node.host(newer).await.answer_all(|turn, _| (turn.action.clone(), Some("0".into())));
    let caller = node.caller().await;
    for _ in 0..5 {
        let reply = caller.invoke(call("Counter", "a", "reset", "")).await.expect("reset");
        assert_eq!(text(&reply), "reset");
    }
    old.drain().await;
    assert!(matches!(old.next().await, Some(node_frame::Frame::Drained(_))));
}

#[tokio::test]
async fn a_node_closes_its_side_when_a_host_has_closed_its_own() {
    let node = LocalNode::start().await;
    let mut host = node.host(counter_type()).await;
    host.drain().await;
    assert!(matches!(host.next().await, Some(node_frame::Frame::Drained(_))));
    host.finish();
    // Well before the next ping, which would wake the stream too.
    let end = tokio::time::timeout(Duration::from_secs(5), host.next()).await;
    assert!(matches!(end, Ok(None)), "{end:?}");
}

#[tokio::test]
async fn a_draining_host_finishes_what_it_has_and_gets_nothing_more() {
    let node = LocalNode::start().await;
    let mut leaving = node.host(counter_type()).await;
    let caller = node.caller().await;
    let pending = tokio::spawn({
        let caller = caller.clone();
        async move { caller.invoke(add("a")).await }
    });
    let turn = leaving.turn().await;
    leaving.drain().await;
    assert!(matches!(leaving.next().await, Some(node_frame::Frame::Drained(_))));
    node.host(counter_type()).await.answer_all(counter);
    for n in 0..20 {
        caller.invoke(add(&format!("b{n}"))).await.expect("another host runs it");
    }
    leaving.reply(&turn, "1", Some("1")).await;
    assert_eq!(text(&pending.await.expect("no panic").expect("added")), "1");
}

#[tokio::test]
async fn a_host_never_has_more_turns_than_its_credits() {
    let node = LocalNode::start().await;
    let mut host = ScriptedHost::connect(node.channel().await, 3).await;
    host.register("default", vec![counter_type()]).await.expect("registered");
    let mut stream = node.caller().await.stream().await;
    stream.send((0..10).map(|n| (n, add(&format!("k{n}")))).collect()).await;
    let mut open: Vec<Turn> = Vec::new();
    for answered in 0..10 {
        while open.len() < 3.min(10 - answered) {
            open.push(host.turn().await);
        }
        host.reply(&open.remove(0), "1", Some("1")).await;
        stream.reply().await.1.expect("added");
    }
}

#[tokio::test]
async fn without_a_host_calls_wait_and_then_say_so() {
    let node = LocalNode::start().await;
    drop(node.host(counter_type()).await);
    let caller = node.caller().await;
    let mut short = add("a");
    short.timeout_ms = 300;
    let error = caller.invoke(short).await.expect_err("nobody runs it");
    assert_eq!(error.kind, ErrorKind::NoHost);
    let pending = tokio::spawn({
        let caller = caller.clone();
        async move { caller.invoke(add("a")).await }
    });
    node.host(counter_type()).await.answer_all(counter);
    assert_eq!(text(&pending.await.expect("no panic").expect("a host came")), "1");
}

#[tokio::test]
async fn a_caller_that_cancels_has_its_turn_cancelled() {
    let node = LocalNode::start().await;
    let mut host = node.host(counter_type()).await;
    let mut stream = node.caller().await.stream().await;
    stream.send(vec![(1, add("a"))]).await;
    let turn = host.turn().await;
    stream.cancel(vec![1]).await;
    match host.next().await {
        Some(node_frame::Frame::Cancel(cancel)) => assert_eq!(cancel.turn_id, turn.turn_id),
        other => panic!("expected CancelTurn, got {other:?}"),
    }
    let error = stream.reply().await.1.expect_err("cancelled");
    assert_eq!(error.kind, ErrorKind::Cancelled);
}

// === calls inside turns ===

fn turn_call(turn: &Turn, index: u32, target: (&str, &str), action: &str) -> TurnCall {
    TurnCall {
        turn_id: turn.turn_id,
        call_index: index,
        target: Some(actor(target.0, target.1)),
        action: action.to_owned(),
        payload: Some(json("1")),
        timeout_ms: 5_000,
        metadata: std::collections::HashMap::new(),
        request_id: String::new(),
    }
}

async fn call_result(host: &mut ScriptedHost) -> turn_call_result::Outcome {
    match host.next().await {
        Some(node_frame::Frame::CallResult(result)) => result.outcome.expect("an outcome"),
        other => panic!("expected a call's result, got {other:?}"),
    }
}

#[tokio::test]
async fn a_turn_calls_another_actor_and_a_cycle_is_refused() {
    let node = LocalNode::start().await;
    let mut asker = node.host(definition("Asker", Durability::Durable, &["ask"])).await;
    node.host(counter_type()).await.answer_all(counter);
    let caller = node.caller().await;
    let pending = tokio::spawn(async move { caller.invoke(call("Asker", "a", "ask", "")).await });
    let turn = asker.turn().await;
    asker.call(turn_call(&turn, 0, ("Counter", "c"), "add")).await;
    match call_result(&mut asker).await {
        turn_call_result::Outcome::Reply(reply) => assert_eq!(reply.data, "1"),
        other => panic!("expected a reply, got {other:?}"),
    }
    asker.call(turn_call(&turn, 1, ("Asker", "a"), "ask")).await;
    match call_result(&mut asker).await {
        turn_call_result::Outcome::Error(error) => assert_eq!(error.reason, "CALL_CYCLE"),
        other => panic!("expected a refusal, got {other:?}"),
    }
    asker.reply(&turn, "asked", None).await;
    assert_eq!(text(&pending.await.expect("no panic").expect("asked")), "asked");
}

#[tokio::test]
async fn a_turn_that_is_run_again_makes_its_calls_once() {
    let node = LocalNode::start().await;
    let asking = || definition("Asker", Durability::Durable, &["ask"]);
    let mut first = node.host(asking()).await;
    node.host(counter_type()).await.answer_all(counter);
    let caller = node.caller().await;
    let pending = tokio::spawn({
        let caller = caller.clone();
        async move { caller.invoke(call("Asker", "a", "ask", "")).await }
    });
    let turn = first.turn().await;
    first.call(turn_call(&turn, 0, ("Counter", "c"), "add")).await;
    call_result(&mut first).await;
    let mut second = node.host(asking()).await;
    drop(first);
    let turn = second.turn().await;
    second.call(turn_call(&turn, 0, ("Counter", "c"), "add")).await;
    match call_result(&mut second).await {
        turn_call_result::Outcome::Reply(reply) => assert_eq!(reply.data, "1", "the same reply"),
        other => panic!("expected a reply, got {other:?}"),
    }
    second.reply(&turn, "asked", None).await;
    pending.await.expect("no panic").expect("asked");
    let total = caller.invoke(call("Counter", "c", "total", "")).await.expect("read");
    assert_eq!(text(&total), "1");
}

// === kinds ===

#[tokio::test]
async fn a_named_actor_comes_to_life_when_its_type_is_registered_and_only_once() {
    let node = LocalNode::start().await;
    let mut named = definition("Clock", Durability::Durable, &["init", "tick"]);
    named.kind = Kind::Named.into();
    let mut host = node.host(named.clone()).await;
    let turn = host.turn().await;
    assert_eq!(turn.action, "init");
    host.reply(&turn, "", Some("started")).await;
    let second = node.host(named).await;
    second.credit(0).await;
    let caller = node.caller().await;
    let pending = tokio::spawn({
        let caller = caller.clone();
        async move { caller.invoke(call("Clock", "", "tick", "")).await }
    });
    let turn = host.turn().await;
    assert_eq!(turn.action, "tick", "it was initialised once");
    host.reply(&turn, "tock", None).await;
    assert_eq!(text(&pending.await.expect("no panic").expect("ticked")), "tock");
    let error = caller.invoke(call("Clock", "another", "tick", "")).await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::InvalidActorKey);
}

#[tokio::test]
async fn an_accepted_call_survives_the_node_and_runs_when_a_host_comes() {
    let mut node = LocalNode::start().await;
    let idle = node.host(counter_type()).await;
    idle.credit(0).await;
    let caller = node.caller().await;
    for _ in 0..3 {
        let mut accepted = add("a");
        accepted.mode = callboard_proto::gateway::v1::InvokeMode::Async.into();
        let reply = caller.invoke(accepted.clone()).await.expect("accepted");
        assert!(reply.durable);
        caller.invoke(accepted).await.expect("accepting twice is accepting once");
    }
    drop((idle, caller));
    node.stop_hard().await;
    node.host(counter_type()).await.answer_all(counter);
    let caller = node.caller().await;
    let total = caller.invoke(call("Counter", "a", "total", "")).await.expect("read");
    assert_eq!(text(&total), "3", "accepted calls come before new ones");
}

#[tokio::test]
async fn a_snapshot_actor_is_saved_on_its_interval_and_the_node_serves_on() {
    let mut node = LocalNode::start().await;
    let mut saved = definition("Saved", Durability::Snapshot, &["add", "total?"]);
    saved.snapshot_interval_ms = 50;
    let mut unsaved = definition("Unsaved", Durability::Snapshot, &["add", "total?"]);
    unsaved.snapshot_interval_ms = 3_600_000;
    for definition in [saved.clone(), unsaved.clone()] {
        node.host(definition).await.answer_all(counter);
    }
    let caller = node.caller().await;
    for kind in ["Saved", "Unsaved"] {
        let reply = caller.invoke(call(kind, "a", "add", "5")).await.expect("added");
        assert!(!reply.durable, "a snapshot actor replies before it is saved");
    }
    while !caller.state(actor("Saved", "a")).await.expect("state").exists {}
    assert!(!caller.state(actor("Unsaved", "a")).await.expect("state").exists);
    caller.invoke(call("Saved", "a", "add", "1")).await.expect("the node serves on");
    node.restart().await;
    for kind in ["Saved", "Unsaved"] {
        node.host(if kind == "Saved" { saved.clone() } else { unsaved.clone() })
            .await
            .answer_all(counter);
    }
    let caller = node.caller().await;
    let total = |kind| caller.invoke(call(kind, "a", "total", ""));
    assert_eq!(text(&total("Saved").await.expect("read")), "6", "saved at the latest on stop");
    assert_eq!(text(&total("Unsaved").await.expect("read")), "5", "saved on stop");
}

#[tokio::test]
async fn turns_of_two_actors_under_one_request_id_each_make_their_own_call() {
    let node = LocalNode::start().await;
    let mut asker = node.host(definition("Asker", Durability::Durable, &["ask"])).await;
    node.host(counter_type()).await.answer_all(counter);
    let caller = node.caller().await;
    for (key, expected) in [("a", "1"), ("b", "2")] {
        let mut same = call("Asker", key, "ask", "");
        same.request_id = "order-7".to_owned();
        let pending = tokio::spawn({
            let caller = caller.clone();
            async move { caller.invoke(same).await }
        });
        let turn = asker.turn().await;
        asker.call(turn_call(&turn, 0, ("Counter", "ledger"), "add")).await;
        match call_result(&mut asker).await {
            turn_call_result::Outcome::Reply(reply) => assert_eq!(reply.data, expected),
            other => panic!("expected a reply, got {other:?}"),
        }
        asker.reply(&turn, "", None).await;
        pending.await.expect("no panic").expect("asked");
    }
}

#[tokio::test]
async fn big_results_of_calls_reach_the_turn_in_messages_that_the_host_can_read() {
    let node = LocalNode::start().await;
    let mut asker = node.host(definition("Asker", Durability::Durable, &["ask"])).await;
    let big = definition("Big", Durability::Volatile, &["give"]);
    node.host(big).await.answer_all(|_, _| ("x".repeat(1_000_000), None));
    let caller = node.caller().await;
    let pending = tokio::spawn(async move { caller.invoke(call("Asker", "a", "ask", "")).await });
    let turn = asker.turn().await;
    for index in 0..8 {
        asker.call(turn_call(&turn, index, ("Big", &format!("b{index}")), "give")).await;
    }
    for _ in 0..8 {
        let turn_call_result::Outcome::Reply(reply) = call_result(&mut asker).await else {
            panic!("expected a reply")
        };
        assert_eq!(reply.data.len(), 1_000_000);
    }
    asker.reply(&turn, "asked", None).await;
    pending.await.expect("no panic").expect("asked");
}
