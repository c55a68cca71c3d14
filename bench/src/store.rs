//! The state store alone: what it commits when nothing stands in front of it. Each producer waits for its commit and
//! begins the next at once, and everything that waits goes into one batch, so the store is never idle and never has
//! less to group than a node would give it. Rows and bytes are those that the data plane writes for a durable add.

mod producers;

use std::time::Duration;

use callboard_statestore::{Claimed, ShardClaim, StateStore, Verdict};
use callboard_statestore_sql::{SqlStore, SqliteOptions};
use callboard_types::{Epoch, NodeId, ShardId, limits};

use crate::{
    cli::StoreArgs,
    error::Error,
    host::actors,
    measure::{self, Recorder, Report},
    store::producers::Producers,
};

/// The system of every actor.
const SYSTEM: &str = "default";

/// The epoch under which everything is committed.
const EPOCH: Epoch = Epoch(1);

/// Commits for the given time.
pub(crate) async fn run(args: &StoreArgs) -> Result<Report, Error> {
    let store = SqlStore::open_sqlite(SqliteOptions::new(&args.data)).await?;
    claim_shards(&store).await?;
    let mut producers = Producers::new(args.keys)?;
    let mut recorder = Recorder::new();
    let begun = measure::now();
    let warm = begun + Duration::from_secs(args.warmup);
    let end = warm + Duration::from_secs(args.seconds);
    let mut measuring = false;
    loop {
        let started = measure::now();
        if started >= end {
            break;
        }
        if !measuring && started >= warm {
            measuring = true;
            recorder.start(started)?;
        }
        let batch = producers.batch(args.concurrency);
        let actors = batch.actors.len();
        let verdicts = store.commit(batch).await?;
        if verdicts.len() != actors || verdicts.iter().any(|verdict| *verdict != Verdict::Committed)
        {
            return Err(Error::failed(format!("a commit was refused: {verdicts:?}")));
        }
        let ended = measure::now();
        for _ in 0..args.concurrency {
            recorder.success(started, ended);
        }
    }
    recorder.stop(measure::now())?;
    store.close().await;
    Ok(recorder.report())
}

async fn claim_shards(store: &SqlStore) -> Result<(), Error> {
    let claims: Vec<_> = (0..limits::SHARDS_DEFAULT)
        .map(|number| ShardClaim {
            shard: ShardId { system: SYSTEM.into(), actor_type: actors::DURABLE.into(), number },
            epoch: EPOCH,
            node: NodeId(1),
        })
        .collect();
    let claimed = store.claim(&claims).await?;
    if claimed.iter().all(|claim| matches!(claim, Claimed::Held { .. })) {
        return Ok(());
    }
    Err(Error::failed(format!("a shard was refused: {claimed:?}")))
}
