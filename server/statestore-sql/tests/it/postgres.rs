//! The store on PostgreSQL.

use std::sync::Arc;

use callboard_statestore::{CommitBatch, Error, StateStore, Verdict};
use callboard_statestore_sql::{PostgresOptions, SqlStore};

use super::claim;

mod kill;
mod opening;
mod outage;
mod proxy;
#[path = "../../../../tests/src/postgres.rs"]
#[expect(dead_code, unreachable_pub, reason = "shared with other crates, which use the rest")]
mod server;
mod unknown;

pub(super) use server::Postgres;

/// A store on a database, with shard 0 claimed at epoch 1.
pub(super) async fn open(url: &str) -> Arc<SqlStore> {
    open_with(PostgresOptions::new(url)).await
}

async fn open_with(options: PostgresOptions) -> Arc<SqlStore> {
    let store = SqlStore::open_postgres(options).await.expect("open");
    store.claim(&[claim()]).await.expect("claim");
    Arc::new(store)
}

/// Commits as the data plane does: a batch that could not be written is repeated; after an unknown outcome the shard is
/// claimed again and the row says what happened. Counts the failures.
async fn commit_whatever_it_takes(store: &SqlStore, batch: &CommitBatch) -> (Vec<Verdict>, u32) {
    let mut failures = 0;
    loop {
        match store.commit(batch.clone()).await {
            Ok(verdicts) => return (verdicts, failures),
            Err(Error::Unavailable(_)) => {}
            Err(Error::OutcomeUnknown(_)) => {
                while let Err(error) = store.claim(&[claim()]).await {
                    assert!(matches!(error, Error::Unavailable(_)), "{error}");
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
                let first = &batch.actors[0];
                let stored = revision_whatever_it_takes(store, &first.id.key).await;
                if stored == first.record.revision.0 {
                    return (vec![Verdict::Committed; batch.len()], failures + 1);
                }
            }
            Err(error) => panic!("{error}"),
        }
        failures += 1;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// The same for reading one actor's revision.
async fn revision_whatever_it_takes(store: &SqlStore, key: &str) -> u64 {
    loop {
        match store.load(&[super::id(key)]).await {
            Ok(rows) => return rows[0].as_ref().map_or(0, |row| row.revision.0),
            Err(Error::Unavailable(_)) => {}
            Err(error) => panic!("{error}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
