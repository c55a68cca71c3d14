//! Reads the log for replication and for applying.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    io,
    ops::{Bound, RangeBounds},
    sync::Arc,
};

use openraft::{OptionalSend, storage::RaftLogReader};
use redb::ReadableDatabase;

use super::{LOG, Shared, unreadable};
use crate::raft::{
    codec,
    types::{Entry, TypeConfig, Vote},
};

/// Bytes of entries that one message to a peer carries; always at least one entry.
const BATCH_BYTES: usize = 1024 * 1024;

/// Sees every entry from the moment it was appended.
pub(crate) struct LogReader {
    shared: Arc<Shared>,
}

impl LogReader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Entries of the range in order, until `bytes_max` is passed.
    fn read(
        &self,
        range: impl RangeBounds<u64> + Clone,
        bytes_max: usize,
    ) -> io::Result<Vec<Entry>> {
        if is_empty(&range) {
            return Ok(Vec::new());
        }
        // First the tail, then the disk: an entry that leaves the tail in between is on disk by then.
        let tail: BTreeMap<u64, Arc<[u8]>> = {
            let memory = self.shared.memory.lock();
            memory.tail.range(range.clone()).map(|(at, bytes)| (*at, Arc::clone(bytes))).collect()
        };
        let transaction = self.shared.database.begin_read().map_err(io::Error::other)?;
        let log = transaction.open_table(LOG).map_err(io::Error::other)?;
        let mut entries = Vec::new();
        let mut bytes_read = 0;
        for row in log.range(range).map_err(io::Error::other)? {
            let (index, bytes) = row.map_err(io::Error::other)?;
            // The tail is newer: a rewritten entry may still stand on disk under its old content.
            if tail.first_key_value().is_some_and(|(first, _)| index.value() >= *first) {
                break;
            }
            if bytes_read > 0 && bytes_read + bytes.value().len() > bytes_max {
                return Ok(entries);
            }
            bytes_read += bytes.value().len();
            entries.push(decode(bytes.value())?);
        }
        for bytes in tail.values() {
            if bytes_read > 0 && bytes_read + bytes.len() > bytes_max {
                break;
            }
            bytes_read += bytes.len();
            entries.push(decode(bytes)?);
        }
        Ok(entries)
    }
}

fn decode(bytes: &[u8]) -> io::Result<Entry> {
    codec::unseal(bytes).map_err(|error| unreadable("an entry", &error))
}

/// Map ranges panic on what openraft may well ask for.
fn is_empty(range: &impl RangeBounds<u64>) -> bool {
    let start = match range.start_bound() {
        Bound::Included(at) => *at,
        Bound::Excluded(at) => at.saturating_add(1),
        Bound::Unbounded => 0,
    };
    match range.end_bound() {
        Bound::Included(at) => *at < start,
        Bound::Excluded(at) => *at <= start,
        Bound::Unbounded => false,
    }
}

impl RaftLogReader<TypeConfig> for LogReader {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        self.read(range, usize::MAX)
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        self.read(start..end, BATCH_BYTES)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.shared.memory.lock().vote)
    }
}
