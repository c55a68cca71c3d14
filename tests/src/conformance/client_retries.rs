//! When a client sends a call again, and when it must not. Every scenario but those about streams holds for both
//! transports.

use std::time::Duration;

use tokio::time::Instant;

use callboard_proto::types::v1::Retry;
use serde_json::json;

use super::{
    Scenario,
    calls::{Client, server_error},
    check::{Check, ensure, same},
    gateway::{IncomingCall, Transport},
    stage::{START, Stage},
};

pub(super) const SCENARIOS: &[Scenario] = super::scenarios!["client retries":
    "RETRY_SAFE and RETRY_SAME_ID are sent again under the same id" => again,
    "RETRY_NEVER is not sent again" => never,
    "retry_after_ms is waited for" => retry_after,
    "retries back off" => backs_off,
    "the deadline bounds the retries" => deadline,
    "a retry_after_ms beyond the deadline ends the call early" => beyond_deadline,
    "a broken connection is a retry under the same id" => broken,
    "a crashed server is a retry under the same id" => crashed,
    "a server that is not there ends at the deadline" => unreachable,
    "a cancelled call is not sent again" => cancelled,
];

const BOTH: [Transport; 2] = [Transport::Stream, Transport::Unary];

/// What must be the same in every attempt of one call.
fn identity(call: &IncomingCall) -> (String, i64) {
    (call.request.request_id.clone(), call.request.created_at_ms)
}

async fn again(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    let reasons = [
        ("MAILBOX_FULL", 8, Retry::Safe),
        ("OUTCOME_UNKNOWN", 14, Retry::SameId),
        ("NO_HOST", 14, Retry::Safe),
        ("TURN_ABANDONED", 10, Retry::SameId),
        ("LEASE_LOST", 14, Retry::SameId),
        ("NOT_OWNER", 14, Retry::Safe),
        ("DESCRIPTOR_CHANGED", 14, Retry::Safe),
    ];
    for transport in BOTH {
        for key in [json!({}), json!({"idempotency_key": format!("mine {}", transport.name())})] {
            let id = client.invoke(transport, key).await?;
            let mut first = None;
            for (reason, code, retry) in reasons {
                let call = client.call().await?;
                let expected = first.get_or_insert_with(|| identity(&call)).clone();
                same("request id and created_at_ms", identity(&call), expected)?;
                same("transport", call.transport, transport)?;
                call.error(server_error(reason, code, retry)).await;
            }
            let last = client.call().await?;
            same("request id and created_at_ms", Some(identity(&last)), first)?;
            last.reply(&json!("done")).await;
            same("the reply", client.ok(id).await?, json!("done"))?;
        }
    }
    client.no_more_calls().await
}

async fn never(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    for transport in BOTH {
        for retry in [Retry::Never, Retry::Unspecified] {
            let id = client.invoke(transport, json!({})).await?;
            // The code is one that others would retry: only `retry` counts.
            client.call().await?.error(server_error("SCRIPTED", 8, retry)).await;
            let failure = client.failed(id).await?;
            same("reason", failure["reason"].as_str(), Some("SCRIPTED"))?;
        }
    }
    client.no_more_calls().await
}

async fn retry_after(stage: Stage) -> Check {
    const AFTER: Duration = Duration::from_millis(900);
    let mut client = Client::start(&stage).await?;
    for transport in BOTH {
        let id = client.invoke(transport, json!({})).await?;
        let mut error = server_error("MAILBOX_FULL", 8, Retry::Safe);
        error.retry_after_ms = u32::try_from(AFTER.as_millis()).unwrap_or(u32::MAX);
        let call = client.call().await?;
        let start = Instant::now();
        call.error(error).await;
        let call = client.call().await?;
        let waited = call.at.duration_since(start);
        ensure(waited >= AFTER - Duration::from_millis(5), format!("sent again after {waited:?}"))?;
        call.reply(&json!(1)).await;
        client.ok(id).await?;
    }
    Ok(())
}

async fn backs_off(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    for transport in BOTH {
        let id = client.invoke(transport, json!({})).await?;
        let mut call = client.call().await?;
        let start = call.at;
        for attempt in 1.. {
            let elapsed = call.at.duration_since(start);
            if elapsed > Duration::from_secs(2) {
                break;
            }
            // Without any back-off thousands would fit into two seconds.
            ensure(attempt < 200, format!("{attempt} attempts in {elapsed:?}"))?;
            call.error(server_error("NO_HOST", 14, Retry::Safe)).await;
            call = client.call().await?;
        }
        call.reply(&json!(1)).await;
        client.ok(id).await?;
    }
    Ok(())
}

