//! The one task that writes: it takes jobs from a bounded channel and runs each to its end, whether or not anybody
//! still waits for the answer.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use callboard_migrations::tables::SPILL_TABLES;
use callboard_statestore::{Claimed, Error, ShardClaim};
use callboard_types::{Tick, limits::DELIVERED_WINDOW_MS};
use tokio::sync::{Notify, mpsc};

use crate::{
    columns::Columns,
    counter::unsigned,
    fences::{Changes, Fences},
    health::Health,
    jobs::{Job, Reply, foreign},
    ring::Ring,
    sqlite::{
        self,
        checkpoint::START_BYTES,
        lane::{Lane, Parameters},
        sql::{BEGIN, Statements},
    },
};

mod commit;
mod workflow;

/// Ids of messages that one [`Job::Expire`] drops at most: commits wait for it.
const EXPIRE_IDS_MAX: i64 = 1_000;
const RECORD_CLUSTER: &str = "INSERT INTO \"store_meta\" (\"name\", \"value\") VALUES ('cluster_id', ?) \
                              ON CONFLICT (\"name\") DO NOTHING";
const CLUSTER: &str = "SELECT \"value\" FROM \"store_meta\" WHERE \"name\" = 'cluster_id'";

/// The recorded name of the cluster.
pub(crate) async fn cluster_id(lane: &mut Lane) -> Result<Option<String>, Error> {
    let rows = lane.fixed(CLUSTER).await?;
    rows.first().map(|row| row.text(0).map(ToOwned::to_owned)).transpose()
}

/// How much was written since the last checkpoint.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// An estimate in bytes.
    pub(crate) bytes: AtomicU64,
    /// Told after each commit.
    pub(crate) more: Notify,
}

/// The writer's connection and everything it knows about the database.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) lane: Lane,
    pub(crate) epoch: u64,
    pub(crate) fences: Fences,
    pub(crate) ring: Arc<Ring>,
    /// What `spill_slot` says; the ring runs ahead of it while a commit is under way.
    pub(crate) slots: [i64; SPILL_TABLES],
    pub(crate) statements: Statements,
    pub(crate) health: Arc<Health>,
    pub(crate) written: Arc<Written>,
}

impl Writer {
    /// Runs jobs until nobody can send any more or the store is closed.
    pub(crate) async fn run(mut self, mut jobs: mpsc::Receiver<Job>) -> Lane {
        while let Some(job) = jobs.recv().await {
            match job {
                Job::Claim(claims, reply) => {
                    let done = self.claim(&claims).await;
                    self.answer(reply, done);
                }
                Job::Commit(batch, reply) => {
                    let started = Tick::now();
                    let items = batch.len();
                    let done = self.commit(batch).await;
                    metrics::histogram!("callboard_store_commit_seconds")
                        .record(Tick::now().micros_since(started) as f64 / 1e6);
                    metrics::counter!("callboard_store_commit_items_total").increment(items as u64);
                    if let Err(Error::Unavailable(_)) = &done {
                        // A full disk may be full of log.
                        self.count(START_BYTES);
                    }
                    self.answer(reply, done);
                    self.written.more.notify_one();
                }
                Job::RaiseLowWater(claims, to, reply) => {
                    let changes = self.fences.raise(&claims, to);
                    let done = self.write_fences(changes).await;
                    self.answer(reply, done);
                }
                Job::Expire(reply) => {
                    let done = self.expire().await;
                    self.answer(reply, done);
                    self.written.more.notify_one();
                }
                Job::BindCluster(cluster, reply) => {
                    let done = self.bind_cluster(&cluster).await;
                    self.answer(reply, done);
                }
                Job::DropDeadLetter(id, reply) => {
                    let done = self.drop_dead_letter(id).await;
                    self.answer(reply, done);
                }
                Job::FinishCheckpoint(reply) => {
                    let done = self.lane.fixed("PRAGMA wal_checkpoint(PASSIVE)").await;
                    self.answer(reply, done.map(|_| ()));
                }
                Job::Close => break,
            }
        }
        self.lane
    }

    /// Sends an answer. A caller that has gone away misses it; what was done stays done.
    fn answer<T>(&self, reply: Reply<T>, done: Result<T, Error>) {
        if let Err(error) = &done {
            self.health.note(error);
        }
        let _gone = reply.send(done);
    }

    async fn claim(&mut self, claims: &[ShardClaim]) -> Result<Vec<Claimed>, Error> {
        let (answers, changes) = self.fences.claim(claims);
        self.write_fences(changes).await?;
        Ok(answers)
    }

