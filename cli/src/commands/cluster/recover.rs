//! `callboard cluster recover`.

use std::path::{Path, PathBuf};

use callboard_server::recover;
use clap::Args;

use crate::{
    args::Global,
    commands::serve,
    failure::{Exit, Failure},
};

/// The settings of the node that begins the cluster anew, and what is left of the old one.
#[derive(Args)]
#[command(
    after_help = "For a cluster that lost the data folders of most of its voters. Stop every node first, give them \
    all empty\ndata folders, run this on one of them, start it with `callboard serve`, and let the others join it.\n\
    The store keeps its actors; what they own is granted anew, in epochs above all that the store has.\n\
    With a backup it does what `callboard restore` does. Without one, actor types come back when hosts register them."
)]
pub(crate) struct RecoverArgs {
    /// What `callboard backup` wrote; without it, types and systems come back when hosts register them
    #[arg(long, value_name = "FILE")]
    backup: Option<PathBuf>,

    #[command(flatten)]
    settings: serve::Settings,
}

// === impl RecoverArgs ===

impl RecoverArgs {
    /// Rebuilds the control plane in this node's data folder.
    pub(super) fn run(self, global: &Global) -> Result<(), Failure> {
        rebuild(&self.settings, self.backup.as_deref(), global)
    }
}

/// Rebuilds the control plane in the data folder that the settings name.
pub(in crate::commands) fn rebuild(
    settings: &serve::Settings,
    backup: Option<&Path>,
    global: &Global,
) -> Result<(), Failure> {
    let loaded = settings.load(global)?;
    let read = |path: &Path| {
        std::fs::read(path)
            .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", path.display())))
    };
    let backup = backup.map(read).transpose()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let recovered = runtime.block_on(recover::run(&loaded.config, backup)).map_err(|error| {
        Failure::new(Exit::Conflict, "RECOVER", format!("nothing was recovered: {error}")).advice(
            "stop every node, use an empty data folder, a whole backup, and the cluster's own store.url",
        )
    })?;
    global.talk().note(&format!(
        "cluster {} begins anew with node {} in {}; epochs of {} shards are known from the store.\n\
         Start it with `callboard serve` and the same settings, then let the other nodes join with \
         empty data folders",
        recovered.cluster_id,
        recovered.node,
        loaded.config.node.data.display(),
        recovered.shards
    ));
    Ok(())
}
