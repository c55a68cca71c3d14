//! One batch, one transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use callboard_statestore::{
    ActorCommit, BroadcastChange, CommitBatch, Error, InboxInsert, OutboxDone, SpillPack, Verdict,
};
use callboard_types::{ActorId, Revision, ShardId, shard::key_hash};

use super::{
    classify::Failure,
    fences::lock,
    lane::Lane,
    link::Uncommitted,
    rows::{self, Parameters},
    sql,
};
use crate::{
    columns::Columns,
    counter::{signed, unsigned},
    ring,
    workflow::letters,
};

mod workflow;

/// Times that a spill table is emptied between making room in it and using it, before the batch is given back.
const ROOM_ATTEMPTS: usize = 3;

/// Packs for one spill table, with their actors.
type Packs<'a> = Vec<(&'a ActorId, &'a SpillPack)>;

/// How far a transaction got.
enum Attempt {
    /// Everything is written and waits for COMMIT; or nothing is, because no item may be.
    Written(Vec<Verdict>),
    /// A spill table was emptied in the meantime.
    NoRoom,
}

impl Lane {
    /// Commits what holds its fence and fits its row; says of the rest why not.
    pub(super) async fn commit(&mut self, batch: &CommitBatch) -> Result<Vec<Verdict>, Error> {
        for _ in 0..ROOM_ATTEMPTS {
            self.make_room(batch).await.map_err(Failure::into_error)?;
            let verdicts = match self.attempt(batch).await {
                Ok(Attempt::Written(verdicts)) => verdicts,
                Ok(Attempt::NoRoom) => {
                    self.link.roll_back().await;
                    continue;
                }
                Err(failure) => {
                    self.link.roll_back().await;
                    return Err(failure.into_error());
                }
            };
            if !verdicts.contains(&Verdict::Committed) {
                self.link.roll_back().await;
                return Ok(verdicts);
            }
            return match self.link.commit().await {
                Ok(()) => Ok(verdicts),
                Err(Uncommitted::RolledBack(error)) => Err(error),
                Err(Uncommitted::Unknown(why)) => self.fate(batch, verdicts, &why).await,
            };
        }
        Err(Error::Unavailable("the spill tables are being emptied".into()))
    }

    /// Writes everything inside a transaction and leaves it open.
    async fn attempt(&mut self, batch: &CommitBatch) -> Result<Attempt, Failure> {
        self.link.begin().await?;
        let mut verdicts = self.check_fences(batch).await?;
        self.write_actors(batch, &mut verdicts).await?;
        let included = Included::of(batch, &verdicts);
        self.accept(&included.inbox).await?;
        self.remove_answered(&included.actors).await?;
        self.write_flow(&included.actors).await?;
        self.end_deliveries(&included.outbox_done).await?;
        self.bury(&letters(&included.actors, &included.outbox_done)).await?;
        self.step(&included.broadcasts).await?;
        if self.spill(&included.actors).await? {
            Ok(Attempt::Written(verdicts))
        } else {
            Ok(Attempt::NoRoom)
        }
    }

    /// Locks the fence rows of the batch. Items whose shard is not held in their epoch get their verdict.
    async fn check_fences(&mut self, batch: &CommitBatch) -> Result<Vec<Verdict>, Failure> {
        let shards = shards(batch);
        let shards: BTreeSet<&ShardId> = shards.iter().collect();
        let fences = lock(&mut self.link, sql::FENCES_SHARED, &shards).await?;
        Ok(fences.verdicts(batch))
    }

