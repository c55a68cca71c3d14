//! Calls between nodes: every node takes calls to every actor, whatever moves, breaks or hangs meanwhile.

mod faults;
mod hosts;
mod peers;

use std::{sync::atomic::Ordering, time::Duration};

use callboard_proto::{
    control::v1::{GetActorRequest, actors_service_client::ActorsServiceClient},
    gateway::v1::{
        InvokeMode, SpawnRequest, gateway_service_client::GatewayServiceClient,
        invoke_request::Argument,
    },
    host::v1::{TurnCall, node_frame},
    types::v1::Durability,
};
use callboard_tests::{
    local::{
        caller::{actor, call, json, text},
        host::{counter, definition},
    },
    mesh::Mesh,
};
use callboard_types::{ErrorKind, shard_of};
use tokio::task::JoinHandle;

/// A counter whose hosts are at every node of a mesh.
async fn counters(mesh: &Mesh, nodes: u64, durability: Durability) {
    for node in 1..=nodes {
        let host = mesh.host(node, definition("Counter", durability, &["add", "total?"])).await;
        host.answer_all(counter);
    }
}

#[tokio::test]
async fn every_node_takes_calls_to_every_actor() {
    let mesh = Mesh::start(3).await;
    counters(&mesh, 3, Durability::Durable).await;
    let key = mesh.key_on("Counter", 2, 0);
    for (node, expected) in [(1, "5"), (2, "10"), (3, "15")] {
        let caller = mesh.caller(node).await;
        let reply = caller.invoke(call("Counter", &key, "add", "5")).await.expect("added");
        assert_eq!(text(&reply), expected);
        assert!(reply.durable);
    }
    assert_eq!(mesh.caller(3).await.state(actor("Counter", &key)).await.expect("read").revision, 3);
}

#[tokio::test]
async fn what_the_caller_said_reaches_the_turn_on_another_node() {
    let mesh = Mesh::start(2).await;
    let mut host = mesh.host(2, definition("Echo", Durability::Volatile, &["say"])).await;
    let caller = mesh.caller(1).await;
    let mut request = call("Echo", &mesh.key_on("Echo", 2, 0), "say", "\"hello\"");
    request.timeout_ms = 4_000;
    request
        .metadata
        .insert("traceparent".into(), "00-4bf92f3577b34da6a3ce929d0e0e4736-1-01".into());
    let asked = request.clone();
    let answer = tokio::spawn(async move { caller.invoke(request).await });
    let turn = host.turn().await;
    assert_eq!(turn.metadata, asked.metadata);
    assert_eq!(
        (turn.request_id.clone(), turn.created_at_ms),
        (asked.request_id, asked.created_at_ms)
    );
    assert!((3_000..=4_000).contains(&turn.timeout_ms), "{}", turn.timeout_ms);
    assert_eq!(turn.payload.as_ref().map(|p| p.data.clone()), Some("\"hello\"".into()));
    host.fail(&turn, "NOT_TODAY").await;
    let error = answer.await.expect("no panic").expect_err("the action failed");
    assert_eq!((error.reason(), error.code()), ("NOT_TODAY", 9), "as if it were local");
}

#[tokio::test]
async fn a_request_id_counts_once_however_many_nodes_it_is_sent_to() {
    let mesh = Mesh::start(3).await;
    counters(&mesh, 3, Durability::Durable).await;
    let add = call("Counter", &mesh.key_on("Counter", 3, 0), "add", "5");
    for node in [1, 2, 3, 1] {
        let reply = mesh.caller(node).await.invoke(add.clone()).await.expect("the stored reply");
        assert_eq!(text(&reply), "5");
    }
}

#[tokio::test]
async fn many_calls_over_one_stream_reach_all_nodes_and_keep_their_order_per_actor() {
    let mesh = Mesh::start(3).await;
    counters(&mesh, 3, Durability::Volatile).await;
    let keys: Vec<String> = (1..=3).map(|node| mesh.key_on("Counter", node, 0)).collect();
    let mut stream = mesh.caller(1).await.stream().await;
    let calls = (0..300_u64).map(|id| {
        let key = &keys[usize::try_from(id % 3).expect("small")];
        (id, call("Counter", key, "add", "1"))
    });
    stream.send(calls.collect()).await;
    for _ in 0..300 {
        let (id, reply) = stream.reply().await;
        let expected = (id / 3 + 1).to_string();
        assert_eq!(text(&reply.expect("added")), expected, "call {id}");
    }
}

