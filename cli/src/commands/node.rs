//! What `dev` and `serve` share: a node in this process, from its start to its last breath.

mod child;

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, process::ExitCode};

use callboard_server::{Config, Node, node::Error, telemetry};
use callboard_types::clock::Tick;
use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    args::Global,
    failure::{Exit, Failure, Retry},
    output::{Format, Noun},
};
use child::Child;

/// A node that serves.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ready {
    /// Where callers and hosts connect.
    pub(super) address: SocketAddr,
    /// Where health and metrics are.
    pub(super) admin_address: SocketAddr,
    /// Where other nodes connect, if the node is part of a cluster.
    pub(super) peer_address: Option<SocketAddr>,
    /// The node's number in its cluster.
    pub(super) node_id: u64,
    /// The data folder.
    pub(super) data: PathBuf,
    /// This process.
    pub(super) pid: u32,
    /// How long the start took.
    pub(super) started_in_ms: u64,
}

impl Noun for Ready {
    const KIND: &'static str = "Node";
    const COLUMNS: &'static [&'static str] = &["ADDRESS", "ADMIN", "DATA"];

    fn cells(&self) -> Vec<String> {
        let addresses = [self.address, self.admin_address].map(|address| address.to_string());
        addresses.into_iter().chain([self.data.display().to_string()]).collect()
    }

    fn name(&self) -> String {
        self.address.to_string()
    }
}

/// Runs a node until a signal, its own failure, or the end of `command`, whose exit code is then the answer.
///
/// `announce` writes what people read once the node serves; other formats get a document on stdout instead.
pub(super) fn run(
    config: &Config,
    global: &Global,
    command: &[OsString],
    announce: impl FnOnce(&Ready),
) -> Result<ExitCode, Failure> {
    let begun = Tick::now();
    telemetry::log_to_stderr(&config.log).map_err(Failure::usage)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        // Before anything starts, so that no signal finds the default handler.
        let mut signals = Signals::listen()?;
        // A node may wait for its cluster for as long as it takes.
        let started = tokio::select! {
            started = Node::start(config) => started,
            () = signals.next() => return Err(interrupted()),
        };
        let mut node = started.map_err(|error| not_started(config, &error))?;
        let ready = Ready {
            address: node.gateway_address(),
            admin_address: node.admin_address(),
            peer_address: node.peer_address(),
            node_id: node.number(),
            data: config.node.data.clone(),
            pid: std::process::id(),
            started_in_ms: Tick::now().micros_since(begun) / 1_000,
        };
        if global.output == Format::Table {
            announce(&ready);
        } else {
            global.printer().one(&ready)?;
        }
        let mut child = Child::start(command, ready.address)?;
        tokio::select! {
            error = node.failed() => Err(died(&error)),
            code = child.ended() => {
                let code = code?;
                Box::pin(leave(node, global, &mut signals)).await?;
                Ok(code)
            }
            () = signals.next() => {
                global.talk().note("stopping: running calls end first; a second signal ends them at once");
                // The host goes first: it finishes its turns while the node is still there to take their results.
                tokio::select! {
                    () = child.stop() => {}
                    () = signals.next() => return Err(interrupted()),
                }
                Box::pin(leave(node, global, &mut signals)).await?;
                Ok(ExitCode::SUCCESS)
            }
        }
    });
    // What is still running here is of no use to anybody, and must not hold up the exit.
    runtime.shutdown_background();
    result
}

/// Stops the node in order; a signal meanwhile ends the process at once.
async fn leave(node: Node, global: &Global, signals: &mut Signals) -> Result<(), Failure> {
    tokio::select! {
        drained = node.stop() => {
            if !drained {
                global.talk().note("not every call ended in time; their callers will retry");
            }
            Ok(())
        }
        () = signals.next() => Err(interrupted()),
    }
}

/// The signals that end a node.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

// === impl Signals ===

impl Signals {
    fn listen() -> Result<Self, Failure> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for either.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

fn interrupted() -> Failure {
    Failure::new(Exit::Interrupted, "INTERRUPTED", "interrupted")
}

fn not_started(config: &Config, error: &Error) -> Failure {
    let message = format!("the node cannot start: {error}");
    let (reason, advice) = match error {
        Error::Listen { .. } => ("LISTEN", "name another port, or stop what listens there"),
        Error::Store(_) if config.store.is_shared() => {
            ("STORE", "check that the database at store.url answers and is this cluster's")
        }
        Error::Store(_) => {
            ("STORE", "one node at a time holds a data folder; --data names another")
        }
        Error::Cluster(_) => {
            ("CLUSTER", "compare cluster.* and store.url with those of the other nodes")
        }
        Error::Control(_) => {
            ("CONTROL", "the data folder must belong to this version and this node")
        }
        Error::Thread(_) | Error::Failed(_) => ("INTERNAL", "look at the log above"),
    };
    Failure::new(Exit::Other, reason, message).advice(advice)
}

fn died(error: &Error) -> Failure {
    Failure::new(Exit::Other, "NODE_FAILED", format!("the node cannot go on: {error}"))
        .retry(Retry::Safe)
        .advice("start it again: everything that was acknowledged is stored")
}
