//! What an actor type is and does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    actor_id::check_name, error::CallError, error::ErrorKind, limits, settings::TypeSettings,
};

/// What kind of life the actors of a type lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Exactly one actor, whose key is the type name.
    Named,
    /// One actor per key, on demand.
    Unnamed,
    /// Equal instances without state; their keys are `0` to max - 1.
    Pooled,
}

/// What happens to the state of an actor, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Durability {
    /// A reply leaves only after its state and outcome are committed.
    Durable,
    /// Replies leave at once; the state is saved on an interval and at deactivation.
    Snapshot,
    /// The state lives as long as the activation.
    Volatile,
}

/// One method of a type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// Full name of the protobuf request message; empty for JSON or opaque arguments.
    pub input_type: String,
    /// Full name of the protobuf reply message; empty for JSON or opaque replies.
    pub output_type: String,
    /// True if the action never changes state.
    pub read_only: bool,
    /// True to keep the action from running on state that is not yet committed.
    pub speculation_off: bool,
}

/// A behaviour with every setting filled in. Replicated; changing a field's meaning needs a new command version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeDefinition {
    /// The type's name within its system.
    pub name: String,
    /// The life of its actors.
    pub kind: Kind,
    /// What happens to their state.
    pub durability: Durability,
    /// The actions by name.
    pub actions: BTreeMap<String, Action>,
    /// Full name of the protobuf message that holds the state; empty for JSON or opaque state.
    pub state_type: String,
    /// Full name of the protobuf service; empty if there is none.
    pub service: String,
    /// How long an actor may stay without a call, in milliseconds.
    pub idle_timeout_ms: u64,
    /// How often a snapshot actor is saved, in milliseconds.
    pub snapshot_interval_ms: u64,
    /// How long one turn may take, in milliseconds.
    pub turn_timeout_ms: u64,
    /// How many calls may wait for one actor.
    pub mailbox_limit: u32,
    /// How many shards the keys are spread over.
    pub shards: u32,
    /// True to keep every action from running on state that is not yet committed.
    pub speculation_off: bool,
    /// What the type asks for beyond the running of calls. Not part of the frozen encoding of a definition: commands and
    /// snapshots that carry settings carry them apart.
    #[serde(skip)]
    pub settings: TypeSettings,
}

/// Names under which an action of a type is its initialisation.
pub const INIT_ACTIONS: [&str; 4] = ["init", "Init", "setup", "Setup"];
/// Names under which a type's state is read from memory, unless the type defines any of them.
pub const DEFAULT_READS: [&str; 5] = ["get", "Get", "get_state", "getState", "GetState"];

