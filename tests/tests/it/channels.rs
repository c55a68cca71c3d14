//! Channels: what is said reaches every actor that listens, as its type asked for, and those who listen from outside.

mod actors;
mod listeners;
mod refusals;
mod tools;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use callboard_proto::{
    gateway::v1::{
        PublishRequest, PublishResponse, gateway_service_client::GatewayServiceClient,
        publish_request::Message,
    },
    types::v1::{ChannelSubscription, Deliver, Durability, Kind},
};
use callboard_tests::{
    local::{
        Caller, Definition, LocalNode,
        caller::{actor, call, json, now_ms},
        host::{counter, definition},
    },
    mesh::Mesh,
};
use callboard_transport::status::from_status;
use callboard_types::CallError;

/// Nothing here takes that long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A counter that adds what is said on `news`.
pub(super) fn hearer(name: &str, durability: Durability, deliver: Deliver) -> Definition {
    let subscription = ChannelSubscription {
        channel: "news".to_owned(),
        action: "add".to_owned(),
        deliver: deliver.into(),
    };
    let mut heard = definition(name, durability, &["add", "total?"]);
    heard.subscriptions = vec![subscription];
    heard
}

/// Hosts of a type at every node. Returns how many turns each has answered.
async fn hosts(mesh: &Mesh, nodes: u64, of: &Definition) -> Vec<Arc<AtomicUsize>> {
    let mut answered = Vec::new();
    for node in 1..=nodes {
        answered.push(mesh.host(node, of.clone()).await.answer_all(counter));
    }
    answered
}

pub(super) fn news(text: &str) -> PublishRequest {
    PublishRequest {
        channel: "news".to_owned(),
        message: Some(Message::Payload(json(text))),
        request_id: uuid::Uuid::now_v7().to_string(),
        created_at_ms: now_ms(),
        timeout_ms: 20_000,
        ..PublishRequest::default()
    }
}

/// Says something at a node.
pub(super) async fn publish(
    mesh: &Mesh,
    node: u64,
    request: PublishRequest,
) -> Result<PublishResponse, CallError> {
    let mut client = GatewayServiceClient::new(mesh.channel(node).await);
    let answer = client.publish(request).await;
    answer.map(tonic::Response::into_inner).map_err(|status| from_status(&status))
}

/// Gives actors a first commit that leaves their total at 0.
async fn found(mesh: &Mesh, name: &str, keys: &[String]) {
    let mut stream = mesh.caller(1).await.stream().await;
    for batch in keys.chunks(500) {
        let calls = batch.iter().zip(0..);
        stream.send(calls.map(|(key, id)| (id, call(name, key, "add", "0"))).collect()).await;
        for _ in batch {
            stream.reply().await.1.expect("added");
        }
    }
}

/// The total of a counter; 0 if it has no state.
async fn state(caller: &Caller, name: &str, key: &str) -> i64 {
    let state = caller.state(actor(name, key)).await.expect("read").state;
    let text = state.map(|state| String::from_utf8_lossy(&state.data).into_owned());
    text.map_or(0, |text| text.parse().expect("a number"))
}