#[tokio::test]
async fn state_that_is_only_in_memory_is_read_at_its_owner() {
    let mesh = Mesh::start(2).await;
    counters(&mesh, 2, Durability::Volatile).await;
    let key = mesh.key_on("Counter", 2, 0);
    let caller = mesh.caller(1).await;
    assert!(!caller.state(actor("Counter", &key)).await.expect("read").exists);
    caller.invoke(call("Counter", &key, "add", "7")).await.expect("added");
    let state = caller.state(actor("Counter", &key)).await.expect("read");
    assert_eq!((state.exists, state.state.map(|s| s.data)), (true, Some("7".into())));
    let mut actors = ActorsServiceClient::new(mesh.channel(1).await);
    let request = GetActorRequest { actor: Some(actor("Counter", &key)) };
    let shown = actors.get_actor(request).await.expect("found").into_inner().actor.expect("set");
    assert_eq!((shown.active, shown.shard.expect("set").node_id), (true, 2));
}

#[tokio::test]
async fn actors_are_spawned_where_they_belong() {
    let mesh = Mesh::start(2).await;
    counters(&mesh, 2, Durability::Volatile).await;
    let key = mesh.key_on("Counter", 2, 0);
    let mut gateway = GatewayServiceClient::new(mesh.channel(1).await);
    let request = SpawnRequest { actors: vec![actor("Counter", &key)] };
    let results = gateway.spawn(request).await.expect("answered").into_inner().results;
    assert!(results[0].error.is_none(), "{results:?}");
    let mut actors = ActorsServiceClient::new(mesh.channel(2).await);
    let request = GetActorRequest { actor: Some(actor("Counter", &key)) };
    let shown = actors.get_actor(request).await.expect("found").into_inner().actor.expect("set");
    assert!(shown.active);
}

#[tokio::test]
async fn an_asynchronous_call_is_accepted_by_the_owner_and_then_run() {
    let mesh = Mesh::start(2).await;
    let mut host = mesh.host(2, definition("Log", Durability::Durable, &["note"])).await;
    let mut note = call("Log", &mesh.key_on("Log", 2, 0), "note", "\"later\"");
    note.mode = InvokeMode::Async.into();
    let accepted = mesh.caller(1).await.invoke(note).await.expect("accepted before it ran");
    assert!(accepted.durable);
    let turn = host.turn().await;
    assert_eq!(turn.action, "note");
    host.reply(&turn, "", Some("1")).await;
}

#[tokio::test]
async fn a_cycle_of_calls_is_found_across_nodes() {
    let mesh = Mesh::start(2).await;
    let kind = definition("Pair", Durability::Volatile, &["ask"]);
    let (mut one, mut two) = (mesh.host(1, kind.clone()).await, mesh.host(2, kind).await);
    let (here, there) = (mesh.key_on("Pair", 1, 0), mesh.key_on("Pair", 2, 0));
    let caller = mesh.caller(2).await;
    let request = call("Pair", &here, "ask", "1");
    let answer = tokio::spawn(async move { caller.invoke(request).await });
    let outer = one.turn().await;
    one.call(inner_call(outer.turn_id, &there)).await;
    let inner = two.turn().await;
    assert_eq!(inner.caller.as_ref().map(|id| id.key.clone()), Some(here.clone()));
    two.call(inner_call(inner.turn_id, &here)).await;
    let Some(node_frame::Frame::CallResult(refused)) = two.next().await else {
        panic!("the cycle is answered");
    };
    let refused = format!("{:?}", refused.outcome);
    assert!(refused.contains(ErrorKind::CallCycle.reason()), "{refused}");
    two.reply(&inner, "2", None).await;
    let Some(node_frame::Frame::CallResult(result)) = one.next().await else {
        panic!("the call is answered");
    };
    assert!(format!("{:?}", result.outcome).contains("Reply"), "{result:?}");
    one.reply(&outer, "3", None).await;
    assert_eq!(text(&answer.await.expect("no panic").expect("answered")), "3");
}

