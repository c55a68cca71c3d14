//! Data of the release before: it is brought up to date when it is opened, and a node of that release goes on beside.

use std::path::Path;

use callboard_migrations::{Migrator, MigratorTrait};
use callboard_statestore::{CommitBatch, StateStore, Verdict};
use callboard_statestore_sql::SqlStore;
use callboard_types::{Millis, Revision};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection};
use tempfile::TempDir;

use super::{
    claim, commit, ended, id, open,
    postgres::{self, Postgres},
    sending, sequences, turn,
};

/// What the release before wrote: its versions and an actor, with no bytes written as the database takes them.
fn old_rows(empty: &str) -> Vec<String> {
    let set = |name: &str| format!("INSERT INTO store_meta (name, value) VALUES ('{name}', '1')");
    let columns =
        "system, type, key, shard, revision, updated_at, spilled_until, type_url, tags, outcomes";
    let actor = format!(
        "INSERT INTO actors ({columns}) VALUES ('default', 'Counter', 'old', 0, 3, 5, 0, {empty}, {empty}, {empty})"
    );
    vec![set("schema_version"), set("minimum_version"), actor]
}

/// A turn as the release before commits it: it knows nothing of the new columns.
const OLD_TURN: &str = "UPDATE actors SET revision = revision + 1 WHERE key = 'old'";

async fn run(url: &str, statements: &[String]) {
    let database = Database::connect(url).await.expect("connect");
    execute(&database, statements).await;
    database.close().await.expect("close");
}

async fn execute(database: &DatabaseConnection, statements: &[String]) {
    for statement in statements {
        database.execute_unprepared(statement).await.expect("execute");
    }
}

/// A database as the release before left it.
async fn make_old(url: &str, empty: &str) {
    let database = Database::connect(url).await.expect("connect");
    Migrator::up(&database, Some(1)).await.expect("the first step");
    execute(&database, &old_rows(empty)).await;
    database.close().await.expect("close");
}

/// Everything that is new works on old data, and old turns are what they were.
async fn goes_on(store: &SqlStore, old_turn: impl AsyncFn()) {
    let loaded = store.load(&[id("old")]).await.expect("load").remove(0).expect("a row");
    assert_eq!((loaded.revision, loaded.deleted), (Revision(3), false));
    assert_eq!(store.keys(&claim().shard, "", 10).await.expect("keys"), ["old"]);
    commit(store, vec![sending("old", 3, 1), sending("new", 0, 2)]).await;
    let outbox_done = vec![ended(1)];
    let done = store.commit(CommitBatch { outbox_done, ..CommitBatch::default() }).await;
    assert_eq!(done.expect("commit"), [Verdict::Committed]);
    assert_eq!(sequences(store).await, [2]);
    let mut deletion = turn("old", 4, b"");
    deletion.record.deleted = true;
    commit(store, vec![deletion]).await;
    assert_eq!(store.keys(&claim().shard, "", 10).await.expect("keys"), ["new"]);
    // A node that does not know what a tombstone is begins a new life; ours has to see it.
    old_turn().await;
    let loaded = store.load(&[id("old")]).await.expect("load").remove(0).expect("a row");
    assert_eq!((loaded.revision, loaded.deleted), (Revision(6), false));
    assert_eq!(store.keys(&claim().shard, "", 10).await.expect("keys"), ["new", "old"]);
    let listed = store.list("default", "Counter", "", "", 10).await.expect("list");
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[1].updated_at, Millis(0));
}

/// As a crash in the middle leaves it: the step is there in part, and nothing says so.
const HALF_MADE: [&str; 3] = [
    "DROP TABLE history",
    "DELETE FROM seaql_migrations WHERE version LIKE '%_000002_%'",
    "UPDATE store_meta SET value = '1' WHERE name = 'schema_version'",
];

fn half_made() -> Vec<String> {
    HALF_MADE.map(ToOwned::to_owned).to_vec()
}

fn file(folder: &Path) -> String {
    format!("sqlite:{}?mode=rwc", folder.join("store.db").display())
}

#[tokio::test]
async fn an_old_data_folder_is_brought_up_to_date() {
    let folder = TempDir::new().expect("a folder");
    let url = file(folder.path());
    make_old(&url, "''").await;
    let store = open(folder.path()).await;
    goes_on(&store, async || run(&url, &[OLD_TURN.to_owned()]).await).await;
    store.close().await;
    run(&url, &half_made()).await;
    let store = open(folder.path()).await;
    assert_eq!(sequences(&store).await, [2]);
}

#[tokio::test]
async fn an_old_shared_database_is_brought_up_to_date() {
    let url = Postgres::shared().database();
    make_old(&url, "''::bytea").await;
    let store = postgres::open(&url).await;
    goes_on(&store, async || run(&url, &[OLD_TURN.to_owned()]).await).await;
    store.close().await;
    run(&url, &half_made()).await;
    let store = postgres::open(&url).await;
    assert_eq!(sequences(&store).await, [2]);
}
