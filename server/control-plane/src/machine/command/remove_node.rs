//! Forgets a node.

use std::collections::BTreeMap;

use callboard_types::{CallError, ErrorKind, NodeId};
use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// Takes a node out of the cluster. Its number is never used again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveNode {
    /// The node. It is down, or owns nothing. One that is not there is gone already.
    pub node: NodeId,
}

impl RemoveNode {
    pub(super) fn run(self, machine: &mut Machine) -> Result<bool, CallError> {
        let node = self.node;
        let Some(member) = machine.members.get(&node) else {
            return Ok(false);
        };
        if member.up {
            let shards = machine.shards_of(node);
            if shards > 0 {
                let text = format!(
                    "node {node} is up and owns {shards} shards; drain it and wait until it owns none, or stop it \
                     and wait until it is down"
                );
                return Err(CallError::new(ErrorKind::InvalidArgument, text).with("shards", shards));
            }
        }
        if machine.members.len() == 1 {
            return Err(CallError::new(
                ErrorKind::InvalidArgument,
                "the last node of a cluster cannot be removed; delete its data folder instead",
            ));
        }
        machine.members.remove(&node);
        for record in machine.systems.values_mut().flat_map(BTreeMap::values_mut) {
            record.eligible.remove(&node);
        }
        machine.settle_all();
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::command::{
        Command,
        fixtures::{cluster, counter, down, moves, offer, owners, view},
    };

    #[test]
    fn only_a_node_that_owns_nothing_or_is_down_can_be_removed() {
        let mut machine = cluster(3);
        machine.apply(offer(1, vec![counter(2)]));
        let remove = |node| Command::RemoveNode(RemoveNode { node: NodeId(node) });
        machine.apply(remove(1)).outcome.expect_err("it owns shards");
        machine.apply(moves(&machine, &[(0, 2)]));
        assert!(machine.apply(remove(2)).changed, "it owns nothing");
        assert!(!view(&machine, "Counter").shards[0].is_moving(), "nobody to move to");
        assert!(!machine.apply(remove(2)).changed);
        machine.apply(down(&[(1, 1)]));
        assert!(machine.apply(remove(1)).changed);
        assert_eq!(owners(&machine), [3, 3]);
        machine.apply(remove(3)).outcome.expect_err("the last one");
    }
}
