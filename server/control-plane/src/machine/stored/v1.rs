//! Format 1 of a stored machine: what a node that was alone by construction wrote. It is read and never written.

use callboard_types::{NodeId, ShardOwner, TypeDefinition};
use serde::Deserialize;

use super::{StoredMember, StoredPlain, StoredSystem, StoredType};
use crate::machine::Member;

/// A machine as format 1 describes it.
#[derive(Clone, Debug, Deserialize)]
pub struct StoredV1 {
    cluster_id: String,
    nodes: Vec<(NodeId, String)>,
    next_type_id: u32,
    systems: Vec<SystemV1>,
    descriptors: Vec<(String, Vec<u8>)>,
}

#[derive(Clone, Debug, Deserialize)]
struct SystemV1 {
    name: String,
    types: Vec<TypeV1>,
}

#[derive(Clone, Debug, Deserialize)]
struct TypeV1 {
    id: u32,
    definition: TypeDefinition,
    descriptor_hash: String,
    shards: Vec<ShardOwner>,
    eligible: Vec<NodeId>,
}

impl From<StoredV1> for StoredPlain {
    fn from(old: StoredV1) -> Self {
        let highest = old.nodes.iter().map(|(node, _)| node.0).max();
        let members = old.nodes.into_iter().map(|(node, address)| {
            StoredMember::from((node, &Member::of_version_one(address.into())))
        });
        Self {
            // Before the bootstrap there is no version, as in a machine that applied nothing.
            cluster_version: u32::from(!old.cluster_id.is_empty()),
            cluster_id: old.cluster_id,
            members: members.collect(),
            next_node_id: highest.map_or(0, |node| node.saturating_add(1)),
            next_type_id: old.next_type_id,
            systems: old.systems.into_iter().map(StoredSystem::from).collect(),
            descriptors: old.descriptors,
        }
    }
}

impl From<SystemV1> for StoredSystem {
    fn from(old: SystemV1) -> Self {
        let types = old.types.into_iter().map(|old| StoredType {
            id: old.id,
            definition: old.definition,
            descriptor_hash: old.descriptor_hash,
            shards: old.shards,
            moves: Vec::new(),
            eligible: old.eligible,
        });
        Self { name: old.name, types: types.collect() }
    }
}
