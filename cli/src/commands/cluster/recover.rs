//! `callboard cluster recover`.

use std::path::PathBuf;

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
    The store keeps its actors; what they own is granted anew, in epochs above all that the store has."
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
        let loaded = self.settings.load(global)?;
        let backup = match &self.backup {
            None => None,
            Some(path) => Some(std::fs::read(path).map_err(|error| {
                Failure::usage(format!("{} cannot be read: {error}", path.display()))
            })?),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let recovered =
            runtime.block_on(recover::run(&loaded.config, backup)).map_err(|error| {
                Failure::new(Exit::Conflict, "RECOVER", format!("nothing was recovered: {error}"))
                .advice(
                    "stop every node, use an empty data folder, and name the store with store.url",
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
}
