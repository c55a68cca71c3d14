//! Connections that break or hang, and owners that vanish.

use std::time::Duration;

use callboard_proto::types::v1::Durability;
use callboard_tests::{
    local::{
        caller::{call, text},
        host::definition,
    },
    mesh::Mesh,
};
use callboard_types::{ErrorKind, NodeState, shard_of};

use super::{check_totals, counters, load};

#[tokio::test]
async fn a_call_whose_stream_broke_is_sent_again_and_applied_once() {
    let mesh = Mesh::start(2).await;
    let mut host = mesh.host(2, definition("Counter", Durability::Durable, &["add"])).await;
    let caller = mesh.caller(1).await;
    let request = call("Counter", &mesh.key_on("Counter", 2, 0), "add", "1");
    let id = request.request_id.clone();
    let answer = tokio::spawn(async move { caller.invoke(request).await });
    let first = host.turn().await;
    mesh.cut(2);
    // The owner saw its caller go and cancels the turn; the result that exists already commits all the same, and the
    // call that comes again gets it.
    host.reply(&first, "1", Some("1")).await;
    let reply = answer.await.expect("no panic").expect("added");
    assert_eq!((text(&reply), reply.revision), ("1".to_owned(), 1));
    assert_eq!(reply.request_id, id);
}

#[tokio::test]
async fn connections_that_keep_breaking_cost_no_call_and_no_count() {
    let mesh = Mesh::start(2).await;
    counters(&mesh, 2, Durability::Durable).await;
    let key = mesh.key_on("Counter", 2, 0);
    let mut stream = mesh.caller(1).await.stream().await;
    for round in 0..20_u64 {
        let calls = (0..20).map(|at| (round * 20 + at, call("Counter", &key, "add", "1")));
        stream.send(calls.collect()).await;
        mesh.cut(2);
        for _ in 0..20 {
            let (id, reply) = stream.reply().await;
            reply.unwrap_or_else(|error| panic!("call {id}: {error}"));
        }
    }
    let total = mesh.caller(2).await.invoke(call("Counter", &key, "total", "")).await;
    assert_eq!(text(&total.expect("read")), "400");
}

#[tokio::test]
async fn calls_in_flight_to_a_node_that_hangs_go_to_the_next_owner() {
    let mesh = Mesh::start(3).await;
    counters(&mesh, 3, Durability::Durable).await;
    let key = mesh.key_on("Counter", 2, 0);
    let caller = mesh.caller(1).await;
    caller.invoke(call("Counter", &key, "add", "1")).await.expect("added at node 2");
    mesh.freeze(2, true);
    let request = call("Counter", &key, "add", "1");
    let waiting = caller.clone();
    let answer = tokio::spawn(async move { waiting.invoke(request).await });
    mesh.script().set_state(2, NodeState::Down);
    mesh.script().give("Counter", shard_of(&key, 64), 3);
    assert_eq!(text(&answer.await.expect("no panic").expect("added at node 3")), "2");
    let reply = caller.invoke(call("Counter", &key, "add", "1")).await.expect("added at node 3");
    assert_eq!(text(&reply), "3");
}

#[tokio::test]
async fn a_deadline_ends_the_wait_for_a_node_that_hangs() {
    let mesh = Mesh::start(2).await;
    counters(&mesh, 2, Durability::Durable).await;
    let key = mesh.key_on("Counter", 2, 0);
    let caller = mesh.caller(1).await;
    caller.invoke(call("Counter", &key, "add", "1")).await.expect("added");
    mesh.freeze(2, true);
    let mut request = call("Counter", &key, "add", "1");
    request.timeout_ms = 200;
    let error = caller.invoke(request).await.expect_err("nobody answered");
    assert_eq!(error.kind, ErrorKind::DeadlineExceeded, "{error}");
    mesh.freeze(2, false);
    caller.invoke(call("Counter", &key, "add", "1")).await.expect("it goes on");
}

