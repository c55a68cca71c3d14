//! The maps, and what a commit does to them.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use callboard_types::{ActorId, Epoch, Millis, NodeId, Revision, ShardId, limits};

use crate::{
    ActorCommit, ActorRecord, ActorSummary, BroadcastChange, BroadcastRow, BroadcastStep,
    CommitBatch, DeadLetterRow, Error, HistoryInsert, HistoryRow, InboxInsert, OutboxDone,
    OutboxRow, SpillPack, Verdict,
};

/// Packs, and ids of messages, that one [`StateStore::expire`](crate::StateStore::expire) drops at most.
const EXPIRE_MAX: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) actors: BTreeMap<ActorId, Row>,
    pub(super) fences: HashMap<ShardId, Fence>,
    pub(super) inbox: BTreeMap<(ShardId, u64), (ActorId, Bytes)>,
    pub(super) spilled: HashMap<ActorId, Vec<SpillPack>>,
    pub(super) dead_letters: BTreeMap<String, DeadLetterRow>,
    outbox: BTreeMap<(ShardId, u64), OutboxRow>,
    history: BTreeMap<(ActorId, Revision), HistoryInsert>,
    broadcasts: BTreeMap<(ShardId, String), Message>,
}

/// The row of an actor, and its shard.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) shard: u32,
    pub(super) record: ActorRecord,
}

