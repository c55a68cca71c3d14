//! Asks owners to release shards for other nodes.

use callboard_types::{Epoch, NodeId};
use serde::{Deserialize, Serialize};

use crate::machine::{
    Machine,
    homes::Homes,
    member::{is_live, takes_shards},
};

/// One planned move of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Move {
    /// The type's id.
    pub type_id: u32,
    /// The shard.
    pub shard: u32,
    /// Its epoch when the move was planned. If it has another one the plan is out of date and passed over.
    pub epoch: Epoch,
    /// Who gets it. Its present owner, to end a move that was begun.
    pub to: NodeId,
}

/// Begins planned moves: each owner stops starting turns of the shard, and releases it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanMoves {
    /// The moves. Those to nodes that take no shards are passed over.
    pub moves: Vec<Move>,
}

impl PlanMoves {
    pub(super) fn run(self, machine: &mut Machine) -> bool {
        let moves = self.moves.into_iter().map(|planned| (planned.type_id, planned.shard, planned));
        machine.edit_shards(moves, |homes, number, planned| begin(homes, number, &planned))
    }
}

fn begin(homes: &mut Homes<'_>, number: usize, planned: &Move) -> bool {
    let shard = homes.shards[number];
    if shard.epoch != planned.epoch || !is_live(homes.members, shard.node) {
        return false;
    }
    let to = if planned.to == shard.node {
        NodeId::ZERO
    } else if takes_shards(homes.members, planned.to) {
        planned.to
    } else {
        return false;
    };
    homes.shards[number].moving_to = to;
    shard.moving_to != to
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::command::{
        Command,
        fixtures::{cluster, counter, epochs, moves, offer, owners, view},
    };

    #[test]
    fn a_planned_shard_keeps_owner_and_epoch_until_it_is_released() {
        let mut machine = cluster(2);
        machine.apply(offer(1, vec![counter(2)]));
        let plan = moves(&machine, &[(1, 2), (0, 9), (7, 2)]);
        assert!(machine.apply(plan.clone()).changed);
        assert!(!machine.apply(plan).changed, "it is under way");
        assert_eq!((owners(&machine), epochs(&machine)), (vec![1, 1], vec![1, 1]));
        let targets: Vec<u64> =
            view(&machine, "Counter").shards.iter().map(|shard| shard.moving_to.0).collect();
        assert_eq!(targets, [0, 2], "node 9 does not exist");

        assert!(machine.apply(moves(&machine, &[(1, 1)])).changed, "taken back");
        assert!(!view(&machine, "Counter").shards[1].is_moving());
    }

    #[test]
    fn a_plan_for_another_epoch_is_out_of_date() {
        let mut machine = cluster(2);
        machine.apply(offer(1, vec![counter(1)]));
        let type_id = view(&machine, "Counter").id;
        let planned = Move { type_id, shard: 0, epoch: Epoch(9), to: NodeId(2) };
        assert!(!machine.apply(Command::PlanMoves(PlanMoves { moves: vec![planned] })).changed);
    }
}
