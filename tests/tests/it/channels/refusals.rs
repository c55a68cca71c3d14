//! What cannot be said or heard, and what whoever tried is told.

use callboard_proto::{
    gateway::v1::{
        PublishRequest, SubscribeRequest, gateway_service_client::GatewayServiceClient,
        publish_request::Message,
    },
    types::v1::{Deliver, Durability},
};
use callboard_tests::{
    local::caller::{json, now_ms},
    mesh::Mesh,
};
use callboard_transport::status::from_status;
use callboard_types::{ErrorKind, limits};

use super::{hearer, news, publish};

#[tokio::test]
async fn what_breaks_a_rule_is_not_said_and_the_publisher_learns_why() {
    let mesh = Mesh::start(1).await;
    let said = |change: fn(&mut PublishRequest)| {
        let mut request = news("1");
        change(&mut request);
        request
    };
    let too_old = now_ms() - limits::OUTCOME_WINDOW_MS - 1_000;
    let cases = [
        (said(|r| r.channel = String::new()), ErrorKind::InvalidArgument),
        (said(|r| r.channel = "a\nb".to_owned()), ErrorKind::InvalidArgument),
        (said(|r| r.channel = "c".repeat(129)), ErrorKind::InvalidArgument),
        (said(|r| r.request_id = "i".repeat(129)), ErrorKind::InvalidArgument),
        (said(|r| r.system = "nowhere".to_owned()), ErrorKind::UnknownSystem),
        (
            said(|r| r.message = Some(Message::Payload(json(&"1".repeat(1024 * 1024 + 1))))),
            ErrorKind::PayloadTooLarge,
        ),
        (
            said(|r| drop(r.metadata.insert("m".to_owned(), "v".repeat(9_000)))),
            ErrorKind::MetadataTooLarge,
        ),
        (PublishRequest { created_at_ms: too_old, ..news("1") }, ErrorKind::RequestExpired),
        (
            PublishRequest { created_at_ms: now_ms() + 3_600_000, ..news("1") },
            ErrorKind::RequestExpired,
        ),
    ];
    for (request, kind) in cases {
        let error = publish(&mesh, 1, request).await.expect_err("it is not said");
        assert_eq!(error.kind, kind, "{error}");
    }
    let first = news("1");
    publish(&mesh, 1, first.clone()).await.expect("said");
    let other = PublishRequest { request_id: first.request_id, ..news("2") };
    let error = publish(&mesh, 1, other).await.expect_err("another message under the same id");
    assert_eq!(error.kind, ErrorKind::RequestIdReused);
}

#[tokio::test]
async fn a_message_for_more_shards_than_one_may_go_to_is_refused() {
    let mesh = Mesh::start(1).await;
    for number in 0..5 {
        let name = format!("Wide{number}");
        let mut wide = hearer(&name, Durability::Durable, Deliver::Every);
        wide.shards = 4_096;
        let _session = mesh.host(1, wide).await;
    }
    let error = publish(&mesh, 1, news("1")).await.expect_err("too wide");
    assert_eq!(error.kind, ErrorKind::QuotaExceeded);
    let limit = limits::BROADCAST_SHARDS_MAX.to_string();
    assert_eq!(error.metadata.get("limit"), Some(&limit));
}

#[tokio::test]
async fn a_message_that_not_every_shard_recorded_in_time_says_so_and_may_be_repeated() {
    let mesh = Mesh::start(2).await;
    let _session = mesh.host(1, hearer("Counter", Durability::Durable, Deliver::Every)).await;
    mesh.script().give("Counter", 5, 0);
    let message = PublishRequest { timeout_ms: 300, ..news("1") };
    let error = publish(&mesh, 1, message.clone()).await.expect_err("one shard has no owner");
    assert_eq!(error.kind, ErrorKind::DeadlineExceeded);
    mesh.script().give("Counter", 5, 2);
    let again = PublishRequest { timeout_ms: 10_000, ..message };
    publish(&mesh, 2, again).await.expect("said");
}

#[tokio::test]
async fn a_subscription_that_cannot_be_is_refused() {
    let mesh = Mesh::start(1).await;
    let mut client = GatewayServiceClient::new(mesh.channel(1).await);
    let named =
        |channels: Vec<String>| SubscribeRequest { channels, ..SubscribeRequest::default() };
    let many = (0..65).map(|number| format!("c{number}")).collect();
    let one = || vec!["news".to_owned()];
    let cases = [
        (named(vec![]), ErrorKind::InvalidArgument),
        (named(many), ErrorKind::InvalidArgument),
        (named(vec!["a\tb".to_owned()]), ErrorKind::InvalidArgument),
        (
            SubscribeRequest { resume_token: "yesterday".to_owned(), ..named(one()) },
            ErrorKind::InvalidArgument,
        ),
        (
            SubscribeRequest { system: "nowhere".to_owned(), ..named(one()) },
            ErrorKind::UnknownSystem,
        ),
    ];
    for (request, kind) in cases {
        let status = client.subscribe(request).await.expect_err("it is refused");
        assert_eq!(from_status(&status).kind, kind, "{status}");
    }
}
