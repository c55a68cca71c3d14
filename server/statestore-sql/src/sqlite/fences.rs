//! Fence rows in the database file.

use std::collections::HashMap;

use callboard_statestore::Error;
use callboard_types::{Epoch, Millis, NodeId, ShardId};

use crate::{
    columns::Columns,
    counter::{signed, unsigned},
    fences::{Changes, Fence, Fences},
    sqlite::{
        lane::{Lane, Parameters},
        sql::{Shape, Statements, chunks},
    },
};

const ALL: &str = "SELECT \"system\", \"type\", \"shard\", \"epoch\", \"node\", \"low_water\" FROM \"shard_fence\"";
/// Rows of one statement: six parameters each.
const ROWS_MAX: usize = 256;

/// Reads the table.
pub(crate) async fn read(lane: &mut Lane) -> Result<Fences, Error> {
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
    Ok(Fences(fences))
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
