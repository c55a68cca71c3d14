//! What a registration must be like to be taken.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use callboard_types::{CallError, ErrorKind, Kind, TypeDefinition, limits};

use super::RegisterTypes;
use crate::machine::{
    DEFINITION_BYTES_MAX, Machine, REGISTERED_BYTES_MAX, TYPES_MAX, TypeRecord, exhausted,
};

/// Bytes that a shard's owner takes in a snapshot, at most.
const SHARD_BYTES: usize = 20;
/// Bytes that a definition takes besides its names, at most.
const FIXED_BYTES: usize = 64;

impl RegisterTypes {
    /// Refuses the whole registration if any part of it is wrong. Returns the definitions as they will be kept.
    pub(super) fn check(&self, machine: &Machine) -> Result<Vec<TypeDefinition>, CallError> {
        let Some(known) = machine.systems.get(self.system.as_str()) else {
            return Err(CallError::new(
                ErrorKind::UnknownSystem,
                format!(
                    "there is no system \"{}\"; create it first, or register in another one",
                    self.system.escape_debug()
                ),
            ));
        };
        if self.types.is_empty() || self.types.len() > limits::REGISTER_TYPES_MAX {
            return Err(CallError::new(
                ErrorKind::InvalidArgument,
                format!(
                    "a registration names 1 to {} types; this one has {}",
                    limits::REGISTER_TYPES_MAX,
                    self.types.len()
                ),
            ));
        }
        self.check_descriptors(machine)?;
        let mut seen = BTreeSet::new();
        let mut kept = Vec::with_capacity(self.types.len());
        for definition in &self.types {
            if !seen.insert(definition.name.as_str()) {
                return Err(CallError::new(
                    ErrorKind::InvalidArgument,
                    format!("type {} stands twice in one registration", definition.name),
                ));
            }
            kept.push(check_type(known, definition)?);
        }
        let new = seen.iter().filter(|name| !known.contains_key(**name)).count();
        let count: usize = machine.systems.values().map(BTreeMap::len).sum();
        if count + new > TYPES_MAX {
            return Err(exhausted("types", TYPES_MAX));
        }
        self.check_budget(machine, known, &kept)?;
        Ok(kept)
    }

    fn check_descriptors(&self, machine: &Machine) -> Result<(), CallError> {
        let Some(set) = &self.descriptor_set else {
            return Ok(());
        };
        if set.bytes.len() > limits::DESCRIPTOR_SET_BYTES_MAX {
            return Err(CallError::new(
                ErrorKind::InvalidArgument,
                format!(
                    "a descriptor set has at most {} bytes; this one has {}. Register only the files \
                     that the types need",
                    limits::DESCRIPTOR_SET_BYTES_MAX,
                    set.bytes.len()
                ),
            ));
        }
        // Otherwise whoever finds a collision could lend another system's types his own descriptors.
        if machine.descriptors.get(set.hash.as_str()).is_some_and(|known| **known != *set.bytes) {
            return Err(CallError::new(
                ErrorKind::InvalidArgument,
                "another descriptor set has the same hash; change a comment in a file and register again",
            ));
        }
        Ok(())
    }

    /// What is registered must fit the memory of every node. What this registration would take the place of is counted
    /// as well: a cluster this full is not the place for subtleties.
    fn check_budget(
        &self,
        machine: &Machine,
        known: &BTreeMap<Arc<str>, TypeRecord>,
        kept: &[TypeDefinition],
    ) -> Result<(), CallError> {
        let new = kept.iter().filter(|definition| !known.contains_key(definition.name.as_str()));
        let new: usize = new.map(definition_bytes).sum();
        let set = self.descriptor_set.as_ref();
        let set = set.filter(|set| !machine.descriptors.contains_key(set.hash.as_str()));
        let asked = new + set.map_or(0, |set| set.bytes.len());
        if asked == 0 {
            // Nearly every registration is one of many hosts with the same types.
            return Ok(());
        }
        let sets: usize = machine.descriptors.values().map(|set| set.len()).sum();
        let definitions: usize =
            machine.types().map(|view| definition_bytes(&view.definition)).sum();
        if sets + definitions + asked > REGISTERED_BYTES_MAX {
            return Err(exhausted("bytes of definitions", REGISTERED_BYTES_MAX));
        }
        Ok(())
    }
}

/// Checks one definition against the rules and against what is registered under its name.
fn check_type(
    known: &BTreeMap<Arc<str>, TypeRecord>,
    definition: &TypeDefinition,
) -> Result<TypeDefinition, CallError> {
    let mut kept = definition.clone();
    let registered = known.get(definition.name.as_str()).map(|record| &record.view);
    if let Some(view) = registered {
        // Stored actors would be looked for in the wrong shard under any other count.
        kept.shards = view.definition.shards;
    } else if kept.kind == Kind::Named {
        kept.shards = 1;
    } else if let Some(pool) = kept.settings.pool {
        // Each instance is its own shard, so that they spread over the nodes.
        kept.shards = pool.max;
    }
    kept.validate()?;
    if definition_bytes(&kept) > DEFINITION_BYTES_MAX {
        let text = format!(
            "the definition of type {} takes {} bytes, and {DEFINITION_BYTES_MAX} is the limit",
            kept.name,
            definition_bytes(&kept)
        );
        return Err(
            CallError::new(ErrorKind::InvalidArgument, text).with("limit", DEFINITION_BYTES_MAX)
        );
    }
    match registered.and_then(|view| view.definition.conflict_with(&kept)) {
        Some(conflict) => {
            Err(CallError::new(ErrorKind::IncompatibleType, conflict)
                .with("type", &definition.name))
        }
        None => Ok(kept),
    }
}

/// About what a type takes in a snapshot.
fn definition_bytes(definition: &TypeDefinition) -> usize {
    let actions = definition
        .actions
        .iter()
        .map(|(name, action)| name.len() + action.input_type.len() + action.output_type.len() + 8);
    let names = definition.name.len() + definition.state_type.len() + definition.service.len();
    let settings = &definition.settings;
    let timers = settings.timers.iter().map(|timer| timer.action.len() + 8);
    let heard = settings.subscriptions.iter().map(|one| one.channel.len() + one.action.len() + 8);
    let settings = timers.sum::<usize>() + heard.sum::<usize>();
    names
        + actions.sum::<usize>()
        + settings
        + definition.shards as usize * SHARD_BYTES
        + FIXED_BYTES
}
