//! A writer: one connection, and jobs that run one after the other to their end, whether or not anybody still waits.

use std::sync::Arc;

use callboard_migrations::tables::SPILL_TABLES;
use callboard_statestore::Error;
use callboard_types::Tick;

use super::{
    classify::Failure,
    connect::{Role, Server},
    link::{Link, Uncommitted},
    rows::Parameters,
    sql::{self, SpillTexts},
};
use crate::{
    columns::Columns,
    health::Health,
    jobs::{Job, Reply, foreign},
    ring::Ring,
};

/// A writing connection and what goes with it.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(super) link: Link,
    pub(super) server: Arc<Server>,
    pub(super) ring: Arc<Ring>,
    /// What the spill tables may hold according to `spill_slot` when this lane last looked.
    pub(super) slots: [i64; SPILL_TABLES],
    pub(super) spill_texts: Arc<SpillTexts>,
    pub(super) health: Arc<Health>,
}

impl Lane {
    /// Connects.
    pub(crate) async fn open(
        server: &Arc<Server>,
        ring: &Arc<Ring>,
        spill_texts: &Arc<SpillTexts>,
        health: &Arc<Health>,
    ) -> Result<Self, Error> {
        Ok(Self {
            link: Link::open(server, Role::Writer).await?,
            server: Arc::clone(server),
            ring: Arc::clone(ring),
            slots: [0; SPILL_TABLES],
            spill_texts: Arc::clone(spill_texts),
            health: Arc::clone(health),
        })
    }

    /// Runs one job.
    pub(crate) async fn run(&mut self, job: Job) {
        match job {
            Job::Claim(claims, reply) => {
                let done = self.claim(&claims).await;
                self.answer(reply, done);
            }
            Job::Commit(batch, reply) => {
                let started = Tick::now();
                let items = batch.len();
                let done = self.commit(&batch).await;
                metrics::histogram!("callboard_store_commit_seconds")
                    .record(Tick::now().micros_since(started) as f64 / 1e6);
                metrics::counter!("callboard_store_commit_items_total").increment(items as u64);
                self.answer(reply, done);
            }
            Job::RaiseLowWater(claims, to, reply) => {
                let done = self.raise_low_water(&claims, to).await;
                self.answer(reply, done);
            }
            Job::Expire(reply) => {
                let done = self.expire().await;
                self.answer(reply, done);
            }
            Job::BindCluster(cluster, reply) => {
                let done = self.bind_cluster(&cluster).await;
                self.answer(reply, done);
            }
            Job::DropDeadLetter(id, reply) => {
                let done = self.drop_letter(&id).await;
                self.answer(reply, done);
            }
            Job::FinishCheckpoint(reply) => self.answer(reply, Ok(())),
            Job::Close => {}
        }
    }

    /// Ends the connection.
    pub(crate) async fn close(self) {
        self.link.close().await;
    }

    /// Sends an answer. A caller that has gone away misses it; what was done stays done.
    fn answer<T>(&self, reply: Reply<T>, done: Result<T, Error>) {
        if let Err(error) = &done {
            self.health.note(error);
        }
        let _gone = reply.send(done);
    }

    /// Commits if the work went well, rolls back otherwise. For work that may be done twice: if the answer to COMMIT is
    /// lost, the caller repeats it.
    pub(super) async fn finish<T>(&mut self, work: Result<T, Failure>) -> Result<T, Error> {
        match work {
            Ok(done) => match self.link.commit().await {
                Ok(()) => Ok(done),
                Err(Uncommitted::RolledBack(error)) => Err(error),
                Err(Uncommitted::Unknown(why)) => Err(Error::Unavailable(why)),
            },
            Err(failure) => {
                self.link.roll_back().await;
                Err(failure.into_error())
            }
        }
    }

    async fn bind_cluster(&mut self, cluster: &str) -> Result<(), Error> {
        let recorded = self.record_cluster(cluster).await;
        let stored = self.finish(recorded).await?;
        if stored == cluster {
            return Ok(());
        }
        Err(foreign(&self.server.place, &stored, cluster))
    }

    async fn record_cluster(&mut self, cluster: &str) -> Result<String, Failure> {
        self.link.begin().await?;
        self.link.rows(sql::CLUSTER_RECORD, Parameters::default().and(cluster).0).await?;
        let rows = self.link.rows(sql::CLUSTER, Parameters::default().0).await?;
        let row = rows.first().ok_or_else(|| {
            Error::Fatal(
                "the name of the cluster was not recorded; see the database's rules".into(),
            )
        })?;
        Ok(row.text(0)?.to_owned())
    }
}
