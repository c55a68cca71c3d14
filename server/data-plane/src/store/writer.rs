//! The commit writer: takes whatever waits into one transaction, and tells the workers what became of it.
//!
//! A batch that could not be written is repeated until it is: its turns are not lost, and nothing overtakes it. After a
//! commit whose outcome is unknown, the shards are claimed again, which waits out or excludes the old transaction, and
//! the touched actors start over from their rows. A discarded commit takes along those that were computed on top of it,
//! up to the word of the worker that the actor has started over.

mod group;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use callboard_statestore::{
    ActorCommit, BroadcastChange, BroadcastStep, Claimed, CommitBatch, Error, InboxInsert,
    OutboxDone, ShardClaim, StateStore, Verdict,
};
use callboard_types::{ActorId, Epoch, NodeId, ShardId, Tick, limits};
use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::sync::{mpsc, watch};

use self::group::Group;
use crate::{
    metrics,
    worker::{Message, Slot, Workers, Written},
};

/// First and longest pause before a failed batch is repeated, in milliseconds.
const RETRY_MS: (u64, u64) = (10, 500);
/// Jobs that are taken into one transaction in any case, if they wait: below that a transaction costs more than it
/// shares.
const GROUP_JOBS_MIN: usize = 64;
/// Messages of jobs that are taken from the queue at a time.
const QUEUE_TAKES: usize = 64;
/// Failures in a row after which new calls are refused instead of made to wait.
const FAILURES_UNTIL_DOWN: u32 = 3;

#[derive(Debug)]
enum Payload {
    Actor(Box<ActorCommit>),
    Inbox(Box<InboxInsert>),
    Done(Box<OutboxDone>),
    Broadcast(Box<BroadcastChange>),
    /// Nothing to write: what comes next was computed after the last verdict.
    StartedOver,
}

/// Something to be committed for one activation.
#[derive(Debug)]
pub struct WriteJob {
    slot: Slot,
    what: Written,
    payload: Payload,
}

impl WriteJob {
    /// Turns of an actor.
    #[must_use]
    pub fn turns(slot: Slot, up_to: u64, commit: ActorCommit) -> Self {
        Self { slot, what: Written::Turns(up_to), payload: Payload::Actor(Box::new(commit)) }
    }

    /// The state of a snapshot actor.
    #[must_use]
    pub fn snapshot(slot: Slot, commit: ActorCommit) -> Self {
        Self { slot, what: Written::Snapshot, payload: Payload::Actor(Box::new(commit)) }
    }

    /// An accepted call.
    #[must_use]
    pub fn accept(slot: Slot, row: InboxInsert) -> Self {
        let what = Written::Accepted(row.sequence);
        Self { slot, what, payload: Payload::Inbox(Box::new(row)) }
    }

    /// The end of an outbox row. `ticket` comes back as [`Written::Delivered`].
    #[must_use]
    pub fn delivered(ticket: u64, done: OutboxDone) -> Self {
        let what = Written::Delivered(ticket);
        Self { slot: Slot::NONE, what, payload: Payload::Done(Box::new(done)) }
    }

    /// A step in the delivery of a message to a shard's subscribers. `ticket` comes back as [`Written::Broadcast`].
    #[must_use]
    pub fn broadcast(ticket: u64, change: BroadcastChange) -> Self {
        let what = Written::Broadcast(ticket);
        Self { slot: Slot::NONE, what, payload: Payload::Broadcast(Box::new(change)) }
    }

    /// Says that an activation has taken note of a discarded commit. Owed for every commit that was not made.
    #[must_use]
    pub fn started_over(slot: Slot) -> Self {
        Self { slot, what: Written::Turns(0), payload: Payload::StartedOver }
    }

    /// Whom it is for; nobody if there is nothing to write.
    fn actor(&self) -> Option<&ActorId> {
        match &self.payload {
            Payload::Actor(commit) => Some(&commit.id),
            Payload::Inbox(row) => Some(&row.id),
            Payload::Done(_) | Payload::Broadcast(_) | Payload::StartedOver => None,
        }
    }

