//! Lets a node in.

use callboard_types::{CallError, ErrorKind, NodeId};
use serde::{Deserialize, Serialize};

use crate::machine::{Machine, Member, NODES_MAX, exhausted, member::check_commands};

/// Gives a node its number. Whoever repeats it for the same data folder finds the number that was given; see
/// [`Machine::node_of_folder`]. The node is down until it says that it started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocateNode {
    /// Names the node's data folder; a UUID that it drew when the folder was made.
    pub folder_id: String,
    /// host:port of its gateway.
    pub address: String,
    /// host:port at which other nodes reach it.
    pub peer_address: String,
    /// The lowest command version that it knows.
    pub commands_min: u32,
    /// The highest command version that it knows.
    pub commands_max: u32,
}

impl AllocateNode {
    pub(super) fn run(self, machine: &mut Machine) -> Result<bool, CallError> {
        if self.folder_id.is_empty() {
            return Err(CallError::new(
                ErrorKind::InvalidArgument,
                "a node that joins names its data folder, and this one did not",
            ));
        }
        let commands = (self.commands_min, self.commands_max);
        check_commands(commands, machine.cluster_version)?;
        if let Some(node) = machine.node_of_folder(&self.folder_id) {
            return Ok(machine.update_joined(node, &self.address, &self.peer_address, commands));
        }
        if machine.members.len() >= NODES_MAX {
            return Err(exhausted("nodes", NODES_MAX));
        }
        let member = Member {
            address: self.address.into(),
            peer_address: self.peer_address.into(),
            folder_id: self.folder_id.into(),
            life: 0,
            up: false,
            draining: false,
            commands,
        };
        machine.add_member(NodeId(machine.next_node_id), member);
        Ok(true)
    }
}

impl Machine {
    /// A join that is repeated before the node's first start may bring other addresses. After it, only a start does.
    fn update_joined(
        &mut self,
        node: NodeId,
        address: &str,
        peer_address: &str,
        commands: (u32, u32),
    ) -> bool {
        let Some(member) = self.members.get_mut(&node).filter(|member| member.life == 0) else {
            return false;
        };
        let before = member.clone();
        member.address = address.into();
        member.peer_address = peer_address.into();
        member.commands = commands;
        *member != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::command::{
        Command, RemoveNode,
        fixtures::{allocate, cluster},
    };
    use callboard_types::NodeState;

    #[test]
    fn a_join_that_is_repeated_gets_the_same_number_and_a_removed_number_is_never_given_again() {
        let mut machine = cluster(1);
        assert!(machine.apply(allocate("two")).changed);
        assert!(!machine.apply(allocate("two")).changed, "the same folder");
        assert!(machine.apply(allocate("three")).changed);
        assert_eq!(machine.node_of_folder("two"), Some(NodeId(2)));
        assert_eq!(machine.node_of_folder("three"), Some(NodeId(3)));
        assert_eq!(machine.member(NodeId(3)).expect("in").state(), NodeState::Down);

        assert!(machine.apply(Command::RemoveNode(RemoveNode { node: NodeId(3) })).changed);
        assert!(machine.apply(allocate("four")).changed);
        assert_eq!(machine.node_of_folder("four"), Some(NodeId(4)));
    }

    #[test]
    fn a_node_that_cannot_apply_the_clusters_commands_is_refused() {
        let mut machine = cluster(1);
        for (commands_min, commands_max) in [(1, 1), (3, 9), (2, 1)] {
            let before = machine.clone();
            let command = AllocateNode {
                folder_id: "f".into(),
                address: "a:1".into(),
                peer_address: "a:2".into(),
                commands_min,
                commands_max,
            };
            machine.apply(Command::AllocateNode(command)).outcome.expect_err("refused");
            assert_eq!(machine, before);
        }
    }
}
