//! Commits whose answer is lost.

use std::time::Duration;

use callboard_statestore::{CommitBatch, Error, InboxInsert, ShardClaim, StateStore, Verdict};
use callboard_statestore_sql::PostgresOptions;
use callboard_types::{Epoch, Millis, NodeId, Tick};

use super::{
    Postgres, commit_whatever_it_takes, open, open_with,
    proxy::{Fault, Proxy},
    revision_whatever_it_takes,
};
use crate::{batch, claim, commit, id, pack, revision, turn};

#[tokio::test]
async fn a_commit_that_reached_the_server_is_known_to_be_committed() {
    let (proxy, url) = Proxy::start(&Postgres::shared().database()).await;
    let store = open(&url).await;
    for round in 0..10 {
        proxy.next(Fault::CutAfter);
        commit(&store, vec![turn("a", round, b"1"), turn("b", round, b"1")]).await;
        assert_eq!(revision(&store, "a").await, round + 1);
    }
    assert_eq!(proxy.hits(), 10);
}

#[tokio::test]
async fn a_commit_that_never_reached_the_server_is_known_to_have_changed_nothing() {
    let (proxy, url) = Proxy::start(&Postgres::shared().database()).await;
    let store = open(&url).await;
    for round in 0..10 {
        proxy.next(Fault::CutBefore);
        let mut one = turn("a", round, b"1");
        one.spill = vec![pack(1_000)];
        let lost = store.commit(batch(vec![one.clone()])).await;
        assert!(matches!(lost, Err(Error::Unavailable(_))), "{lost:?}");
        assert_eq!(revision(&store, "a").await, round);
        commit(&store, vec![one]).await;
        let packs = store.spilled(&[(id("a"), Millis(1_000))]).await.expect("spilled");
        assert_eq!(packs[0].len() as u64, round + 1);
    }
    assert_eq!(proxy.hits(), 10);
}

/// Whether the server acts on it or not is a race; the answer must be right either way.
#[tokio::test]
async fn a_commit_whose_connection_is_cut_at_once_is_never_guessed() {
    let (proxy, url) = Proxy::start(&Postgres::shared().database()).await;
    let store = open(&url).await;
    for round in 0..40 {
        proxy.next(Fault::CutAtOnce);
        let answer = store.commit(batch(vec![turn("a", round, b"1")])).await;
        let stored = revision(&store, "a").await;
        match answer {
            Ok(verdicts) => {
                assert_eq!((verdicts, stored), (vec![Verdict::Committed], round + 1));
            }
            Err(Error::Unavailable(_)) => {
                assert_eq!(stored, round);
                commit(&store, vec![turn("a", round, b"1")]).await;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(proxy.hits(), 40);
}

#[tokio::test]
async fn an_accepted_call_is_looked_up_too() {
    let (proxy, url) = Proxy::start(&Postgres::shared().database()).await;
    let store = open(&url).await;
    for (sequence, fault) in (1..).zip([Fault::CutAfter, Fault::CutBefore, Fault::CutAfter]) {
        proxy.next(fault);
        let call = InboxInsert {
            id: id("a"),
            shard: 0,
            epoch: Epoch(1),
            sequence,
            call: sequence.to_string().into(),
        };
        let batch = CommitBatch { actors: vec![], inbox: vec![call], ..CommitBatch::default() };
        let (verdicts, failures) = commit_whatever_it_takes(&store, &batch).await;
        assert_eq!(verdicts, [Verdict::Committed]);
        assert_eq!(failures, u32::from(fault == Fault::CutBefore));
        let rows = store.inbox(&claim().shard, 0, 10).await.expect("inbox");
        assert_eq!(rows.len() as u64, sequence);
    }
}

/// A node that stops in the middle of a commit (a pause of its machine, a cut cable) gives up its fence rows before half
/// of its lease has passed, and what it sends later changes nothing.
#[tokio::test]
async fn a_stopped_owner_cannot_hold_its_fence_rows() {
    let database = Postgres::shared().database();
    let (proxy, url) = Proxy::start(&database).await;
    let lease = Duration::from_millis(2_000);
    let options = PostgresOptions { lease, ..PostgresOptions::new(url) };
    let (stopped, next) = (open_with(options.clone()).await, open(&database).await);
    commit(&stopped, vec![turn("a", 0, b"1")]).await;
    proxy.next(Fault::Hold);
    let committing = tokio::spawn({
        let stopped = stopped.clone();
        async move { stopped.commit(batch(vec![turn("a", 1, b"zombie")])).await }
    });
    proxy.holds().await;
    let began = Tick::now();
    let takeover = ShardClaim { epoch: Epoch(2), node: NodeId(2), ..claim() };
    while let Err(error) = next.claim(std::slice::from_ref(&takeover)).await {
        assert!(matches!(error, Error::Unavailable(_)), "{error}");
    }
    // The limits of the server are below half the lease; the rest is room for a busy machine.
    let took = Duration::from_micros(Tick::now().micros_since(began));
    assert!(took < lease, "{took:?}");
    assert_eq!(revision(&next, "a").await, 1);
    proxy.release();
    let zombie = committing.await.expect("commit");
    assert!(matches!(zombie, Err(Error::Unavailable(_))), "{zombie:?}");
    let lost = Verdict::FenceLost { stored: Epoch(2) };
    let again = stopped.commit(batch(vec![turn("a", 1, b"zombie")])).await;
    assert_eq!(again.expect("commit"), [lost]);
    let mut one = turn("a", 1, b"2");
    one.epoch = Epoch(2);
    commit(&next, vec![one]).await;
    assert_eq!(revision(&next, "a").await, 2);
}

#[tokio::test]
async fn connections_that_are_cut_anywhere_lose_and_repeat_nothing() {
    const COMMITS: u64 = 100;
    let (proxy, url) = Proxy::start(&Postgres::shared().database()).await;
    let store = open(&url).await;
    let mut failures = 0;
    for previous in 0..COMMITS {
        let turns = batch(vec![turn("a", previous, b"x"), turn("b", previous, b"x")]);
        // Later and later in the course of a commit, and sometimes after its end.
        let cutting = async {
            tokio::time::sleep(Duration::from_micros(previous % 20 * 250)).await;
            proxy.cut_all();
        };
        let committing = commit_whatever_it_takes(&store, &turns);
        let ((verdicts, failed), ()) = tokio::join!(committing, cutting);
        assert_eq!(verdicts, [Verdict::Committed; 2], "commit {previous}");
        failures += failed;
    }
    assert!(failures > 0, "no connection was cut in the middle of anything");
    assert_eq!(revision_whatever_it_takes(&store, "a").await, COMMITS);
    assert_eq!(revision_whatever_it_takes(&store, "b").await, COMMITS);
}
