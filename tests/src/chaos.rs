//! The chaos test: a cluster of real processes in a network of their own, clients that call it, and faults that overlap.
//! Everything that clients sent and were told goes into one history, by one clock, and [`crate::check`] looks in it for
//! broken promises.
//!
//! The network is [`crate::net`]: each node, the database and each host has an address of its own, and the switch between
//! them does what the nemesis says. The clients run in this process, and retry as SDKs do: with the same request id, on
//! any node, where the answer allows it.

pub mod actors;
pub mod alarms;
pub mod cast;
pub mod client;
pub mod clock;
pub mod cluster;
pub mod database;
pub mod history;
pub mod host;
pub mod hunt;
pub mod ledgers;
pub mod letters;
pub mod marks;
pub mod nemesis;
pub mod node;
pub mod plan;
pub mod process;
pub mod rolling;
pub mod run;
pub mod self_test;
pub mod talk;
pub mod verdict;

use std::{path::PathBuf, time::Duration};

pub use crate::crash::Error;

impl From<crate::net::Error> for Error {
    fn from(error: crate::net::Error) -> Self {
        Self::failed(error.to_string())
    }
}

/// What to test, and how hard.
#[derive(Debug, Clone)]
pub struct Options {
    /// The `callboard` binary.
    pub node_bin: PathBuf,
    /// Hosts to run, each with the command that starts it.
    pub hosts: Vec<HostCommand>,
    /// Where data, logs and the history go.
    pub folder: PathBuf,
    /// Seed of everything that is drawn.
    pub seed: u64,
    /// How long faults are made.
    pub duration: Duration,
    /// Nodes at the start. One node means SQLite and only the faults that make sense for it.
    pub nodes: u8,
    /// Clients, each with one call at a time.
    pub clients: u32,
    /// Calls per second, over all clients.
    pub rate: u32,
    /// Of a hundred calls, how many set something going.
    pub talk: u32,
    /// Only these faults; empty for all.
    pub kinds: Vec<plan::Kind>,
    /// The planted bug that the nodes are to have, if any.
    pub planted: Option<String>,
}

/// How a host is started. The node's addresses are in `CALLBOARD_SERVER`, separated by commas.
#[derive(Debug, Clone)]
pub struct HostCommand {
    /// For people and file names.
    pub name: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Where it runs.
    pub folder: PathBuf,
}

/// The monotonic clock, as histories are stamped.
#[expect(
    clippy::disallowed_methods,
    reason = "this process only looks on; what it times are other processes"
)]
pub(crate) fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// How long the cluster may take until it serves, once everything is healed.
pub const RECOVERY_MAX: Duration = Duration::from_secs(30);

/// How long a client tries to get an answer for one call.
pub const GIVE_UP: Duration = Duration::from_secs(60);
