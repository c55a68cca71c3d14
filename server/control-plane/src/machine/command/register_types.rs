//! Registers what a host offers: all of it or none.

mod check;

use std::{collections::BTreeSet, sync::Arc};

use callboard_types::{CallError, NodeId, ShardOwner, TypeDefinition, TypeView};
use serde::{Deserialize, Serialize};

use crate::machine::{CloneView, Machine, TypeRecord, member::Members, placement::Movement};

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
    /// The descriptors of all the types. None says nothing about them: what is registered stays, so that a host whose
    /// language knows no descriptors takes none away.
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
    /// What the first command version does: shards whose owner has no host of the type go to the node at once.
    pub(super) fn run(self, machine: &mut Machine) -> Result<bool, CallError> {
        self.run_and(machine, |record, _| record.place(Movement::Orphans))
    }

    /// Registers, and places the shards of each type.
    pub(super) fn run_and(
        self,
        machine: &mut Machine,
        place: impl Fn(&mut TypeRecord, &Members) -> bool,
    ) -> Result<bool, CallError> {
        let types = self.check(machine)?;
        let descriptors = self.keep_descriptors(machine);
        let mut next_id = machine.next_type_id;
        let system =
            Arc::clone(machine.systems.get_key_value(self.system.as_str()).expect("checked").0);
        let records = machine.systems.get_mut(&system).expect("checked");
        let mut changed = false;
        for definition in types {
            let record = records.entry(definition.name.as_str().into()).or_insert_with(|| {
                changed = true;
                let id = next_id;
                next_id += 1;
                TypeRecord::unowned(id, &system, definition.clone())
            });
            changed |= record.replace(definition, descriptors.as_ref());
            changed |= record.eligible.insert(self.node);
            changed |= place(record, &machine.members);
        }
        machine.next_type_id = next_id;
        machine.drop_unused_descriptors();
        Ok(changed)
    }

    fn keep_descriptors(&self, machine: &mut Machine) -> Option<Descriptors> {
        let set = self.descriptor_set.as_ref()?;
        if let Some((hash, bytes)) = machine.descriptors.get_key_value(set.hash.as_str()) {
            return Some((Arc::clone(hash), Arc::clone(bytes)));
        }
        let (hash, bytes): Descriptors = (set.hash.as_str().into(), set.bytes.as_slice().into());
        machine.descriptors.insert(Arc::clone(&hash), Arc::clone(&bytes));
        Some((hash, bytes))
    }
}

/// A descriptor set by hash, shared by all who use it.
type Descriptors = (Arc<str>, Arc<[u8]>);

impl TypeRecord {
    fn unowned(id: u32, system: &Arc<str>, definition: TypeDefinition) -> Self {
        let view = TypeView {
            id,
            system: Arc::clone(system),
            name: definition.name.as_str().into(),
            descriptor_hash: "".into(),
            descriptor_set: Arc::new([]),
            shards: vec![ShardOwner::default(); definition.shards as usize].into(),
            definition,
        };
        Self { view: Arc::new(view), eligible: BTreeSet::new() }
    }

    /// The newest compatible registration wins. True if it differs from what was there.
    fn replace(&mut self, definition: TypeDefinition, descriptors: Option<&Descriptors>) -> bool {
        let descriptors = descriptors.filter(|(hash, _)| self.view.descriptor_hash != *hash);
        if self.view.definition == definition && descriptors.is_none() {
            return false;
        }
        let mut view = TypeView::clone_of(&self.view);
        view.definition = definition;
        if let Some((hash, bytes)) = descriptors {
            view.descriptor_hash = Arc::clone(hash);
            view.descriptor_set = Arc::clone(bytes);
        }
        self.view = Arc::new(view);
        true
    }
}

impl Machine {
    fn drop_unused_descriptors(&mut self) {
        let used: BTreeSet<Arc<str>> =
            self.types().map(|view| Arc::clone(&view.descriptor_hash)).collect();
        self.descriptors.retain(|hash, _| used.contains(hash));
    }
}

#[cfg(test)]
mod tests;