#[tokio::test]
async fn a_node_that_hangs_does_not_delay_calls_to_others() {
    let mesh = Mesh::start(3).await;
    counters(&mesh, 3, Durability::Durable).await;
    let caller = mesh.caller(1).await;
    mesh.freeze(2, true);
    let stuck = call("Counter", &mesh.key_on("Counter", 2, 0), "add", "1");
    let waiting = caller.clone();
    let stuck = tokio::spawn(async move { waiting.invoke(stuck).await });
    for node in [1, 3] {
        let key = mesh.key_on("Counter", node, 0);
        caller.invoke(call("Counter", &key, "add", "1")).await.expect("added");
    }
    assert!(!stuck.is_finished());
    mesh.freeze(2, false);
    stuck.await.expect("no panic").expect("added in the end");
}

#[tokio::test]
async fn moves_cuts_pauses_and_late_news_together_cost_no_call_and_no_count() {
    let mesh = Mesh::start(3).await;
    counters(&mesh, 3, Durability::Durable).await;
    let keys: Vec<String> = (1..=3).map(|node| mesh.key_on("Counter", node, 0)).collect();
    let callers = load(&mesh, &keys).await;
    let mut round = 0_u64;
    while callers.iter().any(|caller| !caller.is_finished()) {
        let node = round % 3 + 1;
        let shard = shard_of(&keys[usize::try_from(round % 3).expect("small")], 64);
        match round % 5 {
            0 => mesh.cut(node),
            1 => mesh.script().hold(node, true),
            2 => mesh.freeze(node, true),
            // Without asking its owner, as after a lapsed lease: the fence keeps late commits out.
            3 => mesh.script().give("Counter", shard, node),
            _ => mesh.script().begin_move("Counter", shard, node),
        }
        tokio::time::sleep(Duration::from_millis(10 + round * 7 % 40)).await;
        mesh.freeze(node, false);
        mesh.script().hold(node, false);
        round += 1;
    }
    assert!(round >= 5, "only {round} faults");
    check_totals(&mesh, &keys, callers).await;
}

#[tokio::test]
async fn a_node_that_stops_waits_for_its_calls_at_other_nodes() {
    let mesh = Mesh::start(2).await;
    let mut host = mesh.host(2, definition("Slow", Durability::Volatile, &["wait"])).await;
    let caller = mesh.caller(1).await;
    let request = call("Slow", &mesh.key_on("Slow", 2, 0), "wait", "1");
    let answer = tokio::spawn(async move { caller.invoke(request).await });
    let turn = host.turn().await;
    let drained = mesh.drain(1);
    let answered = async {
        host.reply(&turn, "done", None).await;
        answer.await.expect("no panic")
    };
    let (drained, answered) = tokio::join!(drained, answered);
    assert_eq!(text(&answered.expect("answered")), "done");
    assert!(drained, "and then nothing was left");
}

#[tokio::test]
async fn a_node_that_stops_takes_no_new_calls_from_streams() {
    let mesh = Mesh::start(2).await;
    let mut host = mesh.host(2, definition("Slow", Durability::Volatile, &["wait"])).await;
    let request = |id| call("Slow", &mesh.key_on("Slow", 2, id), "wait", "1");
    let mut stream = mesh.caller(1).await.stream().await;
    stream.send(vec![(1, request(0))]).await;
    let turn = host.turn().await;
    let drained = mesh.drain(1);
    let answered = async {
        stream.send(vec![(2, request(1))]).await;
        let (id, refused) = stream.reply().await;
        assert_eq!((id, refused.expect_err("refused").kind), (2, ErrorKind::ShuttingDown));
        host.reply(&turn, "done", None).await;
        let answered = stream.reply().await;
        // The caller keeps its half open.
        stream.ended().await;
        answered
    };
    let (drained, (id, answered)) = tokio::join!(drained, answered);
    assert_eq!((id, text(&answered.expect("answered"))), (1, "done".into()));
    assert!(drained, "nothing was left");
}
