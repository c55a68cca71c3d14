//! `callboard state get TYPE/KEY`.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use callboard_proto::gateway::v1::{GetStateRequest, GetStateResponse};
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::{
    actor_ref::{ActorRef, name_of},
    args::Global,
    commands::types::descriptor_set,
    connection::Connection,
    failure::{Exit, Failure},
    output::Noun,
    payload,
};

/// Whose state to print.
#[derive(Args)]
pub(crate) struct GetArgs {
    /// The actor, as TYPE/KEY, or TYPE alone for a NAMED actor
    #[arg(value_name = "TYPE/KEY")]
    actor: ActorRef,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct State {
    actor: String,
    revision: u64,
    state: Value,
    tags: BTreeMap<String, String>,
}

impl Noun for State {
    const KIND: &'static str = "State";
    const COLUMNS: &'static [&'static str] = &["ACTOR", "REVISION", "STATE"];

    fn cells(&self) -> Vec<String> {
        vec![self.actor.clone(), self.revision.to_string(), self.state.to_string()]
    }

    fn name(&self) -> String {
        self.actor.clone()
    }

    /// The state is the data; what stands around it is talk.
    fn describe(&self, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, &self.state)?;
        writeln!(out)
    }
}

// === impl GetArgs ===

impl GetArgs {
    /// Prints the state; an actor that never had a committed turn is exit code 3.
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let connection = global.connect().await?;
        let actor = self.actor.in_system(&global.system);
        let request = GetStateRequest { actor: Some(actor.clone()), as_json: true };
        let answer = connection.answer(connection.gateway().get_state(request)).await?;
        if !answer.exists {
            let message = format!("{} has no committed state", self.actor);
            return Err(Failure::new(Exit::NotFound, "NO_STATE", message)
                .advice("call it once, or check the key: keys are compared byte for byte"));
        }
        global.talk().detail(&format!("{} is at revision {}", self.actor, answer.revision));
        let revision = answer.revision;
        let tags = answer.tags.clone().into_iter().collect();
        let state = read(&connection, &actor.system, &actor.r#type, answer).await?;
        Ok(global.printer().one(&State { actor: name_of(&actor), revision, state, tags })?)
    }
}

/// Takes the server's JSON if it could make any; otherwise reads the payload here.
async fn read(
    connection: &Connection,
    system: &str,
    actor_type: &str,
    answer: GetStateResponse,
) -> Result<Value, Failure> {
    if let Some(json) = answer.json {
        return Ok(payload::to_json(json));
    }
    let Some(state) = answer.state else {
        return Ok(Value::Null);
    };
    let descriptors = if payload::needs_descriptors(&state) {
        descriptor_set(connection, system, actor_type).await?
    } else {
        Vec::new()
    };
    Ok(payload::readable(&state, &descriptors))
}

#[cfg(test)]
mod tests {
    use crate::output::{Format, Printer};

    use super::*;

    fn printed(format: Format) -> String {
        let state = State {
            actor: "Counter/u1".into(),
            revision: 4,
            state: serde_json::json!({"total": "12"}),
            tags: BTreeMap::from([("tier".into(), "gold".into())]),
        };
        let mut out = Vec::new();
        Printer::new(format, &mut out).one(&state).expect("a vector takes everything");
        String::from_utf8(out).expect("output is text")
    }

    #[test]
    fn the_json_contract_of_state_holds() {
        insta::assert_snapshot!(printed(Format::Json), @r#"
        {
          "apiVersion": "callboard.io/cli/v1",
          "kind": "State",
          "actor": "Counter/u1",
          "revision": 4,
          "state": {
            "total": "12"
          },
          "tags": {
            "tier": "gold"
          }
        }
        "#);
    }

    #[test]
    fn people_get_the_state_alone_so_that_it_can_be_piped() {
        insta::assert_snapshot!(printed(Format::Table), @r#"
        {
          "total": "12"
        }
        "#);
    }
}
