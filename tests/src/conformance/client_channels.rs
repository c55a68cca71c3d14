//! What a client says on channels and hears of them, and the calls that it makes for later.

use std::time::Duration;

use callboard_proto::{
    gateway::v1::{ChannelMessage, InvokeMode, channel_message::Body, publish_request::Message},
    types::v1::{ActorId, Retry},
};
use callboard_types::clock::Millis;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Scenario,
    calls::{Client, server_error},
    channels::{IncomingPublication, PUBLISHED_AT_MS, said},
    check::{Check, Failure, ensure, json as payload, read_json, same},
    gateway::{Event, Transport},
    program::{Mode, Role},
    stage::{START, Stage},
};

pub(super) const SCENARIOS: &[Scenario] = super::scenarios!["channels":
    "a publication carries its facts" => publication,
    "a publication is sent again under the same id" => again,
    "a publication that cannot be said is an error" => refused,
    "a call for later carries its delay or its date, and tells its schedule" => later,
    "a call that nobody waits for has no time" => send,
    "a subscription hears messages and what it missed, in order" => heard,
    "a subscription goes on after its newest token" => resumed,
    "a subscription goes on at another node" => moved,
    "a subscription ends with an error only where no retry helps" => ended,
    "a cancelled subscription closes its stream" => cancelled,
];

const BOTH: [Transport; 2] = [Transport::Stream, Transport::Unary];

fn is_v7(id: &str) -> Check {
    let version = Uuid::parse_str(id).map_err(|e| Failure::of("the request id", e))?;
    same("the version of the request id", version.get_version_num(), 7)
}

fn said_message(publication: &IncomingPublication) -> Result<Value, Failure> {
    match &publication.request.message {
        Some(Message::Payload(payload)) => read_json("the message", Some(payload)),
        other => Err(Failure(format!("the message is no payload: {other:?}"))),
    }
}

async fn publication(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    let fields =
        json!({"channel": "rooms/1", "message": {"text": "ä"}, "metadata": {"traceparent": "00"}});
    let id = client.tell("publish", fields).await?;
    let publication = client.publication().await?;
    let request = &publication.request;
    ensure(["", "default"].contains(&request.system.as_str()), format!("{:?}", request.system))?;
    same("channel", request.channel.as_str(), "rooms/1")?;
    same("message", said_message(&publication)?, json!({"text": "ä"}))?;
    same("metadata", request.metadata.get("traceparent").map(String::as_str), Some("00"))?;
    is_v7(&request.request_id)?;
    let age = Millis::now().0 - request.created_at_ms;
    ensure(age.abs() < 60_000, format!("created_at_ms is {age} ms ago"))?;
    let expected = json!({"request_id": request.request_id, "types": 3});
    publication.said(3);
    same("the result", client.ok(id).await?, expected)?;
    client.no_more_calls().await
}

async fn again(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    for key in [json!({}), json!({"idempotency_key": "mine"})] {
        let mut fields = json!({"channel": "c", "message": 1});
        if let (Value::Object(fields), Value::Object(key)) = (&mut fields, &key) {
            fields.extend(key.clone());
        }
        let id = client.tell("publish", fields).await?;
        let first = client.publication().await?;
        let identity = |publication: &IncomingPublication| {
            (publication.request.request_id.clone(), publication.request.created_at_ms)
        };
        let expected = identity(&first);
        if let Some(key) = key["idempotency_key"].as_str() {
            same("request id", expected.0.as_str(), key)?;
        }
        first.error(&server_error("NO_HOST", 14, Retry::Safe));
        let second = client.publication().await?;
        same("request id and created_at_ms", identity(&second), expected.clone())?;
        second.error(&server_error("OUTCOME_UNKNOWN", 14, Retry::SameId));
        let third = client.publication().await?;
        same("request id and created_at_ms", identity(&third), expected.clone())?;
        third.break_connection();
        let fourth = client.publication().await?;
        same("request id and created_at_ms", identity(&fourth), expected)?;
        fourth.said(0);
        same("types", client.ok(id).await?["types"].clone(), json!(0))?;
    }
    Ok(())
}

async fn refused(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    let id = client.tell("publish", json!({"channel": "c", "message": null})).await?;
    let error = server_error("FAN_OUT_TOO_LARGE", 9, Retry::Never);
    client.publication().await?.error(&error);
    let failure = client.failed(id).await?;
    same("reason", failure["reason"].as_str(), Some("FAN_OUT_TOO_LARGE"))?;
    let late = json!({"channel": "c", "message": 1, "timeout_ms": 300});
    let id = client.tell("publish", late).await?;
    let unanswered = client.publication().await?;
    let failure = client.failed(id).await?;
    same("reason", failure["reason"].as_str(), Some("DEADLINE_EXCEEDED"))?;
    drop(unanswered);
    Ok(())
}

