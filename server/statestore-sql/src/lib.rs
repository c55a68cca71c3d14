//! The state store on SQL databases, through sea-orm: SQLite for one node, PostgreSQL for nodes that share a database.
//!
//! # How it is built
//! A store owns a thread with a runtime of its own, and on it tasks with connections that nobody else touches.
//! [`SqlStore`] is a handle that sends them work over bounded channels: a caller on any runtime waits for the answer
//! without running SQL on its own thread, and one that stops waiting cancels nothing, because no statement ever runs
//! on a future that the caller holds. What is asked stands in `jobs.rs`; `sqlite/` and `postgres/` answer it, each with
//! everything that is particular to its database.
//!
//! # What a commit writes
//! Rows of actors and accepted calls always take the same few statements (`commit.rs` of either database). What turns
//! set going, past states, ended deliveries and steps of messages are statements of their own (`workflow.rs`), which a
//! batch without them does not pay for. Rows are read back by one function each for both databases (`columns.rs`).
//!
//! # What keeps commits safe
//! * Fence rows (`fences.rs`). A data folder has one writing process, which holds its lock and compares the writer epoch;
//!   in a shared database each commit locks the fence rows of its batch and reads their epochs.
//! * Weak durability settings are refused, and what the database really runs with is read back.
//! * After an error that leaves the data in doubt the store refuses everything (`health.rs`).
//! * A commit whose answer was lost is looked up before anything else happens to its shards (`postgres/fate.rs`).

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use callboard_statestore::{
    ActorRecord, ActorSummary, BroadcastRow, Claimed, CommitBatch, DeadLetterRow, Error, HistoryAt,
    HistoryRow, InboxRow, OutboxRow, ShardClaim, StateStore, Verdict,
};
use callboard_types::{ActorId, Epoch, Millis, ShardId};
use tokio::sync::{mpsc, oneshot, watch};

mod columns;
mod counter;
mod fences;
mod health;
mod jobs;
mod own_thread;
mod postgres;
mod ring;
mod sqlite;
mod workflow;

pub use postgres::PostgresOptions;
pub use sqlite::SqliteOptions;

use health::Health;
use jobs::{Deliveries, Job, Letters, Listing, Question, Reply};

/// Jobs that wait for the writer, and questions that wait for each reader, before callers wait in turn.
const WAITING_MAX: usize = 64;

/// A store in a SQL database.
///
/// Dropping it lets running work finish and closes the database soon after; [`close`](Self::close) waits for that, which
/// matters to whoever opens the same data folder next.
#[derive(Debug)]
pub struct SqlStore {
    writer: mpsc::Sender<Job>,
    lanes: usize,
    readers: Vec<mpsc::Sender<Question>>,
    next_reader: AtomicUsize,
    health: Arc<Health>,
    ended: watch::Receiver<bool>,
}

impl SqlStore {
    /// Opens the SQLite database in a data folder: takes the folder's lock, brings the schema up to date, verifies the
    /// durability settings and raises the writer epoch.
    ///
    /// # Errors
    /// [`Error::Refused`] for a folder in use, data of a newer release, weak settings or a foreign file;
    /// [`Error::Unavailable`] if the disk is full; [`Error::Fatal`] if the database is damaged.
    pub async fn open_sqlite(options: SqliteOptions) -> Result<Self, Error> {
        options.check()?;
        sqlite::start(options).await
    }

    /// Opens a PostgreSQL database that the nodes of a cluster share: verifies the server's durability settings, brings
    /// the schema up to date under a lock, and connects its writers and readers.
    ///
    /// Connections that are lost later are made again; until then requests end with [`Error::Unavailable`].
    ///
    /// # Errors
    /// [`Error::Refused`] for a server that is too old, a replica, weak settings, a wrong password or data of a newer
    /// release; [`Error::Unavailable`] if the server cannot be reached or is starting up.
    pub async fn open_postgres(options: PostgresOptions) -> Result<Self, Error> {
        postgres::start(options).await
    }

    /// Says which cluster this node belongs to. The first node to say so records it in the store.
    ///
    /// # Errors
    /// [`Error::Refused`] if the store holds the data of another cluster; what else keeps it from being written.
    pub async fn bind_cluster(&self, cluster: &str) -> Result<(), Error> {
        self.write(|reply| Job::BindCluster(cluster.to_owned(), reply)).await
    }

    /// The cluster whose data the store holds; `None` if no node has said so yet.
    ///
    /// # Errors
    /// As for every read.
    pub async fn cluster_id(&self) -> Result<Option<String>, Error> {
        self.ask(Question::Cluster).await
    }

    /// The epoch in the fence row of every shard that was ever claimed, in no particular order. A control plane that is
    /// rebuilt from the store gives out epochs above these.
    ///
    /// # Errors
    /// As for every read.
    pub async fn highest_epochs(&self) -> Result<Vec<(ShardId, Epoch)>, Error> {
        self.ask(Question::Epochs).await
    }