async fn deadline(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    for transport in BOTH {
        let start = Instant::now();
        let id = client.invoke(transport, json!({"timeout_ms": 1000})).await?;
        let mut allowed = u32::MAX;
        let failure = loop {
            tokio::select! {
                call = client.server.events.recv() => {
                    if let Some(super::gateway::Event::Call(call)) = call {
                        let timeout = call.request.timeout_ms;
                        ensure(timeout <= allowed && timeout <= 1000, "timeout_ms grew in a retry")?;
                        allowed = timeout;
                        call.error(server_error("NO_HOST", 14, Retry::Safe)).await;
                    }
                }
                result = client.program.result() => break result?,
            }
        };
        same("the command", failure["id"].as_u64(), Some(id))?;
        let reason = failure["error"]["reason"].as_str().unwrap_or_default();
        let honest = ["NO_HOST", "DEADLINE_EXCEEDED"].contains(&reason);
        ensure(honest, format!("the result of a call that never went well: {failure}"))?;
        let waited = start.elapsed();
        ensure(waited < Duration::from_secs(5), format!("ended after {waited:?}"))?;
    }
    // The last attempt may have crossed the result on its way, so calls that are still waiting here mean nothing.
    client.program.no_more_commands();
    let status = client.program.ended(START).await?;
    ensure(status.success(), format!("the client program ended with {status}"))
}

async fn beyond_deadline(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    for transport in BOTH {
        let id = client.invoke(transport, json!({"timeout_ms": 4000})).await?;
        let mut error = server_error("MAILBOX_FULL", 8, Retry::Safe);
        error.retry_after_ms = 60_000;
        client.call().await?.error(error).await;
        let failure = client.failed(id).await?;
        let reason = failure["reason"].as_str().unwrap_or_default();
        let honest = ["MAILBOX_FULL", "DEADLINE_EXCEEDED"].contains(&reason);
        ensure(honest, format!("the result: {failure}"))?;
    }
    client.no_more_calls().await
}

async fn broken(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    for transport in BOTH {
        let ids = [
            client.invoke(transport, json!({"key": "a"})).await?,
            client.invoke(transport, json!({"key": "b"})).await?,
        ];
        let key = |call: &IncomingCall| call.request.actor.clone().unwrap_or_default().key;
        let mut first = vec![client.call().await?, client.call().await?];
        first.sort_by_key(key);
        let before: Vec<_> = first.iter().map(identity).collect();
        for call in first {
            call.break_connection().await;
        }
        let mut second = vec![client.call().await?, client.call().await?];
        second.sort_by_key(key);
        let after: Vec<_> = second.iter().map(identity).collect();
        same("request ids and created_at_ms", after, before)?;
        for (call, id) in second.into_iter().zip(ids) {
            call.reply(&json!(id)).await;
            same("the reply", client.ok(id).await?, json!(id))?;
        }
    }
    client.no_more_calls().await
}

async fn crashed(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    for transport in BOTH {
        let id = client.invoke(transport, json!({})).await?;
        let before = identity(&client.call().await?);
        client.server.restart().await?;
        let call = client.call().await?;
        same("request id and created_at_ms", identity(&call), before)?;
        call.reply(&json!("back")).await;
        same("the reply", client.ok(id).await?, json!("back"))?;
    }
    Ok(())
}

async fn unreachable(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    client.server.kill();
    for transport in BOTH {
        let start = Instant::now();
        let id = client.invoke(transport, json!({"timeout_ms": 1500})).await?;
        let failure = client.failed(id).await?;
        same("reason", failure["reason"].as_str(), Some("DEADLINE_EXCEEDED"))?;
        same("code", failure["code"].as_i64(), Some(4))?;
        let waited = start.elapsed();
        // The first command also waits for the program to start.
        ensure(waited < Duration::from_secs(12), format!("ended after {waited:?}"))?;
        ensure(waited >= Duration::from_millis(1400), format!("gave up after {waited:?}"))?;
    }
    Ok(())
}

async fn cancelled(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    for transport in BOTH {
        let id = client.invoke(transport, json!({})).await?;
        let mut error = server_error("MAILBOX_FULL", 8, Retry::Safe);
        error.retry_after_ms = 2_000;
        client.call().await?.error(error).await;
        client.program.commands(&[json!({"op": "cancel", "id": id})]).await?;
        let failure = client.failed(id).await?;
        same("reason", failure["reason"].as_str(), Some("CANCELLED"))?;
    }
    client.no_more_calls().await
}
