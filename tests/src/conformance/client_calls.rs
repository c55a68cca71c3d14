//! What a client sends for one call, and what it makes of the answer. Every scenario holds for both transports.

use std::{collections::BTreeSet, time::Duration};

use callboard_proto::{
    gateway::v1::{InvokeMode, invoke_request::Argument},
    types::v1::{CallError, Retry},
};
use callboard_types::clock::Millis;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    Scenario,
    calls::{Client, server_error},
    check::{Check, Failure, ensure, read_json, same},
    gateway::{Event, IncomingCall, Transport},
    stage::Stage,
};

pub(super) const SCENARIOS: &[Scenario] = super::scenarios!["client":
    "a call carries its facts and its reply comes back" => call,
    "a call without argument and reply is null both ways" => no_value,
    "each call has a UUIDv7 of its own, or the id that the user gave" => request_ids,
    "errors keep reason, code, retry, origin and metadata" => errors,
    "replies may come in any order" => any_order,
    "a call ends at its deadline" => deadline,
    "a cancelled call tells the server and its caller" => cancellation,
    "calls of one moment share messages and keep their order" => batching,
    "the program ends by itself when nothing is left" => ends,
];

const BOTH: [Transport; 2] = [Transport::Stream, Transport::Unary];

fn argument(call: &IncomingCall) -> Result<Value, Failure> {
    match &call.request.argument {
        Some(Argument::Payload(payload)) => read_json("the argument", Some(payload)),
        other => Err(Failure(format!("the argument is no payload: {other:?}"))),
    }
}

