//! Callers that stop waiting.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
};

use callboard_statestore::{StateStore, Verdict};
use tempfile::TempDir;

use super::{batch, commit, id, open, pack, revision, turn};
use callboard_types::Millis;

/// A commit that was handed over happens as a whole; one that was not leaves nothing. Either way the store goes on.
#[tokio::test]
async fn a_caller_that_stops_waiting_neither_loses_nor_repeats_a_commit() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    for round in 0..200_u64 {
        let before = revision(&store, "a").await;
        let mut one = turn("a", before, &round.to_le_bytes());
        one.spill = vec![pack(i64::try_from(before).expect("small"))];
        {
            // Polled so often and then dropped, at whatever point the writer has reached.
            let mut committing = pin!(store.commit(batch(vec![one])));
            for _ in 0..round % 5 {
                let waker = Waker::noop();
                let _pending = committing.as_mut().poll(&mut Context::from_waker(waker));
                tokio::task::yield_now().await;
            }
        }
        // The writer takes jobs in order, so this one ends after the dropped one, if that was handed over.
        commit(&store, vec![turn("fence", round, b"")]).await;
        let after = revision(&store, "a").await;
        assert!(after == before || after == before + 1, "{before} -> {after}");
        assert_eq!(after == before, round % 5 == 0, "a polled commit is handed over");
        let created = Millis(i64::try_from(before).expect("small"));
        let packs = store.spilled(&[(id("a"), created)]).await.expect("spilled");
        assert_eq!(packs[0].len() as u64, after - before);
    }
}

/// Aborting tasks in the middle of everything leaves no transaction open and no lock held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aborted_tasks_leave_the_store_in_order() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let mut tasks = vec![];
    for caller in 0..16 {
        let store = Arc::clone(&store);
        tasks.push(tokio::spawn(async move {
            let key = format!("actor-{caller}");
            for previous in 0.. {
                let turns = vec![turn(&key, previous, b"x")];
                let verdicts = store.commit(batch(turns)).await.expect("commit");
                assert_eq!(verdicts, [Verdict::Committed]);
                store.load(&[id(&key)]).await.expect("load");
            }
        }));
    }
    while revision(&store, "actor-0").await < 20 {}
    for task in &tasks {
        task.abort();
    }
    for task in tasks {
        assert!(task.await.expect_err("endless").is_cancelled());
    }
    for caller in 0..16 {
        let key = format!("actor-{caller}");
        // Wait out a commit of this actor that was handed over before the abort.
        commit(&store, vec![turn(&format!("fence-{caller}"), 0, b"")]).await;
        let stored = revision(&store, &key).await;
        commit(&store, vec![turn(&key, stored, b"after")]).await;
        assert_eq!(revision(&store, &key).await, stored + 1);
    }
}
