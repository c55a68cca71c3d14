//! A database that goes away and comes back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use callboard_statestore::{Error, StateStore, Verdict};
use callboard_statestore_sql::PostgresOptions;

use super::{Postgres, commit_whatever_it_takes, open_with, revision_whatever_it_takes};
use crate::{batch, claim, commit, id, revision, turn};

/// Patient enough for a busy machine.
fn options(url: &str) -> PostgresOptions {
    PostgresOptions { lease: Duration::from_secs(4), ..PostgresOptions::new(url) }
}

#[tokio::test]
async fn an_outage_is_told_as_such_and_ends_with_the_same_data() {
    let server = Postgres::start();
    let store = open_with(options(&server.database())).await;
    commit(&store, vec![turn("a", 0, b"1")]).await;
    for round in 1..3 {
        server.halt();
        for _ in 0..3 {
            let written = store.commit(batch(vec![turn("a", round, b"2")])).await;
            assert!(matches!(written, Err(Error::Unavailable(_))), "{written:?}");
            // Never a blank state: no answer at all.
            let read = store.load(&[id("a")]).await;
            assert!(matches!(read, Err(Error::Unavailable(_))), "{read:?}");
            let claimed = store.claim(&[claim()]).await;
            assert!(matches!(claimed, Err(Error::Unavailable(_))), "{claimed:?}");
            assert!(matches!(store.expire().await, Err(Error::Unavailable(_))));
            let listed = store.list("default", "Counter", "", "", 1).await;
            assert!(matches!(listed, Err(Error::Unavailable(_))), "{listed:?}");
        }
        server.again();
        // The first attempt succeeds: dead connections are replaced, not waited for.
        commit(&store, vec![turn("a", round, b"2")]).await;
        assert_eq!(revision(&store, "a").await, round + 1);
    }
    store.close().await;
}

/// A restart between two requests costs nobody a failure.
#[tokio::test]
async fn a_restart_that_nobody_was_waiting_for_goes_unnoticed() {
    let server = Postgres::start();
    let store = open_with(options(&server.database())).await;
    commit(&store, vec![turn("a", 0, b"1")]).await;
    server.halt();
    server.again();
    commit(&store, vec![turn("a", 1, b"2")]).await;
    for _ in 0..options("").readers {
        assert_eq!(revision(&store, "a").await, 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_killed_under_load_keeps_every_acknowledged_commit() {
    const CALLERS: usize = 6;
    let server = Arc::new(Postgres::start());
    let url = server.database();
    let store = open_with(options(&url)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged: Arc<[AtomicU64; CALLERS]> = Arc::new(Default::default());
    let caller = |caller: usize| {
        let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
        let acknowledged = Arc::clone(&acknowledged);
        tokio::spawn(async move {
            let key = format!("actor-{caller}");
            while !stop.load(Ordering::Relaxed) {
                let previous = acknowledged[caller].load(Ordering::Acquire);
                let one = batch(vec![turn(&key, previous, &[7; 900])]);
                let (verdicts, _) = commit_whatever_it_takes(&store, &one).await;
                assert_eq!(verdicts, [Verdict::Committed], "{key} at {previous}");
                acknowledged[caller].store(previous + 1, Ordering::Release);
            }
        })
    };
    let callers: Vec<_> = (0..CALLERS).map(caller).collect();
    let total = || acknowledged.iter().map(|count| count.load(Ordering::Acquire)).sum::<u64>();
    let (mut crashes, mut seen) = (0, 0);
    while crashes < 4 {
        while total() < seen + 120 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let crashing = Arc::clone(&server);
        let crash = move || {
            crashing.crash();
            crashing.again();
        };
        tokio::task::spawn_blocking(crash).await.expect("crash");
        for (caller, count) in acknowledged.iter().enumerate() {
            let told = count.load(Ordering::Acquire);
            let stored = revision_whatever_it_takes(&store, &format!("actor-{caller}")).await;
            assert!(stored >= told, "actor-{caller}: {told} acknowledged, {stored} stored");
        }
        (crashes, seen) = (crashes + 1, total());
    }
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.expect("caller");
    }
    for (caller, count) in acknowledged.iter().enumerate() {
        let stored = revision(&store, &format!("actor-{caller}")).await;
        assert_eq!(stored, count.load(Ordering::Acquire), "actor-{caller}");
    }
}
