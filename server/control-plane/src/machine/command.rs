//! What can be asked of the machine: one file per command, and the dispatch.
//!
//! Commands stand in logs and travel between nodes of neighbouring versions. A variant is never removed, reordered or
//! changed; a new meaning is a new variant at the end, or a new format of the whole encoding (see `raft::codec`). The
//! rules that a command is checked against are part of its meaning: nodes that judge one command differently hold
//! different states, so another limit is a new variant as well.

mod assign_shards;
mod bootstrap;
mod create_system;
mod node_upsert;
mod register_types;
mod set_hosted;

use callboard_types::CallError;
use serde::{Deserialize, Serialize};

pub use assign_shards::AssignShards;
pub use bootstrap::Bootstrap;
pub use create_system::CreateSystem;
pub use node_upsert::NodeUpsert;
pub use register_types::{DescriptorSet, RegisterTypes};
pub use set_hosted::SetHosted;

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
        }
    }
}

#[cfg(test)]
mod fixtures {
    use callboard_types::{Action, NodeId, TypeDefinition, TypeView};

    use super::*;

    /// A bootstrapped machine.
    pub(super) fn machine() -> Machine {
        let mut machine = Machine::default();
        let (node, address) = (NodeId(1), "a:1".into());
        let bootstrap = Bootstrap { cluster_id: "c".into(), node, address };
        assert!(machine.apply(Command::Bootstrap(bootstrap)).changed);
        machine
    }

    /// A type with one action.
    pub(super) fn counter(shards: u32) -> TypeDefinition {
        let mut definition = TypeDefinition::new("Counter");
        definition.shards = shards;
        definition.actions.insert("Add".into(), Action::default());
        definition
    }

    /// What a host at `node` sends for `types` in the default system.
    pub(super) fn register(node: u64, types: Vec<TypeDefinition>) -> Command {
        Command::RegisterTypes(RegisterTypes {
            system: crate::machine::DEFAULT_SYSTEM.into(),
            node: NodeId(node),
            types,
            descriptor_set: None,
        })
    }

    pub(super) fn hosted(node: u64, hosted: bool) -> Command {
        let types = vec![("default".into(), "Counter".into(), hosted)];
        Command::SetHosted(SetHosted { node: NodeId(node), types })
    }

    pub(super) fn view<'a>(machine: &'a Machine, name: &str) -> &'a TypeView {
        machine.types().find(|view| &*view.name == name).expect("registered")
    }

    /// The owner of each shard of Counter.
    pub(super) fn owners(machine: &Machine) -> Vec<u64> {
        view(machine, "Counter").shards.iter().map(|owner| owner.node.0).collect()
    }

    /// The epoch of each shard of Counter.
    pub(super) fn epochs(machine: &Machine) -> Vec<u64> {
        view(machine, "Counter").shards.iter().map(|owner| owner.epoch.0).collect()
    }
}
