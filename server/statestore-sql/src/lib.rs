//! The state store on SQL databases, through sea-orm. SQLite today; what is particular to it stands in `sql.rs`,
//! `connect.rs`, `classify.rs` and `checkpoint.rs`.
//!
//! # How it is built
//! A store owns a thread with a runtime of its own. On it live one writer task (`writer.rs`), two reader tasks
//! (`reader.rs`) and a checkpointer (`checkpoint.rs`), each with a connection (`lane.rs`) that nobody else touches.
//! [`SqlStore`] is a handle that sends them work over bounded channels: a caller on any runtime waits for the answer
//! without running SQL on its own thread, and one that stops waiting cancels nothing, because no statement ever runs
//! on a future that the caller holds.
//!
//! # What keeps commits safe
//! The data folder is locked (`folder.rs`); commits compare the writer epoch and the shard fences (`fences.rs`); weak
//! durability settings are refused and what the database really runs with is read back (`connect.rs`); after an I/O
//! error the store refuses everything (`health.rs`).

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use callboard_statestore::{
    ActorRecord, ActorSummary, Claimed, CommitBatch, Error, InboxRow, ShardClaim, StateStore,
    Verdict,
};
use callboard_types::{ActorId, Millis, ShardId};
use tokio::sync::{mpsc, oneshot, watch};

mod checkpoint;
mod classify;
mod connect;
mod fences;
mod folder;
mod health;
mod lane;
mod options;
mod reader;
mod ring;
mod sql;
mod thread;
mod writer;

pub use options::SqliteOptions;

use health::Health;
use reader::{Listing, Question};
use writer::{Job, Reply};

/// Jobs that wait for the writer, and questions that wait for each reader, before callers wait in turn.
const WAITING_MAX: usize = 64;

/// A store in a SQL database.
///
/// Dropping it lets running work finish and closes the database soon after; [`close`](Self::close) waits for that, which
/// matters to whoever opens the same data folder next.
#[derive(Debug)]
pub struct SqlStore {
    writer: mpsc::Sender<Job>,
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
        thread::start(options).await
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
}
