//! Spreads shards evenly over the nodes that can run them.

use serde::{Deserialize, Serialize};

use crate::machine::{Machine, placement::Movement};

/// Places the shards of types anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignShards {
    /// The types' ids. Ids that are not there are passed over.
    pub types: Vec<u32>,
    /// Which shards may move.
    pub movement: Movement,
}

impl AssignShards {
    pub(super) fn run(self, machine: &mut Machine) -> bool {
        let mut changed = false;
        for record in machine.systems.values_mut().flat_map(|types| types.values_mut()) {
            if self.types.contains(&record.view.id) {
                changed |= record.place(self.movement);
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::command::{
        Command,
        fixtures::{counter, epochs, hosted, machine, owners, register, view},
    };

    #[test]
    fn a_new_node_gets_its_share_and_the_shards_that_stay_keep_their_epoch() {
        let mut machine = machine();
        machine.apply(register(1, vec![counter(4)]));
        machine.apply(hosted(2, true));
        let types = vec![view(&machine, "Counter").id];
        let spread = Command::AssignShards(AssignShards { types, movement: Movement::Balance });

        assert!(machine.apply(spread.clone()).changed);
        assert_eq!(owners(&machine), [1, 1, 2, 2]);
        assert_eq!(epochs(&machine), [1, 1, 2, 2]);
        assert!(!machine.apply(spread).changed, "it is even already");
    }
}