    /// The shard that it is for; none if there is nothing to write.
    fn shard(&self) -> Option<ShardId> {
        match &self.payload {
            Payload::Actor(commit) => Some(shard_of(&commit.id, commit.shard)),
            Payload::Inbox(row) => Some(shard_of(&row.id, row.shard)),
            Payload::Done(done) => Some(done.shard.clone()),
            Payload::Broadcast(change) => Some(change.shard.clone()),
            Payload::StartedOver => None,
        }
    }

    fn bytes(&self) -> usize {
        match &self.payload {
            Payload::Actor(commit) => {
                let record = &commit.record;
                let outbox: usize = commit.outbox.iter().map(|row| row.item.len()).sum();
                let state = record.state.as_ref().map_or(0, |state| state.data.len());
                state + record.outcomes.len() + outbox
            }
            Payload::Inbox(row) => row.call.len(),
            Payload::Done(done) => done.dead.as_ref().map_or(64, |dead| dead.letter.len()),
            Payload::Broadcast(change) => match &change.step {
                BroadcastStep::Record { item, .. } => item.len(),
                BroadcastStep::Advance { .. } | BroadcastStep::Done => 64,
            },
            Payload::StartedOver => 0,
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    waiting: AtomicUsize,
    /// A bit per lane whose commits fail; lanes beyond the last bit share it.
    down: AtomicU64,
    starved: AtomicBool,
}

impl Shared {
    /// Says whether the commits of a lane fail. One lane says nothing about the others: they may use other connections.
    fn set_down(&self, lane: usize, down: bool) {
        let bit = 1 << lane.min(63);
        if down {
            self.down.fetch_or(bit, Ordering::Relaxed);
        } else if self.down.load(Ordering::Relaxed) & bit != 0 {
            self.down.fetch_and(!bit, Ordering::Relaxed);
        }
    }
}

/// How often a lane's transaction has failed in a row, and how long to wait before it is tried again.
struct Failures<'a> {
    shared: &'a Shared,
    lane: usize,
    count: u32,
    pause: u64,
}

impl<'a> Failures<'a> {
    fn none(shared: &'a Shared, lane: usize) -> Self {
        Self { shared, lane, count: 0, pause: RETRY_MS.0 }
    }

    async fn one_more(&mut self) {
        self.count += 1;
        if self.count >= FAILURES_UNTIL_DOWN {
            self.shared.set_down(self.lane, true);
        }
        metrics::commit_failed();
        tokio::time::sleep(Duration::from_millis(self.pause)).await;
        self.pause = (self.pause * 2).min(RETRY_MS.1);
    }

    fn over(self) {
        self.shared.set_down(self.lane, false);
    }
}

/// A worker's way to the writer.
#[derive(Clone, Debug)]
pub struct WriteQueue {
    jobs: mpsc::Sender<(usize, Vec<WriteJob>)>,
    shared: Arc<Shared>,
}

impl WriteQueue {
    /// Hands over jobs, oldest first, as far as there is room. The worker is told when there is room again.
    pub fn send(&self, worker: usize, jobs: &mut VecDeque<WriteJob>) {
        if jobs.is_empty() {
            return;
        }
        match self.jobs.try_reserve() {
            Ok(permit) => {
                self.shared.waiting.fetch_add(jobs.len(), Ordering::AcqRel);
                permit.send((worker, std::mem::take(jobs).into()));
            }
            Err(_) => self.shared.starved.store(true, Ordering::Release),
        }
    }

    /// True if the writer has as many commits waiting as it may, `unsent` included.
    #[must_use]
    pub fn is_full(&self, unsent: usize) -> bool {
        let waiting = self.shared.waiting.load(Ordering::Relaxed) + unsent;
        let full = waiting >= limits::COMMIT_QUEUE_MAX;
        if full {
            self.shared.starved.store(true, Ordering::Release);
        }
        full
    }

    /// True while commits fail, in whichever lane.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.shared.down.load(Ordering::Relaxed) != 0
    }
}

