//! The reference implementation: every rule of [`StateStore`], in plain maps behind one lock.
//!
//! For tests only, because nothing survives the process. Handles are cheap clones that share the same data, so a test
//! can look at a commit through a second handle, or hand the "stored" data to a restarted node.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use callboard_types::{ActorId, Epoch, Millis, NodeId, Revision, ShardId};
use parking_lot::Mutex;

use crate::{
    ActorCommit, ActorRecord, ActorSummary, Claimed, CommitBatch, Error, InboxInsert, InboxRow,
    ShardClaim, SpillPack, StateStore, Verdict,
};

/// Packs that one [`StateStore::expire`] drops at most.
const EXPIRE_PACKS_MAX: usize = 256;

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

#[derive(Debug, Default)]
struct Tables {
    actors: BTreeMap<ActorId, ActorRecord>,
    fences: HashMap<ShardId, Fence>,
    inbox: BTreeMap<(ShardId, u64), (ActorId, Bytes)>,
    spilled: HashMap<ActorId, Vec<SpillPack>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Fence {
    epoch: Epoch,
    node: Option<NodeId>,
    low_water: Millis,
}

impl Tables {
    fn fence(&self, shard: &ShardId, epoch: Epoch) -> Result<(), Verdict> {
        let stored = self.fences.get(shard).map_or(Epoch::ZERO, |row| row.epoch);
        if stored == epoch { Ok(()) } else { Err(Verdict::FenceLost { stored }) }
    }

    fn commit_actor(&mut self, commit: ActorCommit) -> Verdict {
        let shard = shard_id(&commit.id, commit.shard);
        if let Err(lost) = self.fence(&shard, commit.epoch) {
            return lost;
        }
        let stored = self.actors.get(&commit.id).map_or(Revision::ZERO, |row| row.revision);
        if stored != commit.previous {
            return Verdict::RevisionMismatch { stored };
        }
        for sequence in commit.inbox_done {
            self.inbox.remove(&(shard.clone(), sequence));
        }
        if !commit.spill.is_empty() {
            let packs = self.spilled.entry(commit.id.clone()).or_default();
            packs.extend(commit.spill);
        }
        self.actors.insert(commit.id, commit.record);
        Verdict::Committed
    }

    fn is_taken(&self, insert: &InboxInsert) -> bool {
        let shard = shard_id(&insert.id, insert.shard);
        self.fence(&shard, insert.epoch).is_ok()
            && self.inbox.contains_key(&(shard, insert.sequence))
    }

    fn accept(&mut self, insert: InboxInsert) -> Verdict {
        let shard = shard_id(&insert.id, insert.shard);
        if let Err(lost) = self.fence(&shard, insert.epoch) {
            return lost;
        }
        let row = (insert.id, insert.call);
        self.inbox.insert((shard, insert.sequence), row);
        Verdict::Committed
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
        if let Some(taken) = batch.inbox.iter().find(|insert| tables.is_taken(insert)) {
            let sequence = taken.sequence;
            return Err(Error::Fatal(format!("sequence {sequence} is used twice")));
        }
        // Calls are accepted first, so that a turn of the same batch can answer one; verdicts list actors first.
        let inbox: Vec<Verdict> =
            (batch.inbox.into_iter()).map(|insert| tables.accept(insert)).collect();
        let mut verdicts: Vec<Verdict> =
            (batch.actors.into_iter()).map(|commit| tables.commit_actor(commit)).collect();
        verdicts.extend(inbox);
        Ok(verdicts)
    }

    async fn load(&self, ids: &[ActorId]) -> Result<Vec<Option<ActorRecord>>, Error> {
        let tables = self.tables.lock();
        Ok(ids.iter().map(|id| tables.actors.get(id).cloned()).collect())
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
        let Some(low_water) = tables.fences.values().map(|row| row.low_water).min() else {
            return Ok(false);
        };
        let mut room = EXPIRE_PACKS_MAX;
        tables.spilled.retain(|_, packs| {
            packs.retain(|pack| {
                let drop = room > 0 && pack.until < low_water;
                room -= usize::from(drop);
                !drop
            });
            !packs.is_empty()
        });
        Ok(room == 0)
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
            .take(limit);
        Ok(rows.map(summary).collect())
    }
}

fn summary((id, row): (&ActorId, &ActorRecord)) -> ActorSummary {
    ActorSummary {
        id: id.clone(),
        revision: row.revision,
        state_bytes: row.state.as_ref().map_or(0, |state| state.data.len() as u64),
        updated_at: row.updated_at,
    }
}

fn shard_id(id: &ActorId, number: u32) -> ShardId {
    ShardId { system: Arc::clone(&id.system), actor_type: Arc::clone(&id.actor_type), number }
}
