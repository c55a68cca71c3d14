//! `callboard invoke TYPE/KEY ACTION`.

mod grpcurl;

use std::{
    io::{self, Read as _, Write},
    time::Duration,
};

use callboard_proto::gateway::v1::{
    InvokeMode, InvokeRequest, InvokeResponse, invoke_request::Argument, invoke_response::Reply,
};
use clap::Args;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    actor_ref::{ActorRef, name_of},
    args::Global,
    commands::types::descriptor_set,
    connection::Connection,
    failure::Failure,
    output::{Format, Noun},
    payload,
};

/// What to call.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    callboard invoke Incrementor/u1 Add -d '{\"amount\": 1}'\n  \
    callboard invoke Incrementor/u1 Cast -d @amount.json --async --key order-17\n  \
    callboard invoke Incrementor/u1 Total -o json")]
pub(crate) struct InvokeArgs {
    /// The actor, as TYPE/KEY, or TYPE alone for a NAMED actor
    #[arg(value_name = "TYPE/KEY")]
    actor: ActorRef,

    /// The action, exactly as the actor defines it
    action: String,

    /// The argument as JSON; @FILE reads a file, - reads stdin
    #[arg(short, long, value_name = "JSON|@FILE|-")]
    data: Option<String>,

    /// Return as soon as the call is accepted; for durable actors it then survives any crash
    #[arg(long = "async")]
    asynchronous: bool,

    /// The request id: calls with the same one are applied once. Best a UUIDv7, which holds the time of the first try;
    /// drawn anew if left out
    #[arg(long, value_name = "REQUEST_ID")]
    key: Option<String>,

    /// Text that travels with the call; may be given many times
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    metadata: Vec<(String, String)>,

    /// Print the same call as a grpcurl command instead of making it
    #[arg(long)]
    print_grpcurl: bool,
}

pub(super) fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("write it as NAME=VALUE".into()),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    actor: String,
    action: String,
    request_id: String,
    accepted: bool,
    durable: bool,
    revision: u64,
    reply: Value,
}

impl Noun for Invocation {
    const KIND: &'static str = "Invocation";
    const COLUMNS: &'static [&'static str] = &["ACTOR", "ACTION", "REQUEST ID", "REPLY"];

    fn cells(&self) -> Vec<String> {
        let reply = self.reply.to_string();
        vec![self.actor.clone(), self.action.clone(), self.request_id.clone(), reply]
    }

    fn name(&self) -> String {
        self.request_id.clone()
    }

    /// The reply is the data. An accepted call has none yet, so its request id stands in.
    fn describe(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.accepted {
            return writeln!(out, "{}", self.request_id);
        }
        if self.reply.is_null() {
            return Ok(());
        }
        serde_json::to_writer_pretty(&mut *out, &self.reply)?;
        writeln!(out)
    }
}

// === impl InvokeArgs ===

impl InvokeArgs {
    /// Calls the action and prints its reply.
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let request = self.request(global)?;
        if self.print_grpcurl {
            let command = grpcurl::command(&request, &global.server);
            return Ok(global.printer().text(&format!("{command}\n"))?);
        }
        let connection = global.connect().await?;
        global.talk().detail(&format!("request id {}", request.request_id));
        let actor = request.actor.clone().unwrap_or_default();
        let request_id = request.request_id.clone();
        let answer = connection
            .answer(connection.gateway().invoke(request))
            .await
            .map_err(|failure| retry_with_same_id(failure, &request_id))?;
        self.comment(global, &answer);
        let invocation = Invocation {
            actor: name_of(&actor),
            action: self.action,
            request_id: answer.request_id.clone(),
            accepted: self.asynchronous,
            durable: answer.durable,
            revision: answer.revision,
            reply: reply(&connection, &actor.system, &actor.r#type, answer).await?,
        };
        Ok(global.printer().one(&invocation)?)
    }

    fn request(&self, global: &Global) -> Result<InvokeRequest, Failure> {
        let argument = match argument_text(self.data.as_deref())? {
            Some(text) => Some(Argument::Json(payload::from_text(&text)?)),
            None => None,
        };
        let request_id = self.key.clone().unwrap_or_else(|| Uuid::now_v7().to_string());
        let mode = if self.asynchronous { InvokeMode::Async } else { InvokeMode::Sync };
        Ok(InvokeRequest {
            actor: Some(self.actor.in_system(&global.system)),
            action: self.action.clone(),
            argument,
            created_at_ms: created_at_ms(&request_id),
            request_id,
            timeout_ms: milliseconds(global.timeout),
            metadata: self.metadata.iter().cloned().collect(),
            mode: mode.into(),
            delay_ms: 0,
            due_at_ms: 0,
        })
    }