/// The writer's task.
pub struct Writer {
    committer: Arc<Committer>,
    workers: Workers,
    jobs: mpsc::Receiver<(usize, Vec<WriteJob>)>,
    lanes: Vec<Lane>,
    /// Actors of the transactions under way; their later jobs wait, so that nothing overtakes.
    under_way: HashSet<ActorId>,
    /// Activations whose last commit was discarded and that have not started over: what they commit is discarded, too.
    discarded: HashSet<(usize, Slot)>,
}

/// Gets a batch committed, whatever it takes.
struct Committer {
    store: Arc<dyn StateStore>,
    node: NodeId,
    shared: Arc<Shared>,
    fatal: watch::Sender<Option<String>>,
}

/// The jobs of shards that the store commits one after the other; other lanes go on beside it.
#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<(usize, WriteJob)>,
    /// Transactions that have begun.
    under_way: usize,
}

impl Lane {
    /// One transaction begins as soon as anything waits. A second one lines up behind it once it is worth it, so that the
    /// store never waits for this task; until then jobs gather.
    fn may_begin(&self) -> bool {
        match self.under_way {
            0 => !self.waiting.is_empty(),
            1 => self.waiting.len() >= GROUP_JOBS_MIN,
            _ => false,
        }
    }
}

/// A transaction of a lane that has ended; no verdicts if the store failed for good.
type Ended = (usize, Group, Option<Vec<Option<Verdict>>>);

impl Writer {
    /// A writer and the queue that leads to it. `fatal` is set when the store can no longer be trusted; the node stops
    /// then.
    pub fn new(
        store: Arc<dyn StateStore>,
        node: NodeId,
        queue_batches: usize,
        fatal: watch::Sender<Option<String>>,
    ) -> (impl FnOnce(Workers) -> Self, WriteQueue) {
        let (sender, jobs) = mpsc::channel(queue_batches);
        let shared = Arc::new(Shared::default());
        let queue = WriteQueue { jobs: sender, shared: Arc::clone(&shared) };
        let mut lanes = Vec::new();
        lanes.resize_with(store.lanes().max(1), Lane::default);
        let committer = Arc::new(Committer { store, node, shared, fatal });
        let build = move |workers| Self {
            committer,
            workers,
            jobs,
            lanes,
            under_way: HashSet::new(),
            discarded: HashSet::new(),
        };
        (build, queue)
    }

    /// Runs until every queue is gone, or the store failed for good.
    pub async fn run(mut self) {
        let mut taken = Vec::new();
        let mut open = true;
        let mut transactions: FuturesUnordered<BoxFuture<'static, Ended>> = FuturesUnordered::new();
        while open || !transactions.is_empty() {
            for lane in 0..self.lanes.len() {
                while self.lanes[lane].may_begin() {
                    let group = self.next_group(lane);
                    if group.batch.is_empty() {
                        break;
                    }
                    let committer = Arc::clone(&self.committer);
                    transactions.push(Box::pin(committer.commit(lane, group)));
                }
            }
            tokio::select! {
                biased;
                Some((lane, group, verdicts)) = transactions.next() => {
                    let Some(verdicts) = verdicts else { return };
                    self.end(lane, group, &verdicts).await;
                }
                count = self.jobs.recv_many(&mut taken, QUEUE_TAKES), if open => {
                    open = count > 0;
                    for (worker, jobs) in taken.drain(..) {
                        jobs.into_iter().for_each(|job| self.take(worker, job));
                    }
                }
            }
        }
    }

    fn take(&mut self, worker: usize, job: WriteJob) {
        let place = (worker, job.slot);
        let dropped = match job.payload {
            Payload::StartedOver => {
                self.discarded.remove(&place);
                true
            }
            Payload::Actor(_) => self.discarded.contains(&place),
            Payload::Inbox(_) | Payload::Done(_) | Payload::Broadcast(_) => false,
        };
        if dropped {
            self.committer.shared.waiting.fetch_sub(1, Ordering::AcqRel);
        } else {
            let lane = self.lane_of(&job);
            self.lanes[lane].waiting.push_back((worker, job));
        }
    }

