//! The node's local copy of what the cluster agreed on. The one thing that both planes look at.
//!
//! The control plane publishes a new `Arc<ClusterView>` on a watch after each change it applied; the data plane reads
//! the newest one and never waits for consensus to route a call.

use std::{collections::HashMap, sync::Arc};

use crate::{
    actor_id::ActorId,
    definition::{Kind, TypeDefinition},
    number::{Epoch, NodeId},
    shard::{ShardId, shard_of},
};

/// One version of what the cluster agreed on.
#[derive(Clone, Debug, Default)]
pub struct ClusterView {
    /// Rises with each change.
    pub version: u64,
    /// The cluster's name; a UUID drawn at bootstrap. Empty before the first membership is known.
    pub cluster_id: String,
    /// The node that holds this copy.
    pub node: NodeId,
    /// The leader of the control plane, if one is known.
    pub leader: Option<NodeId>,
    /// The control plane's term.
    pub term: u64,
    /// The nodes by id.
    pub nodes: Vec<NodeView>,
    /// The systems' names in order.
    pub systems: Vec<Arc<str>>,
    /// The types, sorted by system and name.
    pub types: Vec<Arc<TypeView>>,
    /// Where in `types` a (system, type) stands.
    pub index: TypeIndex,
}

/// Finds a type by its names without building a key.
#[derive(Clone, Debug, Default)]
pub struct TypeIndex(HashMap<Arc<str>, HashMap<Arc<str>, usize>>);

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// Its number.
    pub id: NodeId,
    /// host:port of its gateway.
    pub address: String,
    /// host:port at which other nodes reach it; empty on a node that is alone.
    pub peer_address: String,
    /// True if it votes.
    pub voter: bool,
    /// What the cluster thinks of it.
    pub state: NodeState,
}

/// What the cluster thinks of a node.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
pub enum NodeState {
    /// It serves.
    #[default]
    Up,
    /// It gives its shards away and gets none.
    Draining,
    /// It missed its lease: it owns nothing.
    Down,
}

/// One registered type.
#[derive(Debug, PartialEq, Eq)]
pub struct TypeView {
    /// A number for the type, never used for another one in the life of the cluster.
    pub id: u32,
    /// Its system.
    pub system: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// What it is and does.
    pub definition: TypeDefinition,
    /// Names its descriptor set; empty if it has none.
    pub descriptor_hash: Arc<str>,
    /// The descriptor set; empty if it has none.
    pub descriptor_set: Arc<[u8]>,
    /// The owner of each shard.
    pub shards: Arc<[ShardOwner]>,
}

/// Who owns a shard, and since which epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ShardOwner {
    /// The owner; [`NodeId::ZERO`] if nobody is.
    pub node: NodeId,
    /// Raised each time the shard changes owner.
    pub epoch: Epoch,
    /// Who gets the shard once the owner released it; [`NodeId::ZERO`] if it stays. The owner starts no new turn of
    /// such a shard and releases it as soon as it can.
    ///
    /// Not part of the stored form of an owner: snapshots list moves apart.
    #[serde(skip)]
    pub moving_to: NodeId,
}

impl ShardOwner {
    /// A shard that stays where it is.
    #[must_use]
    pub fn new(node: NodeId, epoch: Epoch) -> Self {
        Self { node, epoch, moving_to: NodeId::ZERO }
    }

    /// True if the owner is to release the shard.
    #[must_use]
    pub fn is_moving(&self) -> bool {
        self.moving_to != NodeId::ZERO
    }
}

impl ClusterView {
    /// Finds a node.
    #[must_use]
    pub fn node_of(&self, id: NodeId) -> Option<&NodeView> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// Finds a type.
    #[must_use]
    pub fn type_of(&self, system: &str, actor_type: &str) -> Option<&Arc<TypeView>> {
        self.position_of(system, actor_type).map(|at| &self.types[at])
    }

    /// Where in `types` a type stands.
    #[must_use]
    pub fn position_of(&self, system: &str, actor_type: &str) -> Option<usize> {
        self.index.0.get(system)?.get(actor_type).copied()
    }

    /// True if the system exists.
    #[must_use]
    pub fn has_system(&self, system: &str) -> bool {
        self.systems.binary_search_by(|name| name.as_ref().cmp(system)).is_ok()
    }

    /// Puts types in order and rebuilds the index. The publisher calls it once per version.
    pub fn set_types(&mut self, mut types: Vec<Arc<TypeView>>) {
        types.sort_by(|a, b| (&a.system, &a.name).cmp(&(&b.system, &b.name)));
        self.index = TypeIndex::default();
        for (at, view) in types.iter().enumerate() {
            let by_name = self.index.0.entry(Arc::clone(&view.system)).or_default();
            by_name.insert(Arc::clone(&view.name), at);
        }
        self.types = types;
    }
}

impl TypeView {
    /// The shard of a key. An instance of a pool has the shard of its number.
    ///
    /// # Panics
    /// If the type has no shards, which registration rules out.
    #[must_use]
    pub fn shard_of(&self, key: &str) -> u32 {
        let count = u32::try_from(self.shards.len()).expect("at most SHARDS_MAX shards");
        self.instance_of(key).unwrap_or_else(|| shard_of(key, count))
    }

    /// The number of a pool's instance, if the type is a pool and the key names one of its instances as Callboard writes it.
    #[must_use]
    pub fn instance_of(&self, key: &str) -> Option<u32> {
        if self.definition.kind != Kind::Pooled || (key.len() > 1 && key.starts_with('0')) {
            return None;
        }
        let digits = key.bytes().all(|byte| byte.is_ascii_digit());
        let number = key.parse().ok().filter(|_| digits)?;
        ((number as usize) < self.shards.len()).then_some(number)
    }

    /// The shard of a key whose [`key_hash`](crate::shard::key_hash) is known; not for pools.
    ///
    /// # Panics
    /// As [`shard_of`](Self::shard_of).
    #[must_use]
    pub fn shard_of_hash(&self, hash: u64) -> u32 {
        let shard = hash % self.shards.len() as u64;
        u32::try_from(shard).expect("at most SHARDS_MAX shards")
    }

    /// Names an actor of this type.
    #[must_use]
    pub fn actor_id(&self, key: &str) -> ActorId {
        ActorId {
            system: Arc::clone(&self.system),
            actor_type: Arc::clone(&self.name),
            key: key.into(),
        }
    }

    /// Names a shard of this type.
    #[must_use]
    pub fn shard_id(&self, number: u32) -> ShardId {
        ShardId { system: Arc::clone(&self.system), actor_type: Arc::clone(&self.name), number }
    }
}
