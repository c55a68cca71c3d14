//! Rows on their way from either database to the data plane.

use std::sync::Arc;

use bytes::Bytes;
use callboard_statestore::{
    ActorRecord, ActorSummary, BroadcastRow, DeadLetterRow, Error, HistoryRow, InboxRow, OutboxRow,
    StateBlob,
};
use callboard_types::{ActorId, Millis, Revision, ShardId};

use crate::{counter::unsigned, jobs::Listing};

/// Reads columns by place. A column that does not hold what the schema says means a damaged or foreign database.
pub(crate) trait Columns {
    fn number(&self, index: usize) -> Result<i64, Error>;
    fn number_if_any(&self, index: usize) -> Result<Option<i64>, Error>;
    fn text(&self, index: usize) -> Result<&str, Error>;
    fn bytes(&self, index: usize) -> Result<Bytes, Error>;
    /// Text that a host chose, which not every database keeps as text.
    fn foreign_text(&self, index: usize) -> Result<Option<String>, Error>;

    /// The place of a row in the request, which is the number of an element of an array.
    fn place(&self, index: usize) -> Result<usize, Error> {
        Ok(usize::try_from(self.number(index)?).unwrap_or(usize::MAX))
    }

    fn counter(&self, index: usize) -> Result<u64, Error> {
        self.number(index).map(unsigned)
    }
}

/// From the second column: revision, time, spilled until, content type, type URL, tags, outcomes, state, deleted.
pub(crate) fn actor(row: &impl Columns) -> Result<ActorRecord, Error> {
    let revision = row.number(1)?;
    Ok(ActorRecord {
        revision: Revision(unsigned(revision)),
        state: state(row, [4, 5, 8])?,
        tags: row.bytes(6)?,
        outcomes: row.bytes(7)?,
        spilled_until: Millis(row.number(3)?),
        updated_at: Millis(row.number(2)?),
        deleted: row.number(9)? == revision.saturating_add(1),
    })
}

/// Content type, type URL and data in these columns.
fn state(row: &impl Columns, columns: [usize; 3]) -> Result<Option<StateBlob>, Error> {
    let Some(content_type) = row.foreign_text(columns[0])? else {
        return Ok(None);
    };
    let type_url = row.foreign_text(columns[1])?.unwrap_or_default();
    Ok(Some(StateBlob { content_type, type_url, data: row.bytes(columns[2])? }))
}

/// Sequence, key, call.
pub(crate) fn call(shard: &ShardId, row: &impl Columns) -> Result<InboxRow, Error> {
    let id = ActorId {
        system: Arc::clone(&shard.system),
        actor_type: Arc::clone(&shard.actor_type),
        key: row.text(1)?.into(),
    };
    Ok(InboxRow { id, sequence: row.counter(0)?, call: row.bytes(2)? })
}

/// Key, revision, time, size of the state; in the order of keys.
pub(crate) fn summaries(
    listing: &Listing,
    rows: &[impl Columns],
) -> Result<Vec<ActorSummary>, Error> {
    let mut summaries = Vec::with_capacity(rows.len());
    for row in rows {
        let key = row.text(0)?;
        // Keys with the prefix stand together: the first one without it ends the listing.
        if !key.starts_with(&listing.prefix) {
            break;
        }
        summaries.push(ActorSummary {
            id: ActorId {
                system: Arc::clone(&listing.system),
                actor_type: Arc::clone(&listing.actor_type),
                key: key.into(),
            },
            revision: Revision(row.counter(1)?),
            state_bytes: unsigned(row.number_if_any(3)?.unwrap_or(0)),
            updated_at: Millis(row.number(2)?),
        });
    }
    Ok(summaries)
}

/// Key, sequence, due time, item.
pub(crate) fn delivery(row: &impl Columns) -> Result<OutboxRow, Error> {
    Ok(OutboxRow {
        key: row.text(0)?.to_owned(),
        sequence: row.counter(1)?,
        due_at: Millis(row.number(2)?),
        item: row.bytes(3)?,
    })
}

/// The next due time, the last sequence; none of an empty outbox.
pub(crate) fn ends(row: &impl Columns) -> Result<(Option<Millis>, u64), Error> {
    let last = row.number_if_any(1)?.map_or(0, unsigned);
    Ok((row.number_if_any(0)?.map(Millis), last))
}

/// Id, sequence, cursor, item.
pub(crate) fn broadcast(row: &impl Columns) -> Result<BroadcastRow, Error> {
    Ok(BroadcastRow {
        id: row.text(0)?.to_owned(),
        sequence: row.counter(1)?,
        cursor: row.text(2)?.to_owned(),
        item: row.bytes(3)?,
    })
}

/// Id, system, type, key, time, letter.
pub(crate) fn letter(row: &impl Columns) -> Result<DeadLetterRow, Error> {
    Ok(DeadLetterRow {
        id: row.text(0)?.to_owned(),
        source: ActorId {
            system: row.text(1)?.into(),
            actor_type: row.text(2)?.into(),
            key: row.text(3)?.into(),
        },
        died_at: Millis(row.number(4)?),
        letter: row.bytes(5)?,
    })
}

/// Revision, time, size of the state.
pub(crate) fn past_line(row: &impl Columns) -> Result<HistoryRow, Error> {
    Ok(HistoryRow {
        revision: Revision(row.counter(0)?),
        at: Millis(row.number(1)?),
        state_bytes: unsigned(row.number_if_any(2)?.unwrap_or(0)),
        state: None,
        tags: Bytes::new(),
    })
}

/// The same, and content type, type URL, tags, state.
pub(crate) fn past_state(row: &impl Columns) -> Result<HistoryRow, Error> {
    let state = state(row, [3, 4, 6])?;
    Ok(HistoryRow { state, tags: row.bytes(5)?, ..past_line(row)? })
}
