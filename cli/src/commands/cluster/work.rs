//! `callboard cluster rebalance|snapshot`.

use callboard_proto::control::v1::{RebalanceRequest, TakeSnapshotRequest};

use crate::{args::Global, failure::Failure};

/// Spreads the shards evenly.
pub(super) async fn rebalance(global: &Global) -> Result<(), Failure> {
    let connection = global.connect().await?;
    let request = RebalanceRequest {};
    let answer = connection.answer(connection.cluster().rebalance(request)).await?;
    global.talk().note(&match answer.shards_moving {
        0 => "the shards are spread evenly already".to_owned(),
        count => format!(
            "{count} shards are on their way; `callboard cluster status --watch` shows them"
        ),
    });
    Ok(())
}

/// Writes a snapshot.
pub(super) async fn snapshot(global: &Global) -> Result<(), Failure> {
    let connection = global.connect().await?;
    let request = TakeSnapshotRequest {};
    let answer = connection.answer(connection.cluster().take_snapshot(request)).await?;
    let text = format!("the snapshot holds everything up to log index {}", answer.log_index);
    global.talk().note(&text);
    Ok(())
}
