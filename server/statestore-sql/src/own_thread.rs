//! A thread with a runtime of its own for each open store, so that no SQL runs where calls are served.

use std::{future::Future, thread};

use callboard_statestore::Error;
use tokio::{runtime, sync::oneshot};

use crate::SqlStore;

/// Runs the whole life of a store on a new thread and waits until it says that the database is open.
///
/// # Errors
/// What `live` says instead, or [`Error::Refused`] if there is no thread or runtime to be had.
pub(crate) async fn start<Life: Future<Output = ()>>(
    live: impl FnOnce(oneshot::Sender<Result<SqlStore, Error>>) -> Life + Send + 'static,
) -> Result<SqlStore, Error> {
    let (opened, open) = oneshot::channel();
    let spawned = thread::Builder::new().name("store".into()).spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => runtime.block_on(live(opened)),
            Err(error) => {
                let refused = Error::Refused(format!("the store's runtime did not start: {error}"));
                let _gone = opened.send(Err(refused));
            }
        }
    });
    spawned
        .map_err(|error| Error::Refused(format!("the store's thread did not start: {error}")))?;
    open.await
        .unwrap_or_else(|_| Err(Error::Fatal("the store's thread ended while opening".into())))
}
