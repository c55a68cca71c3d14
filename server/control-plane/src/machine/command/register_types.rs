//! Registers what a host offers: all of it or none.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use callboard_types::{
    CallError, ErrorKind, Kind, NodeId, ShardOwner, TypeDefinition, TypeView, limits,
};
use serde::{Deserialize, Serialize};

use crate::machine::{CloneView, Machine, TYPES_MAX, TypeRecord, exhausted, placement::Movement};

/// One host's registration, by way of the node that it is connected to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterTypes {
    /// The system of all the types.
    pub system: String,
    /// The node. It becomes eligible for each of the types, and owns what nobody owned, in the same step: the first
    /// call may follow the first registration.
    pub node: NodeId,
    /// The types.
    pub types: Vec<TypeDefinition>,
    /// The descriptors of all the types, if they have any.
    pub descriptor_set: Option<DescriptorSet>,
}

/// A serialised `google.protobuf.FileDescriptorSet` with its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescriptorSet {
    /// A hash of the bytes. Who makes the command computes it.
    pub hash: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl RegisterTypes {
    pub(super) fn run(self, machine: &mut Machine) -> Result<bool, CallError> {
        let types = self.check(machine)?;
        let (hash, bytes) = self.keep_descriptors(machine);
        let mut next_id = machine.next_type_id;
        let system = Arc::clone(
            machine
                .systems
                .get_key_value(self.system.as_str())
                .expect("checked")
                .0,
        );
        let records = machine.systems.get_mut(&system).expect("checked");
        let mut changed = false;
        for definition in types {
            let record = records
                .entry(definition.name.as_str().into())
                .or_insert_with(|| {
                    changed = true;
                    let id = next_id;
                    next_id += 1;
                    TypeRecord::unowned(id, &system, definition.clone(), &hash, &bytes)
                });
            changed |= record.replace(definition, &hash, &bytes);
            changed |= record.eligible.insert(self.node);
            changed |= record.place(Movement::Orphans);
        }
        machine.next_type_id = next_id;
        machine.drop_unused_descriptors();
        Ok(changed)
    }

    /// Refuses the whole registration if any part of it is wrong. Returns the definitions as they will be kept.
    fn check(&self, machine: &Machine) -> Result<Vec<TypeDefinition>, CallError> {
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
        let new = seen
            .iter()
            .filter(|name| !known.contains_key(**name))
            .count();
        let count: usize = machine.systems.values().map(BTreeMap::len).sum();
        if count + new > TYPES_MAX {
            return Err(exhausted("types", TYPES_MAX));
        }
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
        if machine
            .descriptors
            .get(set.hash.as_str())
            .is_some_and(|known| **known != *set.bytes)
        {
            return Err(CallError::new(
                ErrorKind::InvalidArgument,
                "another descriptor set has the same hash; change a comment in a file and register again",
            ));
        }
        Ok(())
    }

    fn keep_descriptors(&self, machine: &mut Machine) -> (Arc<str>, Arc<[u8]>) {
        let Some(set) = &self.descriptor_set else {
            return ("".into(), Arc::new([]));
        };
        if let Some((hash, bytes)) = machine.descriptors.get_key_value(set.hash.as_str()) {
            return (Arc::clone(hash), Arc::clone(bytes));
        }
        let (hash, bytes): (Arc<str>, Arc<[u8]>) =
            (set.hash.as_str().into(), set.bytes.as_slice().into());
        machine
            .descriptors
            .insert(Arc::clone(&hash), Arc::clone(&bytes));
        (hash, bytes)
    }
}

/// Checks one definition against the rules and against what is registered under its name.
fn check_type(
    known: &BTreeMap<Arc<str>, TypeRecord>,
    definition: &TypeDefinition,
) -> Result<TypeDefinition, CallError> {
    let mut kept = definition.clone();
    let registered = known
        .get(definition.name.as_str())
        .map(|record| &record.view);
    if let Some(view) = registered {
        // Stored actors would be looked for in the wrong shard under any other count.
        kept.shards = view.definition.shards;
    } else if kept.kind == Kind::Named {
        kept.shards = 1;
    }
    kept.validate()?;
    match registered.and_then(|view| view.definition.conflict_with(&kept)) {
        Some(conflict) => {
            Err(CallError::new(ErrorKind::IncompatibleType, conflict)
                .with("type", &definition.name))
        }
        None => Ok(kept),
    }
}

impl TypeRecord {
    fn unowned(
        id: u32,
        system: &Arc<str>,
        definition: TypeDefinition,
        hash: &Arc<str>,
        bytes: &Arc<[u8]>,
    ) -> Self {
        let view = TypeView {
            id,
            system: Arc::clone(system),
            name: definition.name.as_str().into(),
            descriptor_hash: Arc::clone(hash),
            descriptor_set: Arc::clone(bytes),
            shards: vec![ShardOwner::default(); definition.shards as usize].into(),
            definition,
        };
        Self {
            view: Arc::new(view),
            eligible: BTreeSet::new(),
        }
    }

    /// The newest compatible registration wins. True if it differs from what was there.
    fn replace(&mut self, definition: TypeDefinition, hash: &Arc<str>, bytes: &Arc<[u8]>) -> bool {
        if self.view.definition == definition && self.view.descriptor_hash == *hash {
            return false;
        }
        let mut view = TypeView::clone_of(&self.view);
        view.definition = definition;
        view.descriptor_hash = Arc::clone(hash);
        view.descriptor_set = Arc::clone(bytes);
        self.view = Arc::new(view);
        true
    }
}

impl Machine {
    fn drop_unused_descriptors(&mut self) {
        let used: BTreeSet<Arc<str>> = self
            .types()
            .map(|view| Arc::clone(&view.descriptor_hash))
            .collect();
        self.descriptors.retain(|hash, _| used.contains(hash));
    }
}

#[cfg(test)]
mod tests;
