//! A store that is full, a folder that is taken, a node that is told to stop under load.

use std::sync::Arc;

use callboard_proto::types::v1::Durability;
use callboard_server::Node;
use callboard_tests::local::{
    LocalNode,
    caller::{actor, call, text},
    host::{counter, definition},
};
use callboard_types::ErrorKind;

#[tokio::test]
async fn a_second_node_on_the_same_folder_is_refused_with_the_reason() {
    let node = LocalNode::start().await;
    let mut config = node.config().clone();
    config.listen.gateway.set_port(0);
    let error = Node::start(&config).await.expect_err("the folder is taken").to_string();
    assert!(error.contains(&node.data().display().to_string()), "{error}");
}

#[tokio::test]
async fn a_full_store_refuses_loses_nothing_and_goes_on_once_there_is_room() {
    let mut node = LocalNode::start_with(|config| {
        let folder = config.node.data.display();
        config.store.url = format!("sqlite:{folder}?max_pages=370");
    })
    .await;
    let hoarder = definition("Hoarder", Durability::Durable, &["keep", "size?"]);
    let keep = |turn: &callboard_proto::host::v1::Turn, state: Option<String>| {
        let size = state.map_or(0, |state| state.len());
        match turn.action.as_str() {
            "keep" => (String::new(), Some("x".repeat(size + 50_000))),
            _ => (size.to_string(), None),
        }
    };
    node.host(hoarder.clone()).await.answer_all(keep);
    let caller = node.caller().await;
    let (mut kept, mut refusals) = (0, 0);
    while refusals < 3 {
        assert!(kept < 100, "370 pages are full by now");
        let mut request = call("Hoarder", &format!("k{kept}"), "keep", "");
        request.timeout_ms = 1_000;
        match caller.invoke(request).await {
            Ok(_) => kept += 1,
            Err(error) => {
                refusals += 1;
                let expected = [ErrorKind::StoreUnavailable, ErrorKind::DeadlineExceeded];
                assert!(expected.contains(&error.kind), "{error}");
            }
        }
    }
    assert!(kept > 0);
    let first = caller.state(actor("Hoarder", "k0")).await.expect("reads go on");
    assert!(first.exists);
    node.stop().await;
    node.start_again(|config| config.store.url = String::new()).await;
    node.host(hoarder).await.answer_all(keep);
    let caller = node.caller().await;
    for n in 0..kept {
        let size = caller.invoke(call("Hoarder", &format!("k{n}"), "size", "")).await;
        assert_eq!(text(&size.expect("read")), "50000", "k{n} was acknowledged");
    }
    caller.invoke(call("Hoarder", "new", "keep", "")).await.expect("there is room again");
}

#[tokio::test]
async fn a_node_that_is_stopped_under_load_keeps_every_acknowledged_add() {
    let mut node = LocalNode::start().await;
    let counter_type = definition("Counter", Durability::Durable, &["add", "total?"]);
    node.host(counter_type.clone()).await.answer_all(counter);
    let caller = Arc::new(node.caller().await);
    let callers = (0..8).map(|lane| {
        let caller = Arc::clone(&caller);
        tokio::spawn(async move {
            let mut acknowledged = 0;
            loop {
                match caller.invoke(call("Counter", &format!("k{lane}"), "add", "1")).await {
                    Ok(_) => acknowledged += 1,
                    // Refused, or cut off when the node was gone: either way the caller was told.
                    Err(_) => return acknowledged,
                }
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    while text_total(&caller, "k0").await < 20 {}
    assert!(node.stop().await, "every call ended in time");
    let mut acknowledged = Vec::new();
    for lane in callers {
        acknowledged.push(lane.await.expect("no panic"));
    }
    node.start_again(|_| ()).await;
    node.host(counter_type).await.answer_all(counter);
    let caller = node.caller().await;
    for (lane, acknowledged) in acknowledged.into_iter().enumerate() {
        let total = text_total(&caller, &format!("k{lane}")).await;
        assert!(
            (acknowledged..=acknowledged + 1).contains(&total),
            "lane {lane}: {acknowledged} acknowledged, {total} stored"
        );
    }
}

async fn text_total(caller: &callboard_tests::local::Caller, key: &str) -> i64 {
    let reply = caller.invoke(call("Counter", key, "total", "")).await.expect("read");
    text(&reply).parse().expect("a number")
}
