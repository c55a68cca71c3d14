//! What the writer puts together, keeps apart and leaves out.

use std::{future::Future, time::Duration};

use callboard_statestore::{ActorRecord, memory::MemoryStore};
use callboard_types::Revision;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::*;
use crate::worker::WriteVerdict;

/// A memory store with two lanes, of which the first can be held up, and made to fail.
struct TwoLanes {
    store: MemoryStore,
    first: Semaphore,
    /// What becomes of commits in the first lane.
    commits_fail: Mutex<Option<fn() -> Error>>,
    claims_fail: AtomicBool,
    /// One for each commit that came to the first lane, and for each claim.
    attempts: Semaphore,
}

callboard_statestore::state_store_front!(TwoLanes, store, {
    fn lanes(&self) -> usize {
        2
    }

    fn lane(&self, shard: &ShardId) -> usize {
        shard.number as usize
    }

    async fn claim(&self, claims: &[ShardClaim]) -> Result<Vec<Claimed>, Error> {
        self.attempts.add_permits(1);
        if self.claims_fail.load(Ordering::Acquire) {
            return Err(unavailable());
        }
        self.store.claim(claims).await
    }

    async fn commit(&self, batch: CommitBatch) -> Result<Vec<Verdict>, Error> {
        let lanes: HashSet<u32> = batch.actors.iter().map(|commit| commit.shard).collect();
        assert_eq!(lanes.len(), 1, "a batch keeps to its lane");
        if lanes.contains(&0) {
            self.attempts.add_permits(1);
            if let Some(error) = *self.commits_fail.lock() {
                return Err(error());
            }
            self.first.acquire().await.expect("never closed").forget();
        }
        self.store.commit(batch).await
    }
});

struct Bench {
    store: Arc<TwoLanes>,
    queue: WriteQueue,
    told: mpsc::Receiver<Message>,
    _task: tokio_util::task::AbortOnDropHandle<()>,
}

impl Bench {
    /// A writer over claimed shards; the first lane lets this many transactions pass.
    async fn new(first_lane: usize) -> Self {
        let memory = MemoryStore::new();
        let claim = |number| ShardClaim { shard: shard(number), epoch: Epoch(1), node: NodeId(1) };
        memory.claim(&[claim(0), claim(1)]).await.expect("claimed");
        let store = Arc::new(TwoLanes {
            store: memory,
            first: Semaphore::new(first_lane),
            commits_fail: Mutex::default(),
            claims_fail: AtomicBool::new(false),
            attempts: Semaphore::new(0),
        });
        let (fatal, _) = watch::channel(None);
        let shared: Arc<dyn StateStore> = Arc::clone(&store) as _;
        let (build, queue) = Writer::new(shared, NodeId(1), 16, fatal);
        let (inbox, told) = mpsc::channel(16);
        let task = tokio::spawn(build(Workers::new(vec![inbox])).run());
        Self { store, queue, told, _task: tokio_util::task::AbortOnDropHandle::new(task) }
    }

    fn send(&self, jobs: impl IntoIterator<Item = WriteJob>) {
        self.queue.send(0, &mut jobs.into_iter().collect());
    }

    /// Waits until the store was asked so often.
    async fn attempts(&self, count: u32) {
        soon(self.store.attempts.acquire_many(count)).await.expect("never closed").forget();
    }

    async fn verdicts(&mut self) -> Vec<(u32, Option<Verdict>)> {
        let message = soon(self.told.recv()).await.expect("the writer runs");
        let Message::Written(verdicts) = message else { panic!("not verdicts: {message:?}") };
        let of = |one: WriteVerdict| (one.slot.index, one.verdict);
        verdicts.into_iter().map(of).collect()
    }
}

fn unavailable() -> Error {
    Error::Unavailable("nobody answers".into())
}

fn lost_answer() -> Error {
    Error::OutcomeUnknown("the answer was lost".into())
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(5), future).await.expect("the writer goes on")
}

fn shard(number: u32) -> ShardId {
    ShardId { system: "default".into(), actor_type: "Counter".into(), number }
}

