//! Whether the store still works, known to every handle.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

use callboard_statestore::Error;

/// Shared by the handles and the store's tasks.
#[derive(Debug, Default)]
pub(crate) struct Health {
    failed: OnceLock<String>,
    closing: AtomicBool,
}

impl Health {
    /// Remembers an error that ends the store.
    pub(crate) fn note(&self, error: &Error) {
        if let Error::Fatal(why) = error
            && self.failed.set(why.clone()).is_ok()
        {
            tracing::error!(%why, "the store failed for good");
        }
    }

    /// Notes that the store is being closed.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// Refuses work if the store has failed. After a failed write or sync, what the file holds is unknown: repeating
    /// would report success for pages that never reached the disk.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.failed.get() {
            Some(why) => Err(Error::Fatal(why.clone())),
            None => Ok(()),
        }
    }

    /// Why a task of the store does not answer.
    pub(crate) fn gone(&self) -> Error {
        match self.failed.get() {
            Some(why) => Error::Fatal(why.clone()),
            None if self.closing.load(Ordering::Acquire) => {
                Error::Unavailable("the store is closed".into())
            }
            None => Error::Fatal("a task of the store ended; see the log".into()),
        }
    }
}
