//! Nodes missed their leases.

use std::collections::BTreeMap;

use callboard_types::NodeId;
use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// Takes everything from nodes whose leases have ended. The leader waits until no clock can make a lease last longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodesDown {
    /// The nodes with the lives that missed their leases. A node whose next life began meanwhile is passed over.
    pub nodes: Vec<(NodeId, u64)>,
}

impl NodesDown {
    /// Shards go to the node that they were moving to, or to nodes with a host, or to any; with nobody alive they stay.
    pub(super) fn run(self, machine: &mut Machine) -> bool {
        let mut down = Vec::new();
        for (node, life) in self.nodes {
            if let Some(member) = machine.members.get_mut(&node)
                && member.up
                && member.life == life
            {
                member.up = false;
                down.push(node);
            }
        }
        if down.is_empty() {
            return false;
        }
        for record in machine.systems.values_mut().flat_map(BTreeMap::values_mut) {
            for node in &down {
                record.eligible.remove(node);
            }
        }
        machine.settle_all();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::command::{
        Command, NodeUp,
        fixtures::{cluster, counter, down, epochs, hosted_changed, moves, offer, owners, view},
    };
    use callboard_types::NodeState;

    #[test]
    fn shards_of_a_node_that_is_down_go_to_nodes_with_hosts_and_only_they_get_an_epoch() {
        let mut machine = cluster(4);
        machine.apply(offer(1, vec![counter(4)]));
        machine.apply(hosted_changed(2, true));
        machine.apply(hosted_changed(3, true));
        assert!(machine.apply(down(&[(1, 1)])).changed);
        let mut owned = owners(&machine);
        owned.sort_unstable();
        assert_eq!(owned, [2, 2, 3, 3], "node 4 has no host");
        assert_eq!(epochs(&machine), [2, 2, 2, 2]);
        assert!(!machine.apply(down(&[(1, 1)])).changed);
        assert_eq!(machine.hosted_by(NodeId(1)).count(), 0);
        assert_eq!(machine.member(NodeId(1)).expect("in").state(), NodeState::Down);
    }

    #[test]
    fn a_shard_on_its_way_arrives_and_a_move_to_a_node_that_is_down_ends() {
        let mut machine = cluster(3);
        machine.apply(offer(1, vec![counter(2)]));
        for node in [2, 3] {
            machine.apply(hosted_changed(node, true));
        }
        machine.apply(moves(&machine, &[(0, 2), (1, 3)]));
        assert!(machine.apply(down(&[(3, 3)])).changed);
        let shards = view(&machine, "Counter").shards.clone();
        assert!(shards[0].is_moving() && !shards[1].is_moving());
        assert!(machine.apply(down(&[(1, 1)])).changed);
        assert_eq!((owners(&machine), epochs(&machine)), (vec![2, 2], vec![2, 2]));
        assert!(!view(&machine, "Counter").shards[0].is_moving());
    }

    #[test]
    fn with_no_host_anywhere_any_node_that_is_up_takes_the_shards() {
        let mut machine = cluster(2);
        machine.apply(offer(1, vec![counter(2)]));
        machine.apply(down(&[(1, 1)]));
        assert_eq!(owners(&machine), [2, 2]);
    }

    #[test]
    fn a_later_life_is_not_down_and_a_node_that_is_heard_again_is_up() {
        let mut machine = cluster(2);
        assert!(!machine.apply(down(&[(1, 77)])).changed, "another life");
        assert!(machine.apply(down(&[(1, 1)])).changed);
        let up = |life| Command::NodeUp(NodeUp { node: NodeId(1), life });
        assert!(!machine.apply(up(77)).changed);
        assert!(machine.apply(up(1)).changed);
        assert!(!machine.apply(up(1)).changed);
        assert_eq!(machine.member(NodeId(1)).expect("in").state(), NodeState::Up);
    }
}
