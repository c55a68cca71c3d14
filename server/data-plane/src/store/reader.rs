//! Reads for workers, in groups: rows of activations, spilled outcomes, claims with their inboxes, and the low-water
//! time with the clearing away that it allows.

use std::{sync::Arc, time::Duration};

use callboard_statestore::{ActorRecord, Claimed, Error, InboxRow, ShardClaim, StateStore};
use callboard_types::{ActorId, Millis, ShardId, limits};
use futures::{
    StreamExt as _,
    future::{BoxFuture, OptionFuture},
    stream::FuturesUnordered,
};
use tokio::sync::{mpsc, watch};

use crate::{
    activation::outcome::{self, StoredOutcome},
    channels::machine_walk::{KEYS_PAGE, ROWS_PAGE},
    deliveries::machine::{Page, StoredRow},
    worker::{ClaimedShard, Message, Slot, WalkFound, WalkNews, Workers},
};

/// Pause before a failed read is repeated, in milliseconds.
const RETRY_MS: u64 = 100;
/// Inbox rows that one read takes.
const INBOX_PAGE: usize = 500;
/// Outbox rows that one read takes.
const OUTBOX_PAGE: usize = 500;
/// Inboxes that are read side by side.
const INBOXES_AT_A_TIME: usize = 16;

/// Something to be read.
#[derive(Debug)]
pub enum ReadJob {
    /// The row of an activation.
    Load {
        /// The activation.
        slot: Slot,
        /// Its actor.
        id: ActorId,
    },
    /// An outcome that is no longer in memory.
    LookUp {
        /// The activation.
        slot: Slot,
        /// Its actor.
        id: ActorId,
        /// The call's request id.
        request_id: String,
        /// The call's creation time.
        created_at: Millis,
    },
    /// Claim shards of a type and read their inboxes.
    Claim {
        /// The type.
        type_id: u32,
        /// Tells the worker's claims apart; comes back with the answer.
        number: u64,
        /// The shards.
        claims: Vec<ShardClaim>,
    },
    /// A page of the rows of a shard's outbox.
    Outbox {
        /// The shard, as (type id, number).
        place: (u32, u32),
        /// Its name.
        shard: ShardId,
        /// The pass that asks; comes back with the answer.
        number: u64,
        /// Rows above this (due time, place).
        after: (Millis, u64),
        /// Rows due at this time or before.
        until: Millis,
    },
    /// Read what the walk of a message needs.
    Walk {
        /// Which walker asks; comes back with the answer.
        walker: u64,
        /// Its shard.
        shard: ShardId,
        /// What it asks for.
        read: WalkRead,
    },
    /// Raise the low-water time of shards, then clear away what lies below.
    RaiseLowWater {
        /// The shards.
        claims: Vec<ShardClaim>,
        /// The time.
        to: Millis,
    },
}

/// What the walk of a message over the actors of a shard needs.
#[derive(Debug)]
pub enum WalkRead {
    /// Messages above this sequence.
    Rows(u64),
    /// Keys above this one, for the walk of this number.
    Keys(u64, String),
}

/// A worker's way to the readers.
#[derive(Clone, Debug)]
pub struct ReadQueue {
    reads: mpsc::Sender<(usize, Vec<ReadJob>)>,
    /// Work that can take long and that nobody waits for.
    chores: mpsc::Sender<(usize, Vec<ReadJob>)>,
}

impl ReadQueue {
    /// A queue that leads to two readers: one for what calls wait for, one for chores.
    #[must_use]
    pub fn new(
        reads: mpsc::Sender<(usize, Vec<ReadJob>)>,
        chores: mpsc::Sender<(usize, Vec<ReadJob>)>,
    ) -> Self {
        Self { reads, chores }
    }

    /// Hands over jobs if there is room; they stay with the worker otherwise, for its next round.
    pub fn send(&self, worker: usize, jobs: &mut Vec<ReadJob>) {
        let is_chore = |job: &mut ReadJob| matches!(job, ReadJob::RaiseLowWater { .. });
        let chores: Vec<ReadJob> = jobs.extract_if(.., is_chore).collect();
        if !chores.is_empty()
            && let Err(error) = self.chores.try_send((worker, chores))
        {
            jobs.extend(error.into_inner().1);
        }
        let reads_waiting = jobs.iter().any(|job| !matches!(job, ReadJob::RaiseLowWater { .. }));
        if reads_waiting && let Ok(permit) = self.reads.try_reserve() {
            permit.send((worker, std::mem::take(jobs)));
        }
    }
}

/// The readers' task.
pub struct Reader {
    reads: Reads,
    jobs: mpsc::Receiver<(usize, Vec<ReadJob>)>,
}

/// Reads of whatever kind, each until it is done.
struct Reads {
    store: Arc<dyn StateStore>,
    workers: Workers,
    fatal: watch::Sender<Option<String>>,
}

