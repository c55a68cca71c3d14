//! Registers what a host offers, without taking anything from a node that is alive.

use callboard_types::CallError;
use serde::{Deserialize, Serialize};

use super::RegisterTypes;
use crate::machine::{Machine, TypeRecord, member::no_such_node};

/// A registration as [`RegisterTypes`] describes it, in a cluster: the node owns at once what nobody alive owned;
/// everything else comes by plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypesOffered(pub RegisterTypes);

impl TypesOffered {
    pub(super) fn run(self, machine: &mut Machine) -> Result<bool, CallError> {
        if machine.member(self.0.node).is_none() {
            return Err(no_such_node(self.0.node));
        }
        self.0.run_and(machine, TypeRecord::settle)
    }
}

#[cfg(test)]
mod tests {
    use crate::machine::command::fixtures::{
        cluster, counter, epochs, hosted_changed, offer, owners,
    };

    #[test]
    fn the_first_registration_owns_the_shards_and_the_next_takes_none_of_them() {
        let mut machine = cluster(2);
        assert!(machine.apply(offer(1, vec![counter(2)])).changed);
        assert!(machine.apply(offer(2, vec![counter(2)])).changed);
        assert_eq!((owners(&machine), epochs(&machine)), (vec![1, 1], vec![1, 1]));
        machine.apply(hosted_changed(1, false));
        assert!(!machine.apply(offer(2, vec![counter(2)])).changed, "node 1 is alive");
        assert_eq!((owners(&machine), epochs(&machine)), (vec![1, 1], vec![1, 1]));
        machine.apply(offer(7, vec![counter(2)])).outcome.expect_err("no such node");
    }
}
