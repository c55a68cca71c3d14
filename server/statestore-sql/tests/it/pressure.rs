//! A full disk, a log under load, expiry while others write.

use std::{fs, path::PathBuf, sync::Arc};

use callboard_statestore::{Error, StateStore};
use callboard_statestore_sql::{SqlStore, SqliteOptions};
use callboard_types::Millis;
use tempfile::TempDir;

use super::{batch, claim, commit, id, open, pack, revision, turn};

#[tokio::test]
async fn a_full_disk_refuses_commits_changes_nothing_and_recovers() {
    let folder = TempDir::new().expect("a folder");
    let mut options = SqliteOptions::new(folder.path());
    options.max_pages = 400;
    let store = SqlStore::open_sqlite(options.clone()).await.expect("open");
    store.claim(&[claim()]).await.expect("claim");
    let mut stored = 0;
    let refused = loop {
        let mut one = turn(&format!("actor-{stored}"), 0, &[1; 50_000]);
        one.spill = vec![pack(1_000)];
        match store.commit(batch(vec![one])).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 100, "the limit was not reached");
    };
    assert!(matches!(refused, Error::Unavailable(_)), "{refused:?}");
    assert!(refused.to_string().contains("full"), "{refused}");
    let key = format!("actor-{stored}");
    assert_eq!(revision(&store, &key).await, 0);
    let packs = store.spilled(&[(id(&key), Millis(1_000))]).await.expect("spilled");
    assert!(packs[0].is_empty());
    // What needs no more space still works, and the refused commit works once there is space.
    commit(&store, vec![turn("actor-0", 1, b"small")]).await;
    store.close().await;
    options.max_pages = 0;
    let store = SqlStore::open_sqlite(options).await.expect("open again");
    commit(&store, vec![turn(&key, 0, &[1; 50_000])]).await;
    assert_eq!(revision(&store, "actor-0").await, 2);
}

#[tokio::test]
async fn the_log_stays_bounded_while_commits_never_pause() {
    const LIMIT: u64 = 4 * 1_024 * 1_024;
    let folder = TempDir::new().expect("a folder");
    let mut options = SqliteOptions::new(folder.path());
    options.wal_limit = LIMIT;
    let store = Arc::new(SqlStore::open_sqlite(options).await.expect("open"));
    store.claim(&[claim()]).await.expect("claim");
    // Four callers, so that a commit always waits while another one runs.
    let caller = |caller: u64, store: Arc<SqlStore>, log: PathBuf| async move {
        let state = vec![3; 20_000];
        let (mut written, mut largest, mut revision) = (0, 0, 0);
        // Together fifty times the limit: a log that never started over would be far larger than the bound.
        while written < 50 * LIMIT / 4 {
            let key = |n| format!("actor-{caller}-{n}");
            let turns = (0..16).map(|n| turn(&key(n), revision, &state));
            commit(&store, turns.collect()).await;
            revision += 1;
            written += 16 * 20_000;
            largest = fs::metadata(&log).expect("a log").len().max(largest);
        }
        (largest, revision)
    };
    let log = folder.path().join("store.db-wal");
    let start = |n| tokio::spawn(caller(n, Arc::clone(&store), log.clone()));
    let callers: Vec<_> = (0..4).map(start).collect();
    let mut last = 0;
    for caller in callers {
        let (largest, revision) = caller.await.expect("caller");
        assert!(largest < 6 * LIMIT, "the log grew to {largest} bytes");
        last = revision;
    }
    store.close().await;
    let store = open(folder.path()).await;
    assert_eq!(revision(&store, "actor-3-7").await, last);
}

#[tokio::test]
async fn a_quiet_store_copies_its_log_to_the_end() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    commit(&store, vec![turn("a", 0, b"1")]).await;
    let database = folder.path().join("store.db");
    let before = fs::read(&database).expect("read");
    let copied = async {
        while fs::read(&database).expect("read") == before {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let limit = std::time::Duration::from_secs(30);
    tokio::time::timeout(limit, copied).await.expect("copied without a further commit");
}

#[tokio::test]
async fn packs_are_found_after_the_outcome_window_was_changed() {
    let folder = TempDir::new().expect("a folder");
    let now = 1_700_000_000_000;
    for (opening, seconds) in (0..).zip([600, 60, 3_600, 1]) {
        let mut options = SqliteOptions::new(folder.path());
        options.outcome_window = std::time::Duration::from_secs(seconds);
        let store = SqlStore::open_sqlite(options).await.expect("open");
        store.claim(&[claim()]).await.expect("claim");
        let mut one = turn("a", opening, b"1");
        let at = |opening: u64| now + i64::try_from(opening).expect("small") * 1_000;
        one.spill = vec![pack(at(opening))];
        commit(&store, vec![one]).await;
        while store.expire().await.expect("expire") {}
        for earlier in 0..=opening {
            let queries = [(id("a"), Millis(at(earlier)))];
            let packs = store.spilled(&queries).await.expect("spilled");
            assert_eq!(packs[0].len(), 1, "pack {earlier} with a window of {seconds} s");
        }
        store.close().await;
    }
}
