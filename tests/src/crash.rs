//! The crash test: clients add to ledgers, while the node and its hosts are killed over and over, or the power of the
//! disk is cut. Afterwards the ledgers are read and [`crate::check`] looks for broken promises.
//!
//! Nothing is simulated: a node, two hosts and this process are real processes over loopback. The clients retry as the
//! SDKs do: with the same request id, and only where the answer allows it.

pub mod client;
pub mod disk;
pub mod host;
pub mod ledger;
pub mod link;
pub mod nemesis;
pub mod process;
pub mod run;

use std::{path::PathBuf, time::Duration};

/// Why the crash test could not be carried out. A broken promise is not an error but a finding.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file, pipe, process or socket failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The kernel has no loop devices, so that the power cannot be cut.
    #[error("the kernel refuses loop devices: {0}")]
    NoLoopDevices(String),
    /// Anything else, as a sentence.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    /// An error that is a sentence.
    pub fn failed(sentence: impl Into<String>) -> Self {
        Self::Failed(sentence.into())
    }

    /// For `map_err`: an input or output error with what was tried.
    pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// What to test, and how hard.
#[derive(Debug, Clone)]
pub struct Options {
    /// The `callboard` binary.
    pub node_bin: PathBuf,
    /// The binary that runs a ledger host when called with `host --server ADDRESS`.
    pub host_bin: PathBuf,
    /// Where data, logs and the history of a failed run go.
    pub folder: PathBuf,
    /// Seed of everything that is drawn.
    pub seed: u64,
    /// How often the node is killed.
    pub node_kills: u32,
    /// How often a host is killed.
    pub host_kills: u32,
    /// How often the power of the data folder's disk is cut.
    pub power_cuts: u32,
    /// Clients, each with one call at a time.
    pub clients: usize,
    /// Adds and reads per second, over all clients.
    pub rate: u32,
    /// How many ledgers.
    pub ledgers: u32,
    /// Of a hundred adds, how many do not wait for their end.
    pub async_percent: u32,
    /// True to register the ledgers as volatile: their adds are then lost with the node, and the checker must say so.
    pub volatile: bool,
}

/// The monotonic clock, as histories are stamped.
#[expect(
    clippy::disallowed_methods,
    reason = "this process only looks on; what it times are other processes"
)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// Host processes.
pub const HOSTS: usize = 2;

/// How long a node may take from its start until it serves, and from then until a call succeeds.
pub const RECOVERY_MAX: Duration = Duration::from_secs(15);

/// How long the calls that are still open when the faults end may take.
pub const QUIET_MAX: Duration = Duration::from_secs(60);