    fn lane_of(&self, job: &WriteJob) -> usize {
        let shard = if self.lanes.len() > 1 { job.shard() } else { None };
        shard.map_or(0, |shard| self.committer.store.lane(&shard) % self.lanes.len())
    }

    /// Takes jobs from the front of a lane into one transaction. Consecutive commits of an actor become one row.
    fn next_group(&mut self, lane: usize) -> Group {
        // Taking everything would make callers, hosts and store take turns: all calls would wait in one transaction, and
        // then the store would wait for all of their successors. Half keeps both sides busy.
        let mut waiting = std::mem::take(&mut self.lanes[lane].waiting);
        let most = (waiting.len() / 2).max(GROUP_JOBS_MIN);
        let mut group = Group::default();
        let mut at_actor: HashMap<ActorId, usize> = HashMap::new();
        let mut later = VecDeque::new();
        let mut postponed = HashSet::new();
        let (mut jobs, mut bytes) = (0, 0);
        while jobs < most
            && group.batch.len() < limits::COMMIT_ACTORS_MAX
            && bytes < limits::COMMIT_BYTES_MAX
        {
            let Some((worker, job)) = waiting.pop_front() else { break };
            let actor = job.actor();
            if actor.is_some_and(|id| self.under_way.contains(id) || postponed.contains(id)) {
                later.push_back((worker, job));
                continue;
            }
            if !group.fits(worker, &job, &at_actor) {
                postponed.extend(actor.cloned());
                later.push_back((worker, job));
                continue;
            }
            jobs += 1;
            bytes += job.bytes();
            group.add(worker, job, &mut at_actor);
        }
        later.append(&mut waiting);
        self.lanes[lane].waiting = later;
        self.committer.shared.waiting.fetch_sub(jobs, Ordering::AcqRel);
        self.under_way.extend(group.ids().cloned());
        self.lanes[lane].under_way += usize::from(!group.batch.is_empty());
        group
    }

    async fn end(&mut self, lane: usize, group: Group, verdicts: &[Option<Verdict>]) {
        self.lanes[lane].under_way -= 1;
        for id in group.ids() {
            self.under_way.remove(id);
        }
        self.discard_later(lane, &group, verdicts);
        self.tell(&group, verdicts).await;
        if self.committer.shared.starved.swap(false, Ordering::AcqRel) {
            self.workers.send_all(|| Message::WriterReady).await;
        }
    }

    /// Commits on top of a discarded one must not be made: what they left out is nowhere.
    fn discard_later(&mut self, lane: usize, group: &Group, verdicts: &[Option<Verdict>]) {
        let places: HashSet<(usize, Slot)> = group.discarded(verdicts).collect();
        if places.is_empty() {
            return;
        }
        let waiting = &mut self.lanes[lane].waiting;
        let before = waiting.len();
        waiting.retain(|(worker, job)| {
            let commits = matches!(job.payload, Payload::Actor(_));
            !(commits && places.contains(&(*worker, job.slot)))
        });
        let dropped = before - waiting.len();
        self.committer.shared.waiting.fetch_sub(dropped, Ordering::AcqRel);
        self.discarded.extend(places);
    }

    async fn tell(&self, group: &Group, verdicts: &[Option<Verdict>]) {
        let news = group.news(self.workers.count(), verdicts);
        for (worker, verdicts) in news.into_iter().enumerate() {
            if !verdicts.is_empty() {
                self.workers.send(worker, Message::Written(verdicts)).await;
            }
        }
    }
}

impl Committer {
    async fn commit(self: Arc<Self>, lane: usize, group: Group) -> Ended {
        let started = Tick::now();
        let verdicts = self.commit_until_known(lane, &group.batch).await;
        metrics::commit(Tick::now().micros_since(started), group.batch.actors.len());
        (lane, group, verdicts)
    }