#[derive(Default)]
struct Sorted {
    loads: Vec<(usize, Slot, ActorId)>,
    look_ups: Vec<(usize, Slot, ActorId, String, Millis)>,
    claims: Vec<(usize, (u32, u64), Vec<ShardClaim>)>,
    walks: Vec<(usize, u64, ShardId, WalkRead)>,
    low_water: Vec<(Vec<ShardClaim>, Millis)>,
    outboxes: Vec<(usize, OutboxRead)>,
}

/// What a pass over an outbox asks for.
struct OutboxRead {
    place: (u32, u32),
    shard: ShardId,
    number: u64,
    after: (Millis, u64),
    until: Millis,
}

impl Reader {
    /// A reader of the jobs that come over a channel.
    #[must_use]
    pub fn new(
        store: Arc<dyn StateStore>,
        workers: Workers,
        jobs: mpsc::Receiver<(usize, Vec<ReadJob>)>,
        fatal: watch::Sender<Option<String>>,
    ) -> Self {
        Self { reads: Reads { store, workers, fatal }, jobs }
    }

    /// Runs until every queue is gone, or the store failed for good.
    ///
    /// Look-ups gather while others are under way, so that they go in groups. Claims and walks go beside them: a takeover
    /// of many shards must not hold up the actors of others. There are never more than the shards that are claimed or walk.
    pub async fn run(self) {
        let Self { reads, mut jobs } = self;
        let mut taken = Vec::new();
        let mut claims: FuturesUnordered<BoxFuture<'_, Option<()>>> = FuturesUnordered::new();
        let mut look_ups: Option<BoxFuture<'_, Option<()>>> = None;
        let mut open = true;
        while open || !claims.is_empty() || look_ups.is_some() {
            let ended = tokio::select! {
                biased;
                ended = OptionFuture::from(look_ups.as_mut()), if look_ups.is_some() => {
                    look_ups = None;
                    ended.flatten()
                }
                Some(ended) = claims.next() => ended,
                count = jobs.recv_many(&mut taken, 64), if open && look_ups.is_none() => {
                    open = count > 0;
                    let mut sorted = Sorted::default();
                    for (worker, jobs) in taken.drain(..) {
                        jobs.into_iter().for_each(|job| sorted.add(worker, job));
                    }
                    for (worker, which, shards) in std::mem::take(&mut sorted.claims) {
                        claims.push(Box::pin(reads.claim(worker, which, shards)));
                    }
                    for (worker, read) in std::mem::take(&mut sorted.outboxes) {
                        claims.push(Box::pin(reads.outbox(worker, read)));
                    }
                    for (worker, walker, shard, read) in std::mem::take(&mut sorted.walks) {
                        claims.push(Box::pin(reads.walk(worker, walker, shard, read)));
                    }
                    look_ups = Some(Box::pin(reads.look_up_all(sorted)));
                    Some(())
                }
            };
            if ended.is_none() {
                return;
            }
        }
    }
}

impl Reads {
    async fn look_up_all(&self, sorted: Sorted) -> Option<()> {
        for loads in sorted.loads.chunks(limits::LOAD_ACTORS_MAX) {
            self.load(loads).await?;
        }
        if !sorted.look_ups.is_empty() {
            self.look_up(sorted.look_ups).await?;
        }
        for (claims, to) in sorted.low_water {
            self.until_done(|| self.store.raise_low_water(&claims, to)).await?;
            while self.until_done(|| self.store.expire()).await? {
                tokio::task::yield_now().await;
            }
        }
        Some(())
    }

    async fn claim(
        &self,
        worker: usize,
        (type_id, number): (u32, u64),
        claims: Vec<ShardClaim>,
    ) -> Option<()> {
        let answers = self.until_done(|| self.store.claim(&claims)).await?;
        // A takeover claims many shards, and their calls wait until all inboxes are read.
        let mut reads: Vec<BoxFuture<'_, Option<ClaimedShard>>> = Vec::new();
        for (claim, claimed) in claims.iter().zip(answers) {
            reads.push(Box::pin(self.take_over(claim, claimed)));
        }
        let shards: Vec<_> =
            futures::stream::iter(reads).buffered(INBOXES_AT_A_TIME).collect().await;
        let shards = shards.into_iter().collect::<Option<Vec<_>>>()?;
        self.workers.send(worker, Message::Claimed { type_id, number, shards }).await;
        Some(())
    }

    async fn take_over(&self, claim: &ShardClaim, claimed: Claimed) -> Option<ClaimedShard> {
        let mut inbox: Vec<InboxRow> = Vec::new();
        let mut more = matches!(claimed, Claimed::Held { .. });
        while more {
            let after = inbox.last().map_or(0, |row| row.sequence);
            let read = || self.store.inbox(&claim.shard, after, INBOX_PAGE);
            let page = self.until_done(read).await?;
            more = page.len() == INBOX_PAGE;
            inbox.extend(page);
        }
        let (shard, epoch) = (claim.shard.number, claim.epoch);
        let mut last_row = 0;
        if matches!(claimed, Claimed::Held { .. }) {
            let ends = || self.store.outbox_ends(&claim.shard, Millis(i64::MAX));
            last_row = self.until_done(ends).await?.1;
        }
        Some(ClaimedShard { shard, epoch, claimed, inbox, last_row })
    }

