//! The machine as it stands in snapshots: plain data without sharing.

pub mod v1;

use std::{collections::BTreeMap, sync::Arc};

use callboard_types::{Millis, NodeId, ShardOwner, TypeDefinition, TypeSettings, TypeView};
use serde::{Deserialize, Serialize};

use super::{
    Machine, Member, TypeRecord,
    schedules::{Schedules, stored::StoredSchedules},
};

/// A machine to be written down, in format 4. Changing a field, here or in a part, needs a new format; the ones before
/// stay readable, as [`v1`] shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    known: StoredKnown,
    /// Requests about schedules that were done, and when.
    requests: Vec<(Millis, u128)>,
}

/// What format 3 holds: a machine in which nothing needs the fourth command version. Still written as long as nodes that
/// read nothing newer may be members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredKnown {
    plain: StoredPlain,
    /// By type id: the settings of types that have any. The stored form of a definition has no room for them.
    settings: Vec<(u32, TypeSettings)>,
    schedules: StoredSchedules,
}

/// What format 2 holds: a machine in which nothing needs the third command version. Still written as long as nodes that
/// read nothing newer may be members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPlain {
    cluster_id: String,
    cluster_version: u32,
    members: Vec<StoredMember>,
    next_node_id: u64,
    next_type_id: u32,
    systems: Vec<StoredSystem>,
    descriptors: Vec<(String, Vec<u8>)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredMember {
    node: NodeId,
    address: String,
    peer_address: String,
    folder_id: String,
    life: u64,
    up: bool,
    draining: bool,
    commands: (u32, u32),
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
    /// (shard, who gets it) of the shards that move. An owner's stored form has no room for it.
    moves: Vec<(u32, NodeId)>,
    eligible: Vec<NodeId>,
}

impl From<&Machine> for Stored {
    fn from(machine: &Machine) -> Self {
        Self { known: machine.into(), requests: machine.schedules.requests() }
    }
}

impl From<&Machine> for StoredKnown {
    fn from(machine: &Machine) -> Self {
        let plain = TypeSettings::default();
        let types = machine.types().filter(|view| view.definition.settings != plain);
        Self {
            plain: StoredPlain::from(machine),
            settings: types.map(|view| (view.id, view.definition.settings.clone())).collect(),
            schedules: (&machine.schedules).into(),
        }
    }
}

impl Stored {
    /// The machine in format 2, if that format has room for all of it and the cluster may have to read it.
    #[must_use]
    pub fn as_plain(&self) -> Option<&StoredPlain> {
        let known = self.as_known()?;
        let fits = known.plain.cluster_version <= 2
            && known.settings.is_empty()
            && known.schedules.is_empty();
        fits.then_some(&known.plain)
    }

    /// The machine in format 3, on the same terms.
    #[must_use]
    pub fn as_known(&self) -> Option<&StoredKnown> {
        let fits = self.known.plain.cluster_version <= 3 && self.requests.is_empty();
        fits.then_some(&self.known)
    }
}

impl From<StoredKnown> for Stored {
    fn from(known: StoredKnown) -> Self {
        Self { known, requests: Vec::new() }
    }
}

impl From<StoredPlain> for Stored {
    fn from(plain: StoredPlain) -> Self {
        StoredKnown { plain, settings: Vec::new(), schedules: StoredSchedules::default() }.into()
    }
}

impl From<&Machine> for StoredPlain {
    fn from(machine: &Machine) -> Self {
        let systems = machine.systems.iter().map(|(name, types)| StoredSystem {
            name: name.to_string(),
            types: types.values().map(StoredType::from).collect(),
        });
        let descriptors = machine.descriptors.iter();
        Self {
            cluster_id: machine.cluster_id.to_string(),
            cluster_version: machine.cluster_version,
            members: machine.members().map(StoredMember::from).collect(),
            next_node_id: machine.next_node_id,
            next_type_id: machine.next_type_id,
            systems: systems.collect(),
            descriptors: descriptors.map(|(hash, set)| (hash.to_string(), set.to_vec())).collect(),
        }
    }
}

impl From<(NodeId, &Member)> for StoredMember {
    fn from((node, member): (NodeId, &Member)) -> Self {
        Self {
            node,
            address: member.address.to_string(),
            peer_address: member.peer_address.to_string(),
            folder_id: member.folder_id.to_string(),
            life: member.life,
            up: member.up,
            draining: member.draining,
            commands: member.commands,
        }
    }
}

