//! Durability of actor state, without a database: the [`StateStore`] contract, its records, a memory store for tests
//! and the conformance suite that every implementation passes.
//!
//! The data plane's commit writer is the only caller of [`StateStore::commit`]. Nothing here is called on a task that a
//! request can cancel.

#[cfg(feature = "test-util")]
pub mod conformance;
#[cfg(feature = "test-util")]
pub mod front;
#[cfg(feature = "test-util")]
pub mod memory;
pub mod record;

pub use record::{
    ActorCommit, ActorRecord, ActorSummary, BroadcastChange, BroadcastRow, BroadcastStep,
    CommitBatch, DeadLetterRow, Forget, HistoryAt, HistoryInsert, HistoryRow, InboxInsert,
    InboxRow, OutboxDone, OutboxInsert, OutboxRow, ShardClaim, SpillPack, StateBlob, Verdict,
};

use async_trait::async_trait;
use callboard_types::{ActorId, Epoch, Millis, ShardId};

/// Why a store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing was changed, and the same request may succeed later: locked, out of space, out of reach.
    #[error("the store is not available: {0}. Nothing was changed; the request is repeated")]
    Unavailable(String),
    /// The connection was lost while a commit was under way: it may have happened or not.
    #[error("the outcome of a commit is not known: {0}")]
    OutcomeUnknown(String),
    /// The store can no longer be trusted (an I/O or fsync error, a corrupt file, a lost lock): the node must stop.
    #[error("the store failed for good: {0}. The node stops; restart it when the cause is mended")]
    Fatal(String),
    /// The store was opened wrongly: weak durability settings, a newer schema, another cluster's data, a taken lock.
    #[error("the store cannot be used: {0}")]
    Refused(String),
}

/// What claiming a shard led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The fence row now holds the claimed epoch. Outcomes of calls created before `low_water` may be gone.
    Held {
        /// Only rises.
        low_water: Millis,
    },
    /// The fence row holds a higher epoch, or the same one for another node: somebody else owns the shard. Whoever gives
    /// epochs out raises above the stored one.
    Lost {
        /// The epoch in the row.
        stored: Epoch,
    },
}

