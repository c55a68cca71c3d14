//! Lifts epochs above those that the store knows.

use callboard_types::{CallError, Epoch, ErrorKind};
use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// The highest epoch that a store may name. No cluster lives so long; a number above it is damage.
pub const EPOCH_MAX: Epoch = Epoch(1 << 62);

/// One epoch to lift.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Raised {
    /// The type's id.
    pub type_id: u32,
    /// The shard.
    pub shard: u32,
    /// What the store knows. A lower epoch is lifted above it. A shard that is at this very epoch stays: its owner wrote
    /// the store's row, and whoever reported it was another one, of an epoch before. Who rebuilds a control plane and
    /// trusts no epoch of its own names the number after the stored one.
    pub above: Epoch,
}

/// The store refused a takeover because it knows a higher epoch: after a control plane was rebuilt from less than it
/// knew. Owners stay as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaiseEpochs {
    /// The epochs. Those that are high enough already are passed over.
    pub shards: Vec<Raised>,
}

impl RaiseEpochs {
    pub(super) fn run(self, machine: &mut Machine) -> Result<bool, CallError> {
        if let Some(damaged) = self.shards.iter().find(|raised| raised.above > EPOCH_MAX) {
            return Err(CallError::new(
                ErrorKind::InvalidArgument,
                format!(
                    "the store names epoch {} for shard {} of type {}, which no cluster can have reached: its fence \
                     row is damaged",
                    damaged.above, damaged.shard, damaged.type_id
                ),
            ));
        }
        let shards = self.shards.into_iter().map(|one| (one.type_id, one.shard, one.above));
        Ok(machine.edit_shards(shards, |homes, number, above| {
            let shard = &mut homes.shards[number];
            let low = shard.epoch < above;
            if low {
                shard.epoch = above.next();
            }
            low
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::command::{
        Command,
        fixtures::{cluster, counter, epochs, offer, owners, view},
    };

    #[test]
    fn an_epoch_rises_above_what_the_store_knows_and_never_falls() {
        let mut machine = cluster(1);
        machine.apply(offer(1, vec![counter(3)]));
        let type_id = view(&machine, "Counter").id;
        let mut raise = |above: u64| {
            let shards = vec![Raised { type_id, shard: 1, above: Epoch(above) }];
            machine.apply(Command::RaiseEpochs(RaiseEpochs { shards }))
        };
        assert!(raise(40).changed);
        assert!(!raise(40).changed);
        assert!(!raise(41).changed, "its own epoch, reported by an owner of before");
        assert!(!raise(3).changed);
        raise(u64::MAX).outcome.expect_err("damage");
        assert_eq!((owners(&machine), epochs(&machine)), (vec![1, 1, 1], vec![1, 41, 1]));
    }
}
