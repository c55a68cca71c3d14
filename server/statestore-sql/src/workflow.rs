//! What a batch brings beside the rows of actors, put in the order in which either database takes it.

use std::collections::BTreeMap;

use bytes::Bytes;
use callboard_statestore::{
    ActorCommit, BroadcastChange, BroadcastStep, DeadLetterRow, HistoryInsert, OutboxDone,
    OutboxInsert,
};
use callboard_types::{ActorId, Millis, Revision, ShardId};

/// Rows that turns set going, with their turns.
pub(crate) fn sent<'a>(actors: &[&'a ActorCommit]) -> Vec<(&'a ActorCommit, &'a OutboxInsert)> {
    let rows = |item: &&'a ActorCommit| {
        let item = *item;
        item.outbox.iter().map(move |row| (item, row))
    };
    actors.iter().flat_map(rows).collect()
}

/// Letters of accepted calls and of deliveries that were given up.
pub(crate) fn letters<'a>(
    actors: &[&'a ActorCommit],
    ended: &[&'a OutboxDone],
) -> Vec<&'a DeadLetterRow> {
    let of_calls = actors.iter().flat_map(|item| &item.letters);
    of_calls.chain(ended.iter().filter_map(|done| done.dead.as_ref())).collect()
}

/// What happens to past states.
#[derive(Debug, Default)]
pub(crate) struct Pasts<'a> {
    pub(crate) forget_below: Vec<(&'a ActorId, Revision)>,
    pub(crate) forget_before: Vec<(&'a ActorId, Millis)>,
    pub(crate) keep: Vec<(&'a ActorId, &'a HistoryInsert)>,
}

impl<'a> Pasts<'a> {
    pub(crate) fn of(actors: &[&'a ActorCommit]) -> Self {
        let mut pasts = Self::default();
        for item in actors {
            let forget = item.forget.filter(|_| !item.record.deleted);
            match forget.map(|forget| (forget.below, forget.before)) {
                None if item.record.deleted => {
                    pasts.forget_below.push((&item.id, Revision(u64::MAX)));
                }
                None => {}
                Some((below, before)) => {
                    if below > Revision::ZERO {
                        pasts.forget_below.push((&item.id, below));
                    }
                    if before > Millis(0) {
                        pasts.forget_before.push((&item.id, before));
                    }
                }
            }
            pasts.keep.extend(item.kept_history().map(|past| (&item.id, past)));
        }
        pasts
    }
}

/// Actors whose row becomes a tombstone, and those whose row stops being one without a new revision. A row with a new
/// revision stops by itself.
pub(crate) fn tombstones<'a>(actors: &[&'a ActorCommit]) -> Vec<(&'a ActorId, bool)> {
    let without_turn = |item: &&&ActorCommit| item.record.revision == item.previous;
    let changed = actors.iter().filter(|item| item.record.deleted || without_turn(item));
    changed.map(|item| (&item.id, item.record.deleted)).collect()
}

/// The steps of a batch's messages.
#[derive(Debug, Default)]
pub(crate) struct Steps<'a> {
    /// Shard, id, sequence, when it came, the message.
    pub(crate) records: Vec<(&'a ShardId, &'a str, u64, Millis, &'a Bytes)>,
    /// The last cursor of each.
    pub(crate) cursors: BTreeMap<(&'a ShardId, &'a str), &'a str>,
    pub(crate) done: Vec<(&'a ShardId, &'a str)>,
}

impl<'a> Steps<'a> {
    pub(crate) fn of(changes: &[&'a BroadcastChange]) -> Self {
        let mut steps = Self::default();
        for BroadcastChange { shard, id, step, .. } in changes {
            match step {
                BroadcastStep::Record { sequence, at, item } => {
                    steps.records.push((shard, id, *sequence, *at, item));
                }
                BroadcastStep::Advance { cursor } => {
                    steps.cursors.insert((shard, id), cursor);
                }
                BroadcastStep::Done => steps.done.push((shard, id)),
            }
        }
        steps
    }
}
