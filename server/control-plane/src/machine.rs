//! What the cluster agrees on, as a pure replicated machine: `apply(Command) -> Applied`.
//!
//! Every node applies the same commands in the same order and so holds the same value. Nothing here reads a clock, draws
//! a random number or iterates in an order that differs between processes: time and ids travel inside commands. The
//! raft shell owns the one instance per node and calls it from one task.

pub mod command;
mod homes;
pub mod member;
pub mod placement;
pub mod planner;
pub mod schedules;
pub mod stored;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use callboard_types::{CallError, ErrorKind, NodeId, TypeView};
pub use command::Command;
pub use member::Member;

use member::Members;
use schedules::{ChangeResult, Schedules};

/// The command versions that this version of callboard can apply, from lowest to highest: see
/// [`Command::needs_version`].
pub const COMMAND_VERSIONS: (u32, u32) = (1, 4);

/// Nodes of a cluster. Every node keeps all of them in memory and a connection to each.
pub const NODES_MAX: usize = 1_000;
/// Systems of a cluster. A list of them must fit one message.
pub const SYSTEMS_MAX: usize = 10_000;
/// Types of a cluster. Every node keeps all of them in memory and in each snapshot.
pub const TYPES_MAX: usize = 20_000;
/// Bytes of one definition: 256 actions with names of 128 bytes and two message names each fit well.
pub const DEFINITION_BYTES_MAX: usize = 256 * 1024;
/// Bytes of all definitions, shard tables and descriptor sets. Every node holds them in memory, and a snapshot of them
/// must fit what a node takes from a peer.
pub const REGISTERED_BYTES_MAX: usize = 256 * 1024 * 1024;
/// The system that exists from the start.
pub const DEFAULT_SYSTEM: &str = "default";

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// True if anything differs from before. A refused command changes nothing.
    pub changed: bool,
    /// Why the command was refused, if it was.
    pub outcome: Result<(), CallError>,
    /// What came of each change of schedules, if the command was about them. Views do not show schedules.
    pub results: Vec<ChangeResult>,
}

/// The replicated state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    cluster_id: Arc<str>,
    /// The newest command version that may be proposed; see [`Command::needs_version`].
    cluster_version: u32,
    members: Members,
    /// Above every number that a node ever had. 0 before the first node.
    next_node_id: u64,
    systems: BTreeMap<Arc<str>, BTreeMap<Arc<str>, TypeRecord>>,
    /// By hash. Each is kept once, however many types share it, and goes with the last of them.
    descriptors: BTreeMap<Arc<str>, Arc<[u8]>>,
    next_type_id: u32,
    schedules: Schedules,
}

/// One registered type.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TypeRecord {
    /// What nodes see of it. Shared with every view in which it is the same.
    view: Arc<TypeView>,
    /// The nodes to which a host of the type is connected.
    eligible: BTreeSet<NodeId>,
}

// === impl Applied ===

impl Applied {
    /// The command was right; it changed something or found it as it should be.
    #[must_use]
    pub fn done(changed: bool) -> Self {
        Self { changed, outcome: Ok(()), results: Vec::new() }
    }

    /// The command was refused.
    #[must_use]
    pub fn refused(error: CallError) -> Self {
        Self { changed: false, outcome: Err(error), results: Vec::new() }
    }
}

// === impl Machine ===

impl Machine {
    /// Applies one command.
    pub fn apply(&mut self, command: Command) -> Applied {
        if let Command::ChangeSchedules(changes) = command {
            return changes.run(self);
        }
        match command.run(self) {
            Ok(changed) => Applied::done(changed),
            Err(error) => Applied::refused(error),
        }
    }

