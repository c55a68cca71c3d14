//! `callboard cluster transfer-leader [NODE]`.

use callboard_proto::control::v1::TransferLeaderRequest;
use clap::Args;

use crate::{args::Global, failure::Failure};

/// Who is to lead.
#[derive(Args)]
pub(crate) struct TransferArgs {
    /// The voter that is to lead; without it, any other than the one that leads
    #[arg(value_name = "NODE", value_parser = clap::value_parser!(u64).range(1..))]
    node: Option<u64>,
}

// === impl TransferArgs ===

impl TransferArgs {
    /// Has another node lead.
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let connection = global.connect().await?;
        let request = TransferLeaderRequest { node_id: self.node.unwrap_or_default() };
        let answer = connection.answer(connection.cluster().transfer_leader(request)).await?;
        let text = format!("node {} leads in term {}", answer.leader_id, answer.term);
        global.talk().note(&text);
        Ok(())
    }
}
