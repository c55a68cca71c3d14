//! `callboard cluster drain|undrain|remove NODE`.

use callboard_proto::control::v1::{DrainNodeRequest, RemoveNodeRequest, UndrainNodeRequest};
use clap::Args;

use crate::{
    args::Global,
    commands::cluster::{status::Cluster, watch},
    failure::Failure,
};

/// Which node to drain.
#[derive(Args)]
pub(crate) struct DrainArgs {
    /// The node's number, as `callboard cluster status` shows it
    #[arg(value_name = "NODE", value_parser = clap::value_parser!(u64).range(1..))]
    node: u64,

    /// Wait until the node owns nothing, at most as long as --timeout
    #[arg(long)]
    wait: bool,
}

/// Which node to let back in.
#[derive(Args)]
pub(crate) struct UndrainArgs {
    /// The node's number, as `callboard cluster status` shows it
    #[arg(value_name = "NODE", value_parser = clap::value_parser!(u64).range(1..))]
    node: u64,
}

/// Which node to remove.
#[derive(Args)]
pub(crate) struct RemoveArgs {
    /// The node's number, as `callboard cluster status` shows it; it is never used again
    #[arg(value_name = "NODE", value_parser = clap::value_parser!(u64).range(1..))]
    node: u64,
}

// === impl DrainArgs ===

impl DrainArgs {
    /// Begins the drain, and waits for its end if asked to.
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let connection = global.connect().await?;
        let request = DrainNodeRequest { node_id: self.node };
        let answer = connection.answer(connection.cluster().drain_node(request)).await?;
        let talk = global.talk();
        talk.note(&format!("node {} drains; it owns {} shards", self.node, answer.shards_owned));
        if self.wait {
            let owns_nothing = |cluster: &Cluster| cluster.shards_of(self.node) == 0;
            let drained = watch::until(&connection, owns_nothing);
            connection.within_timeout(drained, "the drain goes on").await?;
            talk.note(&format!("node {} owns nothing and may be stopped", self.node));
        }
        Ok(())
    }
}

// === impl UndrainArgs ===

impl UndrainArgs {
    /// Ends the drain.
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let connection = global.connect().await?;
        let request = UndrainNodeRequest { node_id: self.node };
        connection.answer(connection.cluster().undrain_node(request)).await?;
        global.talk().note(&format!(
            "node {} takes shards again; `callboard cluster rebalance` gives it some now",
            self.node
        ));
        Ok(())
    }
}

// === impl RemoveArgs ===

impl RemoveArgs {
    /// Removes the node.
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let connection = global.connect().await?;
        let request = RemoveNodeRequest { node_id: self.node };
        connection.answer(connection.cluster().remove_node(request)).await?;
        global.talk().note(&format!(
            "node {} is out of the cluster; to come back as a new node it needs an empty data folder",
            self.node
        ));
        Ok(())
    }
}
