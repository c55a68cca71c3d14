//! A thread with a runtime of its own per shard worker: it runs the worker and serves a share of the connections, so
//! that a call whose actor and host live on one thread never leaves it.

use std::{future::Future, thread::JoinHandle};

use tokio::{runtime::Builder, task::LocalSet};

/// Starts a named thread that runs `work` on a current-thread runtime until it ends. What it spawns stays on the
/// thread.
///
/// # Errors
/// The thread or its runtime cannot be made.
pub(crate) fn spawn<F>(
    name: String,
    work: impl FnOnce() -> F + Send + 'static,
) -> std::io::Result<JoinHandle<()>>
where
    F: Future<Output = ()>,
{
    let runtime = Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name(name).spawn(move || {
        LocalSet::new().block_on(&runtime, work());
    })
}
