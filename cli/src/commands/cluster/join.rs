//! `callboard cluster join ADDRESS…`.

use std::process::ExitCode;

use clap::Args;

use crate::{args::Global, commands::serve, failure::Failure};

/// Which cluster, and the node's own settings.
#[derive(Args)]
#[command(
    after_help = "Every node of a cluster has the same cluster.secret and the same store.url:\n  \
    callboard cluster join 10.0.0.1:7072 --peer-listen 10.0.0.2:7072 --config callboard.toml"
)]
pub(crate) struct JoinArgs {
    /// Peer addresses of nodes of the cluster; one that answers is enough
    #[arg(required = true, value_name = "HOST:PORT")]
    peers: Vec<String>,

    #[command(flatten)]
    settings: serve::Settings,
}

// === impl JoinArgs ===

impl JoinArgs {
    /// Runs the node.
    pub(super) fn run(self, global: &Global) -> Result<ExitCode, Failure> {
        let mut settings = self.settings;
        settings.join(&self.peers);
        settings.serve(global)
    }
}
