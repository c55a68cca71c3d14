//! An owner let shards go.

use callboard_types::{Epoch, NodeId};
use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// One shard that its owner let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Release {
    /// The type's id.
    pub type_id: u32,
    /// The shard.
    pub shard: u32,
    /// The epoch at which the node owned it.
    pub epoch: Epoch,
}

/// A node will neither commit nor answer anything more for shards at these epochs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// The owner.
    pub node: NodeId,
    /// The shards. Those that it does not own at that epoch are passed over.
    pub shards: Vec<Release>,
}

impl Released {
    /// Each shard goes to the node that it moves to, if that still takes shards, otherwise to whichever has fewest; that
    /// may be the one that released it. The epoch rises in any case, so that a release that is repeated does nothing.
    pub(super) fn run(self, machine: &mut Machine) -> bool {
        let node = self.node;
        let shards = self.shards.into_iter().map(|one| (one.type_id, one.shard, one.epoch));
        machine.edit_shards(shards, |homes, number, epoch| {
            let shard = homes.shards[number];
            shard.node == node && shard.epoch == epoch && homes.release(number)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::command::{
        Command,
        fixtures::{cluster, counter, down, epochs, hosted_changed, moves, offer, owners, release},
    };

    #[test]
    fn a_released_shard_is_the_new_owners_at_the_next_epoch_and_a_repeated_release_does_nothing() {
        let mut machine = cluster(2);
        machine.apply(offer(1, vec![counter(2)]));
        machine.apply(moves(&machine, &[(1, 2)]));
        let released = release(&machine, 1, &[1]);
        assert!(machine.apply(released.clone()).changed);
        assert_eq!((owners(&machine), epochs(&machine)), (vec![1, 2], vec![1, 2]));
        assert!(!machine.apply(released).changed);
        assert!(!machine.apply(release(&machine, 1, &[1])).changed, "it is not its owner");
    }

    #[test]
    fn a_shard_released_for_a_node_that_is_gone_finds_another_home_at_a_new_epoch() {
        let mut machine = cluster(3);
        machine.apply(offer(1, vec![counter(1)]));
        machine.apply(moves(&machine, &[(0, 2)]));
        let released = release(&machine, 1, &[0]);
        machine.apply(down(&[(2, 2)]));
        assert!(machine.apply(released).changed);
        assert_eq!((owners(&machine), epochs(&machine)), (vec![1], vec![2]), "the only host");

        machine.apply(hosted_changed(3, true));
        machine.apply(hosted_changed(1, false));
        assert!(machine.apply(release(&machine, 1, &[0])).changed);
        assert_eq!((owners(&machine), epochs(&machine)), (vec![3], vec![3]));
    }

    #[test]
    fn shards_that_are_not_there_are_passed_over() {
        let mut machine = cluster(1);
        machine.apply(offer(1, vec![counter(1)]));
        let nowhere = [(99, 0), (0, 99)];
        let shards = nowhere.map(|(type_id, shard)| Release { type_id, shard, epoch: Epoch(1) });
        let command = Released { node: NodeId(1), shards: shards.to_vec() };
        assert!(!machine.apply(Command::Released(command)).changed);
    }
}