    /// Writes actor rows whose revision is the expected one; the others get their verdict.
    async fn write_actors(
        &mut self,
        batch: &CommitBatch,
        verdicts: &mut [Verdict],
    ) -> Result<(), Failure> {
        let mut items: Vec<(usize, &ActorCommit)> = batch.actors.iter().enumerate().collect();
        items.retain(|(at, _)| verdicts[*at] == Verdict::Committed);
        items.sort_unstable_by(|(_, a), (_, b)| a.id.cmp(&b.id));
        let (new, known): (Vec<_>, Vec<_>) =
            items.into_iter().partition(|(_, item)| item.previous == Revision::ZERO);
        let mut missed: BTreeMap<usize, &ActorCommit> = new.iter().chain(&known).copied().collect();
        if !known.is_empty() {
            for row in self.link.rows(sql::UPDATE, rows::actors(&known).0).await? {
                missed.remove(&row.place(0)?);
            }
        }
        if !new.is_empty() {
            let written = self.link.rows(sql::INSERT, rows::actors(&new).0).await?;
            let mut places: HashMap<_, usize> = HashMap::with_capacity(new.len());
            for (at, ActorCommit { id, .. }) in &new {
                places.insert((&*id.system, &*id.actor_type, &*id.key), *at);
            }
            for row in &written {
                let key = (row.text(0)?, row.text(1)?, row.text(2)?);
                missed.remove(places.get(&key).unwrap_or(&usize::MAX));
            }
        }
        if missed.is_empty() {
            return Ok(());
        }
        let ids: Vec<&ActorId> = missed.values().map(|item| &item.id).collect();
        let stored = self.revisions(&ids).await?;
        for (at, stored) in missed.keys().zip(stored) {
            verdicts[*at] = Verdict::RevisionMismatch { stored };
        }
        Ok(())
    }

    /// The stored revisions of actors; zero for those without a row.
    pub(super) async fn revisions(&mut self, ids: &[&ActorId]) -> Result<Vec<Revision>, Failure> {
        let mut stored = vec![Revision::ZERO; ids.len()];
        for row in self.link.rows(sql::REVISIONS, keys(ids).0).await? {
            if let Some(place) = stored.get_mut(row.place(0)?.wrapping_sub(1)) {
                *place = Revision(unsigned(row.number(1)?));
            }
        }
        Ok(stored)
    }

    async fn accept(&mut self, items: &[&InboxInsert]) -> Result<(), Failure> {
        if items.is_empty() {
            return Ok(());
        }
        let parameters = Parameters::default()
            .and(items.iter().map(|item| &*item.id.system).collect::<Vec<&str>>())
            .and(items.iter().map(|item| &*item.id.actor_type).collect::<Vec<&str>>())
            .and(items.iter().map(|item| i64::from(item.shard)).collect::<Vec<i64>>())
            .and(items.iter().map(|item| signed(item.sequence)).collect::<Vec<i64>>())
            .and(items.iter().map(|item| &*item.id.key).collect::<Vec<&str>>())
            .and(items.iter().map(|item| &*item.call).collect::<Vec<&[u8]>>());
        self.link.rows(sql::ACCEPT, parameters.0).await.map(|_| ())
    }

    async fn remove_answered(&mut self, items: &[&ActorCommit]) -> Result<(), Failure> {
        let (mut systems, mut types) = (vec![], vec![]);
        let (mut shards, mut sequences) = (vec![], vec![]);
        for item in items {
            for sequence in &item.inbox_done {
                systems.push(&*item.id.system);
                types.push(&*item.id.actor_type);
                shards.push(i64::from(item.shard));
                sequences.push(signed(*sequence));
            }
        }
        if sequences.is_empty() {
            return Ok(());
        }
        let parameters = Parameters::default().and(systems).and(types).and(shards).and(sequences);
        self.link.rows(sql::ANSWERED, parameters.0).await.map(|_| ())
    }

