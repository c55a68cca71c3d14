//! `callboard actors …`.

mod actor;
mod get;
mod list;

use clap::Subcommand;

use crate::{args::Global, failure::Failure};

/// What can be asked about actors.
#[derive(Subcommand)]
pub(crate) enum ActorsCommand {
    /// List stored actors by key
    List(list::ListArgs),
    /// Show where an actor lives and what waits for it
    Get(get::GetArgs),
}

// === impl ActorsCommand ===

impl ActorsCommand {
    /// Runs the verb.
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::List(args) => args.run(global).await,
            Self::Get(args) => args.run(global).await,
        }
    }
}
