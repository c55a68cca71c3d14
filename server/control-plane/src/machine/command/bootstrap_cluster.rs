//! Names the cluster and describes its first node.

use callboard_types::{CallError, NodeId};
use serde::{Deserialize, Serialize};

use crate::machine::{DEFAULT_SYSTEM, Machine, Member, member::check_commands};

/// The first command of a cluster that others may join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootstrapCluster {
    /// A UUID that the first node drew.
    pub cluster_id: String,
    /// The first node.
    pub node: NodeId,
    /// Names its data folder.
    pub folder_id: String,
    /// host:port of its gateway.
    pub address: String,
    /// host:port at which other nodes will reach it.
    pub peer_address: String,
    /// The lowest command version that it knows.
    pub commands_min: u32,
    /// The highest command version that it knows. The cluster begins with it.
    pub commands_max: u32,
}

impl BootstrapCluster {
    pub(super) fn run(self, machine: &mut Machine) -> Result<bool, CallError> {
        if machine.is_named(&self.cluster_id)? {
            return Ok(false);
        }
        let commands = (self.commands_min, self.commands_max);
        check_commands(commands, self.commands_max)?;
        machine.cluster_id = self.cluster_id.into();
        machine.cluster_version = self.commands_max;
        let member = Member {
            address: self.address.into(),
            peer_address: self.peer_address.into(),
            folder_id: self.folder_id.into(),
            life: 0,
            up: true,
            draining: false,
            commands,
        };
        machine.add_member(self.node, member);
        machine.systems.entry(DEFAULT_SYSTEM.into()).or_default();
        Ok(true)
    }
}