    /// Repeats a batch until the store took it. `None` verdicts mean that nobody knows; `None` as a whole that the
    /// store failed for good.
    async fn commit_until_known(
        &self,
        lane: usize,
        batch: &CommitBatch,
    ) -> Option<Vec<Option<Verdict>>> {
        let mut failures = Failures::none(&self.shared, lane);
        loop {
            match self.store.commit(batch.clone()).await {
                Ok(verdicts) => {
                    failures.over();
                    return Some(verdicts.into_iter().map(Some).collect());
                }
                Err(Error::Unavailable(why)) => {
                    tracing::warn!(%why, failures = failures.count + 1, "a commit failed and is repeated");
                    failures.one_more().await;
                }
                Err(Error::OutcomeUnknown(why)) => {
                    tracing::warn!(%why, "the outcome of a commit is unknown; its actors start over");
                    let lost = self.claim_again(batch, failures).await?;
                    return Some(verdicts_unknown(batch, &lost));
                }
                Err(error @ (Error::Fatal(_) | Error::Refused(_))) => {
                    self.give_up(&error);
                    return None;
                }
            }
        }
    }

    /// Takes the fence rows of a batch again, which waits out or excludes the transaction that nobody knows about. Returns
    /// the shards that are another epoch's by now. Nothing is read before.
    async fn claim_again(
        &self,
        batch: &CommitBatch,
        mut failures: Failures<'_>,
    ) -> Option<HashMap<ShardId, Epoch>> {
        let actors = batch.actors.iter().map(|item| (shard_of(&item.id, item.shard), item.epoch));
        let inbox = batch.inbox.iter().map(|item| (shard_of(&item.id, item.shard), item.epoch));
        let done = batch.outbox_done.iter().map(|item| (item.shard.clone(), item.epoch));
        let said = batch.broadcasts.iter().map(|item| (item.shard.clone(), item.epoch));
        let shards: HashSet<_> = actors.chain(inbox).chain(done).chain(said).collect();
        let claims: Vec<ShardClaim> = shards
            .into_iter()
            .map(|(shard, epoch)| ShardClaim { shard, epoch, node: self.node })
            .collect();
        loop {
            match self.store.claim(&claims).await {
                Ok(answers) => {
                    failures.over();
                    let lost = claims.into_iter().zip(answers).filter_map(|(claim, answer)| {
                        let Claimed::Lost { stored } = answer else { return None };
                        Some((claim.shard, stored))
                    });
                    return Some(lost.collect());
                }
                Err(error @ (Error::Fatal(_) | Error::Refused(_))) => {
                    self.give_up(&error);
                    return None;
                }
                Err(error) => {
                    tracing::warn!(%error, failures = failures.count + 1,
                        "claiming shards again after a lost commit");
                    failures.one_more().await;
                }
            }
        }
    }

    fn give_up(&self, error: &Error) {
        tracing::error!(%error, "the state store failed");
        self.shared.down.store(u64::MAX, Ordering::Relaxed);
        self.fatal.send_replace(Some(error.to_string()));
    }
}

/// What is known after the fence rows were taken again: items of shards that were lost are the next owner's to decide,
/// the others can be read.
fn verdicts_unknown(batch: &CommitBatch, lost: &HashMap<ShardId, Epoch>) -> Vec<Option<Verdict>> {
    let of = |shard: &ShardId| {
        let stored = *lost.get(shard)?;
        Some(Verdict::FenceLost { stored })
    };
    let actors = batch.actors.iter().map(|item| of(&shard_of(&item.id, item.shard)));
    let inbox = batch.inbox.iter().map(|item| of(&shard_of(&item.id, item.shard)));
    let done = batch.outbox_done.iter().map(|item| of(&item.shard));
    let said = batch.broadcasts.iter().map(|item| of(&item.shard));
    actors.chain(inbox).chain(done).chain(said).collect()
}

fn shard_of(id: &ActorId, number: u32) -> ShardId {
    ShardId { system: Arc::clone(&id.system), actor_type: Arc::clone(&id.actor_type), number }
}

#[cfg(test)]
mod tests;