fn inner_call(turn_id: u64, key: &str) -> TurnCall {
    TurnCall {
        turn_id,
        call_index: 0,
        target: Some(actor("Pair", key)),
        action: "ask".to_owned(),
        payload: Some(json("1")),
        timeout_ms: 5_000,
        metadata: std::collections::HashMap::new(),
        request_id: String::new(),
    }
}

#[tokio::test]
async fn a_gateway_with_an_old_view_costs_a_redirect_and_no_failure() {
    let mesh = Mesh::start(3).await;
    counters(&mesh, 3, Durability::Durable).await;
    let key = mesh.key_on("Counter", 2, 0);
    let caller = mesh.caller(1).await;
    caller.invoke(call("Counter", &key, "add", "1")).await.expect("added at node 2");
    mesh.script().hold(1, true);
    mesh.script().give("Counter", shard_of(&key, 64), 3);
    let at_3 = mesh.caller(3).await;
    let reply = at_3.invoke(call("Counter", &key, "add", "1")).await.expect("added at node 3");
    assert_eq!(text(&reply), "2");
    let request = call("Counter", &key, "add", "1");
    let answer = tokio::spawn(async move { caller.invoke(request).await });
    // Node 2 has redirected it once its own counter of calls says so; node 1 learns later.
    let redirected = at_3.invoke(call("Counter", &key, "total", "")).await.expect("read");
    assert_eq!(text(&redirected), "2");
    assert!(!answer.is_finished());
    mesh.script().hold(1, false);
    assert_eq!(text(&answer.await.expect("no panic").expect("added")), "3");
}

#[tokio::test]
async fn an_owner_that_hears_of_its_shard_late_makes_callers_wait_and_not_fail() {
    let mesh = Mesh::start(3).await;
    counters(&mesh, 3, Durability::Durable).await;
    let key = mesh.key_on("Counter", 2, 0);
    mesh.script().hold(3, true);
    mesh.script().give("Counter", shard_of(&key, 64), 3);
    let caller = mesh.caller(1).await;
    let request = call("Counter", &key, "add", "1");
    let mut answer = tokio::spawn(async move { caller.invoke(request).await });
    // Longer than a receiver waits for its sender's view: the call comes back, and goes there again.
    let early = tokio::time::timeout(Duration::from_millis(700), &mut answer).await;
    assert!(early.is_err(), "{early:?}");
    mesh.script().hold(3, false);
    assert_eq!(text(&answer.await.expect("no panic").expect("added")), "1");
}

#[tokio::test]
async fn shards_move_under_load_without_a_failed_call_or_a_wrong_total() {
    let mesh = Mesh::start(3).await;
    counters(&mesh, 3, Durability::Durable).await;
    let keys: Vec<String> = (1..=3).map(|node| mesh.key_on("Counter", node, 0)).collect();
    let callers = load(&mesh, &keys).await;
    let shards: Vec<u32> = keys.iter().map(|key| shard_of(key, 64)).collect();
    let mut moves = 0;
    while callers.iter().any(|caller| !caller.is_finished()) {
        for shard in &shards {
            let to = mesh.script().owner("Counter", *shard).node.0 % 3 + 1;
            mesh.script().begin_move("Counter", *shard, to);
            while mesh.script().is_moving("Counter", *shard) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            moves += 1;
        }
    }
    assert!(moves >= 3, "{moves} moves");
    check_totals(&mesh, &keys, callers).await;
}

/// Callers at three nodes, each with 40 rounds of five adds to each of three actors.
async fn load(mesh: &Mesh, keys: &[String]) -> Vec<JoinHandle<()>> {
    let mut callers = Vec::new();
    for node in 1..=3 {
        let mut stream = mesh.caller(node).await.stream().await;
        let keys = keys.to_vec();
        callers.push(tokio::spawn(async move {
            for round in 0..40_u64 {
                let calls = (0..15_u64).map(|at| {
                    let key = &keys[usize::try_from(at % 3).expect("small")];
                    (round * 15 + at, call("Counter", key, "add", "1"))
                });
                stream.send(calls.collect()).await;
                for _ in 0..15 {
                    let (id, reply) = stream.reply().await;
                    reply.unwrap_or_else(|error| panic!("call {id} of round {round}: {error}"));
                }
            }
        }));
    }
    callers
}

