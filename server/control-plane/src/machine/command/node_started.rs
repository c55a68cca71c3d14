//! A node's process started.

use std::collections::BTreeMap;

use callboard_types::{CallError, ErrorKind, NodeId};
use serde::{Deserialize, Serialize};

use crate::machine::{
    Machine,
    member::{check_commands, no_such_node},
};

/// Begins a life of a node. The epoch of every shard that the node owns rises, so that nothing of an earlier life can
/// commit. It takes shards again, whatever was asked of its earlier life; its hosts may come back within their grace,
/// so it stays eligible for what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStarted {
    /// The node.
    pub node: NodeId,
    /// The life that begins; drawn at random by the process, never 0.
    pub life: u64,
    /// The life that the process knows to be the last; 0 if there was none. Another one in its place means that two
    /// processes are the same node: the second one is refused.
    pub previous_life: u64,
    /// host:port of its gateway.
    pub address: String,
    /// host:port at which other nodes reach it.
    pub peer_address: String,
    /// The lowest command version that it knows.
    pub commands_min: u32,
    /// The highest command version that it knows.
    pub commands_max: u32,
}

impl NodeStarted {
    pub(super) fn run(self, machine: &mut Machine) -> Result<bool, CallError> {
        let node = self.node;
        let commands = (self.commands_min, self.commands_max);
        check_commands(commands, machine.cluster_version)?;
        let member = machine.members.get_mut(&node).ok_or_else(|| no_such_node(node))?;
        if member.life == self.life {
            return Ok(false);
        }
        if member.life != self.previous_life || self.life == 0 {
            return Err(CallError::new(
                ErrorKind::PeerRefused,
                format!(
                    "node {node} was started by another process meanwhile. A data folder belongs to one process: \
                     stop this one, or let it join with an empty folder"
                ),
            ));
        }
        member.life = self.life;
        member.address = self.address.into();
        member.peer_address = self.peer_address.into();
        member.commands = commands;
        (member.up, member.draining) = (true, false);
        machine.raise_epochs_of(node);
        machine.settle_all();
        Ok(true)
    }
}

impl Machine {
    fn raise_epochs_of(&mut self, node: NodeId) {
        for record in self.systems.values_mut().flat_map(BTreeMap::values_mut) {
            if record.view.shards.iter().any(|shard| shard.node == node) {
                record.edit(&self.members, |homes| {
                    for shard in homes.shards.iter_mut().filter(|shard| shard.node == node) {
                        shard.epoch = shard.epoch.next();
                    }
                    true
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::command::{
        Command,
        fixtures::{cluster, counter, down, epochs, offer, owners, start, started},
    };
    use callboard_types::NodeState;

    #[test]
    fn a_new_life_raises_the_epochs_of_the_nodes_shards_and_of_no_others() {
        let mut machine = cluster(2);
        machine.apply(offer(2, vec![counter(2)]));
        assert_eq!((owners(&machine), epochs(&machine)), (vec![2, 2], vec![1, 1]));
        assert!(machine.apply(start(1, 1, 11)).changed);
        assert_eq!(epochs(&machine), [1, 1], "another node's");
        assert!(machine.apply(start(2, 2, 12)).changed);
        assert_eq!((owners(&machine), epochs(&machine)), (vec![2, 2], vec![2, 2]));
        assert!(!machine.apply(start(2, 2, 12)).changed, "a repeated command");
        assert_eq!(machine.hosted_by(NodeId(2)).count(), 1, "hosts have their grace");
    }

    #[test]
    fn of_two_processes_of_one_node_the_second_is_refused() {
        let mut machine = cluster(1);
        assert!(machine.apply(start(1, 1, 5)).changed);
        let before = machine.clone();
        machine.apply(start(1, 1, 6)).outcome.expect_err("the life before is 5 by now");
        machine.apply(start(1, 5, 0)).outcome.expect_err("no life");
        machine.apply(start(9, 0, 6)).outcome.expect_err("no such node");
        assert_eq!(machine, before);
    }

    #[test]
    fn a_node_that_is_back_gets_the_shards_that_nobody_alive_owns() {
        let mut machine = cluster(2);
        machine.apply(offer(1, vec![counter(3)]));
        machine.apply(down(&[(2, 2)]));
        machine.apply(down(&[(1, 1)]));
        assert_eq!(owners(&machine), [1, 1, 1], "there is nobody else");
        let Command::NodeStarted(command) = started(2, 2, 7, "new:1") else { unreachable!() };
        assert!(machine.apply(Command::NodeStarted(command)).changed);
        assert_eq!((owners(&machine), epochs(&machine)), (vec![2, 2, 2], vec![2, 2, 2]));
        let member = machine.member(NodeId(2)).expect("in");
        assert_eq!((member.state(), &**member.address()), (NodeState::Up, "new:1"));
    }
}