/// Keeps actors, their outcomes and their accepted calls.
///
/// # Contract
/// * Keys are compared byte for byte; two different [`ActorId`]s never share a row.
/// * [`commit`](Self::commit) is atomic over everything that it reports as [`Verdict::Committed`], and durable on
///   return: it survives loss of power. Items that lost their fence or do not fit the stored revision are left out and
///   reported; the rest of the batch is committed all the same.
/// * A batch holds at most one [`ActorCommit`] per actor.
/// * A shard is claimed before anything of it is loaded or committed, in its own committed transaction.
/// * An error of kind [`Error::Unavailable`] means that nothing of the batch was changed.
/// * A call accepted in a batch can be answered in the same batch. A shard never uses a sequence of its inbox or of its
///   outbox twice while the first row is there; that is a defect of the caller and ends in [`Error::Fatal`], since the
///   alternative is a lost call.
/// * The ends of outbox rows and the steps of broadcasts can be repeated without harm: a commit of nothing else whose
///   outcome is not known may be reported as [`Error::Unavailable`] though it happened.
/// * After [`Error::Fatal`] the store is not to be used any more; it may answer everything with the same error.
/// * Dropping the future of any method cancels waiting, never work: a commit that was handed over happens as a whole.
#[async_trait]
pub trait StateStore: Send + Sync + 'static {
    /// How many commits the store carries out at a time. Requests that concern one shard take effect in the order in
    /// which they were made, whatever their lanes.
    fn lanes(&self) -> usize {
        1
    }

    /// The lane of a shard, below [`lanes`](Self::lanes). Batches whose shards share no lane are committed side by side;
    /// a batch with shards of several lanes waits for all of them.
    fn lane(&self, _shard: &ShardId) -> usize {
        0
    }

    /// Raises the fence rows of shards to the given epochs. One answer per claim, in order. Claiming the epoch that is
    /// already held is a success.
    async fn claim(&self, claims: &[ShardClaim]) -> Result<Vec<Claimed>, Error>;

    /// Commits a batch. One verdict per item of `batch.actors`, then one per item of `batch.inbox`, of
    /// `batch.outbox_done` and of `batch.broadcasts`. An actor's outbox rows and history are written if and only if its
    /// row is.
    async fn commit(&self, batch: CommitBatch) -> Result<Vec<Verdict>, Error>;

    /// Reads actors. One answer per id, in order; `None` if the actor has no row.
    async fn load(&self, ids: &[ActorId]) -> Result<Vec<Option<ActorRecord>>, Error>;

    /// Reads the spilled packs that may hold an outcome of a call created at the given time (`from` to `until`, both
    /// included), per query in order; packs of one query in no particular order. A lookup is cheap if an actor's packs
    /// cover short spans of time, which they do if the oldest outcomes are spilled first. `Millis(0)` stands for a time
    /// that is not known: all packs of the actor are read.
    async fn spilled(&self, queries: &[(ActorId, Millis)])
    -> Result<Vec<Vec<bytes::Bytes>>, Error>;

    /// Reads accepted calls of a shard with a sequence above `after`, in sequence, at most `limit`.
    async fn inbox(
        &self,
        shard: &ShardId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<InboxRow>, Error>;

    /// Raises the low-water time of shards. It never goes down. A claim whose epoch is not the stored one changes
    /// nothing and is no error: the shard's owner raises it.
    async fn raise_low_water(&self, claims: &[ShardClaim], to: Millis) -> Result<(), Error>;

    /// Drops spilled outcomes that lie below the low-water times of all shards that were ever claimed, and ids of
    /// messages that came `DELIVERED_WINDOW_MS` before that and are done, a bounded piece at a time. True if there may be
    /// more to drop. A shard whose time is not raised any more keeps everybody's
    /// outcomes. The caller spaces the pieces: commits wait while one is dropped.
    async fn expire(&self) -> Result<bool, Error>;

    /// Lists actors of a type that are not deleted by key, from above `after`, with the prefix, at most `limit`.
    async fn list(
        &self,
        system: &str,
        actor_type: &str,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<ActorSummary>, Error>;

    /// Reads outbox rows of a shard that are due at `until` or before, in order of (due time, sequence), from above
    /// `after`, at most `limit`. Due times are 0 or later, sequences 1 or higher.
    async fn outbox(
        &self,
        shard: &ShardId,
        after: (Millis, u64),
        until: Millis,
        limit: usize,
    ) -> Result<Vec<OutboxRow>, Error>;

    /// When the first delayed outbox row of a shard is due that is due later than `after`, if there is one; and the highest
    /// sequence of its rows, 0 if it has none.
    async fn outbox_ends(
        &self,
        shard: &ShardId,
        after: Millis,
    ) -> Result<(Option<Millis>, u64), Error>;

    /// Reads the messages that a shard still delivers, in sequence, from above `after`, at most `limit`.
    async fn broadcasts(
        &self,
        shard: &ShardId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<BroadcastRow>, Error>;

    /// The keys of a shard's actors that have a row and are not deleted, in order, from above `after`, at most `limit`.
    async fn keys(&self, shard: &ShardId, after: &str, limit: usize) -> Result<Vec<String>, Error>;

    /// Reads past states of an actor, at most `limit`.
    async fn history(
        &self,
        id: &ActorId,
        at: HistoryAt,
        limit: usize,
    ) -> Result<Vec<HistoryRow>, Error>;

    /// Reads dead letters of a system by id, from above `after`, at most `limit`. An empty type stands for all.
    async fn dead_letters(
        &self,
        system: &str,
        source_type: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<DeadLetterRow>, Error>;

    /// Reads one dead letter.
    async fn dead_letter(&self, id: &str) -> Result<Option<DeadLetterRow>, Error>;

    /// Forgets a dead letter. True if it was there.
    async fn drop_dead_letter(&self, id: &str) -> Result<bool, Error>;
}
