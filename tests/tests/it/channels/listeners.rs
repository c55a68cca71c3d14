//! Those who listen from outside.

use std::time::Duration;

use callboard_proto::{
    gateway::v1::{
        SubscribeRequest, SubscribeResponse, channel_message::Body,
        gateway_service_client::GatewayServiceClient, publish_request::Message,
        subscribe_response::Item,
    },
    types::v1::Payload,
};
use callboard_tests::{local::caller::json, mesh::Mesh};
use callboard_transport::status::from_status;
use callboard_types::ErrorKind;
use tonic::Streaming;

use super::{news, publish};

const PATIENCE: Duration = Duration::from_secs(20);

/// A stream that hears `news` at a node, and the token that it began with.
pub(super) async fn listen(
    mesh: &Mesh,
    node: u64,
    resume_token: &str,
) -> (Streaming<SubscribeResponse>, String) {
    let mut client = GatewayServiceClient::new(mesh.channel(node).await)
        .max_decoding_message_size(8 * 1024 * 1024);
    let request = SubscribeRequest {
        channels: vec!["news".to_owned()],
        resume_token: resume_token.to_owned(),
        ..SubscribeRequest::default()
    };
    let mut stream = client.subscribe(request).await.expect("the stream opens").into_inner();
    match item(&mut stream).await {
        Item::Subscribed(subscribed) => (stream, subscribed.resume_token),
        other => panic!("not the first item: {other:?}"),
    }
}

async fn item(stream: &mut Streaming<SubscribeResponse>) -> Item {
    let message = tokio::time::timeout(PATIENCE, stream.message()).await.expect("it comes");
    message.expect("goes on").expect("goes on").item.expect("an item")
}

/// The text of the next message, and the token after it.
pub(super) async fn heard(stream: &mut Streaming<SubscribeResponse>) -> (String, String) {
    let Item::Message(message) = item(stream).await else { panic!("not a message") };
    assert_eq!(message.channel, "news");
    let text = match message.body.expect("a body") {
        Body::Payload(payload) => String::from_utf8_lossy(&payload.data).into_owned(),
        Body::Json(value) => match value.kind.expect("a value") {
            prost_types::value::Kind::StringValue(text) => text,
            prost_types::value::Kind::NumberValue(number) => number.to_string(),
            other => panic!("neither: {other:?}"),
        },
    };
    (text, message.resume_token)
}

#[tokio::test]
async fn what_is_said_at_one_node_is_heard_at_every_other_without_any_type_that_listens() {
    let mesh = Mesh::start(3).await;
    let (mut here, _) = listen(&mesh, 1, "").await;
    let (mut there, _) = listen(&mesh, 3, "").await;
    assert_eq!(publish(&mesh, 1, news("\"one\"")).await.expect("said").types, 0);
    let mut bytes = news("");
    bytes.message = Some(Message::Payload(Payload {
        content_type: "text/plain".to_owned(),
        type_url: String::new(),
        data: "two".into(),
    }));
    publish(&mesh, 2, bytes).await.expect("said");
    for stream in [&mut here, &mut there] {
        assert_eq!(heard(stream).await.0, "one");
        assert_eq!(heard(stream).await.0, "two");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_goes_on_where_it_was_at_the_same_node_or_another() {
    let mesh = Mesh::start(2).await;
    let (mut stream, token) = listen(&mesh, 1, "").await;
    publish(&mesh, 1, news("1")).await.expect("said");
    let (first, after_first) = heard(&mut stream).await;
    assert_eq!(first, "1");
    drop(stream);
    publish(&mesh, 2, news("2")).await.expect("said");
    publish(&mesh, 1, news("3")).await.expect("said");
    let (mut same, _) = listen(&mesh, 1, &after_first).await;
    assert_eq!(heard(&mut same).await.0, "2");
    assert_eq!(heard(&mut same).await.0, "3");
    // From the beginning, without any message: everything, in order.
    let (mut start, _) = listen(&mesh, 1, &token).await;
    for text in ["1", "2", "3"] {
        assert_eq!(heard(&mut start).await.0, text);
    }
    // Another node may say again what the listener had.
    let (mut moved, _) = listen(&mesh, 2, &after_first).await;
    let mut texts = vec![heard(&mut moved).await.0, heard(&mut moved).await.0];
    if texts[0] == "1" {
        texts.remove(0);
        texts.push(heard(&mut moved).await.0);
    }
    assert_eq!(texts, ["2", "3"]);
    publish(&mesh, 1, news("4")).await.expect("said");
    assert_eq!(heard(&mut moved).await.0, "4");
    assert_eq!(heard(&mut same).await.0, "4");
}

#[tokio::test]
async fn a_slow_stream_is_told_how_much_it_missed() {
    let mesh = Mesh::start(1).await;
    let (mut slow, _) = listen(&mesh, 1, "").await;
    let padding = " ".repeat(500_000);
    for number in 0..80 {
        let mut large = news("");
        large.message = Some(Message::Payload(json(&format!("\"{number} {padding}\""))));
        publish(&mesh, 1, large).await.expect("said, however slowly others listen");
    }
    let (mut got, mut missed) = (Vec::new(), 0);
    while got.last() != Some(&79) {
        match item(&mut slow).await {
            Item::Missed(lost) => missed += lost.messages,
            Item::Message(message) => {
                let Some(Body::Json(value)) = message.body else { panic!("not JSON") };
                let Some(prost_types::value::Kind::StringValue(text)) = value.kind else {
                    panic!("not a text")
                };
                got.push(text.trim().parse::<u64>().expect("a number"));
            }
            Item::Subscribed(_) => panic!("only once"),
        }
    }
    assert!(missed > 0, "{got:?}");
    assert_eq!(got.len() as u64 + missed, 80);
    assert!(got.is_sorted());
}

#[tokio::test]
async fn a_frozen_node_does_not_keep_others_from_hearing() {
    let mesh = Mesh::start(2).await;
    let (mut here, _) = listen(&mesh, 1, "").await;
    let (mut there, _) = listen(&mesh, 2, "").await;
    mesh.freeze(2, true);
    publish(&mesh, 1, news("1")).await.expect("said");
    assert_eq!(heard(&mut here).await.0, "1");
    mesh.freeze(2, false);
    assert_eq!(heard(&mut there).await.0, "1", "as soon as it is reached again");
}

#[tokio::test]
async fn a_node_that_stops_ends_its_streams_and_says_that_another_one_goes_on() {
    let mesh = Mesh::start(2).await;
    let (mut stream, token) = listen(&mesh, 1, "").await;
    publish(&mesh, 2, news("1")).await.expect("said");
    assert_eq!(heard(&mut stream).await.0, "1");
    mesh.drain(1).await;
    let ended = stream.message().await.expect_err("it ends with an error");
    let ended = from_status(&ended);
    assert_eq!((ended.kind, ended.code()), (ErrorKind::ShuttingDown, 14));
    let (mut next, _) = listen(&mesh, 2, &token).await;
    assert_eq!(heard(&mut next).await.0, "1");
}