    /// Puts packs into their tables. False if one of them holds less than it must, because it was emptied.
    async fn spill(&mut self, items: &[&ActorCommit]) -> Result<bool, Failure> {
        let mut tables: BTreeMap<usize, (i64, Packs<'_>)> = BTreeMap::new();
        for item in items {
            for pack in &item.spill {
                let (slot, end) = self.ring.place(pack.until);
                let (latest, packs) = tables.entry(slot).or_default();
                *latest = end.max(*latest);
                packs.push((&item.id, pack));
            }
        }
        if tables.is_empty() {
            return Ok(true);
        }
        let slots: Vec<i64> = tables.keys().map(|slot| signed(*slot as u64)).collect();
        let mut held = HashMap::new();
        let parameters = Parameters::default().and(slots);
        for row in self.link.rows(sql::SLOTS_SHARED, parameters.0).await? {
            held.insert(row.place(0)?, row.number(1)?);
        }
        for (slot, (end, _)) in &tables {
            let stored = held.get(slot).copied().unwrap_or(0);
            self.slots[*slot] = stored;
            if stored < *end {
                return Ok(false);
            }
        }
        for (slot, (_, packs)) in &tables {
            self.spill_into(*slot, packs).await?;
        }
        Ok(true)
    }

    async fn spill_into(
        &mut self,
        slot: usize,
        packs: &[(&ActorId, &SpillPack)],
    ) -> Result<(), Failure> {
        let number =
            |of: fn(&SpillPack) -> i64| packs.iter().map(|(_, pack)| of(pack)).collect::<Vec<_>>();
        let hash = |id: &ActorId| key_hash(&id.key).cast_signed();
        let parameters = Parameters::default()
            .and(packs.iter().map(|(id, _)| hash(id)).collect::<Vec<i64>>())
            .and(number(|pack| i64::from(ring::is_wide(pack.from, pack.until))))
            .and(number(|pack| pack.until.0))
            .and(number(|pack| pack.from.0))
            .and(packs.iter().map(|(id, _)| &*id.system).collect::<Vec<&str>>())
            .and(packs.iter().map(|(id, _)| &*id.actor_type).collect::<Vec<&str>>())
            .and(packs.iter().map(|(id, _)| &*id.key).collect::<Vec<&str>>())
            .and(packs.iter().map(|(_, pack)| &*pack.data).collect::<Vec<&[u8]>>());
        let text = self.spill_texts.insert(slot);
        self.link.made(text, parameters.0).await.map(|_| ())
    }

    /// Lets the spill tables of a batch hold what it brings, in a transaction before its own: readers look into a table
    /// only up to what it may hold. Once per table and period; too much does no harm.
    async fn make_room(&mut self, batch: &CommitBatch) -> Result<(), Failure> {
        let mut ends: BTreeMap<usize, i64> = BTreeMap::new();
        for pack in batch.actors.iter().flat_map(|item| &item.spill) {
            let (slot, end) = self.ring.place(pack.until);
            if end > self.slots[slot] {
                let latest = ends.entry(slot).or_default();
                *latest = end.max(*latest);
            }
        }
        if ends.is_empty() {
            return Ok(());
        }
        let slots: Vec<i64> = ends.keys().map(|slot| signed(*slot as u64)).collect();
        let until: Vec<i64> = ends.values().copied().collect();
        let parameters = || Parameters::default().and(slots.clone()).and(until.clone()).0;
        let used = self.link.ready().await?;
        match self.link.rows(sql::SLOTS_EXTEND, parameters()).await {
            Err(Failure::Lost(_)) if used => {
                self.link.ready().await?;
                self.link.rows(sql::SLOTS_EXTEND, parameters()).await?;
            }
            done => drop(done?),
        }
        for (slot, end) in ends {
            self.slots[slot] = end;
        }
        Ok(())
    }
}

/// The items that are to be written.
struct Included<'a> {
    actors: Vec<&'a ActorCommit>,
    inbox: Vec<&'a InboxInsert>,
    outbox_done: Vec<&'a OutboxDone>,
    broadcasts: Vec<&'a BroadcastChange>,
}

impl<'a> Included<'a> {
    fn of(batch: &'a CommitBatch, verdicts: &[Verdict]) -> Self {
        let mut committed = verdicts.iter().map(|verdict| *verdict == Verdict::Committed);
        let mut next = || committed.next().unwrap_or(false);
        // In the order of the verdicts.
        let actors = batch.actors.iter().filter(|_| next()).collect();
        let inbox = batch.inbox.iter().filter(|_| next()).collect();
        let outbox_done = batch.outbox_done.iter().filter(|_| next()).collect();
        let broadcasts = batch.broadcasts.iter().filter(|_| next()).collect();
        Self { actors, inbox, outbox_done, broadcasts }
    }
}

/// The shards of a batch.
pub(super) fn shards(batch: &CommitBatch) -> BTreeSet<ShardId> {
    batch.fences().map(|(shard, _)| shard).collect()
}

/// The three columns that name actors.
pub(super) fn keys(ids: &[&ActorId]) -> Parameters {
    Parameters::default()
        .and(ids.iter().map(|id| &*id.system).collect::<Vec<&str>>())
        .and(ids.iter().map(|id| &*id.actor_type).collect::<Vec<&str>>())
        .and(ids.iter().map(|id| &*id.key).collect::<Vec<&str>>())
}
