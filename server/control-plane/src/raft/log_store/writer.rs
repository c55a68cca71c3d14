//! The thread that writes the log.

use std::{io, sync::Arc};

use openraft::storage::IOFlushed;
use redb::{Durability, WriteTransaction};
use tokio::sync::{mpsc, oneshot};

use super::{COMMITTED, LOG, META, PURGED, Shared, VOTE, Write};
use crate::{
    metrics,
    raft::{codec, types::TypeConfig},
};

/// Writes that one transaction takes at most: more would only delay the first one's answer.
const WRITES_MAX: usize = 256;

/// Who is told about a write.
enum Waiting {
    Callback(IOFlushed<TypeConfig>),
    Done(oneshot::Sender<io::Result<()>>),
}

/// Writes until the queue closes or the disk fails.
pub(super) fn run(shared: &Arc<Shared>, mut writes: mpsc::Receiver<Write>) {
    let mut batch = Vec::with_capacity(WRITES_MAX);
    while writes.blocking_recv_many(&mut batch, WRITES_MAX) > 0 {
        let mut waiting = Vec::with_capacity(batch.len());
        let mut flushed = Vec::new();
        let written = write(shared, batch.drain(..), &mut waiting, &mut flushed);
        if written.is_ok() {
            let mut memory = shared.memory.lock();
            for index in flushed {
                memory.tail.remove(&index);
            }
        }
        for waiting in waiting {
            waiting.tell(written.as_ref());
        }
        if let Err(error) = written {
            tracing::error!(%error, "the control plane's log cannot be written; the node must stop");
            return;
        }
    }
}

fn write(
    shared: &Shared,
    batch: impl Iterator<Item = Write>,
    waiting: &mut Vec<Waiting>,
    flushed: &mut Vec<u64>,
) -> io::Result<()> {
    let started = callboard_types::Tick::now();
    let mut transaction = shared.database.begin_write().map_err(io::Error::other)?;
    let mut must_last = false;
    let mut first_error = None;
    for write in batch {
        // The committed index only spares work after a restart: losing its newest value is harmless.
        if !matches!(write, Write::Committed { .. }) {
            must_last = true;
        }
        // After an error the rest is still taken out of the batch, so that everybody is told.
        if let Err(error) = put(&transaction, write, waiting, flushed) {
            first_error.get_or_insert(error);
        }
    }
    if let Some(error) = first_error {
        return Err(io::Error::other(error));
    }
    let durability = if must_last { Durability::Immediate } else { Durability::None };
    transaction.set_durability(durability).map_err(io::Error::other)?;
    transaction.commit().map_err(io::Error::other)?;
    if must_last {
        let micros = callboard_types::Tick::now().micros_since(started);
        metrics::log_committed(micros);
    }
    Ok(())
}

fn put(
    transaction: &WriteTransaction,
    write: Write,
    waiting: &mut Vec<Waiting>,
    flushed: &mut Vec<u64>,
) -> Result<(), redb::Error> {
    match write {
        Write::Append { entries, callback } => {
            waiting.push(Waiting::Callback(callback));
            let mut log = transaction.open_table(LOG)?;
            for (index, bytes) in entries {
                log.insert(index, &*bytes)?;
                flushed.push(index);
            }
        }
        Write::Vote { vote, done } => {
            waiting.push(Waiting::Done(done));
            transaction.open_table(META)?.insert(VOTE, codec::seal(&vote).as_slice())?;
        }
        Write::Committed { committed, done } => {
            waiting.push(Waiting::Done(done));
            let bytes = codec::seal(&committed);
            transaction.open_table(META)?.insert(COMMITTED, bytes.as_slice())?;
        }
        Write::Truncate { from, done } => {
            waiting.push(Waiting::Done(done));
            transaction.open_table(LOG)?.retain_in(from.., |_, _| false)?;
        }
        Write::Purge { upto, done } => {
            waiting.push(Waiting::Done(done));
            transaction.open_table(META)?.insert(PURGED, codec::seal(&upto).as_slice())?;
            transaction.open_table(LOG)?.retain_in(..=upto.index, |_, _| false)?;
        }
    }
    Ok(())
}

impl Waiting {
    fn tell(self, written: Result<&(), &io::Error>) {
        let result =
            written.copied().map_err(|error| io::Error::new(error.kind(), error.to_string()));
        match self {
            Self::Callback(callback) => callback.io_completed(result),
            // Whoever asked may be gone: the write stands.
            Self::Done(done) => drop(done.send(result)),
        }
    }
}