fn call(transport: Transport, more: Value) -> Value {
    let mut call = json!({
        "type": "Counter", "key": "k", "action": "add", "argument": {"amount": 1},
        "transport": transport.name(),
    });
    if let (Value::Object(call), Value::Object(more)) = (&mut call, more) {
        call.extend(more);
    }
    call
}

async fn later(stage: Stage) -> Check {
    const DUE: i64 = 1_900_000_000_123;
    let mut client = Client::start(&stage).await?;
    for transport in BOTH {
        for (more, times) in
            [(json!({"delay_ms": 1_500}), (1_500, 0)), (json!({"at_ms": DUE}), (0, DUE))]
        {
            let id = client.tell("send", call(transport, more)).await?;
            let call = client.call().await?;
            same("transport", call.transport, transport)?;
            let request = &call.request;
            same("delay and date", (request.delay_ms, request.due_at_ms), times)?;
            same("mode", request.mode(), InvokeMode::Async)?;
            let request_id = request.request_id.clone();
            call.accept("once-1").await;
            let expected = json!({"request_id": request_id, "durable": true, "schedule": "once-1"});
            same("the result", client.ok(id).await?, expected)?;
        }
    }
    client.no_more_calls().await
}

async fn send(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    for transport in BOTH {
        let id = client.tell("send", call(transport, json!({"idempotency_key": "x"}))).await?;
        let call = client.call().await?;
        let request = &call.request;
        same("delay and date", (request.delay_ms, request.due_at_ms), (0, 0))?;
        same("mode", request.mode(), InvokeMode::Async)?;
        call.accept("").await;
        let expected = json!({"request_id": "x", "durable": true, "schedule": null});
        same("the result", client.ok(id).await?, expected)?;
    }
    client.no_more_calls().await
}

/// The next line of a subscription, which must be this message.
async fn hears(client: &mut Client, id: u64, channel: &str, message: &str) -> Check {
    let line = client.outcome(id).await?;
    let heard = &line["message"];
    same("channel and id", (&heard["channel"], &heard["id"]), (&json!(channel), &json!(message)))
}

