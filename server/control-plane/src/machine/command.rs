//! What can be asked of the machine: one file per command, and the dispatch.
//!
//! Commands stand in logs and travel between nodes of neighbouring versions. A variant is never removed, reordered or
//! changed; a new meaning is a new variant at the end, or a new format of the whole encoding (see `raft::codec`). The
//! rules that a command is checked against are part of its meaning: nodes that judge one command differently hold
//! different states, so another limit is a new variant as well.

mod allocate_node;
mod assign_shards;
mod bootstrap;
mod bootstrap_cluster;
mod change_schedules;
mod create_system;
mod hosted_changed;
mod node_started;
mod node_up;
mod node_upsert;
mod nodes_down;
mod plan_moves;
mod raise_epochs;
mod register_types;
mod released;
mod remove_node;
mod set_cluster_version;
mod set_hosted;
mod set_node_state;
mod types_offered;
mod types_offered_with;

use callboard_types::CallError;
use serde::{Deserialize, Serialize};

pub use allocate_node::AllocateNode;
pub use assign_shards::AssignShards;
pub use bootstrap::Bootstrap;
pub use bootstrap_cluster::BootstrapCluster;
pub use change_schedules::ChangeSchedules;
pub(super) use change_schedules::no_system;
pub use create_system::CreateSystem;
pub use hosted_changed::HostedChanged;
pub use node_started::NodeStarted;
pub use node_up::NodeUp;
pub use node_upsert::NodeUpsert;
pub use nodes_down::NodesDown;
pub use plan_moves::{Move, PlanMoves};
pub use raise_epochs::{EPOCH_MAX, RaiseEpochs, Raised};
pub use register_types::{DescriptorSet, RegisterTypes};
pub use released::{Release, Released};
pub use remove_node::RemoveNode;
pub use set_cluster_version::SetClusterVersion;
pub use set_hosted::SetHosted;
pub use set_node_state::SetNodeState;
pub use types_offered::TypesOffered;
pub use types_offered_with::TypesOfferedWith;

use super::Machine;

/// One change of what the cluster agrees on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Names the cluster.
    Bootstrap(Bootstrap),
    /// Adds a node or changes its address.
    NodeUpsert(NodeUpsert),
    /// Makes a group of actors.
    CreateSystem(CreateSystem),
    /// Registers what a host offers.
    RegisterTypes(RegisterTypes),
    /// Says which types have a host at a node.
    SetHosted(SetHosted),
    /// Spreads shards evenly over the nodes that can run them.
    AssignShards(AssignShards),

    // From here on: command version 2. In a cluster of more than one node the first version's commands about nodes and
    // shards are not proposed any longer, because they move shards away from nodes that are alive.
    /// Names the cluster and its first node.
    BootstrapCluster(BootstrapCluster),
    /// Lets a node in.
    AllocateNode(AllocateNode),
    /// A node's process started.
    NodeStarted(NodeStarted),
    /// Nodes missed their leases.
    NodesDown(NodesDown),
    /// A node that was down shows itself.
    NodeUp(NodeUp),
    /// Asks a node to give its shards away, or to take shards again.
    SetNodeState(SetNodeState),
    /// Forgets a node.
    RemoveNode(RemoveNode),
    /// Asks owners to release shards for other nodes.
    PlanMoves(PlanMoves),
    /// An owner let shards go.
    Released(Released),
    /// Registers what a host offers, without taking anything from a node that is alive.
    TypesOffered(TypesOffered),
    /// Says which types have a host at a node, without taking anything from a node that is alive.
    HostedChanged(HostedChanged),
    /// Lifts epochs above those that the store knows.
    RaiseEpochs(RaiseEpochs),
    /// Allows newer commands.
    SetClusterVersion(SetClusterVersion),

    // From here on: command version 3.
    /// Registers what a host offers, with settings.
    TypesOfferedWith(TypesOfferedWith),
    /// Changes schedules.
    ChangeSchedules(ChangeSchedules),
}