    /// Says on stderr what the reply alone does not.
    fn comment(&self, global: &Global, answer: &InvokeResponse) {
        if global.output != Format::Table {
            return;
        }
        if self.asynchronous && answer.durable {
            global.talk().note("accepted and stored: the call will run whatever crashes");
        } else if self.asynchronous {
            global.talk().note("accepted in memory: a crash of the node loses the call");
        } else if answer.reply.is_none() {
            global.talk().note("done; the action has no reply");
        }
    }
}

/// The text that `-d` stands for: itself, a file's, or stdin's.
pub(super) fn argument_text(data: Option<&str>) -> Result<Option<String>, Failure> {
    let Some(data) = data else {
        return Ok(None);
    };
    if data == "-" {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text)?;
        return Ok(Some(text));
    }
    let Some(path) = data.strip_prefix('@') else {
        return Ok(Some(data.to_owned()));
    };
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("cannot read {path}: {error}")))?;
    Ok(Some(text))
}

/// A retry must carry the time of the first try. A UUIDv7 holds it, so `--key` alone repeats both; for other ids the
/// server takes now.
pub(super) fn created_at_ms(request_id: &str) -> i64 {
    let time = Uuid::parse_str(request_id).ok().and_then(|id| match id.get_version_num() {
        7 => id.get_timestamp(),
        _ => None,
    });
    let Some((seconds, nanos)) = time.map(|time| time.to_unix()) else {
        return 0;
    };
    i64::try_from(seconds * 1_000 + u64::from(nanos / 1_000_000)).unwrap_or(0)
}

/// Milliseconds for the wire, where 0 would mean "the default".
pub(super) fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX).max(1)
}

pub(super) fn retry_with_same_id(failure: Failure, request_id: &str) -> Failure {
    if failure.needs_same_id() {
        return failure.advice_also(&format!("repeat the command with --key {request_id}"));
    }
    failure
}

async fn reply(
    connection: &Connection,
    system: &str,
    actor_type: &str,
    answer: InvokeResponse,
) -> Result<Value, Failure> {
    match answer.reply {
        None => Ok(Value::Null),
        Some(Reply::Json(json)) => Ok(payload::to_json(json)),
        Some(Reply::Payload(reply)) => {
            let descriptors = if payload::needs_descriptors(&reply) {
                descriptor_set(connection, system, actor_type).await?
            } else {
                Vec::new()
            };
            Ok(payload::readable(&reply, &descriptors))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::output::Printer;

    use super::*;

    fn printed(format: Format, accepted: bool) -> String {
        let invocation = Invocation {
            actor: "Incrementor/u1".into(),
            action: "Add".into(),
            request_id: "0193a0c4-0000-7000-8000-000000000001".into(),
            accepted,
            durable: true,
            revision: if accepted { 0 } else { 4 },
            reply: if accepted { Value::Null } else { serde_json::json!({"total": "12"}) },
        };
        let mut out = Vec::new();
        Printer::new(format, &mut out).one(&invocation).expect("a vector takes everything");
        String::from_utf8(out).expect("output is text")
    }

    #[test]
    fn the_json_contract_of_an_invocation_holds() {
        insta::assert_snapshot!(printed(Format::Json, false), @r#"
        {
          "apiVersion": "callboard.io/cli/v1",
          "kind": "Invocation",
          "actor": "Incrementor/u1",
          "action": "Add",
          "requestId": "0193a0c4-0000-7000-8000-000000000001",
          "accepted": false,
          "durable": true,
          "revision": 4,
          "reply": {
            "total": "12"
          }
        }
        "#);
    }

    #[test]
    fn people_get_the_reply_alone_so_that_it_can_be_piped() {
        insta::assert_snapshot!(printed(Format::Table, false), @r#"
        {
          "total": "12"
        }
        "#);
    }

    #[test]
    fn an_accepted_call_answers_with_its_request_id() {
        let printed = printed(Format::Table, true);
        assert_eq!(printed, "0193a0c4-0000-7000-8000-000000000001\n");
    }

    #[test]
    fn a_repeated_key_repeats_the_time_of_the_first_try() {
        let id = Uuid::now_v7().to_string();
        assert!(created_at_ms(&id) > 1_700_000_000_000);
        assert_eq!(created_at_ms(&id), created_at_ms(&id));
    }

    #[test]
    fn a_key_without_a_time_leaves_it_to_the_server() {
        assert_eq!(created_at_ms("order-17"), 0);
        assert_eq!(created_at_ms(&Uuid::nil().to_string()), 0);
    }

    #[test]
    fn metadata_needs_a_name() {
        assert_eq!(name_and_value("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(name_and_value("=b").is_err());
        assert!(name_and_value("a").is_err());
    }
}