/// Every call of [`load`] was answered, and counted once.
async fn check_totals(mesh: &Mesh, keys: &[String], callers: Vec<JoinHandle<()>>) {
    for caller in callers {
        caller.await.expect("no call failed");
    }
    let caller = mesh.caller(1).await;
    for key in keys {
        let total = caller.invoke(call("Counter", key, "total", "")).await.expect("read");
        assert_eq!(text(&total), "600", "3 callers, 40 rounds, 5 calls each");
    }
}

#[tokio::test]
async fn a_call_to_a_shard_that_nobody_owns_waits_for_an_owner() {
    let mesh = Mesh::start(2).await;
    counters(&mesh, 2, Durability::Durable).await;
    let key = mesh.key_on("Counter", 2, 0);
    let shard = shard_of(&key, 64);
    mesh.script().give("Counter", shard, 0);
    let caller = mesh.caller(1).await;
    let mut hopeless = call("Counter", &key, "add", "1");
    hopeless.timeout_ms = 150;
    let error = caller.invoke(hopeless).await.expect_err("nobody took it");
    assert_eq!(error.kind, ErrorKind::NotOwner, "{error}");
    let request = call("Counter", &key, "add", "1");
    let answer = tokio::spawn(async move { caller.invoke(request).await });
    mesh.script().give("Counter", shard, 1);
    assert_eq!(text(&answer.await.expect("no panic").expect("added")), "1");
}

#[tokio::test]
async fn a_cancelled_call_is_cancelled_at_the_host_of_another_node() {
    let mesh = Mesh::start(2).await;
    let mut host = mesh.host(2, definition("Slow", Durability::Volatile, &["wait"])).await;
    let key = mesh.key_on("Slow", 2, 0);
    let mut stream = mesh.caller(1).await.stream().await;
    stream.send(vec![(7, call("Slow", &key, "wait", "1"))]).await;
    let turn = host.turn().await;
    stream.cancel(vec![7]).await;
    match host.next().await {
        Some(node_frame::Frame::Cancel(cancel)) => assert_eq!(cancel.turn_id, turn.turn_id),
        other => panic!("expected Cancel, got {other:?}"),
    }
    let (id, outcome) = stream.reply().await;
    assert_eq!((id, outcome.expect_err("cancelled").kind), (7, ErrorKind::Cancelled));
}

#[tokio::test]
async fn json_of_a_caller_is_converted_again_when_descriptors_changed_on_the_way() {
    let mesh = Mesh::start(2).await;
    let host = mesh.host(2, definition("Echo", Durability::Volatile, &["say"])).await;
    let turns = host.answer_all(|turn, _| {
        let said = turn.payload.as_ref().map(|payload| payload.data.clone()).unwrap_or_default();
        (String::from_utf8_lossy(&said).into_owned(), None)
    });
    let key = mesh.key_on("Echo", 2, 0);
    mesh.script().hold(1, true);
    // Other descriptors under the same definition: node 1 does not know them yet.
    let mut newer = mesh.host_unready(2).await;
    let kind = definition("Echo", Durability::Volatile, &["say"]);
    newer
        .register_with("default", vec![kind], empty_file("other.proto"))
        .await
        .expect("registered");
    drop(newer);
    let mut request = call("Echo", &key, "say", "");
    request.argument = Some(Argument::Json(prost_types::Value {
        kind: Some(prost_types::value::Kind::StringValue("hi".into())),
    }));
    let caller = mesh.caller(1).await;
    let mut answer = tokio::spawn(async move { caller.invoke(request).await });
    let early = tokio::time::timeout(Duration::from_millis(100), &mut answer).await;
    assert!(early.is_err(), "it was refused for its descriptors, and waits: {early:?}");
    assert_eq!(turns.load(Ordering::Acquire), 0);
    mesh.script().hold(1, false);
    let reply = answer.await.expect("no panic").expect("answered");
    assert!(text(&reply).contains("hi"), "{reply:?}");
}

/// A descriptor set with one empty file.
fn empty_file(name: &str) -> Vec<u8> {
    use prost::Message as _;
    let file = prost_types::FileDescriptorProto {
        name: Some(name.to_owned()),
        syntax: Some("proto3".to_owned()),
        ..Default::default()
    };
    prost_types::FileDescriptorSet { file: vec![file] }.encode_to_vec()
}
