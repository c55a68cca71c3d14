//! The durable log: votes and entries in redb, written by one thread.
//!
//! Every write goes through one queue, so that writes take effect in the order in which openraft asked for them. What
//! waits is taken into one transaction, and callbacks fire after it is on disk. Entries that are appended but not yet on
//! disk stand in `tail`, where readers find them. The thread ends with the last handle; an I/O error ends it at once,
//! and openraft then stops the node: after a failed sync nobody knows what the disk holds.

mod reader;
mod writer;

use std::{collections::BTreeMap, io, path::Path, sync::Arc, thread::JoinHandle};

use openraft::{
    LogState, OptionalSend,
    storage::{IOFlushed, RaftLogStorage},
};
use parking_lot::Mutex;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use tokio::sync::{mpsc, oneshot};

use super::{
    codec,
    types::{Entry, LogId, TypeConfig, Vote},
};

pub(crate) use reader::LogReader;

/// Entries by index.
const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
/// Single values by name.
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const VOTE: &str = "vote";
const COMMITTED: &str = "committed";
const PURGED: &str = "purged";

/// Writes that wait for the thread before openraft waits in turn.
const QUEUE: usize = 1_024;
/// Memory for redb's pages; the log is read back only by peers that lag.
const CACHE_BYTES: usize = 8 * 1024 * 1024;

/// openraft's log storage. One per node.
pub(crate) struct LogStore {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Write>,
    /// Joined by [`LogStore::writer`]'s owner, so that the file is closed when the node says it stopped.
    writer: Option<JoinHandle<()>>,
}

/// What readers see.
#[derive(Debug)]
struct Shared {
    database: Database,
    memory: Mutex<Memory>,
}

/// What is known without asking the disk.
#[derive(Debug, Default)]
struct Memory {
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
    /// The last entry of the log, if there is any.
    last: Option<LogId>,
    /// Entries that are not on disk yet.
    tail: BTreeMap<u64, Arc<[u8]>>,
}

/// One write. `done` is told once it is on disk.
enum Write {
    Append { entries: Vec<(u64, Arc<[u8]>)>, callback: IOFlushed<TypeConfig> },
    Vote { vote: Vote, done: oneshot::Sender<io::Result<()>> },
    Committed { committed: Option<LogId>, done: oneshot::Sender<io::Result<()>> },
    Truncate { from: u64, done: oneshot::Sender<io::Result<()>> },
    Purge { upto: LogId, done: oneshot::Sender<io::Result<()>> },
}

// === impl LogStore ===

impl LogStore {
    /// Opens the log, or makes an empty one.
    ///
    /// # Errors
    /// The file cannot be read or written, or another version wrote it.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let database = builder().create(path).map_err(io::Error::other)?;
        Self::with_database(database)
    }

    fn with_database(database: Database) -> io::Result<Self> {
        let transaction = database.begin_write().map_err(io::Error::other)?;
        transaction.open_table(LOG).map_err(io::Error::other)?;
        transaction.open_table(META).map_err(io::Error::other)?;
        transaction.commit().map_err(io::Error::other)?;
        let memory = Mutex::new(Memory::load(&database)?);
        let shared = Arc::new(Shared { database, memory });
        let (queue, writes) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new().name("control-log".into());
        let writer = thread.spawn({
            let shared = Arc::clone(&shared);
            move || writer::run(&shared, writes)
        })?;
        Ok(Self { shared, queue, writer: Some(writer) })
    }

    /// The thread to wait for after openraft dropped the store.
    pub(crate) fn writer(&mut self) -> Option<JoinHandle<()>> {
        self.writer.take()
    }

    /// Queues a write and waits until it is on disk.
    async fn write(
        &self,
        make: impl FnOnce(oneshot::Sender<io::Result<()>>) -> Write,
    ) -> io::Result<()> {
        let (done, written) = oneshot::channel();
        self.queue.send(make(done)).await.map_err(|_| stopped())?;
        written.await.map_err(|_| stopped())?
    }
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn stopped() -> io::Error {
    io::Error::other("the control plane's log stopped after an error on its disk")
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let memory = self.shared.memory.lock();
        Ok(LogState {
            last_purged_log_id: memory.purged,
            last_log_id: memory.last.or(memory.purged),
        })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        LogReader::new(Arc::clone(&self.shared))
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let vote = *vote;
        self.write(|done| Write::Vote { vote, done }).await?;
        self.shared.memory.lock().vote = Some(vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.write(|done| Write::Committed { committed, done }).await?;
        self.shared.memory.lock().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.shared.memory.lock().committed)
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: IOFlushed<TypeConfig>,
    ) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut encoded = Vec::new();
        let mut last = None;
        for entry in entries {
            last = Some(entry.log_id);
            encoded.push((entry.log_id.index, Arc::<[u8]>::from(codec::seal(&entry))));
        }
        {
            let mut memory = self.shared.memory.lock();
            memory.tail.extend(encoded.iter().map(|(index, bytes)| (*index, Arc::clone(bytes))));
            memory.last = last.or(memory.last);
        }
        let write = Write::Append { entries: encoded, callback };
        self.queue.send(write).await.map_err(|_| stopped())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let from = last.map_or(0, |last| last.index + 1);
        self.write(|done| Write::Truncate { from, done }).await?;
        let mut memory = self.shared.memory.lock();
        if memory.last.is_some_and(|end| end.index >= from) {
            memory.last = last.filter(|last| memory.purged.is_none_or(|purged| purged < *last));
        }
        Ok(())
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        self.write(|done| Write::Purge { upto, done }).await?;
        let mut memory = self.shared.memory.lock();
        memory.purged = Some(upto);
        if memory.last.is_some_and(|last| last.index <= upto.index) {
            memory.last = None;
        }
        Ok(())
    }
}

// === impl Memory ===

impl Memory {
    fn load(database: &Database) -> io::Result<Self> {
        let transaction = database.begin_read().map_err(io::Error::other)?;
        let log = transaction.open_table(LOG).map_err(io::Error::other)?;
        let meta = transaction.open_table(META).map_err(io::Error::other)?;
        let last = log.last().map_err(io::Error::other)?;
        let last = last
            .map(|(_, bytes)| codec::unseal::<Entry>(bytes.value()))
            .transpose()
            .map_err(|error| unreadable("the last entry of the log", &error))?;
        Ok(Self {
            vote: load(&meta, VOTE)?,
            committed: load::<Option<LogId>>(&meta, COMMITTED)?.flatten(),
            purged: load(&meta, PURGED)?,
            last: last.map(|entry| entry.log_id),
            tail: BTreeMap::new(),
        })
    }
}

fn load<T: serde::de::DeserializeOwned>(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &'static str,
) -> io::Result<Option<T>> {
    let bytes = meta.get(name).map_err(io::Error::other)?;
    let value = bytes.map(|bytes| codec::unseal(bytes.value())).transpose();
    value.map_err(|error| unreadable(name, &error))
}

fn unreadable(what: &str, error: &codec::CodecError) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the control plane's log cannot be read: {what}: {error}"),
    )
}

#[cfg(test)]
mod tests;
