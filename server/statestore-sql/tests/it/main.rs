//! The SQL store as its users see it: one binary, because each one links the database.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use callboard_statestore::{
    ActorCommit, ActorRecord, CommitBatch, OutboxDone, OutboxInsert, OutboxRow, ShardClaim,
    SpillPack, StateBlob, StateStore, Verdict,
};
use callboard_statestore_sql::{SqlStore, SqliteOptions};
use callboard_types::{ActorId, Epoch, Millis, NodeId, Revision, ShardId};

mod cancel;
mod conformance;
mod kill;
mod opening;
mod postgres;
mod pressure;
mod upgrade;

async fn open(folder: &Path) -> Arc<SqlStore> {
    let options = SqliteOptions::new(folder);
    let store = SqlStore::open_sqlite(options).await.expect("open");
    store.claim(&[claim()]).await.expect("claim");
    Arc::new(store)
}

fn claim() -> ShardClaim {
    ShardClaim {
        shard: ShardId { system: "default".into(), actor_type: "Counter".into(), number: 0 },
        epoch: Epoch(1),
        node: NodeId(1),
    }
}

fn id(key: &str) -> ActorId {
    ActorId::parse("default", "Counter", key).expect("a valid key")
}

fn turn(key: &str, previous: u64, data: &[u8]) -> ActorCommit {
    ActorCommit {
        id: id(key),
        shard: 0,
        epoch: Epoch(1),
        previous: Revision(previous),
        record: ActorRecord {
            revision: Revision(previous + 1),
            state: Some(StateBlob {
                content_type: "application/octet-stream".into(),
                type_url: String::new(),
                data: Bytes::copy_from_slice(data),
            }),
            ..ActorRecord::default()
        },
        spill: vec![],
        inbox_done: vec![],
        outbox: Vec::new(),
        letters: Vec::new(),
        history: Vec::new(),
        forget: None,
    }
}

fn pack(until: i64) -> SpillPack {
    SpillPack { from: Millis(until), until: Millis(until), data: Bytes::from_static(b"outcomes") }
}

/// The same with an outbox row.
fn sending(key: &str, previous: u64, sequence: u64) -> ActorCommit {
    let item = Bytes::from(format!("of {key} {sequence}"));
    let outbox = vec![OutboxInsert { sequence, due_at: Millis(0), item }];
    ActorCommit { outbox, ..turn(key, previous, b"sent") }
}

fn ended(sequence: u64) -> OutboxDone {
    OutboxDone { shard: claim().shard, epoch: claim().epoch, sequence, dead: None }
}

/// All outbox rows of shard 0.
async fn outbox(store: &SqlStore) -> Vec<OutboxRow> {
    let shard = claim().shard;
    let rows = store.outbox(&shard, (Millis(i64::MIN), 0), Millis(i64::MAX), 100_000).await;
    rows.expect("outbox")
}

/// Their sequences.
async fn sequences(store: &SqlStore) -> Vec<u64> {
    outbox(store).await.into_iter().map(|row| row.sequence).collect()
}

fn batch(actors: Vec<ActorCommit>) -> CommitBatch {
    CommitBatch { actors, inbox: vec![], ..CommitBatch::default() }
}

async fn commit(store: &SqlStore, actors: Vec<ActorCommit>) {
    let count = actors.len();
    let verdicts = store.commit(batch(actors)).await.expect("commit");
    assert_eq!(verdicts, vec![Verdict::Committed; count]);
}

async fn revision(store: &SqlStore, key: &str) -> u64 {
    let rows = store.load(&[id(key)]).await.expect("load");
    rows[0].as_ref().map_or(0, |row| row.revision.0)
}
