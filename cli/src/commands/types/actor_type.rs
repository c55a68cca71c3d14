//! An actor type as `callboard types` shows it.

use callboard_proto::{
    control::v1 as control,
    types::v1::{ActionDefinition, Durability, Kind},
};
use serde::Serialize;

use crate::output::Noun;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ActorType {
    pub(super) system: String,
    pub(super) name: String,
    pub(super) actor_kind: &'static str,
    pub(super) durability: &'static str,
    pub(super) service: String,
    pub(super) state_type: String,
    pub(super) idle_timeout_ms: u64,
    pub(super) snapshot_interval_ms: u64,
    pub(super) turn_timeout_ms: u64,
    pub(super) mailbox_limit: u32,
    pub(super) shards: u32,
    pub(super) speculation: bool,
    pub(super) descriptor_hash: String,
    pub(super) hosts: u32,
    pub(super) active: u64,
    pub(super) actions: Vec<Action>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Action {
    pub(super) name: String,
    pub(super) input_type: String,
    pub(super) output_type: String,
    pub(super) read_only: bool,
    pub(super) speculation: bool,
}

impl From<control::ActorType> for ActorType {
    fn from(item: control::ActorType) -> Self {
        let definition = item.definition.unwrap_or_default();
        Self {
            system: item.system,
            actor_kind: kind(definition.kind()),
            durability: durability(definition.durability()),
            name: definition.name,
            service: definition.service,
            state_type: definition.state_type,
            idle_timeout_ms: definition.idle_timeout_ms,
            snapshot_interval_ms: definition.snapshot_interval_ms,
            turn_timeout_ms: definition.turn_timeout_ms,
            mailbox_limit: definition.mailbox_limit,
            shards: definition.shards,
            speculation: !definition.speculation_off,
            descriptor_hash: item.descriptor_hash,
            hosts: item.hosts,
            active: item.active,
            actions: definition.actions.into_iter().map(Action::from).collect(),
        }
    }
}

impl From<ActionDefinition> for Action {
    fn from(action: ActionDefinition) -> Self {
        Self {
            name: action.name,
            input_type: action.input_type,
            output_type: action.output_type,
            read_only: action.read_only,
            speculation: !action.speculation_off,
        }
    }
}

impl Noun for ActorType {
    const KIND: &'static str = "ActorType";
    const COLUMNS: &'static [&'static str] =
        &["TYPE", "KIND", "DURABILITY", "ACTIONS", "HOSTS", "ACTIVE", "SERVICE"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.actor_kind.into(),
            self.durability.into(),
            self.actions.len().to_string(),
            self.hosts.to_string(),
            self.active.to_string(),
            if self.service.is_empty() { "-".into() } else { self.service.clone() },
        ]
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

/// The words that the documentation uses. Unset means UNNAMED.
fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Named => "named",
        Kind::Pooled => "pooled",
        Kind::Unspecified | Kind::Unnamed => "unnamed",
    }
}

/// The words that the documentation uses. Unset means durable.
fn durability(durability: Durability) -> &'static str {
    match durability {
        Durability::Unspecified | Durability::Durable => "durable",
        Durability::Snapshot => "snapshot",
        Durability::Volatile => "volatile",
    }
}
