//! Asks a node to give its shards away, or to take shards again.

use callboard_types::{CallError, NodeId};
use serde::{Deserialize, Serialize};

use crate::machine::{Machine, member::no_such_node};

/// Drains a node, or ends that. What it owns leaves by planned moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetNodeState {
    /// The node.
    pub node: NodeId,
    /// True to give its shards away and get none, until it starts anew or this is taken back.
    pub draining: bool,
}

impl SetNodeState {
    pub(super) fn run(self, machine: &mut Machine) -> Result<bool, CallError> {
        let node = self.node;
        let member = machine.members.get_mut(&node).ok_or_else(|| no_such_node(node))?;
        let changed = member.draining != self.draining;
        member.draining = self.draining;
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::command::{
        Command, NodeUp,
        fixtures::{cluster, counter, down, hosted_changed, offer, owners, start},
    };
    use callboard_types::NodeState;

    #[test]
    fn a_draining_node_keeps_what_it_has_and_gets_nothing() {
        let mut machine = cluster(3);
        machine.apply(offer(1, vec![counter(2)]));
        machine.apply(hosted_changed(2, true));
        machine.apply(hosted_changed(3, true));
        let drain = Command::SetNodeState(SetNodeState { node: NodeId(2), draining: true });
        assert!(machine.apply(drain.clone()).changed);
        assert!(!machine.apply(drain).changed);
        machine.apply(down(&[(1, 1)]));
        assert_eq!(owners(&machine), [3, 3]);
    }

    #[test]
    fn a_drain_outlasts_a_pause_and_ends_with_a_start() {
        let mut machine = cluster(2);
        let state = |machine: &Machine| machine.member(NodeId(2)).expect("in").state();
        machine.apply(Command::SetNodeState(SetNodeState { node: NodeId(2), draining: true }));
        machine.apply(down(&[(2, 2)]));
        assert_eq!(state(&machine), NodeState::Down);
        machine.apply(Command::NodeUp(NodeUp { node: NodeId(2), life: 2 }));
        assert_eq!(state(&machine), NodeState::Draining);
        machine.apply(start(2, 2, 9));
        assert_eq!(state(&machine), NodeState::Up);
        let nobody = SetNodeState { node: NodeId(9), draining: true };
        machine.apply(Command::SetNodeState(nobody)).outcome.expect_err("no such node");
    }
}