/// A commit of an activation in a shard, from one revision to another.
fn turns(slot: u32, (key, shard): (&str, u32), (from, to): (u64, u64)) -> WriteJob {
    let commit = ActorCommit {
        id: ActorId::parse("default", "Counter", key).expect("a valid name"),
        shard,
        epoch: Epoch(1),
        previous: Revision(from),
        record: ActorRecord { revision: Revision(to), ..ActorRecord::default() },
        spill: vec![],
        inbox_done: vec![],
        outbox: Vec::new(),
        letters: Vec::new(),
        history: Vec::new(),
        forget: None,
    };
    WriteJob::turns(Slot { index: slot, generation: 1 }, to, commit)
}

const DONE: Option<Verdict> = Some(Verdict::Committed);

fn mismatch(stored: u64) -> Option<Verdict> {
    Some(Verdict::RevisionMismatch { stored: Revision(stored) })
}

#[tokio::test]
async fn a_lane_that_is_held_up_does_not_hold_up_the_others() {
    let mut bench = Bench::new(0).await;
    bench.send([turns(1, ("a", 0), (0, 1)), turns(2, ("b", 1), (0, 1))]);
    assert_eq!(bench.verdicts().await, [(2, DONE)]);
    bench.send([turns(2, ("b", 1), (1, 2))]);
    assert_eq!(bench.verdicts().await, [(2, DONE)]);
    bench.store.first.add_permits(1);
    assert_eq!(bench.verdicts().await, [(1, DONE)]);
}

#[tokio::test]
async fn a_discarded_commit_takes_along_what_came_after_it_until_the_actor_has_started_over() {
    let mut bench = Bench::new(9).await;
    // The second would fit the stored row, although the first is missing from it.
    bench.send([turns(1, ("a", 0), (5, 6)), turns(1, ("a", 0), (0, 1))]);
    assert_eq!(bench.verdicts().await, [(1, mismatch(0))]);
    let slot = Slot { index: 1, generation: 1 };
    bench.send([turns(1, ("a", 0), (0, 2))]);
    bench.send([WriteJob::started_over(slot), turns(1, ("a", 0), (0, 3))]);
    assert_eq!(bench.verdicts().await, [(1, DONE)]);
    let id = ActorId::parse("default", "Counter", "a").expect("a valid name");
    let rows = bench.store.load(&[id]).await.expect("loaded");
    assert_eq!(rows[0].as_ref().map(|row| row.revision), Some(Revision(3)));
    assert_eq!(bench.queue.shared.waiting.load(Ordering::Acquire), 0);
}

#[tokio::test]
async fn commits_of_one_activation_share_a_row_and_those_of_two_do_not() {
    let mut bench = Bench::new(9).await;
    bench.send([
        turns(1, ("a", 0), (0, 1)),
        turns(1, ("a", 0), (1, 2)),
        turns(2, ("a", 0), (0, 1)),
    ]);
    assert_eq!(bench.verdicts().await, [(1, DONE), (1, DONE)]);
    assert_eq!(bench.verdicts().await, [(2, mismatch(2))]);
}

#[tokio::test]
async fn a_store_that_goes_away_after_a_lost_answer_is_down_until_it_comes_back() {
    let mut bench = Bench::new(9).await;
    *bench.store.commits_fail.lock() = Some(lost_answer);
    bench.store.claims_fail.store(true, Ordering::Release);
    bench.send([turns(1, ("a", 0), (0, 1))]);
    // The commit, then as many claims as make it down, and one more.
    bench.attempts(1 + FAILURES_UNTIL_DOWN + 1).await;
    assert!(bench.queue.is_down(), "new calls must not wait for it");
    bench.store.claims_fail.store(false, Ordering::Release);
    assert_eq!(bench.verdicts().await, [(1, None)]);
    assert!(!bench.queue.is_down());
}

#[tokio::test]
async fn a_lane_that_works_does_not_hide_that_another_one_fails() {
    let mut bench = Bench::new(9).await;
    *bench.store.commits_fail.lock() = Some(unavailable);
    bench.send([turns(1, ("a", 0), (0, 1))]);
    bench.attempts(FAILURES_UNTIL_DOWN + 1).await;
    bench.send([turns(2, ("b", 1), (0, 1))]);
    assert_eq!(bench.verdicts().await, [(2, DONE)]);
    assert!(bench.queue.is_down());
    *bench.store.commits_fail.lock() = None;
    assert_eq!(bench.verdicts().await, [(1, DONE)]);
    assert!(!bench.queue.is_down());
}
