//! Calls from the gateway to a host and back.

use callboard_proto::types::v1::Durability;
use callboard_tests::local::{
    LocalNode,
    caller::{actor, call, text},
    host::{counter, definition},
};
use callboard_types::ErrorKind;

#[tokio::test]
async fn a_durable_counter_adds_and_its_total_survives_a_restart() {
    let mut node = LocalNode::start().await;
    let counter_type = definition("Counter", Durability::Durable, &["add", "total?"]);
    node.host(counter_type.clone()).await.answer_all(counter);
    let caller = node.caller().await;
    for expected in ["5", "10", "15"] {
        let reply = caller.invoke(call("Counter", "a", "add", "5")).await.expect("added");
        assert_eq!(text(&reply), expected);
        assert!(reply.durable);
    }
    node.restart().await;
    node.host(counter_type).await.answer_all(counter);
    let caller = node.caller().await;
    let reply = caller.invoke(call("Counter", "a", "total", "")).await.expect("read");
    assert_eq!(text(&reply), "15");
    let state = caller.state(actor("Counter", "a")).await.expect("state");
    assert_eq!((state.exists, state.revision), (true, 3));
}

#[tokio::test]
async fn a_repeated_request_id_gets_the_stored_reply_and_is_not_applied_again() {
    let mut node = LocalNode::start().await;
    let counter_type = definition("Counter", Durability::Durable, &["add", "total?"]);
    let turns = node.host(counter_type.clone()).await.answer_all(counter);
    let caller = node.caller().await;
    let add = call("Counter", "a", "add", "5");
    for _ in 0..3 {
        let reply = caller.invoke(add.clone()).await.expect("added");
        assert_eq!(text(&reply), "5");
    }
    assert_eq!(turns.load(std::sync::atomic::Ordering::Acquire), 1);
    node.restart().await;
    node.host(counter_type).await.answer_all(counter);
    let caller = node.caller().await;
    assert_eq!(text(&caller.invoke(add.clone()).await.expect("stored")), "5");
    let mut other = add;
    other.argument = call("Counter", "a", "add", "6").argument;
    let error = caller.invoke(other).await.expect_err("another payload under the same id");
    assert_eq!(error.kind, ErrorKind::RequestIdReused);
}

#[tokio::test]
async fn many_calls_over_one_stream_are_each_applied_once_and_in_order() {
    let node = LocalNode::start().await;
    node.host(definition("Counter", Durability::Durable, &["add", "total?"]))
        .await
        .answer_all(counter);
    let caller = node.caller().await;
    let mut stream = caller.stream().await;
    let calls = (0..1_000).map(|n| (n, call("Counter", &format!("k{}", n % 7), "add", "1")));
    stream.send(calls.collect()).await;
    let mut replies = std::collections::HashMap::new();
    for _ in 0..1_000 {
        let (id, reply) = stream.reply().await;
        replies.insert(id, text(&reply.expect("added")));
    }
    for n in 0..1_000_u64 {
        assert_eq!(replies[&n], (n / 7 + 1).to_string(), "call {n}");
    }
}

#[tokio::test]
async fn a_plain_request_id_without_a_time_is_applied_once_however_many_calls_came_between() {
    let mut node = LocalNode::start().await;
    let counter_type = definition("Counter", Durability::Durable, &["add", "total?"]);
    node.host(counter_type.clone()).await.answer_all(counter);
    let plain = |n: u32| {
        let mut plain = call("Counter", "a", "add", "1");
        plain.request_id = format!("order-{n}");
        plain.created_at_ms = 0;
        plain
    };
    let caller = node.caller().await;
    for n in 1..=40 {
        caller.invoke(plain(n)).await.expect("added");
    }
    assert_eq!(text(&caller.invoke(plain(1)).await.expect("stored")), "1");
    node.restart().await;
    node.host(counter_type).await.answer_all(counter);
    let caller = node.caller().await;
    assert_eq!(text(&caller.invoke(plain(2)).await.expect("stored")), "2");
    assert_eq!(text(&caller.invoke(plain(39)).await.expect("stored")), "39");
    assert_eq!(text(&caller.invoke(plain(41)).await.expect("added")), "41");
}
