//! The machine as it stands in snapshots: plain data without sharing.

use std::{collections::BTreeMap, sync::Arc};

use callboard_types::{NodeId, ShardOwner, TypeDefinition, TypeView};
use serde::{Deserialize, Serialize};

use super::{Machine, TypeRecord};

/// A machine to be written down. Its encoding carries a format number (see `raft::codec`); changing a field needs a new
/// one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    cluster_id: String,
    nodes: Vec<(NodeId, String)>,
    next_type_id: u32,
    systems: Vec<StoredSystem>,
    descriptors: Vec<(String, Vec<u8>)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredSystem {
    name: String,
    types: Vec<StoredType>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredType {
    id: u32,
    definition: TypeDefinition,
    descriptor_hash: String,
    shards: Vec<ShardOwner>,
    eligible: Vec<NodeId>,
}

impl From<&Machine> for Stored {
    fn from(machine: &Machine) -> Self {
        let systems = machine.systems.iter().map(|(name, types)| StoredSystem {
            name: name.to_string(),
            types: types.values().map(StoredType::from).collect(),
        });
        let descriptors = machine.descriptors.iter();
        Self {
            cluster_id: machine.cluster_id.to_string(),
            nodes: machine.nodes().map(|(id, address)| (id, address.to_string())).collect(),
            next_type_id: machine.next_type_id,
            systems: systems.collect(),
            descriptors: descriptors.map(|(hash, set)| (hash.to_string(), set.to_vec())).collect(),
        }
    }
}

impl From<&TypeRecord> for StoredType {
    fn from(record: &TypeRecord) -> Self {
        Self {
            id: record.view.id,
            definition: record.view.definition.clone(),
            descriptor_hash: record.view.descriptor_hash.to_string(),
            shards: record.view.shards.to_vec(),
            eligible: record.eligible.iter().copied().collect(),
        }
    }
}

impl From<Stored> for Machine {
    fn from(stored: Stored) -> Self {
        let descriptors: BTreeMap<Arc<str>, Arc<[u8]>> =
            stored.descriptors.into_iter().map(|(hash, set)| (hash.into(), set.into())).collect();
        let mut systems = BTreeMap::new();
        for system in stored.systems {
            let name: Arc<str> = system.name.into();
            let records: BTreeMap<Arc<str>, TypeRecord> = system
                .types
                .into_iter()
                .map(|stored| {
                    let record = stored.into_record(&name, &descriptors);
                    (Arc::clone(&record.view.name), record)
                })
                .collect();
            systems.insert(name, records);
        }
        Self {
            cluster_id: stored.cluster_id.into(),
            nodes: stored.nodes.into_iter().map(|(id, address)| (id, address.into())).collect(),
            systems,
            descriptors,
            next_type_id: stored.next_type_id,
        }
    }
}

impl StoredType {
    fn into_record(
        self,
        system: &Arc<str>,
        descriptors: &BTreeMap<Arc<str>, Arc<[u8]>>,
    ) -> TypeRecord {
        let (descriptor_hash, descriptor_set) =
            descriptors.get_key_value(self.descriptor_hash.as_str()).map_or_else(
                || ("".into(), Arc::new([]) as _),
                |(hash, set)| (Arc::clone(hash), Arc::clone(set)),
            );
        let view = TypeView {
            id: self.id,
            system: Arc::clone(system),
            name: self.definition.name.as_str().into(),
            definition: self.definition,
            descriptor_hash,
            descriptor_set,
            shards: self.shards.into(),
        };
        TypeRecord { view: Arc::new(view), eligible: self.eligible.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use callboard_types::TypeDefinition;

    use super::*;
    use crate::machine::{
        Command,
        command::{Bootstrap, CreateSystem, DescriptorSet, NodeUpsert, RegisterTypes},
    };

    #[test]
    fn a_machine_comes_back_from_a_snapshot_as_it_was() {
        let mut machine = Machine::default();
        let set = DescriptorSet { hash: "h".into(), bytes: b"files".into() };
        let commands = [
            Command::Bootstrap(Bootstrap {
                cluster_id: "c".into(),
                node: NodeId(1),
                address: "a:1".into(),
            }),
            Command::NodeUpsert(NodeUpsert { node: NodeId(2), address: "b:1".into() }),
            Command::CreateSystem(CreateSystem { name: "shop".into() }),
            Command::RegisterTypes(RegisterTypes {
                system: "shop".into(),
                node: NodeId(1),
                types: vec![TypeDefinition::new("Cart"), TypeDefinition::new("Stock")],
                descriptor_set: Some(set),
            }),
        ];
        for command in commands {
            assert!(machine.apply(command).changed);
        }
        let back = Machine::from(Stored::from(&machine));
        assert_eq!(back, machine);
        let sets: Vec<_> = back.types().map(|view| &view.descriptor_set).collect();
        assert!(Arc::ptr_eq(sets[0], sets[1]), "still one copy in memory");
    }
}