impl From<StoredMember> for Member {
    fn from(stored: StoredMember) -> Self {
        Self {
            address: stored.address.into(),
            peer_address: stored.peer_address.into(),
            folder_id: stored.folder_id.into(),
            life: stored.life,
            up: stored.up,
            draining: stored.draining,
            commands: stored.commands,
        }
    }
}

impl From<&TypeRecord> for StoredType {
    fn from(record: &TypeRecord) -> Self {
        let moving = (0_u32..).zip(&*record.view.shards).filter(|(_, shard)| shard.is_moving());
        Self {
            id: record.view.id,
            definition: record.view.definition.clone(),
            descriptor_hash: record.view.descriptor_hash.to_string(),
            shards: record.view.shards.to_vec(),
            moves: moving.map(|(number, shard)| (number, shard.moving_to)).collect(),
            eligible: record.eligible.iter().copied().collect(),
        }
    }
}

impl From<Stored> for Machine {
    fn from(stored: Stored) -> Self {
        let Stored { known: stored, requests } = stored;
        let mut settings: BTreeMap<u32, TypeSettings> = stored.settings.into_iter().collect();
        let schedules = Schedules::from(stored.schedules).with_requests(requests);
        let stored = stored.plain;
        let descriptors: BTreeMap<Arc<str>, Arc<[u8]>> =
            stored.descriptors.into_iter().map(|(hash, set)| (hash.into(), set.into())).collect();
        let mut systems = BTreeMap::new();
        for system in stored.systems {
            let name: Arc<str> = system.name.into();
            let records: BTreeMap<Arc<str>, TypeRecord> = system
                .types
                .into_iter()
                .map(|mut stored| {
                    stored.definition.settings = settings.remove(&stored.id).unwrap_or_default();
                    let record = stored.into_record(&name, &descriptors);
                    (Arc::clone(&record.view.name), record)
                })
                .collect();
            systems.insert(name, records);
        }
        Self {
            cluster_id: stored.cluster_id.into(),
            cluster_version: stored.cluster_version,
            members: stored.members.into_iter().map(|one| (one.node, one.into())).collect(),
            next_node_id: stored.next_node_id,
            systems,
            descriptors,
            next_type_id: stored.next_type_id,
            schedules,
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
        let mut shards = self.shards;
        for (number, to) in self.moves {
            if let Some(shard) = shards.get_mut(number as usize) {
                shard.moving_to = to;
            }
        }
        let view = TypeView {
            id: self.id,
            system: Arc::clone(system),
            name: self.definition.name.as_str().into(),
            definition: self.definition,
            descriptor_hash,
            descriptor_set,
            shards: shards.into(),
        };
        TypeRecord { view: Arc::new(view), eligible: self.eligible.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use callboard_types::{Durability, Epoch, Kind, TypeDefinition, settings::Pool};

    use super::*;
    use crate::machine::{
        Command,
        command::{
            AllocateNode, Bootstrap, CreateSystem, DescriptorSet, Move, NodeUpsert, PlanMoves,
            RegisterTypes, SetNodeState, TypesOfferedWith,
        },
    };

    #[test]
    fn a_machine_comes_back_from_a_snapshot_as_it_was() {
        let mut machine = Machine::default();
        let mut pool = TypeDefinition::new("Pool");
        (pool.kind, pool.durability) = (Kind::Pooled, Durability::Volatile);
        pool.settings.pool = Some(Pool { min: 1, max: 2 });
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
            Command::AllocateNode(AllocateNode {
                folder_id: "f".into(),
                address: "c:1".into(),
                peer_address: "c:2".into(),
                commands_min: 1,
                commands_max: 2,
            }),
            Command::PlanMoves(PlanMoves {
                moves: vec![Move { type_id: 0, shard: 3, epoch: Epoch(1), to: NodeId(2) }],
            }),
            Command::SetNodeState(SetNodeState { node: NodeId(2), draining: true }),
            Command::TypesOfferedWith(TypesOfferedWith::new(RegisterTypes {
                system: "shop".into(),
                node: NodeId(1),
                types: vec![pool],
                descriptor_set: None,
            })),
        ];
        for command in commands {
            assert!(machine.apply(command).changed);
        }
        let back = Machine::from(Stored::from(&machine));
        assert_eq!(back, machine);
        assert!(back.types().any(|view| view.shards[3].moving_to == NodeId(2)), "moves as well");
        let sets: Vec<_> = back.types().map(|view| &view.descriptor_set).collect();
        assert!(Arc::ptr_eq(sets[0], sets[2]), "still one copy in memory");
    }
}
