//! `callboard cluster …`.

mod join;
mod leader;
mod node;
pub(super) mod recover;
mod status;
mod watch;
mod work;

use std::process::ExitCode;

use clap::Subcommand;

use crate::{args::Global, commands::client, failure::Failure};

/// What can be asked of a cluster.
#[derive(Subcommand)]
pub(crate) enum ClusterCommand {
    /// Show the nodes, their shards and their leases
    Status(status::StatusArgs),
    /// Run a node that joins a cluster; the same as `callboard serve --join`
    Join(join::JoinArgs),
    /// Take every shard from a node, without a failed call, and give it none until `undrain`
    Drain(node::DrainArgs),
    /// Let a draining node take shards again
    Undrain(node::UndrainArgs),
    /// Remove a node for good; one that still runs is drained first
    Remove(node::RemoveArgs),
    /// Spread the shards evenly over the nodes
    Rebalance,
    /// Write a snapshot of the control plane on the node that answers, and cut its log
    Snapshot,
    /// Let another voter lead the control plane
    TransferLeader(leader::TransferArgs),
    /// Rebuild a control plane whose nodes are all lost, from the state store and a backup
    Recover(recover::RecoverArgs),
}

// === impl ClusterCommand ===

impl ClusterCommand {
    /// Runs the verb.
    pub(super) fn run(self, global: &Global) -> Result<ExitCode, Failure> {
        match self {
            Self::Status(args) => client(args.run(global)),
            Self::Join(args) => return args.run(global),
            Self::Drain(args) => client(args.run(global)),
            Self::Undrain(args) => client(args.run(global)),
            Self::Remove(args) => client(args.run(global)),
            Self::Rebalance => client(work::rebalance(global)),
            Self::Snapshot => client(work::snapshot(global)),
            Self::TransferLeader(args) => client(args.run(global)),
            Self::Recover(args) => args.run(global),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}
