//! `callboard systems …`.

mod list;

use clap::Subcommand;

use crate::{args::Global, failure::Failure};

/// What can be asked about systems.
#[derive(Subcommand)]
pub(crate) enum SystemsCommand {
    /// List the systems by name
    List,
}

// === impl SystemsCommand ===

impl SystemsCommand {
    /// Runs the verb.
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::List => list::run(global).await,
        }
    }
}
