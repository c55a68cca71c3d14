//! The fence rows in memory.
//!
//! Only the process that holds the folder's lock and the newest writer epoch writes fence rows, so its copy is the
//! table: a commit compares with it and needs no statement per shard.

use std::{collections::HashMap, sync::Arc};

use callboard_statestore::{Claimed, Error, ShardClaim, Verdict};
use callboard_types::{ActorId, Epoch, Millis, NodeId, ShardId};

use crate::{
    lane::{Columns, Lane, Parameters, signed, unsigned},
    sql::{Shape, Statements, chunks},
};

const ALL: &str = "SELECT \"system\", \"type\", \"shard\", \"epoch\", \"node\", \"low_water\" FROM \"shard_fence\"";
/// Rows of one statement: six parameters each.
const ROWS_MAX: usize = 256;

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fence {
    epoch: Epoch,
    node: NodeId,
    low_water: Millis,
}

/// All rows.
#[derive(Debug, Default)]
pub(crate) struct Fences(HashMap<ShardId, Fence>);

/// Rows that are to be written and then taken over with [`Fences::apply`].
pub(crate) type Changes = HashMap<ShardId, Fence>;

impl Fences {
    /// Reads the table.
    pub(crate) async fn read(lane: &mut Lane) -> Result<Self, Error> {
        let mut fences = HashMap::new();
        for row in lane.fixed(ALL).await? {
            let shard = ShardId {
                system: row.text(0)?.into(),
                actor_type: row.text(1)?.into(),
                number: u32::try_from(row.number(2)?).unwrap_or(u32::MAX),
            };
            let fence = Fence {
                epoch: Epoch(unsigned(row.number(3)?)),
                node: NodeId(unsigned(row.number(4)?)),
                low_water: Millis(row.number(5)?),
            };
            fences.insert(shard, fence);
        }
        Ok(Self(fences))
    }

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

    /// The verdict on an item, if its shard is not held in its epoch.
    pub(crate) fn lost(&self, id: &ActorId, shard: u32, epoch: Epoch) -> Option<Verdict> {
        let shard = ShardId {
            system: Arc::clone(&id.system),
            actor_type: Arc::clone(&id.actor_type),
            number: shard,
        };
        let stored = self.0.get(&shard).map_or(Epoch::ZERO, |row| row.epoch);
        (stored != epoch).then_some(Verdict::FenceLost { stored })
    }

    /// The lowest low-water time of any shard; the smallest time if there is no shard.
    pub(crate) fn low_water(&self) -> Millis {
        let lowest = self.0.values().map(|row| row.low_water).min();
        lowest.unwrap_or(Millis(i64::MIN))
    }
}

/// Writes fence rows, inside a transaction of the caller.
pub(crate) async fn write(
    lane: &mut Lane,
    statements: &mut Statements,
    changes: &Changes,
) -> Result<(), Error> {
    let mut rows = changes.iter();
    for count in chunks(changes.len(), ROWS_MAX) {
        let mut parameters = Parameters::with_room(count * 6);
        for (shard, fence) in rows.by_ref().take(count) {
            parameters
                .text(&shard.system)
                .text(&shard.actor_type)
                .number(i64::from(shard.number))
                .number(signed(fence.epoch.0))
                .number(signed(fence.node.0))
                .number(fence.low_water.0);
        }
        let text = statements.get(Shape::Fences { rows: count });
        lane.execute(text, parameters).await?;
    }
    Ok(())
}