    async fn write_fences(&mut self, changes: Changes) -> Result<(), Error> {
        if changes.is_empty() {
            return Ok(());
        }
        self.begin().await?;
        let written = sqlite::fences::write(&mut self.lane, &mut self.statements, &changes).await;
        self.end(written).await?;
        self.fences.apply(changes);
        Ok(())
    }

    /// Empties one spill table that no shard needs any more, and drops a piece of the ids of messages that nobody
    /// repeats any more. True if there is more of either.
    async fn expire(&mut self) -> Result<bool, Error> {
        let low_water = self.fences.low_water();
        let (slot, more) = self.ring.expired(low_water);
        let before = low_water.plus(-DELIVERED_WINDOW_MS).0;
        let old = self.old_ids(before, EXPIRE_IDS_MAX).await?;
        if slot.is_none() && old == 0 {
            return Ok(false);
        }
        self.begin().await?;
        let dropped = self.drop_over(slot, before).await;
        self.end(dropped).await?;
        if let Some(slot) = slot {
            self.slots[slot] = 0;
            self.ring.emptied(slot);
            metrics::counter!("callboard_store_spill_tables_emptied_total").increment(1);
        }
        Ok(more || old == EXPIRE_IDS_MAX)
    }

    async fn drop_over(&mut self, slot: Option<usize>, before: i64) -> Result<(), Error> {
        if let Some(slot) = slot {
            self.empty(slot).await?;
        }
        self.drop_old_ids(before, EXPIRE_IDS_MAX).await
    }

    async fn drop_dead_letter(&mut self, id: String) -> Result<bool, Error> {
        self.begin().await?;
        let dropped = self.drop_letter(id).await;
        match dropped {
            Ok(was_there) => self.end(Ok(())).await.map(|()| was_there),
            Err(error) => self.end(Err(error)).await.map(|()| false),
        }
    }

    async fn empty(&mut self, slot: usize) -> Result<(), Error> {
        // Without WHERE, the database frees the table's pages and does not look at its rows.
        let text = format!("DELETE FROM \"{}\"", callboard_migrations::tables::spill_table(slot));
        self.lane.execute(text.into(), Parameters::default()).await?;
        commit::write_slots(&mut self.lane, &mut self.statements, &[(slot, 0)]).await
    }

    async fn bind_cluster(&mut self, cluster: &str) -> Result<(), Error> {
        self.begin().await?;
        let stored = self.record_cluster(cluster).await;
        let done = stored.and_then(|stored| match stored == cluster {
            true => Ok(()),
            false => Err(foreign("the data folder", &stored, cluster)),
        });
        self.end(done).await
    }

    async fn record_cluster(&mut self, cluster: &str) -> Result<String, Error> {
        let mut parameters = Parameters::with_room(1);
        parameters.string(cluster.to_owned());
        self.lane.execute(RECORD_CLUSTER.into(), parameters).await?;
        cluster_id(&mut self.lane).await.map(Option::unwrap_or_default)
    }

    /// Opens a transaction and makes sure that this process is still the writer.
    async fn begin(&mut self) -> Result<(), Error> {
        let opened = self.lane.fixed(BEGIN).await;
        let guarded = match &opened {
            Ok(rows) => rows.first().map_or(Ok(0), |row| row.number(0)),
            Err(_) => Ok(0),
        };
        match (opened, guarded) {
            (Ok(_), Ok(epoch)) => match self.guard(epoch) {
                Ok(()) => Ok(()),
                Err(lost) => self.end(Err(lost)).await,
            },
            (Err(error), _) | (Ok(_), Err(error)) => self.end(Err(error)).await,
        }
    }

    fn guard(&self, stored: i64) -> Result<(), Error> {
        if unsigned(stored) == self.epoch {
            return Ok(());
        }
        Err(Error::Fatal(format!(
            "another process opened the data folder (writer epoch {stored}, this process has {}). Its LOCK file was \
             removed, or the file system does not keep locks",
            self.epoch
        )))
    }

    /// Commits, or rolls back if something went wrong. After an error nothing of the transaction remains.
    async fn end(&mut self, done: Result<(), Error>) -> Result<(), Error> {
        let error = match done {
            Ok(()) => match self.lane.fixed("COMMIT").await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            },
            Err(error) => error,
        };
        self.roll_back().await;
        Err(error)
    }

    /// Ends an open transaction. That there is none, because the database has rolled it back itself, is fine. If one
    /// could not be ended, the next BEGIN says so and the store fails for good.
    async fn roll_back(&mut self) {
        if let Err(error) = self.lane.fixed("ROLLBACK").await {
            tracing::debug!(%error, "no transaction was left to roll back");
        }
    }

    /// Counts what a commit adds to the log, so that the checkpointer knows when to start.
    fn count(&self, bytes: u64) {
        self.written.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}