/// Waits until every actor has this total. One that has more got something twice.
async fn totals(mesh: &Mesh, name: &str, keys: &[String], expected: i64) {
    let caller = mesh.caller(1).await;
    let all = async {
        for key in keys {
            loop {
                let total = state(&caller, name, key).await;
                assert!(total <= expected, "{key} got something twice: {total}");
                if total == expected {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("every actor gets the message");
}

fn keys(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("key-{number}")).collect()
}

#[tokio::test]
async fn every_actor_with_a_state_gets_each_message_once_on_whichever_node_it_lives() {
    let mesh = Mesh::start(3).await;
    hosts(&mesh, 3, &hearer("Counter", Durability::Durable, Deliver::Every)).await;
    let keys = keys(300);
    found(&mesh, "Counter", &keys).await;
    for (node, amount) in [(1, "1"), (2, "10"), (3, "100")] {
        assert_eq!(publish(&mesh, node, news(amount)).await.expect("said").types, 1);
    }
    totals(&mesh, "Counter", &keys, 111).await;
    let state = mesh.caller(2).await.state(actor("Counter", "never-called")).await.expect("read");
    assert!(!state.exists, "an actor without a state gets nothing");
}

#[tokio::test]
async fn a_repetition_says_nothing_twice() {
    let mesh = Mesh::start(2).await;
    hosts(&mesh, 2, &hearer("Counter", Durability::Durable, Deliver::Every)).await;
    let keys = keys(20);
    found(&mesh, "Counter", &keys).await;
    let message = news("1");
    for node in [1, 2, 1, 2] {
        let said = publish(&mesh, node, message.clone()).await.expect("said");
        assert_eq!(said.request_id, message.request_id);
    }
    publish(&mesh, 1, news("10")).await.expect("said");
    totals(&mesh, "Counter", &keys, 11).await;
}

#[tokio::test]
async fn an_owner_that_loses_its_shards_in_the_middle_costs_no_message_and_doubles_none() {
    let mesh = Mesh::start(3).await;
    let answered = hosts(&mesh, 3, &hearer("Counter", Durability::Durable, Deliver::Every)).await;
    let keys = keys(1_500);
    found(&mesh, "Counter", &keys).await;
    let before = answered[1].load(Ordering::Acquire);
    publish(&mesh, 1, news("1")).await.expect("said");
    publish(&mesh, 1, news("10")).await.expect("said");
    while answered[1].load(Ordering::Acquire) < before + 50 {
        tokio::task::yield_now().await;
    }
    for shard in (0..64).filter(|shard| shard % 3 == 1) {
        mesh.script().give("Counter", shard, if shard % 2 == 0 { 1 } else { 3 });
    }
    totals(&mesh, "Counter", &keys, 11).await;
}

#[tokio::test]
async fn a_node_that_is_killed_in_the_middle_goes_on_when_it_is_back() {
    let mut node = LocalNode::start().await;
    let heard = hearer("Counter", Durability::Durable, Deliver::Every);
    let mut host = node.host(heard.clone()).await;
    let keys = keys(40);
    let add = |key: &String| call("Counter", key, "add", "0");
    for key in &keys {
        let (caller, first) = (node.caller().await, add(key));
        let answer = tokio::spawn(async move { caller.invoke(first).await });
        let turn = host.turn().await;
        host.reply(&turn, "0", Some("0")).await;
        answer.await.expect("no panic").expect("added");
    }
    let mut client = GatewayServiceClient::new(node.channel().await);
    client.publish(news("1")).await.expect("said");
    // Some actors have it, some have not, and nobody knows which when the node is back.
    for _ in 0..10 {
        let turn = host.turn().await;
        host.reply(&turn, "1", Some("1")).await;
    }
    node.stop_hard().await;
    node.host(heard).await.answer_all(counter);
    let caller = node.caller().await;
    let all = async {
        for key in &keys {
            while state(&caller, "Counter", key).await != 1 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("every actor gets the message");
    let mut client = GatewayServiceClient::new(node.channel().await);
    client.publish(news("10")).await.expect("said");
    let all = async {
        for key in &keys {
            while state(&caller, "Counter", key).await != 11 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("the first one came once");
}

#[tokio::test]
async fn a_planned_move_in_the_middle_costs_nothing_either() {
    let mesh = Mesh::start(2).await;
    let answered = hosts(&mesh, 2, &hearer("Counter", Durability::Durable, Deliver::Every)).await;
    let keys = keys(1_000);
    found(&mesh, "Counter", &keys).await;
    let before = answered[1].load(Ordering::Acquire);
    publish(&mesh, 1, news("1")).await.expect("said");
    while answered[1].load(Ordering::Acquire) < before + 50 {
        tokio::task::yield_now().await;
    }
    for shard in 0..64 {
        mesh.script().begin_move("Counter", shard, 1);
    }
    totals(&mesh, "Counter", &keys, 1).await;
}

#[tokio::test]
async fn the_actor_of_a_named_type_gets_a_message_before_it_has_a_state() {
    let mesh = Mesh::start(2).await;
    let mut named = hearer("Journal", Durability::Durable, Deliver::Unspecified);
    named.kind = Kind::Named.into();
    hosts(&mesh, 2, &named).await;
    publish(&mesh, 2, news("7")).await.expect("said");
    totals(&mesh, "Journal", &["Journal".to_owned()], 7).await;
}

#[tokio::test]
async fn a_type_that_asks_for_active_actors_wakes_no_others() {
    let mesh = Mesh::start(2).await;
    hosts(&mesh, 2, &hearer("Screen", Durability::Volatile, Deliver::Active)).await;
    let keys = keys(40);
    found(&mesh, "Screen", &keys[..20]).await;
    let message = news("1");
    publish(&mesh, 1, message.clone()).await.expect("said");
    publish(&mesh, 2, message).await.expect("said");
    publish(&mesh, 2, news("10")).await.expect("said");
    totals(&mesh, "Screen", &keys[..20], 11).await;
    for key in &keys[20..] {
        let state = mesh.caller(1).await.state(actor("Screen", key)).await.expect("read");
        assert!(!state.exists, "{key} was not active");
    }
}

#[tokio::test]
async fn what_the_publisher_attached_and_the_channel_reach_the_turn() {
    let mesh = Mesh::start(2).await;
    let mut named = hearer("Journal", Durability::Durable, Deliver::Every);
    named.kind = Kind::Named.into();
    let mut host = mesh.host(1, named).await;
    let mut message = news("7");
    message.metadata.insert("colour".to_owned(), "red".to_owned());
    publish(&mesh, 2, message).await.expect("said");
    let turn = host.turn().await;
    assert_eq!(turn.action, "add");
    assert_eq!(turn.metadata.get("callboard-channel").map(String::as_str), Some("news"));
    assert_eq!(turn.metadata.get("colour").map(String::as_str), Some("red"));
    assert_eq!(turn.payload.as_ref().map(|p| p.data.clone()), Some("7".into()));
}

#[tokio::test]
async fn an_actor_whose_code_fails_counts_as_having_the_message_and_holds_up_nobody() {
    let mesh = Mesh::start(1).await;
    let mut host = mesh.host(1, hearer("Counter", Durability::Durable, Deliver::Every)).await;
    let keys = ["a".to_owned(), "b".to_owned()];
    for key in &keys {
        let caller = mesh.caller(1).await;
        let first = call("Counter", key, "add", "0");
        let answer = tokio::spawn(async move { caller.invoke(first).await });
        let turn = host.turn().await;
        host.reply(&turn, "0", Some("0")).await;
        answer.await.expect("no panic").expect("added");
    }
    publish(&mesh, 1, news("1")).await.expect("said");
    for _ in &keys {
        let turn = host.turn().await;
        host.fail(&turn, "NOT_TODAY").await;
    }
    publish(&mesh, 1, news("10")).await.expect("said");
    for _ in &keys {
        let turn = host.turn().await;
        assert_eq!(turn.payload.as_ref().map(|p| p.data.clone()), Some("10".into()));
        host.reply(&turn, "10", Some("10")).await;
    }
    totals(&mesh, "Counter", &keys, 10).await;
}

#[tokio::test]
async fn ten_thousand_subscribers_get_each_message_once() {
    let mesh = Mesh::start(2).await;
    hosts(&mesh, 2, &hearer("Counter", Durability::Durable, Deliver::Every)).await;
    let keys = keys(10_000);
    found(&mesh, "Counter", &keys).await;
    for node in [1, 2] {
        publish(&mesh, node, news("1")).await.expect("said");
    }
    totals(&mesh, "Counter", &keys, 2).await;
}

#[tokio::test]
async fn a_node_gets_one_copy_for_all_its_shards() {
    let mesh = Mesh::start(2).await;
    hosts(&mesh, 2, &hearer("Counter", Durability::Durable, Deliver::Every)).await;
    let key = mesh.key_on("Counter", 2, 0);
    found(&mesh, "Counter", std::slice::from_ref(&key)).await;
    // Connected, and every shard is claimed: an attempt that is given up on a busy machine would be a second copy.
    publish(&mesh, 1, news("0")).await.expect("said");
    let before = mesh.bytes_to(2);
    let padded = format!("1{}", " ".repeat(200_000));
    publish(&mesh, 1, news(&padded)).await.expect("said");
    let sent = mesh.bytes_to(2) - before;
    assert!((200_000..300_000).contains(&sent), "one copy for 32 shards: {sent} bytes");
    // The padding is no number to the counter, so it adds nothing.
    publish(&mesh, 2, news("10")).await.expect("said");
    totals(&mesh, "Counter", &[key], 10).await;
}
