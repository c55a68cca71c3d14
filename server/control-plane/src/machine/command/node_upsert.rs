//! Adds a node or changes its address.

use callboard_types::NodeId;
use serde::{Deserialize, Serialize};

use crate::machine::{Machine, Member};

/// Says where a node's gateway is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeUpsert {
    /// The node.
    pub node: NodeId,
    /// host:port of its gateway, as callers and hosts reach it.
    pub address: String,
}

impl NodeUpsert {
    pub(super) fn run(self, machine: &mut Machine) -> bool {
        match machine.members.get_mut(&self.node) {
            Some(member) if *member.address == *self.address => return false,
            Some(member) => member.address = self.address.into(),
            None => machine.add_member(self.node, Member::of_version_one(self.address.into())),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::command::{Command, fixtures::machine};

    #[test]
    fn a_node_that_moved_is_found_at_its_new_address_only() {
        let mut machine = machine();
        let mut upsert = |address: &str| {
            let command = NodeUpsert { node: NodeId(4), address: address.into() };
            machine.apply(Command::NodeUpsert(command)).changed
        };
        assert_eq!([upsert("a:1"), upsert("a:1"), upsert("b:1")], [true, false, true]);
        let nodes: Vec<_> = machine.nodes().map(|(id, address)| (id.0, &**address)).collect();
        assert_eq!(nodes, [(1, "a:1"), (4, "b:1")]);
    }
}