async fn call(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    for transport in BOTH {
        let more = json!({"timeout_ms": 5000, "metadata": {"traceparent": "00-ab"}});
        let id = client.invoke(transport, more).await?;
        let call = client.call().await?;
        same("transport", call.transport, transport)?;
        let request = &call.request;
        let actor = request.actor.clone().unwrap_or_default();
        ensure(["", "default"].contains(&actor.system.as_str()), format!("{actor:?}"))?;
        same("type", actor.r#type.as_str(), "Counter")?;
        same("key", actor.key.as_str(), "k")?;
        same("action", request.action.as_str(), "add")?;
        same("argument", argument(&call)?, json!({"amount": 1}))?;
        let text = request.metadata.get("traceparent").map(String::as_str);
        same("metadata", text, Some("00-ab"))?;
        let timeout = request.timeout_ms;
        ensure((1..=5000).contains(&timeout), format!("timeout_ms {timeout}"))?;
        let modes = [InvokeMode::Unspecified, InvokeMode::Sync];
        ensure(modes.contains(&request.mode()), format!("mode {:?}", request.mode()))?;
        let age = Millis::now().0 - request.created_at_ms;
        ensure(age.abs() < 60_000, format!("created_at_ms is {age} ms ago"))?;
        call.reply(&json!({"total": 3, "text": "ä"})).await;
        same("the reply", client.ok(id).await?, json!({"total": 3, "text": "ä"}))?;
    }
    client.no_more_calls().await
}

async fn no_value(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    for transport in BOTH {
        let mut command = client.command(transport);
        if let Value::Object(fields) = &mut command {
            fields.remove("argument");
        }
        let id = command["id"].as_u64().unwrap_or_default();
        client.program.commands(&[command]).await?;
        let call = client.call().await?;
        let is_empty = match &call.request.argument {
            None => true,
            Some(Argument::Payload(payload)) => payload.content_type.is_empty(),
            Some(Argument::Json(_)) => false,
        };
        ensure(is_empty, format!("no argument became {:?}", call.request.argument))?;
        call.no_value().await;
        same("no value", client.ok(id).await?, Value::Null)?;
    }
    Ok(())
}

async fn request_ids(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    let mut seen = BTreeSet::new();
    for transport in [BOTH, BOTH].concat() {
        let id = client.invoke(transport, json!({})).await?;
        let call = client.call().await?;
        let text = call.request.request_id.clone();
        let uuid = Uuid::parse_str(&text)
            .map_err(|error| Failure::of(&format!("request id {text:?} is no UUID"), error))?;
        same("the UUID's version", uuid.get_version_num(), 7)?;
        ensure(seen.insert(text.clone()), format!("request id {text} came twice"))?;
        call.reply(&json!(1)).await;
        client.ok(id).await?;

        let given = json!({"idempotency_key": format!("order {text}")});
        let id = client.invoke(transport, given).await?;
        let call = client.call().await?;
        same("the given id", call.request.request_id.clone(), format!("order {text}"))?;
        call.reply(&json!(1)).await;
        client.ok(id).await?;
    }
    Ok(())
}

async fn errors(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    let mut limit = server_error("PAYLOAD_TOO_LARGE", 3, Retry::Never);
    limit.metadata.insert("limit_bytes".to_owned(), "1048576".to_owned());
    let raised = CallError {
        from_actor: true,
        message: "only \"2\" left – sorry".to_owned(),
        ..server_error("NOT_ENOUGH", 9, Retry::Never)
    };
    let internal = server_error("INTERNAL", 13, Retry::Never);
    for transport in BOTH {
        for error in [&limit, &raised, &internal] {
            let id = client.invoke(transport, json!({})).await?;
            client.call().await?.error(error.clone()).await;
            let failure = client.failed(id).await?;
            same("reason", failure["reason"].as_str(), Some(error.reason.as_str()))?;
            same("code", failure["code"].as_i64(), Some(i64::from(error.code)))?;
            same("message", failure["message"].as_str(), Some(error.message.as_str()))?;
            same("retry", failure["retry"].as_str(), Some("NEVER"))?;
            same("from_actor", failure["from_actor"].as_bool(), Some(error.from_actor))?;
            for (name, value) in &error.metadata {
                same(name, failure["metadata"][name].as_str(), Some(value.as_str()))?;
            }
        }
    }
    client.no_more_calls().await
}

async fn any_order(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    for transport in BOTH {
        let first = client.invoke(transport, json!({"key": "a"})).await?;
        let second = client.invoke(transport, json!({"key": "b"})).await?;
        let mut calls = [client.call().await?, client.call().await?];
        calls.sort_by_key(|call| call.request.actor.as_ref().map(|actor| actor.key.clone()));
        let [a, b] = calls;
        b.reply(&json!("b")).await;
        same("the second reply", client.ok(second).await?, json!("b"))?;
        a.reply(&json!("a")).await;
        same("the first reply", client.ok(first).await?, json!("a"))?;
    }
    Ok(())
}

async fn deadline(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    for transport in BOTH {
        // Connections are made; what is measured is the deadline.
        let id = client.invoke(transport, json!({})).await?;
        client.call().await?.reply(&json!(1)).await;
        client.ok(id).await?;
        let start = Instant::now();
        let id = client.invoke(transport, json!({"timeout_ms": 600})).await?;
        let silent = client.call().await?;
        let failure = client.failed(id).await?;
        let waited = start.elapsed();
        same("reason", failure["reason"].as_str(), Some("DEADLINE_EXCEEDED"))?;
        same("code", failure["code"].as_i64(), Some(4))?;
        ensure(waited >= Duration::from_millis(550), format!("gave up after {waited:?}"))?;
        ensure(waited < Duration::from_millis(2600), format!("waited {waited:?} for 600 ms"))?;
        // A reply that comes too late must not confuse the calls that follow.
        silent.reply(&json!("late")).await;
        let id = client.invoke(transport, json!({})).await?;
        client.call().await?.reply(&json!("next")).await;
        same("the next reply", client.ok(id).await?, json!("next"))?;
    }
    Ok(())
}

async fn cancellation(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    for transport in BOTH {
        let id = client.invoke(transport, json!({})).await?;
        let call = client.call().await?;
        client.program.commands(&[json!({"op": "cancel", "id": id})]).await?;
        let failure = client.failed(id).await?;
        same("reason", failure["reason"].as_str(), Some("CANCELLED"))?;
        same("code", failure["code"].as_i64(), Some(1))?;
        match client.event().await? {
            Event::Cancelled(cancelled) => same("the cancelled call", cancelled, call.id)?,
            Event::Call(call) => {
                return Err(Failure(format!("a retry instead of a cancel: {:?}", call.request)));
            }
            other => return Err(Failure(format!("expected a cancel, got {other:?}"))),
        }
        call.reply(&json!("late")).await;
        let id = client.invoke(transport, json!({})).await?;
        client.call().await?.reply(&json!("next")).await;
        same("the next reply", client.ok(id).await?, json!("next"))?;
    }
    client.no_more_calls().await
}

async fn batching(stage: Stage) -> Check {
    const CALLS: usize = 300;
    const MESSAGES_MAX: usize = CALLS / 2;
    let mut client = Client::start(&stage).await?;
    let id = client.invoke(Transport::Stream, json!({})).await?;
    client.call().await?.reply(&json!(1)).await;
    client.ok(id).await?;

    let commands: Vec<Value> = (0..CALLS)
        .map(|number| {
            let mut command = client.command(Transport::Stream);
            command["argument"] = json!({"amount": number});
            command
        })
        .collect();
    client.program.commands(&commands).await?;
    let mut calls = Vec::new();
    for number in 0..CALLS {
        let call = client.call().await?;
        same("calls to one actor keep their order", argument(&call)?, json!({"amount": number}))?;
        calls.push(call);
    }
    let messages: BTreeSet<u64> = calls.iter().map(|call| call.message).collect();
    let count = messages.len();
    ensure(count <= MESSAGES_MAX, format!("{count} messages for {CALLS} calls of one moment"))?;
    for call in calls {
        let value = argument(&call)?;
        call.reply(&value).await;
    }
    for _ in 0..CALLS {
        let result = client.program.result().await?;
        ensure(result.get("ok").is_some(), format!("a call failed: {result}"))?;
    }
    Ok(())
}

async fn ends(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    for transport in BOTH {
        let id = client.invoke(transport, json!({})).await?;
        let call = client.call().await?;
        if transport == Transport::Unary {
            // The last call is still open when the input ends.
            client.program.no_more_commands();
        }
        call.reply(&json!(1)).await;
        client.ok(id).await?;
    }
    client.no_more_calls().await
}
