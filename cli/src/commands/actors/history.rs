//! `callboard actors history TYPE/KEY` and `callboard actors state-at TYPE/KEY`: what an actor was before.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use callboard_proto::control::v1::{
    GetRevisionRequest, ListRevisionsRequest, get_revision_request::At,
};
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::{
    actor_ref::{ActorRef, name_of},
    args::Global,
    commands::{actors::tools::AtArgs, types::descriptor_set},
    failure::Failure,
    output::{self, Noun},
    payload,
};

/// Whose revisions.
#[derive(Args)]
pub(crate) struct HistoryArgs {
    /// The actor, as TYPE/KEY, or TYPE alone for a NAMED actor
    #[arg(value_name = "TYPE/KEY")]
    actor: ActorRef,
    /// How many to show, at most 1,000
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: u32,
    /// Only revisions below this one
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "N")]
    below: u64,
}

/// Whose state, and which.
#[derive(Args)]
pub(crate) struct StateAtArgs {
    /// The actor, as TYPE/KEY, or TYPE alone for a NAMED actor
    #[arg(value_name = "TYPE/KEY")]
    actor: ActorRef,
    /// When it had the state
    #[command(flatten)]
    at: AtArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Revision {
    revision: u64,
    committed_at_ms: i64,
    state_bytes: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PastState {
    actor: String,
    revision: u64,
    committed_at_ms: i64,
    state: Value,
    tags: BTreeMap<String, String>,
}

impl Noun for Revision {
    const KIND: &'static str = "Revision";
    const COLUMNS: &'static [&'static str] = &["REVISION", "COMMITTED", "STATE BYTES"];

    fn cells(&self) -> Vec<String> {
        let committed = output::time(self.committed_at_ms);
        vec![self.revision.to_string(), committed, self.state_bytes.to_string()]
    }

    fn name(&self) -> String {
        self.revision.to_string()
    }
}

impl Noun for PastState {
    const KIND: &'static str = "PastState";
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

// === impl HistoryArgs ===

impl HistoryArgs {
    /// Lists the revisions that are kept, the newest first.
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let connection = global.connect().await?;
        let actor = Some(self.actor.in_system(&global.system));
        let request = ListRevisionsRequest { actor, page_size: self.limit, below: self.below };
        let answer = connection.answer(connection.actors().list_revisions(request)).await?;
        let revisions: Vec<Revision> = answer
            .revisions
            .into_iter()
            .map(|one| Revision {
                revision: one.revision,
                committed_at_ms: one.committed_at_ms,
                state_bytes: one.state_bytes,
            })
            .collect();
        let truncated = revisions.len() == self.limit as usize;
        Ok(global.printer().list(&revisions, truncated)?)
    }
}

// === impl StateAtArgs ===

impl StateAtArgs {
    /// Prints a past state.
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let connection = global.connect().await?;
        let at = self.at.revision.map(At::Revision).or(self.at.time.map(At::TimeMs));
        let actor = self.actor.in_system(&global.system);
        let request = GetRevisionRequest { actor: Some(actor.clone()), at, as_json: true };
        let answer = connection.answer(connection.actors().get_revision(request)).await?;
        let revision = answer.revision.unwrap_or_default();
        let state = match (answer.json, answer.state) {
            (Some(json), _) => payload::to_json(json),
            (None, None) => Value::Null,
            (None, Some(state)) => {
                let descriptors = if payload::needs_descriptors(&state) {
                    descriptor_set(&connection, &actor.system, &actor.r#type).await?
                } else {
                    Vec::new()
                };
                payload::readable(&state, &descriptors)
            }
        };
        global.talk().detail(&format!("{} at revision {}", self.actor, revision.revision));
        Ok(global.printer().one(&PastState {
            actor: name_of(&actor),
            revision: revision.revision,
            committed_at_ms: revision.committed_at_ms,
            state,
            tags: answer.tags.into_iter().collect(),
        })?)
    }
}