impl Command {
    /// Changes the machine. True if anything differs from before.
    pub(super) fn run(self, machine: &mut Machine) -> Result<bool, CallError> {
        match self {
            Self::Bootstrap(command) => command.run(machine),
            Self::NodeUpsert(command) => Ok(command.run(machine)),
            Self::CreateSystem(command) => command.run(machine),
            Self::RegisterTypes(command) => command.run(machine),
            Self::SetHosted(command) => Ok(command.run(machine)),
            Self::AssignShards(command) => Ok(command.run(machine)),
            Self::BootstrapCluster(command) => command.run(machine),
            Self::AllocateNode(command) => command.run(machine),
            Self::NodeStarted(command) => command.run(machine),
            Self::NodesDown(command) => Ok(command.run(machine)),
            Self::NodeUp(command) => Ok(command.run(machine)),
            Self::SetNodeState(command) => command.run(machine),
            Self::RemoveNode(command) => command.run(machine),
            Self::PlanMoves(command) => Ok(command.run(machine)),
            Self::Released(command) => Ok(command.run(machine)),
            Self::TypesOffered(command) => command.run(machine),
            Self::HostedChanged(command) => Ok(command.run(machine)),
            Self::RaiseEpochs(command) => command.run(machine),
            Self::SetClusterVersion(command) => command.run(machine),
            Self::TypesOfferedWith(command) => command.run(machine),
            Self::ChangeSchedules(command) => Ok(command.run(machine).changed),
        }
    }

    /// The command version that nodes must know to apply it. The leader proposes it only if the cluster has reached
    /// that version; see [`Machine::admits`].
    #[must_use]
    pub fn needs_version(&self) -> u32 {
        match self {
            Self::Bootstrap(_)
            | Self::NodeUpsert(_)
            | Self::CreateSystem(_)
            | Self::RegisterTypes(_)
            | Self::SetHosted(_)
            | Self::AssignShards(_) => 1,
            Self::BootstrapCluster(_)
            | Self::AllocateNode(_)
            | Self::NodeStarted(_)
            | Self::NodesDown(_)
            | Self::NodeUp(_)
            | Self::SetNodeState(_)
            | Self::RemoveNode(_)
            | Self::PlanMoves(_)
            | Self::Released(_)
            | Self::TypesOffered(_)
            | Self::HostedChanged(_)
            | Self::RaiseEpochs(_)
            | Self::SetClusterVersion(_) => 2,
            Self::TypesOfferedWith(_) => 3,
            Self::ChangeSchedules(command) => command.needs_version(),
        }
    }

