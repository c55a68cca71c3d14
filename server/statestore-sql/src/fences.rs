//! Fence rows in memory, and what claims do to them.
//!
//! Only the process that holds a SQLite folder writes its fence rows, so its copy is the table. Where nodes share a
//! database, a copy lives as long as the transaction that has locked the rows.

use std::{collections::HashMap, sync::Arc};

use callboard_statestore::{Claimed, CommitBatch, ShardClaim, Verdict};
use callboard_types::{ActorId, Epoch, Millis, NodeId, ShardId};

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fence {
    pub(crate) epoch: Epoch,
    /// The owner, for people and against an epoch that was given out twice.
    pub(crate) node: NodeId,
    pub(crate) low_water: Millis,
}

/// Rows by shard.
#[derive(Debug, Default)]
pub(crate) struct Fences(pub(crate) HashMap<ShardId, Fence>);

/// Rows that are to be written and then taken over with [`Fences::apply`].
pub(crate) type Changes = HashMap<ShardId, Fence>;

impl Fences {
    /// What claims lead to, and the rows that must be written for it.
    pub(crate) fn claim(&self, claims: &[ShardClaim]) -> (Vec<Claimed>, Changes) {
        let mut changes = Changes::new();
        let one = |claim: &ShardClaim| {
            let stored = changes.get(&claim.shard).or_else(|| self.0.get(&claim.shard));
            let stored = stored.copied();
            if let Some(row) = stored
                && row.epoch > claim.epoch
            {
                return Claimed::Lost { stored: row.epoch };
            }
            let low_water = stored.map_or(Millis(0), |row| row.low_water);
            let next = Fence { epoch: claim.epoch, node: claim.node, low_water };
            if stored != Some(next) {
                changes.insert(claim.shard.clone(), next);
            }
            Claimed::Held { low_water }
        };
        (claims.iter().map(one).collect(), changes)
    }

    /// The rows to write so that the low-water times of held shards are at least `to`.
    pub(crate) fn raise(&self, claims: &[ShardClaim], to: Millis) -> Changes {
        let mut changes = Changes::new();
        for claim in claims {
            if let Some(row) = self.0.get(&claim.shard)
                && row.epoch == claim.epoch
                && row.low_water < to
            {
                let next = Fence { low_water: to, ..*row };
                changes.insert(claim.shard.clone(), next);
            }
        }
        changes
    }

    /// Takes over rows that were written.
    pub(crate) fn apply(&mut self, changes: Changes) {
        self.0.extend(changes);
    }

    /// True if a shard is held in this epoch.
    pub(crate) fn holds(&self, shard: &ShardId, epoch: Epoch) -> bool {
        self.stored(shard) == epoch
    }

    /// The verdicts on the items of a batch, as far as fences say.
    pub(crate) fn verdicts(&self, batch: &CommitBatch) -> Vec<Verdict> {
        let verdict = |(shard, epoch)| match self.stored(&shard) {
            stored if stored == epoch => Verdict::Committed,
            stored => Verdict::FenceLost { stored },
        };
        batch.fences().map(verdict).collect()
    }

    fn stored(&self, shard: &ShardId) -> Epoch {
        self.0.get(shard).map_or(Epoch::ZERO, |row| row.epoch)
    }

    /// Every shard and its epoch.
    pub(crate) fn epochs(&self) -> Vec<(ShardId, Epoch)> {
        self.0.iter().map(|(shard, row)| (shard.clone(), row.epoch)).collect()
    }

    /// The lowest low-water time of any shard; the smallest time if there is no shard.
    pub(crate) fn low_water(&self) -> Millis {
        let lowest = self.0.values().map(|row| row.low_water).min();
        lowest.unwrap_or(Millis(i64::MIN))
    }
}

/// The shard of an actor, by number.
pub(crate) fn shard_of(id: &ActorId, number: u32) -> ShardId {
    ShardId { system: Arc::clone(&id.system), actor_type: Arc::clone(&id.actor_type), number }
}