    /// The cluster's name; empty before the bootstrap.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// The nodes and the addresses of their gateways, by id.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &Arc<str>)> {
        self.members.iter().map(|(id, member)| (*id, member.address()))
    }

    /// The nodes by id, with all that is known of them.
    pub fn members(&self) -> impl Iterator<Item = (NodeId, &Member)> {
        self.members.iter().map(|(id, member)| (*id, member))
    }

    /// A node.
    #[must_use]
    pub fn member(&self, node: NodeId) -> Option<&Member> {
        self.members.get(&node)
    }

    /// The node whose data folder has this name.
    #[must_use]
    pub fn node_of_folder(&self, folder_id: &str) -> Option<NodeId> {
        let found = self.members.iter().find(|(_, member)| *member.folder_id == *folder_id);
        found.map(|(id, _)| *id)
    }

    /// The newest command version that every node knows, as far as that was agreed on.
    #[must_use]
    pub fn cluster_version(&self) -> u32 {
        self.cluster_version
    }

    /// True if the command may be proposed. A leader asks before it proposes; applying asks nothing, because what is in
    /// the log was agreed on. A node that is alone needs nobody else to know the command.
    #[must_use]
    pub fn admits(&self, command: &Command) -> bool {
        self.admits_version(command.needs_version())
    }

    /// [`admits`](Self::admits), of all commands of a version.
    #[must_use]
    pub fn admits_version(&self, version: u32) -> bool {
        version <= self.cluster_version || self.members.len() <= 1
    }

    /// The type with this id.
    #[must_use]
    pub fn type_by_id(&self, id: u32) -> Option<&Arc<TypeView>> {
        self.types().find(|view| view.id == id)
    }

    /// The nodes to which a host of each type is connected, by type id. Nodes that are down have none.
    pub fn eligibility(&self) -> impl Iterator<Item = (u32, &BTreeSet<NodeId>)> {
        let records = self.systems.values().flat_map(BTreeMap::values);
        records.map(|record| (record.view.id, &record.eligible))
    }

    /// How many shards the node owns.
    #[must_use]
    pub fn shards_of(&self, node: NodeId) -> usize {
        let shards = self.types().flat_map(|view| view.shards.iter());
        shards.filter(|shard| shard.node == node).count()
    }

    /// The systems in order.
    pub fn systems(&self) -> impl Iterator<Item = &Arc<str>> {
        self.systems.keys()
    }

    /// True if the system exists.
    #[must_use]
    pub fn has_system(&self, name: &str) -> bool {
        self.systems.contains_key(name)
    }

    /// Every type, by system and name.
    pub fn types(&self) -> impl Iterator<Item = &Arc<TypeView>> {
        self.systems.values().flat_map(BTreeMap::values).map(|record| &record.view)
    }

    /// The types of which the machine believes that a host is connected to the node, as (system, type).
    pub fn hosted_by(&self, node: NodeId) -> impl Iterator<Item = (Arc<str>, Arc<str>)> {
        self.systems
            .values()
            .flat_map(BTreeMap::values)
            .filter(move |record| record.eligible.contains(&node))
            .map(|record| (Arc::clone(&record.view.system), Arc::clone(&record.view.name)))
    }

    /// The schedules of all systems.
    #[must_use]
    pub fn schedules(&self) -> &Schedules {
        &self.schedules
    }

    fn record_mut(&mut self, system: &str, name: &str) -> Option<&mut TypeRecord> {
        self.systems.get_mut(system)?.get_mut(name)
    }
}

// === impl TypeRecord ===

impl TypeRecord {
    /// Places the shards anew. True if any moved.
    fn place(&mut self, movement: placement::Movement) -> bool {
        let id = self.view.id;
        let placed = placement::assign(&self.view.shards, &self.eligible, movement, id);
        let moved = *placed != *self.view.shards;
        if moved {
            let mut view = TypeView::clone_of(&self.view);
            view.shards = placed.into();
            self.view = Arc::new(view);
        }
        moved
    }
}

/// A copy of a type's view to change. The vocabulary keeps views immutable, so the copy is spelled out here.
trait CloneView {
    fn clone_of(view: &TypeView) -> TypeView;
}

impl CloneView for TypeView {
    fn clone_of(view: &TypeView) -> TypeView {
        TypeView {
            id: view.id,
            system: Arc::clone(&view.system),
            name: Arc::clone(&view.name),
            definition: view.definition.clone(),
            descriptor_hash: Arc::clone(&view.descriptor_hash),
            descriptor_set: Arc::clone(&view.descriptor_set),
            shards: Arc::clone(&view.shards),
        }
    }
}

fn exhausted(what: &str, max: usize) -> CallError {
    CallError::new(
        ErrorKind::InvalidArgument,
        format!("the cluster has its {max} {what} already; a retry cannot help"),
    )
    .with("limit", max)
}
