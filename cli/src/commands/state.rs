//! `callboard state …`.

mod get;

use clap::Subcommand;

use crate::{args::Global, failure::Failure};

/// What can be asked about state.
#[derive(Subcommand)]
pub(crate) enum StateCommand {
    /// Print the committed state of an actor as JSON; neither activates it nor needs a host
    Get(get::GetArgs),
}

// === impl StateCommand ===

impl StateCommand {
    /// Runs the verb.
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::Get(args) => args.run(global).await,
        }
    }
}