impl TypeDefinition {
    /// A definition with every default, for the given name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: Kind::Unnamed,
            durability: Durability::Durable,
            actions: BTreeMap::new(),
            state_type: String::new(),
            service: String::new(),
            idle_timeout_ms: limits::IDLE_TIMEOUT_DEFAULT_MS,
            snapshot_interval_ms: limits::SNAPSHOT_INTERVAL_DEFAULT_MS,
            turn_timeout_ms: limits::TURN_TIMEOUT_DEFAULT_MS,
            mailbox_limit: limits::MAILBOX_DEFAULT,
            shards: limits::SHARDS_DEFAULT,
            speculation_off: false,
            settings: TypeSettings::default(),
        }
    }

    /// The name of the action that initialises an actor, if the type has one.
    #[must_use]
    pub fn init_action(&self) -> Option<&str> {
        INIT_ACTIONS.into_iter().find(|name| self.actions.contains_key(*name))
    }

    /// True if `action` is answered from memory without a host.
    #[must_use]
    pub fn is_default_read(&self, action: &str) -> bool {
        DEFAULT_READS.contains(&action)
            && !DEFAULT_READS.iter().any(|name| self.actions.contains_key(*name))
    }

    /// Checks names and limits.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] or [`ErrorKind::InvalidActorKey`] with the rule that is broken.
    pub fn validate(&self) -> Result<(), CallError> {
        check_name("type", &self.name)?;
        let wrong = |what: String| Err(CallError::new(ErrorKind::InvalidArgument, what));
        if self.actions.len() > limits::ACTIONS_MAX {
            return wrong(format!(
                "type {} has more than {} actions",
                self.name,
                limits::ACTIONS_MAX
            ));
        }
        for action in self.actions.keys() {
            let fits = (1..=limits::ACTION_BYTES_MAX).contains(&action.len());
            if !fits || action.chars().any(char::is_control) {
                return wrong(format!(
                    "type {}: an action name has 1 to {} bytes and no control characters",
                    self.name,
                    limits::ACTION_BYTES_MAX
                ));
            }
        }
        if let Some(action) = self.actions.keys().find(|action| action.starts_with('$')) {
            return wrong(format!(
                "type {}: action {action:?} cannot be registered: names that begin with $ are Callboard's own",
                self.name
            ));
        }
        if INIT_ACTIONS.iter().filter(|name| self.actions.contains_key(**name)).count() > 1 {
            return wrong(format!("type {}: only one of {INIT_ACTIONS:?} may exist", self.name));
        }
        if self.shards == 0 || self.shards > limits::SHARDS_MAX {
            return wrong(format!(
                "type {}: shards must be 1 to {}",
                self.name,
                limits::SHARDS_MAX
            ));
        }
        if self.mailbox_limit == 0 || self.mailbox_limit > limits::MAILBOX_MAX {
            return wrong(format!(
                "type {}: mailbox_limit must be 1 to {}",
                self.name,
                limits::MAILBOX_MAX
            ));
        }
        self.settings.validate(&self.name, self.kind, self.durability, |action| {
            self.actions.contains_key(action)
        })
    }

    /// Says why `next` may not take the place of this definition, if it may not.
    ///
    /// Kind, durability and the encoding of the state are what stored actors depend on; a host that disagrees about
    /// them would misread their state. Actions and settings may change: the newest registration wins.
    #[must_use]
    pub fn conflict_with(&self, next: &Self) -> Option<String> {
        let clash = |what: &str, old: String, new: String| {
            Some(format!(
                "type {} is registered with {what} {old}; this registration says {new}. Register it \
                 under another name, or change the host",
                self.name
            ))
        };
        if self.kind != next.kind {
            return clash("kind", format!("{:?}", self.kind), format!("{:?}", next.kind));
        }
        if self.durability != next.durability {
            let (old, new) = (self.durability, next.durability);
            return clash("durability", format!("{old:?}"), format!("{new:?}"));
        }
        let instances = |of: &Self| of.settings.pool.map(|pool| pool.max);
        if let (Some(old), Some(new)) = (instances(self), instances(next))
            && old != new
        {
            return clash("pool max", old.to_string(), new.to_string());
        }
        if self.state_type != next.state_type {
            return clash(
                "state type",
                format!("\"{}\"", self.state_type),
                format!("\"{}\"", next.state_type),
            );
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_that_defines_one_default_read_loses_them_all() {
        let mut definition = TypeDefinition::new("Counter");
        assert!(definition.is_default_read("get") && definition.is_default_read("GetState"));
        definition.actions.insert("Get".into(), Action::default());
        assert!(!definition.is_default_read("get"));
    }

    #[test]
    fn a_definition_may_grow_actions_but_not_change_its_state() {
        let old = TypeDefinition::new("Counter");
        let mut grown = old.clone();
        grown.actions.insert("Add".into(), Action::default());
        assert_eq!(old.conflict_with(&grown), None);
        let mut other = old.clone();
        other.state_type = "acme.CounterState".into();
        assert!(old.conflict_with(&other).expect("conflict").contains("state type"));
    }

    #[test]
    fn names_of_callboards_own_actions_are_refused() {
        let mut definition = TypeDefinition::new("Counter");
        definition.actions.insert("$delete".into(), Action::default());
        let error = definition.validate().expect_err("refused");
        assert!(error.message.contains("are Callboard's own"), "{error}");
    }

    #[test]
    fn two_init_actions_are_refused() {
        let mut definition = TypeDefinition::new("Counter");
        definition.actions.insert("init".into(), Action::default());
        assert_eq!(definition.validate(), Ok(()));
        definition.actions.insert("Setup".into(), Action::default());
        assert!(definition.validate().is_err());
    }
}