impl Row {
    pub(super) fn summary(&self, id: &ActorId) -> ActorSummary {
        ActorSummary {
            id: id.clone(),
            revision: self.record.revision,
            state_bytes: self.record.state.as_ref().map_or(0, |state| state.data.len() as u64),
            updated_at: self.record.updated_at,
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fence {
    pub(super) epoch: Epoch,
    pub(super) node: Option<NodeId>,
    pub(super) low_water: Millis,
}

/// A message of a channel; done if it has no row any more.
#[derive(Debug)]
struct Message {
    at: Millis,
    row: Option<BroadcastRow>,
}

impl Tables {
    pub(super) fn commit(&mut self, batch: CommitBatch) -> Result<Vec<Verdict>, Error> {
        let lost = |(shard, epoch): (ShardId, Epoch)| {
            let stored = self.fences.get(&shard).map_or(Epoch::ZERO, |row| row.epoch);
            (stored != epoch).then_some(Verdict::FenceLost { stored })
        };
        let lost: Vec<Option<Verdict>> = batch.fences().map(lost).collect();
        let (of_actors, rest) = lost.split_at(batch.actors.len());
        let mut verdicts: Vec<Verdict> = (batch.actors.iter().zip(of_actors))
            .map(|(commit, lost)| lost.unwrap_or_else(|| self.expects(commit)))
            .collect();
        verdicts.extend(rest.iter().map(|lost| lost.unwrap_or(Verdict::Committed)));
        self.refuse_used_sequences(&batch, &verdicts)?;
        let mut included = verdicts.iter().map(is_written);
        let mut is_included = || included.next().unwrap_or(false);
        let actors: Vec<_> = batch.actors.into_iter().filter(|_| is_included()).collect();
        let inbox: Vec<_> = batch.inbox.into_iter().filter(|_| is_included()).collect();
        let ended: Vec<_> = batch.outbox_done.into_iter().filter(|_| is_included()).collect();
        let changes: Vec<_> = batch.broadcasts.into_iter().filter(|_| is_included()).collect();
        // Calls are accepted first, so that a turn of the same batch can answer one.
        inbox.into_iter().for_each(|insert| self.accept(insert));
        actors.into_iter().for_each(|commit| self.commit_actor(commit));
        ended.into_iter().for_each(|done| self.end_delivery(done));
        changes.into_iter().for_each(|change| self.change_broadcast(change));
        Ok(verdicts)
    }

    fn expects(&self, commit: &ActorCommit) -> Verdict {
        let stored = self.actors.get(&commit.id).map_or(Revision::ZERO, |row| row.record.revision);
        match stored == commit.previous {
            true => Verdict::Committed,
            false => Verdict::RevisionMismatch { stored },
        }
    }

    /// A second row of a waiting sequence would overwrite the first.
    fn refuse_used_sequences(
        &self,
        batch: &CommitBatch,
        verdicts: &[Verdict],
    ) -> Result<(), Error> {
        let (of_actors, of_inbox) = verdicts.split_at(batch.actors.len());
        let mut calls = HashSet::new();
        let mut sent = HashSet::new();
        let used = |taken: bool, new: bool, sequence: u64| match taken || !new {
            true => Err(Error::Fatal(format!("sequence {sequence} is used twice"))),
            false => Ok(()),
        };
        for (insert, _) in batch.inbox.iter().zip(of_inbox).filter(|(_, of)| is_written(of)) {
            let at = (shard_id(&insert.id, insert.shard), insert.sequence);
            used(self.inbox.contains_key(&at), calls.insert(at), insert.sequence)?;
        }
        for (commit, _) in batch.actors.iter().zip(of_actors).filter(|(_, of)| is_written(of)) {
            for row in &commit.outbox {
                let at = (shard_id(&commit.id, commit.shard), row.sequence);
                used(self.outbox.contains_key(&at), sent.insert(at), row.sequence)?;
            }
        }
        Ok(())
    }

    fn accept(&mut self, insert: InboxInsert) {
        let shard = shard_id(&insert.id, insert.shard);
        self.inbox.insert((shard, insert.sequence), (insert.id, insert.call));
    }

    fn commit_actor(&mut self, commit: ActorCommit) {
        let shard = shard_id(&commit.id, commit.shard);
        let history: Vec<HistoryInsert> = commit.kept_history().cloned().collect();
        for sequence in commit.inbox_done {
            self.inbox.remove(&(shard.clone(), sequence));
        }
        if !commit.spill.is_empty() {
            let packs = self.spilled.entry(commit.id.clone()).or_default();
            packs.extend(commit.spill);
        }
        for insert in commit.outbox {
            let row = OutboxRow {
                key: commit.id.key.to_string(),
                sequence: insert.sequence,
                due_at: insert.due_at,
                item: insert.item,
            };
            self.outbox.insert((shard.clone(), insert.sequence), row);
        }
        commit.letters.into_iter().for_each(|letter| self.bury(letter));
        let (deleted, forget) = (commit.record.deleted, commit.forget);
        if deleted || forget.is_some() {
            let forgets =
                |past: &HistoryInsert| deleted || forget.is_some_and(|forget| forget.covers(past));
            self.history.retain(|(id, _), past| *id != commit.id || !forgets(past));
        }
        for past in history {
            self.history.entry((commit.id.clone(), past.revision)).or_insert(past);
        }
        let row = Row { shard: commit.shard, record: commit.record };
        self.actors.insert(commit.id, row);
    }

    fn end_delivery(&mut self, done: OutboxDone) {
        self.outbox.remove(&(done.shard, done.sequence));
        if let Some(letter) = done.dead {
            self.bury(letter);
        }
    }

    fn bury(&mut self, letter: DeadLetterRow) {
        self.dead_letters.entry(letter.id.clone()).or_insert(letter);
    }

    fn change_broadcast(&mut self, change: BroadcastChange) {
        let BroadcastChange { shard, id, step, .. } = change;
        let known = self.broadcasts.get_mut(&(shard.clone(), id.clone()));
        match (step, known) {
            (BroadcastStep::Record { sequence, at, item }, None) => {
                let row = BroadcastRow { id: id.clone(), sequence, cursor: String::new(), item };
                self.broadcasts.insert((shard, id), Message { at, row: Some(row) });
            }
            (BroadcastStep::Advance { cursor }, Some(Message { row: Some(row), .. })) => {
                row.cursor = cursor;
            }
            (BroadcastStep::Done, Some(message)) => message.row = None,
            // Known already, done, or never heard of.
            (BroadcastStep::Record { .. } | BroadcastStep::Advance { .. }, _)
            | (BroadcastStep::Done, None) => {}
        }
    }

    pub(super) fn outbox_of(&self, shard: &ShardId) -> impl Iterator<Item = &OutboxRow> {
        let range = (shard.clone(), 0)..=(shard.clone(), u64::MAX);
        self.outbox.range(range).map(|(_, row)| row)
    }

    pub(super) fn broadcasts_of(&self, shard: &ShardId) -> Vec<BroadcastRow> {
        let here = self.broadcasts.iter().filter(|((of, _), _)| of == shard);
        here.filter_map(|(_, message)| message.row.clone()).collect()
    }

    pub(super) fn history_of(
        &self,
        id: &ActorId,
    ) -> impl DoubleEndedIterator<Item = &HistoryInsert> {
        let range = (id.clone(), Revision::ZERO)..=(id.clone(), Revision(u64::MAX));
        self.history.range(range).map(|(_, past)| past)
    }

    /// Drops a piece of what lies below every low-water time. True if there may be more.
    pub(super) fn expire(&mut self) -> bool {
        let Some(low_water) = self.fences.values().map(|row| row.low_water).min() else {
            return false;
        };
        let mut room = EXPIRE_MAX;
        self.spilled.retain(|_, packs| {
            packs.retain(|pack| {
                let drop = room > 0 && pack.until < low_water;
                room -= usize::from(drop);
                !drop
            });
            !packs.is_empty()
        });
        let delivered = low_water.plus(-limits::DELIVERED_WINDOW_MS);
        self.broadcasts.retain(|_, message| {
            let drop = room > 0 && message.row.is_none() && message.at < delivered;
            room -= usize::from(drop);
            !drop
        });
        room == 0
    }
}

/// A past state with everything.
pub(super) fn past(past: &HistoryInsert) -> HistoryRow {
    HistoryRow {
        revision: past.revision,
        at: past.at,
        state_bytes: past.state.as_ref().map_or(0, |state| state.data.len() as u64),
        state: past.state.clone(),
        tags: past.tags.clone(),
    }
}

fn is_written(verdict: &Verdict) -> bool {
    *verdict == Verdict::Committed
}

fn shard_id(id: &ActorId, number: u32) -> ShardId {
    let ActorId { system, actor_type, .. } = id;
    ShardId { system: system.clone(), actor_type: actor_type.clone(), number }
}
