//! When the state is written down as a snapshot.
//!
//! A snapshot holds the whole state, so what it costs grows with the state and not with what changed. It is written once
//! the log behind it is as long as the newest snapshot, in bytes: then snapshots never cost more than the log itself, and a
//! peer that lags has as long to fetch one as it takes to write as much into the log again. Between two of them there is a
//! least number of entries, because small ones are for nothing, and a largest, because a restart applies all of them again.

use std::{convert::Infallible, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::types::Raft;

/// Entries between two snapshots, however small: so many times the least number.
const ENTRIES_MAX_TIMES: u64 = 100;

/// Counts what the newest snapshot does not hold. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Cadence(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    entries_min: u64,
    behind: Mutex<Behind>,
    due: Notify,
}

#[derive(Clone, Copy, Debug, Default)]
struct Behind {
    entries: u64,
    /// Of their commands.
    bytes: usize,
    /// Of the newest snapshot.
    snapshot: usize,
}

impl Cadence {
    /// At least `entries_min` entries are between two snapshots.
    pub(crate) fn new(entries_min: u64) -> Self {
        let (behind, due) = (Mutex::default(), Notify::new());
        Self(Arc::new(Shared { entries_min, behind, due }))
    }

    /// Entries were applied.
    pub(super) fn applied(&self, entries: u64, bytes: usize) {
        let mut behind = self.0.behind.lock();
        behind.entries += entries;
        behind.bytes += bytes;
        if behind.is_due(self.0.entries_min) {
            self.0.due.notify_one();
        }
    }

    /// A snapshot of everything that was applied is about to be written.
    pub(super) fn began(&self) {
        let mut behind = self.0.behind.lock();
        (behind.entries, behind.bytes) = (0, 0);
    }

    /// The newest snapshot has this size.
    pub(super) fn written(&self, bytes: usize) {
        self.0.behind.lock().snapshot = bytes;
    }

    /// Asks for snapshots when they are due, until consensus ends.
    pub(crate) async fn run(self, raft: Raft) -> Result<(), Infallible> {
        loop {
            self.0.due.notified().await;
            // One that is being written already is not asked for twice.
            if raft.trigger().snapshot().await.is_err() {
                return Ok(());
            }
        }
    }
}

impl Behind {
    fn is_due(&self, entries_min: u64) -> bool {
        let most = entries_min.saturating_mul(ENTRIES_MAX_TIMES);
        self.entries >= entries_min && (self.bytes >= self.snapshot || self.entries >= most)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    /// Writes a log of entries of `bytes` each, with snapshots of `snapshot` bytes. Tells how many snapshots there were.
    fn snapshots(entries: u64, bytes: usize, snapshot: usize) -> u64 {
        let cadence = Cadence::new(1_000);
        cadence.written(snapshot);
        let mut count = 0;
        for _ in 0..entries {
            cadence.applied(1, bytes);
            if cadence.0.behind.lock().is_due(1_000) {
                cadence.began();
                cadence.written(snapshot);
                count += 1;
            }
        }
        count
    }

    #[test]
    fn snapshots_come_with_entries_when_small_and_with_bytes_when_large() {
        assert_eq!(snapshots(100_000, 100, 50_000), 100, "a small state: every 1,000 entries");
        assert_eq!(snapshots(100_000, 100_000, 200_000_000), 50, "a large one: with its own size");
        assert_eq!(snapshots(100_000, 10, 200_000_000), 1, "and a restart stays short");
    }

    #[test]
    fn whoever_asks_for_snapshots_is_woken_when_one_is_due() {
        let cadence = Cadence::new(2);
        let woken = || cadence.0.due.notified().now_or_never().is_some();
        cadence.applied(1, 0);
        assert!(!woken());
        cadence.applied(1, 0);
        assert!(woken());
    }
}
