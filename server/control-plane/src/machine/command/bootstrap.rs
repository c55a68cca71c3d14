//! Names the cluster, once.

use callboard_types::{CallError, ErrorKind, NodeId};
use serde::{Deserialize, Serialize};

use crate::machine::{DEFAULT_SYSTEM, Machine, Member};

/// The first command of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bootstrap {
    /// A UUID that the first node drew.
    pub cluster_id: String,
    /// The first node.
    pub node: NodeId,
    /// host:port of its gateway.
    pub address: String,
}

impl Bootstrap {
    pub(super) fn run(self, machine: &mut Machine) -> Result<bool, CallError> {
        if machine.is_named(&self.cluster_id)? {
            return Ok(false);
        }
        machine.cluster_id = self.cluster_id.into();
        machine.cluster_version = 1;
        machine.add_member(self.node, Member::of_version_one(self.address.into()));
        machine.systems.entry(DEFAULT_SYSTEM.into()).or_default();
        Ok(true)
    }
}

impl Machine {
    /// True if this is the cluster's name already.
    pub(super) fn is_named(&self, cluster_id: &str) -> Result<bool, CallError> {
        if self.cluster_id.is_empty() {
            return Ok(false);
        }
        if *self.cluster_id == *cluster_id {
            return Ok(true);
        }
        Err(CallError::new(
            ErrorKind::InvalidArgument,
            format!(
                "this cluster is {}; it cannot become {cluster_id}. Start the node with an empty data folder",
                self.cluster_id
            ),
        ))
    }

    /// Adds a node, or takes another description of it.
    pub(super) fn add_member(&mut self, node: NodeId, member: Member) {
        self.next_node_id = self.next_node_id.max(node.0.saturating_add(1));
        self.members.insert(node, member);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::command::{Command, fixtures::machine};

    #[test]
    fn a_cluster_keeps_its_name() {
        let mut machine = machine();
        let before = machine.clone();
        let mut bootstrap = |cluster_id: &str| {
            let (node, address) = (NodeId(1), "a:1".into());
            let command = Bootstrap { cluster_id: cluster_id.into(), node, address };
            machine.apply(Command::Bootstrap(command))
        };
        assert!(!bootstrap("c").changed);
        bootstrap("d").outcome.expect_err("another cluster");
        assert_eq!(machine, before);
        assert!(machine.systems().any(|name| &**name == DEFAULT_SYSTEM));
    }
}
