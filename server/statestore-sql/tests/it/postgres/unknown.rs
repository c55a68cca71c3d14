//! Commits whose answer is lost.

use std::time::Duration;

use callboard_statestore::{CommitBatch, Error, InboxInsert, ShardClaim, StateStore, Verdict};
use callboard_statestore_sql::{PostgresOptions, SqlStore};
use callboard_types::{Epoch, Millis, NodeId, Tick};

use super::{
    Postgres, commit_whatever_it_takes, open, open_with,
    proxy::{Fault, Proxy},
    revision_whatever_it_takes,
};
use crate::{batch, claim, commit, ended, id, pack, revision, sending, sequences, turn};

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

/// State and outbox rows have one fate; a batch that only ends deliveries may be repeated whatever became of it.
#[tokio::test]
async fn what_a_turn_sent_has_the_fate_of_its_state() {
    let (proxy, url) = Proxy::start(&Postgres::shared().database()).await;
    let store = open(&url).await;
    let faults = [Fault::CutAfter, Fault::CutBefore, Fault::CutAtOnce];
    for (round, fault) in (0..30).zip(faults.into_iter().cycle()) {
        proxy.next(fault);
        let sent = batch(vec![sending("a", round, round + 1)]);
        let (verdicts, failures) = commit_whatever_it_takes(&store, &sent).await;
        assert_eq!(verdicts, [Verdict::Committed]);
        match fault {
            Fault::CutAfter => assert_eq!(failures, 0, "it was committed"),
            Fault::CutBefore => assert_eq!(failures, 1, "it was rolled back"),
            _ => {}
        }
        let last = if round == 0 { vec![1] } else { vec![round, round + 1] };
        assert_eq!(sequences(&store).await, last, "{fault:?}");
        proxy.next(fault);
        let outbox_done = if round == 0 { vec![] } else { vec![ended(round)] };
        let done = CommitBatch { outbox_done, ..CommitBatch::default() };
        let expected = vec![Verdict::Committed; done.len()];
        assert_eq!(commit_until_told(&store, &done).await, expected);
        assert_eq!(sequences(&store).await, [round + 1], "{fault:?}");
    }
    proxy.next(Fault::None);
    // A commit without a new revision has no row that tells what became of it but the one that it sent.
    for (sequence, fault) in (100..).zip([Fault::CutAfter, Fault::CutBefore]) {
        proxy.next(fault);
        let mut same = sending("a", 29, sequence);
        same.previous = same.record.revision;
        let answer = store.commit(batch(vec![same.clone()])).await;
        if fault == Fault::CutBefore {
            assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
            commit(&store, vec![same]).await;
        } else {
            assert_eq!(answer.expect("committed"), [Verdict::Committed]);
        }
        assert_eq!(sequences(&store).await.last(), Some(&sequence));
    }
}

/// Repeats a batch until there are verdicts.
async fn commit_until_told(store: &SqlStore, batch: &CommitBatch) -> Vec<Verdict> {
    loop {
        match store.commit(batch.clone()).await {
            Ok(verdicts) => return verdicts,
            Err(error) => assert!(matches!(error, Error::Unavailable(_)), "{error}"),
        }
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
