//! Moves committed pages from the write-ahead log into the database, beside the commits.
//!
//! SQLite would do it inside a commit once the log has grown, which costs that commit some ten milliseconds. Here a
//! second connection copies while commits go on (a passive checkpoint takes no lock that a commit needs). As commits go
//! on, the copy never quite reaches the end of the log, and only a log that was copied to its end starts over. So when
//! it has grown to its limit, the writer itself copies the little that is left, between two commits.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use callboard_statestore::Error;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{sleep, timeout},
};

use crate::{
    health::Health,
    jobs::Job,
    sqlite::{lane::Lane, writer::Written},
};

/// Written bytes that start a checkpoint.
pub(crate) const START_BYTES: u64 = 4 * 1_024 * 1_024;
/// After that long without a commit the rest is copied as well, however little.
const QUIET: Duration = Duration::from_secs(1);
/// Shortest time between two checkpoints: each one syncs two files.
const PAUSE: Duration = Duration::from_millis(50);

/// The task and what it needs.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    pub(crate) lane: Lane,
    pub(crate) log: PathBuf,
    pub(crate) wal_limit: u64,
    pub(crate) written: Arc<Written>,
    pub(crate) writer: mpsc::WeakSender<Job>,
    pub(crate) health: Arc<Health>,
}

impl Checkpointer {
    /// Runs until `stop` says so.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) -> Lane {
        let mut failing = false;
        loop {
            // Waiting is all that stopping interrupts; a statement always runs to its end.
            tokio::select! {
                () = self.due() => {}
                _ = stop.wait_for(|stop| *stop) => return self.lane,
            }
            let done = self.checkpoint().await;
            if let Err(error) = &done {
                self.health.note(error);
                self.written.bytes.fetch_add(1, Ordering::Relaxed);
                if !failing {
                    tracing::warn!(%error, "checkpoints fail; the log grows until one succeeds");
                }
            }
            failing = done.is_err();
            tokio::select! {
                () = sleep(if failing { QUIET } else { PAUSE }) => {}
                _ = stop.wait_for(|stop| *stop) => return self.lane,
            }
        }
    }

    /// Waits until enough was written, or something and then nothing for a while.
    async fn due(&self) {
        loop {
            let written = self.written.bytes.load(Ordering::Relaxed);
            if written >= START_BYTES {
                return;
            }
            let more = self.written.more.notified();
            if written == 0 {
                more.await;
            } else if timeout(QUIET, more).await.is_err() {
                return;
            }
        }
    }

    async fn checkpoint(&mut self) -> Result<(), Error> {
        self.written.bytes.store(0, Ordering::Relaxed);
        self.lane.fixed("PRAGMA wal_checkpoint(PASSIVE)").await?;
        let size = std::fs::metadata(&self.log).map_or(0, |log| log.len());
        metrics::gauge!("callboard_store_log_bytes").set(size as f64);
        if size <= self.wal_limit {
            return Ok(());
        }
        // What was committed during the first copy is copied by the second, so that the writer's part is small.
        self.lane.fixed("PRAGMA wal_checkpoint(PASSIVE)").await?;
        let Some(writer) = self.writer.upgrade() else {
            return Ok(());
        };
        let (reply, done) = oneshot::channel();
        if writer.send(Job::FinishCheckpoint(reply)).await.is_ok() {
            // A store that is being closed does not answer; closing ends the log anyway.
            done.await.unwrap_or(Ok(()))?;
        }
        Ok(())
    }
}