    /// Finishes what was accepted, closes the database and gives up the data folder. Later calls are refused with
    /// [`Error::Unavailable`].
    pub async fn close(&self) {
        self.health.close();
        // A task that has ended already cannot take the message, and need not.
        for reader in &self.readers {
            let _ended = reader.send(Question::Close).await;
        }
        let _ended = self.writer.send(Job::Close).await;
        let mut ended = self.ended.clone();
        let _gone = ended.wait_for(|ended| *ended).await;
    }

    async fn write<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, Error> {
        self.health.check()?;
        let (reply, answer) = oneshot::channel();
        let sent = self.writer.send(job(reply)).await;
        sent.map_err(|_| self.health.gone())?;
        answer.await.map_err(|_| self.health.gone())?
    }

    async fn ask<T>(&self, question: impl FnOnce(Reply<T>) -> Question) -> Result<T, Error> {
        self.health.check()?;
        let (reply, answer) = oneshot::channel();
        let turn = self.next_reader.fetch_add(1, Ordering::Relaxed);
        let reader = &self.readers[turn % self.readers.len()];
        let sent = reader.send(question(reply)).await;
        sent.map_err(|_| self.health.gone())?;
        answer.await.map_err(|_| self.health.gone())?
    }
}

#[async_trait]
impl StateStore for SqlStore {
    fn lanes(&self) -> usize {
        self.lanes
    }

    fn lane(&self, shard: &ShardId) -> usize {
        postgres::lane_of(shard, self.lanes)
    }

    async fn claim(&self, claims: &[ShardClaim]) -> Result<Vec<Claimed>, Error> {
        self.write(|reply| Job::Claim(claims.to_vec(), reply)).await
    }

    async fn commit(&self, batch: CommitBatch) -> Result<Vec<Verdict>, Error> {
        self.write(|reply| Job::Commit(batch, reply)).await
    }

    async fn load(&self, ids: &[ActorId]) -> Result<Vec<Option<ActorRecord>>, Error> {
        self.ask(|reply| Question::Load(ids.to_vec(), reply)).await
    }

    async fn spilled(&self, queries: &[(ActorId, Millis)]) -> Result<Vec<Vec<Bytes>>, Error> {
        self.ask(|reply| Question::Spilled(queries.to_vec(), reply)).await
    }

    async fn inbox(
        &self,
        shard: &ShardId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<InboxRow>, Error> {
        self.ask(|reply| Question::Inbox(shard.clone(), after, limit, reply)).await
    }

    async fn raise_low_water(&self, claims: &[ShardClaim], to: Millis) -> Result<(), Error> {
        self.write(|reply| Job::RaiseLowWater(claims.to_vec(), to, reply)).await
    }

    async fn expire(&self) -> Result<bool, Error> {
        self.write(Job::Expire).await
    }

    async fn list(
        &self,
        system: &str,
        actor_type: &str,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<ActorSummary>, Error> {
        let listing = Listing {
            system: system.into(),
            actor_type: actor_type.into(),
            prefix: prefix.to_owned(),
            after: after.to_owned(),
            limit,
        };
        self.ask(|reply| Question::List(listing, reply)).await
    }

    async fn outbox(
        &self,
        shard: &ShardId,
        after: (Millis, u64),
        until: Millis,
        limit: usize,
    ) -> Result<Vec<OutboxRow>, Error> {
        let deliveries = Deliveries { shard: shard.clone(), after, until, limit };
        self.ask(|reply| Question::Outbox(deliveries, reply)).await
    }

    async fn outbox_ends(
        &self,
        shard: &ShardId,
        after: Millis,
    ) -> Result<(Option<Millis>, u64), Error> {
        self.ask(|reply| Question::OutboxEnds(shard.clone(), after, reply)).await
    }

    async fn broadcasts(
        &self,
        shard: &ShardId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<BroadcastRow>, Error> {
        self.ask(|reply| Question::Broadcasts(shard.clone(), after, limit, reply)).await
    }

    async fn keys(&self, shard: &ShardId, after: &str, limit: usize) -> Result<Vec<String>, Error> {
        self.ask(|reply| Question::Keys(shard.clone(), after.to_owned(), limit, reply)).await
    }

    async fn history(
        &self,
        id: &ActorId,
        at: HistoryAt,
        limit: usize,
    ) -> Result<Vec<HistoryRow>, Error> {
        self.ask(|reply| Question::History(id.clone(), at, limit, reply)).await
    }

    async fn dead_letters(
        &self,
        system: &str,
        source_type: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<DeadLetterRow>, Error> {
        let (system, source_type) = (system.into(), source_type.into());
        let letters = Letters { system, source_type, after: after.to_owned(), limit };
        self.ask(|reply| Question::DeadLetters(letters, reply)).await
    }

    async fn dead_letter(&self, id: &str) -> Result<Option<DeadLetterRow>, Error> {
        self.ask(|reply| Question::DeadLetter(id.to_owned(), reply)).await
    }

    async fn drop_dead_letter(&self, id: &str) -> Result<bool, Error> {
        self.write(|reply| Job::DropDeadLetter(id.to_owned(), reply)).await
    }
}
