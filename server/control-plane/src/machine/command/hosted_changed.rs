//! Says which types have a host at a node, without taking anything from a node that is alive.

use callboard_types::NodeId;
use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// Changes eligibility bits of one node. The node sends them when a bit changes, many at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostedChanged {
    /// The node.
    pub node: NodeId,
    /// (system, type, whether a host of the type is connected to the node). Unknown types are passed over: they may
    /// have been registered for a view that this command was not made from.
    pub types: Vec<(String, String, bool)>,
}

impl HostedChanged {
    /// Shards that an alive node owns leave it by plan, if it lost its last host. Those of nobody alive move at once.
    pub(super) fn run(self, machine: &mut Machine) -> bool {
        if machine.member(self.node).is_none() {
            return false;
        }
        let mut changed = false;
        for (system, name, hosted) in self.types {
            let record = machine
                .systems
                .get_mut(system.as_str())
                .and_then(|types| types.get_mut(name.as_str()));
            let Some(record) = record else {
                continue;
            };
            changed |= if hosted {
                record.eligible.insert(self.node)
            } else {
                record.eligible.remove(&self.node)
            };
            changed |= record.settle(&machine.members);
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use crate::machine::command::fixtures::{
        cluster, counter, down, epochs, hosted_changed, offer, owners,
    };

    #[test]
    fn losing_the_last_host_changes_no_owner_by_itself() {
        let mut machine = cluster(2);
        machine.apply(offer(1, vec![counter(2)]));
        assert!(machine.apply(hosted_changed(2, true)).changed);
        assert!(machine.apply(hosted_changed(1, false)).changed);
        assert_eq!((owners(&machine), epochs(&machine)), (vec![1, 1], vec![1, 1]));
        assert!(!machine.apply(hosted_changed(1, false)).changed);
        assert!(!machine.apply(hosted_changed(9, true)).changed, "no such node");
    }

    #[test]
    fn shards_of_nobody_go_to_the_first_node_that_is_up() {
        let mut machine = cluster(2);
        machine.apply(offer(1, vec![counter(2)]));
        machine.apply(down(&[(1, 1), (2, 2)]));
        assert_eq!(owners(&machine), [1, 1], "all are down");
        machine.apply(hosted_changed(1, true));
        assert_eq!(epochs(&machine), [1, 1], "a node that is down gets nothing");
    }
}
