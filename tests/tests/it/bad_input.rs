//! Bad input from callers: a typed error, nothing lost, and the node serves on.

use std::collections::HashMap;

use callboard_proto::{
    gateway::v1::{InvokeRequest, invoke_request::Argument},
    types::v1::{ActorId, Durability, Payload},
};
use callboard_tests::local::{
    Caller, LocalNode,
    caller::{actor, call, json, text},
    host::{counter, definition},
};
use callboard_types::{ErrorKind, limits};

async fn node_with_counter() -> (LocalNode, Caller) {
    let node = LocalNode::start().await;
    let counter_type = definition("Counter", Durability::Durable, &["add", "total?"]);
    node.host(counter_type).await.answer_all(counter);
    let caller = node.caller().await;
    (node, caller)
}

async fn refused(caller: &Caller, call: InvokeRequest) -> ErrorKind {
    caller.invoke(call).await.expect_err("refused").kind
}

async fn still_serves(caller: &Caller) {
    let before: i64 = total(caller, "probe").await;
    caller.invoke(call("Counter", "probe", "add", "1")).await.expect("added");
    assert_eq!(total(caller, "probe").await, before + 1);
}

async fn total(caller: &Caller, key: &str) -> i64 {
    let reply = caller.invoke(call("Counter", key, "total", "")).await.expect("read");
    text(&reply).parse().expect("a number")
}

