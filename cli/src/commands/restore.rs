//! `callboard restore FILE`.

use std::path::PathBuf;

use clap::Args;

use crate::{
    args::Global,
    commands::{cluster::recover, serve},
    failure::Failure,
};

/// The backup, and the settings of the node that begins the cluster anew.
#[derive(Args)]
#[command(
    after_help = "Makes the data folder of a new first node from what `callboard backup` wrote and from the store at \
    store.url.\nStop every node first, run this with an empty folder, start the node with `callboard serve` and the same \
    settings,\nand let the others join it with empty folders. It is `callboard cluster recover --backup FILE`; use \
    `cluster recover`\nwithout a backup if there is none.\n\nActors are not in FILE: back up and restore the database with its \
    own tools (pg_dump and pg_restore, or .backup of\nsqlite3), and restore it before this. Which of the two backups was \
    taken first does not matter: shards are granted in\nepochs above all that the store has, and types that are younger than \
    FILE come back when hosts register them. What\nwas committed after the database's backup is lost with the database."
)]
pub(crate) struct RestoreArgs {
    /// What `callboard backup` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    settings: serve::Settings,
}

// === impl RestoreArgs ===

impl RestoreArgs {
    /// Rebuilds the control plane in this node's data folder.
    pub(super) fn run(self, global: &Global) -> Result<(), Failure> {
        recover::rebuild(&self.settings, Some(&self.file), global)
    }
}
