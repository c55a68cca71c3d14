//! What the tasks of a store are asked to do. Requests travel over bounded channels, so that a caller that stops
//! waiting cancels nothing.

use std::sync::Arc;

use bytes::Bytes;
use callboard_statestore::{
    ActorRecord, ActorSummary, BroadcastRow, Claimed, CommitBatch, DeadLetterRow, Error, HistoryAt,
    HistoryRow, InboxRow, OutboxRow, ShardClaim, Verdict,
};
use callboard_types::{ActorId, Epoch, Millis, ShardId};
use tokio::sync::oneshot;

/// Where the answer to a request goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// What the writing side is asked to do.
#[derive(Debug)]
pub(crate) enum Job {
    Claim(Vec<ShardClaim>, Reply<Vec<Claimed>>),
    Commit(CommitBatch, Reply<Vec<Verdict>>),
    RaiseLowWater(Vec<ShardClaim>, Millis, Reply<()>),
    Expire(Reply<bool>),
    /// Records the name of the cluster, or compares it with the recorded one.
    BindCluster(String, Reply<()>),
    DropDeadLetter(String, Reply<bool>),
    /// Copies the rest of the log into the database while no commit adds to it, so that the log starts over. A server
    /// looks after its own log.
    FinishCheckpoint(Reply<()>),
    Close,
}

/// What a reader is asked to do.
#[derive(Debug)]
pub(crate) enum Question {
    Load(Vec<ActorId>, Reply<Vec<Option<ActorRecord>>>),
    Spilled(Vec<(ActorId, Millis)>, Reply<Vec<Vec<Bytes>>>),
    Inbox(ShardId, u64, usize, Reply<Vec<InboxRow>>),
    List(Listing, Reply<Vec<ActorSummary>>),
    Outbox(Deliveries, Reply<Vec<OutboxRow>>),
    OutboxEnds(ShardId, Millis, Reply<(Option<Millis>, u64)>),
    Broadcasts(ShardId, u64, usize, Reply<Vec<BroadcastRow>>),
    Keys(ShardId, String, usize, Reply<Vec<String>>),
    History(ActorId, HistoryAt, usize, Reply<Vec<HistoryRow>>),
    DeadLetters(Letters, Reply<Vec<DeadLetterRow>>),
    DeadLetter(String, Reply<Option<DeadLetterRow>>),
    /// The name of the cluster that the data belongs to, if it was recorded.
    Cluster(Reply<Option<String>>),
    /// Every fence row's epoch.
    Epochs(Reply<Vec<(ShardId, Epoch)>>),
    Close,
}

/// Which actors to list.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) system: Arc<str>,
    pub(crate) actor_type: Arc<str>,
    pub(crate) prefix: String,
    pub(crate) after: String,
    pub(crate) limit: usize,
}

impl Listing {
    /// The key to start from, and whether it is left out itself.
    pub(crate) fn start(&self) -> (&String, bool) {
        match self.after >= self.prefix {
            true => (&self.after, true),
            false => (&self.prefix, false),
        }
    }
}

/// Which outbox rows to read.
#[derive(Debug)]
pub(crate) struct Deliveries {
    pub(crate) shard: ShardId,
    pub(crate) after: (Millis, u64),
    pub(crate) until: Millis,
    pub(crate) limit: usize,
}

/// Which dead letters to list.
#[derive(Debug)]
pub(crate) struct Letters {
    pub(crate) system: Arc<str>,
    /// Empty for all.
    pub(crate) source_type: Arc<str>,
    pub(crate) after: String,
    pub(crate) limit: usize,
}

/// The refusal for data of another cluster.
pub(crate) fn foreign(place: &str, stored: &str, ours: &str) -> Error {
    Error::Refused(format!(
        "{place} holds the data of cluster {stored}, and this node belongs to cluster {ours}. Give the node the store \
         of its own cluster, or an empty one"
    ))
}
