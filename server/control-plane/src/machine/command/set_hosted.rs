//! Says which types have a host at a node.

use callboard_types::NodeId;
use serde::{Deserialize, Serialize};

use crate::machine::{Machine, placement::Movement};

/// Changes eligibility bits of one node. The node sends them when a bit changes, many at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetHosted {
    /// The node.
    pub node: NodeId,
    /// (system, type, whether a host of the type is connected to the node). Unknown types are passed over: they may
    /// have been registered for a view that this command was not made from.
    pub types: Vec<(String, String, bool)>,
}

impl SetHosted {
    /// Shards whose owner lost its last host go to a node that has one. If there is none they stay where they are.
    pub(super) fn run(self, machine: &mut Machine) -> bool {
        let mut changed = false;
        for (system, name, hosted) in self.types {
            let Some(record) = machine.record_mut(&system, &name) else {
                continue;
            };
            changed |= if hosted {
                record.eligible.insert(self.node)
            } else {
                record.eligible.remove(&self.node)
            };
            changed |= record.place(Movement::Orphans);
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::command::{
        Command,
        fixtures::{counter, epochs, hosted, machine, owners, register},
    };

    #[test]
    fn shards_follow_the_hosts_and_stay_if_there_are_none() {
        let mut machine = machine();
        assert!(machine.apply(register(1, vec![counter(2)])).changed);
        assert!(machine.apply(hosted(2, true)).changed);
        assert_eq!((owners(&machine), epochs(&machine)), (vec![1, 1], vec![1, 1]), "nobody moves");

        assert!(machine.apply(hosted(1, false)).changed);
        assert_eq!((owners(&machine), epochs(&machine)), (vec![2, 2], vec![2, 2]));

        assert!(machine.apply(hosted(2, false)).changed);
        assert_eq!((owners(&machine), epochs(&machine)), (vec![2, 2], vec![2, 2]), "they stay");

        assert!(machine.apply(hosted(2, true)).changed);
        assert!(!machine.apply(hosted(2, true)).changed, "the bit is set already");
        assert_eq!(epochs(&machine), [2, 2], "the owner never changed");
    }

    #[test]
    fn a_type_that_nobody_knows_is_passed_over() {
        let mut machine = machine();
        let types = vec![("default".into(), "Nobody".into(), true)];
        assert!(!machine.apply(Command::SetHosted(SetHosted { node: NodeId(1), types })).changed);
    }
}