    /// A page of a pass, and on the last one when the next row falls due.
    async fn outbox(&self, worker: usize, read: OutboxRead) -> Option<()> {
        let OutboxRead { place, shard, number, after, until } = read;
        let rows = self.until_done(|| self.store.outbox(&shard, after, until, OUTBOX_PAGE)).await?;
        let more = rows.len() == OUTBOX_PAGE;
        let next_due = match more {
            true => None,
            false => self.until_done(|| self.store.outbox_ends(&shard, until)).await?.0,
        };
        let rows = rows.into_iter().map(|row| StoredRow {
            key: row.key,
            sequence: row.sequence,
            due_at: row.due_at,
            item: row.item,
        });
        let page = Page { number, rows: rows.collect(), more, next_due };
        self.workers.send(worker, Message::OutboxRead { place, page }).await;
        Some(())
    }

    /// One page for a walk. There is at most one such read per shard.
    async fn walk(&self, worker: usize, walker: u64, shard: ShardId, read: WalkRead) -> Option<()> {
        let found = match read {
            WalkRead::Rows(after) => {
                let read = || self.store.broadcasts(&shard, after, ROWS_PAGE);
                WalkFound::Rows(self.until_done(read).await?)
            }
            WalkRead::Keys(number, after) => {
                let read = || self.store.keys(&shard, &after, KEYS_PAGE);
                WalkFound::Keys(number, self.until_done(read).await?)
            }
        };
        self.workers.send(worker, Message::Walk(WalkNews { walker, found })).await;
        Some(())
    }

    async fn load(&self, loads: &[(usize, Slot, ActorId)]) -> Option<()> {
        let ids: Vec<ActorId> = loads.iter().map(|(_, _, id)| id.clone()).collect();
        let rows = self.until_done(|| self.store.load(&ids)).await?;
        let mut per_worker: Vec<Vec<(Slot, Option<ActorRecord>)>> = Vec::new();
        per_worker.resize_with(self.workers.count(), Vec::new);
        for ((worker, slot, _), row) in loads.iter().zip(rows) {
            per_worker[*worker].push((*slot, row));
        }
        for (worker, rows) in per_worker.into_iter().enumerate() {
            if !rows.is_empty() {
                self.workers.send(worker, Message::Loaded(rows)).await;
            }
        }
        Some(())
    }

    async fn look_up(&self, look_ups: Vec<(usize, Slot, ActorId, String, Millis)>) -> Option<()> {
        let queries: Vec<(ActorId, Millis)> =
            look_ups.iter().map(|(_, _, id, _, at)| (id.clone(), *at)).collect();
        let packs = self.until_done(|| self.store.spilled(&queries)).await?;
        for ((worker, slot, id, request_id, _), packs) in look_ups.into_iter().zip(packs) {
            let found = find(&packs, &request_id);
            if let Err(error) = &found {
                tracing::error!(actor = %id, %error, "unreadable outcomes");
            }
            let answer = vec![(slot, request_id, found)];
            self.workers.send(worker, Message::LookedUp(answer)).await;
        }
        Some(())
    }

    /// Repeats a read until the store answers; `None` if it failed for good.
    async fn until_done<T, F>(&self, mut read: impl FnMut() -> F) -> Option<T>
    where
        F: Future<Output = Result<T, Error>>,
    {
        loop {
            match read().await {
                Ok(value) => return Some(value),
                Err(error @ (Error::Fatal(_) | Error::Refused(_))) => {
                    tracing::error!(%error, "the state store failed");
                    self.fatal.send_replace(Some(error.to_string()));
                    return None;
                }
                Err(error) => tracing::warn!(%error, "a read failed and is repeated"),
            }
            tokio::time::sleep(Duration::from_millis(RETRY_MS)).await;
        }
    }
}

fn find(packs: &[bytes::Bytes], request_id: &str) -> Result<Option<StoredOutcome>, String> {
    for pack in packs {
        let outcomes = outcome::decode(pack)?;
        let found = outcomes.into_iter().find(|known| known.request_id == request_id);
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

impl Sorted {
    fn add(&mut self, worker: usize, job: ReadJob) {
        match job {
            ReadJob::Load { slot, id } => self.loads.push((worker, slot, id)),
            ReadJob::LookUp { slot, id, request_id, created_at } => {
                self.look_ups.push((worker, slot, id, request_id, created_at));
            }
            ReadJob::Claim { type_id, number, claims } => {
                self.claims.push((worker, (type_id, number), claims));
            }
            ReadJob::Outbox { place, shard, number, after, until } => {
                self.outboxes.push((worker, OutboxRead { place, shard, number, after, until }));
            }
            ReadJob::Walk { walker, shard, read } => {
                self.walks.push((worker, walker, shard, read));
            }
            ReadJob::RaiseLowWater { claims, to } => self.low_water.push((claims, to)),
        }
    }
}
