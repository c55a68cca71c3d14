//! `callboard actors …`.

mod actor;
mod get;
mod history;
mod list;
mod tools;

use clap::Subcommand;

use crate::{args::Global, failure::Failure};

/// What can be asked about actors.
#[derive(Subcommand)]
pub(crate) enum ActorsCommand {
    /// List stored actors by key
    List(list::ListArgs),
    /// Show where an actor lives and what waits for it
    Get(get::GetArgs),
    /// Save a snapshot actor now
    Checkpoint(tools::ToolArgs),
    /// Take an actor out of memory once nothing waits for it
    Deactivate(tools::ToolArgs),
    /// Delete an actor's state, tags and history
    Delete(tools::ToolArgs),
    /// List the revisions of an actor that are kept
    History(history::HistoryArgs),
    /// Print a past state of an actor
    StateAt(history::StateAtArgs),
    /// Give an actor a past state again, as a new revision
    Restore(tools::RestoreArgs),
}

// === impl ActorsCommand ===

impl ActorsCommand {
    /// Runs the verb.
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::List(args) => args.run(global).await,
            Self::Get(args) => args.run(global).await,
            Self::Checkpoint(args) => args.checkpoint(global).await,
            Self::Deactivate(args) => args.deactivate(global).await,
            Self::Delete(args) => args.delete(global).await,
            Self::History(args) => args.run(global).await,
            Self::StateAt(args) => args.run(global).await,
            Self::Restore(args) => args.run(global).await,
        }
    }
}