#[tokio::test]
async fn unknown_names_are_told_apart() {
    let (_node, caller) = node_with_counter().await;
    let mut elsewhere = call("Counter", "a", "add", "1");
    elsewhere.actor =
        Some(ActorId { system: "nowhere".into(), r#type: "Counter".into(), key: "a".into() });
    assert_eq!(refused(&caller, elsewhere).await, ErrorKind::UnknownSystem);
    assert_eq!(refused(&caller, call("Nobody", "a", "add", "1")).await, ErrorKind::UnknownType);
    assert_eq!(refused(&caller, call("Counter", "a", "fly", "1")).await, ErrorKind::UnknownAction);
    let nobody = InvokeRequest { actor: None, ..call("Counter", "a", "add", "1") };
    assert_eq!(refused(&caller, nobody).await, ErrorKind::InvalidArgument);
    let unseen = caller.state(actor("Counter", "never-called")).await.expect("an answer");
    assert!(!unseen.exists);
    still_serves(&caller).await;
}

#[tokio::test]
async fn empty_huge_and_nul_keys_are_refused() {
    let (_node, caller) = node_with_counter().await;
    for key in ["", &"k".repeat(limits::KEY_BYTES_MAX + 1), "a\0b"] {
        let kind = refused(&caller, call("Counter", key, "add", "1")).await;
        assert_eq!(kind, ErrorKind::InvalidActorKey, "{key:?}");
    }
    still_serves(&caller).await;
}

#[tokio::test]
async fn look_alike_keys_are_different_actors_with_rows_of_their_own() {
    let (mut node, caller) = node_with_counter().await;
    let keys = [
        "a",
        "A",
        "a ",
        " a",
        "caf\u{e9}",
        "cafe\u{301}",
        "%",
        "_",
        "a%",
        "\u{1f600}",
        "..",
        "'; DROP TABLE actors; --",
        "a/b",
        "\u{202e}a",
        "\u{ff41}",
    ];
    for (at, key) in keys.iter().enumerate() {
        let amount = (at + 1).to_string();
        caller.invoke(call("Counter", key, "add", &amount)).await.expect("added");
    }
    node.restart().await;
    let counter_type = definition("Counter", Durability::Durable, &["add", "total?"]);
    node.host(counter_type).await.answer_all(counter);
    let caller = node.caller().await;
    for (at, key) in keys.iter().enumerate() {
        assert_eq!(total(&caller, key).await, at as i64 + 1, "{key:?}");
    }
}

#[tokio::test]
async fn arguments_and_metadata_over_their_limits_are_refused() {
    let (_node, caller) = node_with_counter().await;
    let big = "1".repeat(limits::PAYLOAD_BYTES_MAX + 1);
    let kind = refused(&caller, call("Counter", "a", "add", &big)).await;
    assert_eq!(kind, ErrorKind::PayloadTooLarge);
    let long = HashMap::from([("k".to_owned(), "v".repeat(limits::METADATA_BYTES_MAX))]);
    let kind =
        refused(&caller, InvokeRequest { metadata: long, ..call("Counter", "a", "add", "1") });
    assert_eq!(kind.await, ErrorKind::MetadataTooLarge);
    let many = (0..=limits::METADATA_ENTRIES_MAX).map(|n| (n.to_string(), String::new())).collect();
    let kind =
        refused(&caller, InvokeRequest { metadata: many, ..call("Counter", "a", "add", "1") });
    assert_eq!(kind.await, ErrorKind::MetadataTooLarge);
    let long = "r".repeat(limits::REQUEST_ID_BYTES_MAX + 1);
    let kind =
        refused(&caller, InvokeRequest { request_id: long, ..call("Counter", "a", "add", "1") });
    assert_eq!(kind.await, ErrorKind::InvalidArgument);
    still_serves(&caller).await;
}

#[tokio::test]
async fn a_state_over_the_limit_discards_its_turn() {
    let node = LocalNode::start().await;
    let hoarder = definition("Hoarder", Durability::Durable, &["grow", "size?"]);
    node.host(hoarder).await.answer_all(|turn, state| {
        let size = state.map_or(0, |state| state.len());
        match turn.action.as_str() {
            "grow" => (String::new(), Some("x".repeat(limits::STATE_BYTES_MAX + 1))),
            _ => (size.to_string(), None),
        }
    });
    let caller = node.caller().await;
    let kind = refused(&caller, call("Hoarder", "a", "grow", "")).await;
    assert_eq!(kind, ErrorKind::StateTooLarge);
    let size = caller.invoke(call("Hoarder", "a", "size", "")).await.expect("read");
    assert_eq!(text(&size), "0");
}

#[tokio::test]
async fn a_deadline_that_is_over_at_once_is_told_as_such() {
    let (_node, caller) = node_with_counter().await;
    let node = LocalNode::start().await;
    let slow = definition("Slow", Durability::Durable, &["wait"]);
    let _host = node.host(slow).await;
    let short = InvokeRequest { timeout_ms: 1, ..call("Slow", "a", "wait", "") };
    let error = node.caller().await.invoke(short).await.expect_err("too late");
    assert_eq!(error.kind, ErrorKind::DeadlineExceeded);
    still_serves(&caller).await;
}

#[tokio::test]
async fn calls_from_too_long_ago_or_the_future_are_refused() {
    let (_node, caller) = node_with_counter().await;
    let now = callboard_tests::local::caller::now_ms();
    for created_at_ms in
        [now - limits::OUTCOME_WINDOW_MS - 1_000, now + limits::CREATED_AHEAD_MS * 2]
    {
        let odd = InvokeRequest { created_at_ms, ..call("Counter", "a", "add", "1") };
        assert_eq!(refused(&caller, odd).await, ErrorKind::RequestExpired);
    }
    assert_eq!(total(&caller, "a").await, 0);
}

#[tokio::test]
async fn json_that_does_not_fit_the_request_message_is_refused_with_the_place() {
    let node = LocalNode::start().await;
    let (definition, descriptors) = super::sessions::incrementor();
    let mut host = callboard_tests::local::ScriptedHost::connect(node.channel().await, 100).await;
    host.register_with("default", vec![definition], descriptors).await.expect("registered");
    let caller = node.caller().await;
    let value = |json: serde_json::Value| {
        let fields = json.as_object().expect("an object").iter().map(|(name, value)| {
            let kind = match value {
                serde_json::Value::String(text) => {
                    prost_types::value::Kind::StringValue(text.clone())
                }
                other => prost_types::value::Kind::NumberValue(other.as_f64().unwrap_or(0.0)),
            };
            (name.clone(), prost_types::Value { kind: Some(kind) })
        });
        let fields = fields.collect();
        let kind = prost_types::value::Kind::StructValue(prost_types::Struct { fields });
        Argument::Json(prost_types::Value { kind: Some(kind) })
    };
    for wrong in [serde_json::json!({"amuont": 1}), serde_json::json!({"amount": "many"})] {
        let mut call = call("Incrementor", "a", "Add", "");
        call.argument = Some(value(wrong));
        let error = caller.invoke(call).await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::InvalidArgument);
        assert!(error.message.contains("AddRequest"), "{}", error.message);
    }
    let mut plain = call("Incrementor", "a", "Add", "");
    plain.argument = Some(Argument::Payload(json("{\"amount\": 1}")));
    assert_eq!(refused(&caller, plain).await, ErrorKind::InvalidArgument);
    let mut other = call("Incrementor", "a", "Add", "");
    other.argument = Some(Argument::Payload(Payload {
        content_type: "application/protobuf".into(),
        type_url: "acme.Other".into(),
        data: Vec::new().into(),
    }));
    assert_eq!(refused(&caller, other).await, ErrorKind::InvalidArgument);
}

#[tokio::test]
async fn a_stream_with_more_calls_in_flight_than_allowed_gets_refusals_and_goes_on() {
    let node = LocalNode::start().await;
    let mut wide = definition("Slow", Durability::Volatile, &["wait"]);
    wide.mailbox_limit = 100_000;
    let host = node.host(wide).await;
    let mut stream = node.caller().await.stream().await;
    let most = limits::STREAM_IN_FLIGHT_MAX as u64;
    for from in (0..most + 100).step_by(1_000) {
        let calls = from..(from + 1_000).min(most + 100);
        stream.send(calls.map(|n| (n, call("Slow", "a", "wait", ""))).collect()).await;
    }
    for _ in 0..100 {
        let (id, outcome) = stream.reply().await;
        assert!(id >= most);
        assert_eq!(outcome.expect_err("refused").kind, ErrorKind::MailboxFull);
    }
    host.answer_all(|_, _| ("done".into(), None));
    for _ in 0..most {
        stream.reply().await.1.expect("answered");
    }
}

#[tokio::test]
async fn a_mailbox_that_is_full_refuses_and_keeps_what_it_has() {
    let node = LocalNode::start().await;
    let mut narrow = definition("Slow", Durability::Durable, &["wait"]);
    narrow.mailbox_limit = 3;
    let host = node.host(narrow).await;
    host.credit(0).await;
    let mut stream = node.caller().await.stream().await;
    stream.send((0..5).map(|n| (n, call("Slow", "a", "wait", ""))).collect()).await;
    for _ in 0..2 {
        let error = stream.reply().await.1.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::MailboxFull);
        assert!(error.retry_after_ms > 0);
    }
    host.credit(10).await;
    host.answer_all(|_, _| ("done".into(), None));
    for _ in 0..3 {
        stream.reply().await.1.expect("answered");
    }
}