    /// A short name for logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bootstrap(_) => "bootstrap",
            Self::NodeUpsert(_) => "node_upsert",
            Self::CreateSystem(_) => "create_system",
            Self::RegisterTypes(_) => "register_types",
            Self::SetHosted(_) => "set_hosted",
            Self::AssignShards(_) => "assign_shards",
            Self::BootstrapCluster(_) => "bootstrap_cluster",
            Self::AllocateNode(_) => "allocate_node",
            Self::NodeStarted(_) => "node_started",
            Self::NodesDown(_) => "nodes_down",
            Self::NodeUp(_) => "node_up",
            Self::SetNodeState(_) => "set_node_state",
            Self::RemoveNode(_) => "remove_node",
            Self::PlanMoves(_) => "plan_moves",
            Self::Released(_) => "released",
            Self::TypesOffered(_) => "types_offered",
            Self::HostedChanged(_) => "hosted_changed",
            Self::RaiseEpochs(_) => "raise_epochs",
            Self::SetClusterVersion(_) => "set_cluster_version",
            Self::TypesOfferedWith(_) => "types_offered_with",
            Self::ChangeSchedules(_) => "change_schedules",
        }
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(super) mod fixtures {
    use callboard_types::{Action, Epoch, NodeId, TypeDefinition, TypeView};

    use super::*;

    /// A bootstrapped machine.
    pub(in crate::machine) fn machine() -> Machine {
        let mut machine = Machine::default();
        let (node, address) = (NodeId(1), "a:1".into());
        let bootstrap = Bootstrap { cluster_id: "c".into(), node, address };
        assert!(machine.apply(Command::Bootstrap(bootstrap)).changed);
        machine
    }

    /// A type with one action.
    pub(in crate::machine) fn counter(shards: u32) -> TypeDefinition {
        let mut definition = TypeDefinition::new("Counter");
        definition.shards = shards;
        definition.actions.insert("Add".into(), Action::default());
        definition
    }

    /// What a host at `node` sends for `types` in the default system.
    pub(in crate::machine) fn register(node: u64, types: Vec<TypeDefinition>) -> Command {
        Command::RegisterTypes(RegisterTypes {
            system: crate::machine::DEFAULT_SYSTEM.into(),
            node: NodeId(node),
            types,
            descriptor_set: None,
        })
    }

    pub(in crate::machine) fn hosted(node: u64, hosted: bool) -> Command {
        let types = vec![("default".into(), "Counter".into(), hosted)];
        Command::SetHosted(SetHosted { node: NodeId(node), types })
    }

    pub(in crate::machine) fn view<'a>(machine: &'a Machine, name: &str) -> &'a TypeView {
        machine.types().find(|view| &*view.name == name).expect("registered")
    }

    /// A cluster of nodes 1 to `nodes`, in which the life of each node is its number.
    pub(in crate::machine) fn cluster(nodes: u64) -> Machine {
        let mut machine = Machine::default();
        let bootstrap = BootstrapCluster {
            cluster_id: "c".into(),
            node: NodeId(1),
            folder_id: "folder 1".into(),
            address: "a1:1".into(),
            peer_address: "a1:2".into(),
            commands_min: 1,
            commands_max: 2,
        };
        assert!(machine.apply(Command::BootstrapCluster(bootstrap)).changed);
        for node in 1..=nodes {
            machine.apply(allocate(&format!("folder {node}")));
            assert!(machine.apply(start(node, 0, node)).changed);
        }
        machine
    }

    pub(in crate::machine) fn allocate(folder_id: &str) -> Command {
        Command::AllocateNode(AllocateNode {
            folder_id: folder_id.into(),
            address: "a:1".into(),
            peer_address: "a:2".into(),
            commands_min: 1,
            commands_max: 2,
        })
    }

    pub(in crate::machine) fn start(node: u64, previous_life: u64, life: u64) -> Command {
        started(node, previous_life, life, "a:1")
    }

    pub(in crate::machine) fn started(
        node: u64,
        previous_life: u64,
        life: u64,
        address: &str,
    ) -> Command {
        Command::NodeStarted(NodeStarted {
            node: NodeId(node),
            life,
            previous_life,
            address: address.into(),
            peer_address: "a:2".into(),
            commands_min: 1,
            commands_max: 2,
        })
    }

    pub(in crate::machine) fn down(nodes: &[(u64, u64)]) -> Command {
        let nodes = nodes.iter().map(|(node, life)| (NodeId(*node), *life)).collect();
        Command::NodesDown(NodesDown { nodes })
    }

    /// [`register`], for clusters.
    pub(in crate::machine) fn offer(node: u64, types: Vec<TypeDefinition>) -> Command {
        let Command::RegisterTypes(registration) = register(node, types) else { unreachable!() };
        Command::TypesOffered(TypesOffered(registration))
    }

    /// [`offer`], with the settings of the types.
    pub(in crate::machine) fn offer_with(node: u64, types: Vec<TypeDefinition>) -> Command {
        let Command::RegisterTypes(registration) = register(node, types) else { unreachable!() };
        Command::TypesOfferedWith(TypesOfferedWith::new(registration))
    }

    pub(in crate::machine) fn hosted_changed(node: u64, hosted: bool) -> Command {
        let types = vec![("default".into(), "Counter".into(), hosted)];
        Command::HostedChanged(HostedChanged { node: NodeId(node), types })
    }

    /// Plans moves of shards of Counter, as (shard, to).
    pub(in crate::machine) fn moves(machine: &Machine, moves: &[(u32, u64)]) -> Command {
        let counter = view(machine, "Counter");
        let epoch =
            |shard: u32| counter.shards.get(shard as usize).map_or(Epoch::ZERO, |it| it.epoch);
        let planned = moves.iter().map(|(shard, to)| Move {
            type_id: counter.id,
            shard: *shard,
            epoch: epoch(*shard),
            to: NodeId(*to),
        });
        Command::PlanMoves(PlanMoves { moves: planned.collect() })
    }

    /// Releases shards of Counter at their present epochs.
    pub(in crate::machine) fn release(machine: &Machine, node: u64, shards: &[u32]) -> Command {
        let counter = view(machine, "Counter");
        let release = |shard: &u32| Release {
            type_id: counter.id,
            shard: *shard,
            epoch: counter.shards[*shard as usize].epoch,
        };
        let shards = shards.iter().map(release).collect();
        Command::Released(Released { node: NodeId(node), shards })
    }

    /// The owner of each shard of Counter.
    pub(in crate::machine) fn owners(machine: &Machine) -> Vec<u64> {
        view(machine, "Counter").shards.iter().map(|owner| owner.node.0).collect()
    }

    /// The epoch of each shard of Counter.
    pub(in crate::machine) fn epochs(machine: &Machine) -> Vec<u64> {
        view(machine, "Counter").shards.iter().map(|owner| owner.epoch.0).collect()
    }
}
