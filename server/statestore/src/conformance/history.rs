//! Rules about past states.

use std::sync::Arc;

use bytes::Bytes;
use callboard_types::{Epoch, Millis, Revision};

use super::{Fixture, claimed, commit, id, turn};
use crate::{
    ActorCommit, CommitBatch, Forget, HistoryAt, HistoryInsert, HistoryRow, StateBlob, StateStore,
    Verdict,
};

fn state(revision: u64) -> StateBlob {
    StateBlob {
        content_type: "application/protobuf".into(),
        type_url: "acme.State".into(),
        data: Bytes::from(vec![7; usize::try_from(revision).expect("small")]),
    }
}

/// The state of a revision, settled a second after that of the one before.
fn past(revision: u64) -> HistoryInsert {
    HistoryInsert {
        revision: Revision(revision),
        at: Millis(1_000 * i64::try_from(revision).expect("small")),
        state: Some(state(revision)),
        tags: Bytes::from(format!("tags {revision}")),
    }
}

fn whole(revision: u64) -> HistoryRow {
    let HistoryInsert { revision, at, state, tags } = past(revision);
    HistoryRow { revision, at, state_bytes: revision.0, state, tags }
}

fn line(revision: u64) -> HistoryRow {
    HistoryRow { state: None, tags: Bytes::new(), ..whole(revision) }
}

/// A turn that keeps the past states of these revisions.
fn keeping(key: &str, previous: u64, history: Vec<HistoryInsert>) -> ActorCommit {
    ActorCommit { history, ..turn(key, previous, b"x") }
}

async fn read(store: &Arc<dyn StateStore>, key: &str, at: HistoryAt) -> Vec<HistoryRow> {
    store.history(&id(key), at, 100).await.expect("history")
}

async fn revisions(store: &Arc<dyn StateStore>, key: &str) -> Vec<u64> {
    let rows = read(store, key, HistoryAt::Below(Revision(u64::MAX))).await;
    rows.into_iter().map(|row| row.revision.0).collect()
}

/// The list is newest first and light; a revision is found by number, and a time by the last one that it had by then.
pub async fn past_states_are_found_by_revision_and_time(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    let history = (1..=3).map(past).collect();
    commit(&store, vec![keeping("a", 0, history), keeping("A", 0, vec![past(9)])]).await;
    commit(&store, vec![keeping("a", 1, vec![past(5)])]).await;
    let stateless = HistoryInsert { state: None, tags: Bytes::new(), ..past(6) };
    commit(&store, vec![keeping("a", 2, vec![stateless.clone()])]).await;
    drop(store);
    let store = fixture.reopened().await;
    let below = |revision| HistoryAt::Below(Revision(revision));
    assert_eq!(read(&store, "a", below(6)).await, [line(5), line(3), line(2), line(1)]);
    let page = store.history(&id("a"), below(5), 2).await.expect("history");
    assert_eq!(page, [line(3), line(2)]);
    assert_eq!(read(&store, "a", below(1)).await, []);
    let revision = |revision| HistoryAt::Revision(Revision(revision));
    assert_eq!(read(&store, "a", revision(2)).await, [whole(2)]);
    assert_eq!(read(&store, "a", revision(4)).await, []);
    let none = HistoryRow { state_bytes: 0, state: None, tags: Bytes::new(), ..whole(6) };
    assert_eq!(read(&store, "a", revision(6)).await, [none]);
    let time = |at| HistoryAt::Time(Millis(at));
    assert_eq!(read(&store, "a", time(4_999)).await, [whole(3)]);
    assert_eq!(read(&store, "a", time(5_000)).await, [whole(5)]);
    assert_eq!(read(&store, "a", time(999)).await, []);
    assert_eq!(read(&store, "absent", below(9)).await, []);
}

/// A commit forgets what lies below a revision or before a time, also among what it brings; a deletion forgets all.
pub async fn past_states_are_forgotten_with_a_commit(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    let all = || (1..=5).map(past).collect::<Vec<_>>();
    commit(&store, vec![keeping("a", 0, all()), keeping("b", 0, all())]).await;
    let forget = |below, before| Some(Forget { below: Revision(below), before: Millis(before) });
    let mut below = keeping("a", 1, vec![past(6)]);
    below.forget = forget(3, 0);
    commit(&store, vec![below]).await;
    assert_eq!(revisions(&store, "a").await, [6, 5, 4, 3]);
    let mut before = keeping("a", 2, vec![past(7)]);
    before.forget = forget(0, 5_000);
    commit(&store, vec![before]).await;
    assert_eq!(revisions(&store, "a").await, [7, 6, 5]);
    let mut both = keeping("a", 3, (8..=12).map(past).collect());
    both.forget = forget(10, 11_000);
    let mut deleted = keeping("b", 1, vec![past(6)]);
    deleted.record.deleted = true;
    commit(&store, vec![both, deleted, turn("c", 0, b"1")]).await;
    assert_eq!(revisions(&store, "a").await, [12, 11]);
    assert_eq!(revisions(&store, "b").await, [0; 0]);
}

/// Whoever is left out of a batch neither keeps nor forgets anything.
pub async fn an_excluded_actor_keeps_its_past(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    commit(&store, vec![keeping("a", 0, vec![past(1)]), keeping("b", 0, vec![past(1)])]).await;
    let mut stale = keeping("a", 0, vec![past(2)]);
    stale.forget = Some(Forget { below: Revision(9), before: Millis(0) });
    let mut lost = keeping("b", 1, vec![past(2)]);
    (lost.epoch, lost.record.deleted) = (Epoch(3), true);
    let actors = vec![stale, lost, keeping("c", 0, vec![past(1)])];
    let verdicts = store.commit(CommitBatch { actors, ..CommitBatch::default() }).await;
    let mismatch = Verdict::RevisionMismatch { stored: Revision(1) };
    let fence = Verdict::FenceLost { stored: Epoch(1) };
    assert_eq!(verdicts.expect("commit"), [mismatch, fence, Verdict::Committed]);
    for key in ["a", "b", "c"] {
        assert_eq!(revisions(&store, key).await, [1], "{key}");
    }
}
