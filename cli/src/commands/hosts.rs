//! `callboard hosts …`.

mod list;

use clap::Subcommand;

use crate::{args::Global, failure::Failure};

/// What can be asked about host processes.
#[derive(Subcommand)]
pub(crate) enum HostsCommand {
    /// List the sessions of the node, oldest first
    List,
}

// === impl HostsCommand ===

impl HostsCommand {
    /// Runs the verb.
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::List => list::run(global).await,
        }
    }
}