async fn heard(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    let id = client.tell("subscribe", json!({"channels": ["a", "b"]})).await?;
    let stream = client.subscription().await?;
    same("channels", stream.request.channels.clone(), vec!["a".to_owned(), "b".to_owned()])?;
    same("the token of a new subscription", stream.request.resume_token.as_str(), "")?;
    stream.subscribed("t0").await;
    let source =
        ActorId { system: "default".to_owned(), r#type: "Room".to_owned(), key: "r".to_owned() };
    let mut message = said("a", "m1", Some(Body::Payload(payload(&json!({"text": "ä"})))));
    message.source = Some(source);
    message.metadata.insert("who".to_owned(), "me".to_owned());
    stream.whole(message).await;
    stream.message("b", "m2", &json!(2)).await;
    stream.missed(17).await;
    stream.missed(0).await;
    stream.whole(as_json("a", "m3")).await;
    let expected = json!({"id": id, "message": {
        "channel": "a", "id": "m1", "message": {"text": "ä"}, "metadata": {"who": "me"},
        "source": {"system": "default", "type": "Room", "key": "r"},
        "published_at_ms": PUBLISHED_AT_MS,
    }});
    same("the first line", client.outcome(id).await?, expected)?;
    let expected = json!({"id": id, "message": {
        "channel": "b", "id": "m2", "message": 2, "metadata": {}, "source": null,
        "published_at_ms": PUBLISHED_AT_MS,
    }});
    same("the second line", client.outcome(id).await?, expected)?;
    same("the third line", client.outcome(id).await?, json!({"id": id, "missed": 17}))?;
    same("the fourth line", client.outcome(id).await?, json!({"id": id, "missed": 0}))?;
    let last = client.outcome(id).await?;
    same("a message that was JSON", last["message"]["message"].clone(), json!({"n": [1.5, null]}))
}

/// A message that was published as JSON: `{"n": [1.5, null]}`.
fn as_json(channel: &str, id: &str) -> ChannelMessage {
    use prost_types::{ListValue, Struct, Value, value::Kind};
    let value = |kind| Value { kind: Some(kind) };
    let list = ListValue { values: vec![value(Kind::NumberValue(1.5)), value(Kind::NullValue(0))] };
    let mut fields = Struct::default();
    fields.fields.insert("n".to_owned(), value(Kind::ListValue(list)));
    said(channel, id, Some(Body::Json(value(Kind::StructValue(fields)))))
}

async fn resumed(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    let id = client.tell("subscribe", json!({"channels": ["a"]})).await?;
    let stream = client.subscription().await?;
    stream.subscribed("t0").await;
    stream.break_connection().await;
    let stream = client.subscription().await?;
    same("the token of Subscribed", stream.request.resume_token.as_str(), "t0")?;
    stream.subscribed("t1").await;
    stream.message("a", "m1", &json!(1)).await;
    stream.message("a", "m2", &json!(2)).await;
    hears(&mut client, id, "a", "m1").await?;
    hears(&mut client, id, "a", "m2").await?;
    stream.break_connection().await;
    let stream = client.subscription().await?;
    same("channels", stream.request.channels.clone(), vec!["a".to_owned()])?;
    same("the token of the newest message", stream.request.resume_token.as_str(), "m2")?;
    // The server ends streams properly too, when it stops.
    drop(stream);
    let stream = client.subscription().await?;
    same("the token after a stream without items", stream.request.resume_token.as_str(), "m2")?;
    stream.subscribed("t2").await;
    stream.missed(1).await;
    stream.message("a", "m4", &json!(4)).await;
    same("what was missed", client.outcome(id).await?, json!({"id": id, "missed": 1}))?;
    hears(&mut client, id, "a", "m4").await
}

async fn moved(stage: Stage) -> Check {
    let (one, two) = (stage.server().await?, stage.server().await?);
    let addresses = format!("{},{}", one.address(), two.address());
    let mut program = stage.program_at(Role::Client, Mode::Default, &addresses)?;
    let command = json!({"op": "subscribe", "id": 1, "channels": ["a"]});
    program.commands(&[command]).await?;
    let mut servers = [one, two];
    let mut expected = String::new();
    for round in 0..4 {
        let [one, two] = &mut servers;
        // A server that was killed tells nothing any longer.
        let (at, event) = tokio::select! {
            Some(event) = one.events.recv() => (0, event),
            Some(event) = two.events.recv() => (1, event),
            () = tokio::time::sleep(START) => return Err(Failure("nobody subscribed".to_owned())),
        };
        let Event::Subscription(stream) = event else {
            return Err(Failure(format!("expected a subscription, got {event:?}")));
        };
        same("the token", stream.request.resume_token.as_str(), expected.as_str())?;
        expected = format!("m{round}");
        stream.subscribed("t").await;
        stream.message("a", &expected, &json!(round)).await;
        let line = program.result().await?;
        same("the message", line["message"]["id"].as_str(), Some(expected.as_str()))?;
        servers[at].kill();
        servers[1 - at].restart().await?;
    }
    Ok(())
}

async fn ended(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    let id = client.tell("subscribe", json!({"channels": ["a"]})).await?;
    for (reason, retry) in [("NO_LEADER", Retry::Safe), ("SHUTTING_DOWN", Retry::SameId)] {
        client.subscription().await?.error(&server_error(reason, 14, retry)).await;
    }
    let stream = client.subscription().await?;
    stream.subscribed("t0").await;
    stream.message("a", "m1", &json!(1)).await;
    hears(&mut client, id, "a", "m1").await?;
    stream.error(&server_error("PERMISSION_DENIED", 7, Retry::Never)).await;
    let failure = client.failed(id).await?;
    same("reason", failure["reason"].as_str(), Some("PERMISSION_DENIED"))?;
    client.no_more_calls().await
}

async fn cancelled(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    let id = client.tell("subscribe", json!({"channels": ["a"]})).await?;
    let stream = client.subscription().await?;
    stream.subscribed("t0").await;
    stream.message("a", "m1", &json!(1)).await;
    hears(&mut client, id, "a", "m1").await?;
    client.program.commands(&[json!({"op": "cancel", "id": id})]).await?;
    let failure = client.failed(id).await?;
    same("reason", failure["reason"].as_str(), Some("CANCELLED"))?;
    stream.left().await?;
    // A new stream would be a subscription that nobody wants any longer.
    let again = tokio::time::timeout(Duration::from_millis(300), client.subscription()).await;
    ensure(again.is_err(), "the cancelled subscription was opened again")?;
    client.no_more_calls().await
}
