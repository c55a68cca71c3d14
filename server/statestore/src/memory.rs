//! The reference implementation: every rule of [`StateStore`], in plain maps behind one lock.
//!
//! For tests only, because nothing survives the process. Handles are cheap clones that share the same data, so a test
//! can look at a commit through a second handle, or hand the "stored" data to a restarted node.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use callboard_types::{ActorId, Millis, ShardId};
use parking_lot::Mutex;

use crate::{
    ActorRecord, ActorSummary, BroadcastRow, Claimed, CommitBatch, DeadLetterRow, Error, HistoryAt,
    HistoryRow, InboxRow, OutboxRow, ShardClaim, SpillPack, StateStore, Verdict,
};

mod tables;

use tables::Tables;

/// A store that lives as long as its handles.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    tables: Arc<Mutex<Tables>>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl StateStore for MemoryStore {
    async fn claim(&self, claims: &[ShardClaim]) -> Result<Vec<Claimed>, Error> {
        let mut tables = self.tables.lock();
        let raise = |claim: &ShardClaim| {
            let row = tables.fences.entry(claim.shard.clone()).or_default();
            let in_other_hands = row.epoch == claim.epoch && row.node != Some(claim.node);
            if row.epoch > claim.epoch || in_other_hands && row.node.is_some() {
                return Claimed::Lost { stored: row.epoch };
            }
            (row.epoch, row.node) = (claim.epoch, Some(claim.node));
            Claimed::Held { low_water: row.low_water }
        };
        Ok(claims.iter().map(raise).collect())
    }

    async fn commit(&self, batch: CommitBatch) -> Result<Vec<Verdict>, Error> {
        let mut tables = self.tables.lock();
        tables.commit(batch)
    }

    async fn load(&self, ids: &[ActorId]) -> Result<Vec<Option<ActorRecord>>, Error> {
        let tables = self.tables.lock();
        Ok(ids.iter().map(|id| tables.actors.get(id).map(|row| row.record.clone())).collect())
    }

    async fn spilled(&self, queries: &[(ActorId, Millis)]) -> Result<Vec<Vec<Bytes>>, Error> {
        let tables = self.tables.lock();
        let matching = |(id, created): &(ActorId, Millis)| {
            let packs = tables.spilled.get(id).map_or(&[][..], Vec::as_slice);
            let holds =
                |pack: &&SpillPack| created.0 == 0 || (pack.from..=pack.until).contains(created);
            packs.iter().filter(holds).map(|pack| pack.data.clone()).collect()
        };
        Ok(queries.iter().map(matching).collect())
    }

    async fn inbox(
        &self,
        shard: &ShardId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<InboxRow>, Error> {
        let tables = self.tables.lock();
        let Some(first) = after.checked_add(1) else {
            return Ok(vec![]);
        };
        let range = (shard.clone(), first)..=(shard.clone(), u64::MAX);
        let row = |((_, sequence), (id, call)): (&(ShardId, u64), &(ActorId, Bytes))| InboxRow {
            id: id.clone(),
            sequence: *sequence,
            call: call.clone(),
        };
        Ok(tables.inbox.range(range).take(limit).map(row).collect())
    }

    async fn raise_low_water(&self, claims: &[ShardClaim], to: Millis) -> Result<(), Error> {
        let mut tables = self.tables.lock();
        for claim in claims {
            if let Some(row) = tables.fences.get_mut(&claim.shard)
                && row.epoch == claim.epoch
            {
                row.low_water = row.low_water.max(to);
            }
        }
        Ok(())
    }

    async fn expire(&self) -> Result<bool, Error> {
        let mut tables = self.tables.lock();
        Ok(tables.expire())
    }

    async fn list(
        &self,
        system: &str,
        actor_type: &str,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<ActorSummary>, Error> {
        let tables = self.tables.lock();
        let start = ActorId {
            system: system.into(),
            actor_type: actor_type.into(),
            key: prefix.max(after).into(),
        };
        let here = |id: &ActorId| *id.system == *system && *id.actor_type == *actor_type;
        let rows = tables
            .actors
            .range(start..)
            .take_while(|(id, _)| here(id))
            .skip_while(|(id, _)| *id.key <= *after)
            .take_while(|(id, _)| id.key.starts_with(prefix))
            .filter(|(_, row)| !row.record.deleted)
            .take(limit);
        Ok(rows.map(|(id, row)| row.summary(id)).collect())
    }

    async fn outbox(
        &self,
        shard: &ShardId,
        after: (Millis, u64),
        until: Millis,
        limit: usize,
    ) -> Result<Vec<OutboxRow>, Error> {
        let tables = self.tables.lock();
        let mut rows: Vec<&OutboxRow> = tables.outbox_of(shard).collect();
        rows.retain(|row| (row.due_at, row.sequence) > after && row.due_at <= until);
        rows.sort_by_key(|row| (row.due_at, row.sequence));
        Ok(rows.into_iter().take(limit).cloned().collect())
    }

    async fn outbox_ends(
        &self,
        shard: &ShardId,
        after: Millis,
    ) -> Result<(Option<Millis>, u64), Error> {
        let tables = self.tables.lock();
        let due = tables.outbox_of(shard).map(|row| row.due_at).filter(|due| *due > after).min();
        let last = tables.outbox_of(shard).map(|row| row.sequence).max();
        Ok((due, last.unwrap_or(0)))
    }

    async fn broadcasts(
        &self,
        shard: &ShardId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<BroadcastRow>, Error> {
        let tables = self.tables.lock();
        let mut rows = tables.broadcasts_of(shard);
        rows.retain(|row| row.sequence > after);
        rows.sort_by_key(|row| row.sequence);
        rows.truncate(limit);
        Ok(rows)
    }

    async fn keys(&self, shard: &ShardId, after: &str, limit: usize) -> Result<Vec<String>, Error> {
        let tables = self.tables.lock();
        let here = |id: &ActorId, number| {
            let names = (&id.system, &id.actor_type) == (&shard.system, &shard.actor_type);
            names && number == shard.number && *id.key > *after
        };
        let rows = tables.actors.iter().filter(|(id, row)| here(id, row.shard));
        let live = rows.filter(|(_, row)| !row.record.deleted);
        Ok(live.map(|(id, _)| id.key.to_string()).take(limit).collect())
    }

    async fn history(
        &self,
        id: &ActorId,
        at: HistoryAt,
        limit: usize,
    ) -> Result<Vec<HistoryRow>, Error> {
        let tables = self.tables.lock();
        let newest_first = tables.history_of(id).rev();
        Ok(match at {
            HistoryAt::Below(below) => (newest_first.filter(|past| past.revision < below))
                .map(|past| HistoryRow { state: None, tags: Bytes::new(), ..tables::past(past) })
                .take(limit)
                .collect(),
            HistoryAt::Revision(revision) => (newest_first.filter(|p| p.revision == revision))
                .map(tables::past)
                .take(limit.min(1))
                .collect(),
            HistoryAt::Time(time) => (tables.history_of(id).filter(|past| past.at <= time))
                .max_by_key(|past| (past.at, past.revision))
                .map(tables::past)
                .into_iter()
                .take(limit)
                .collect(),
        })
    }

    async fn dead_letters(
        &self,
        system: &str,
        source_type: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<DeadLetterRow>, Error> {
        let tables = self.tables.lock();
        let asked = |row: &&DeadLetterRow| {
            let of_type = source_type.is_empty() || *row.source.actor_type == *source_type;
            *row.source.system == *system && of_type && *row.id > *after
        };
        Ok(tables.dead_letters.values().filter(asked).take(limit).cloned().collect())
    }

    async fn dead_letter(&self, id: &str) -> Result<Option<DeadLetterRow>, Error> {
        Ok(self.tables.lock().dead_letters.get(id).cloned())
    }

    async fn drop_dead_letter(&self, id: &str) -> Result<bool, Error> {
        Ok(self.tables.lock().dead_letters.remove(id).is_some())
    }
}
