//! Rules about the messages that a shard delivers to its subscribers, and about the keys of those.

use std::sync::Arc;

use bytes::Bytes;
use callboard_types::{Epoch, Millis, Revision, limits::DELIVERED_WINDOW_MS};

use super::{Fixture, claim, claimed, commit, id, shard, turn};
use crate::{
    ActorCommit, BroadcastChange, BroadcastRow, BroadcastStep, CommitBatch, StateStore, Verdict,
};

const NOW: i64 = 1_700_000_000_000;

fn change(id: &str, step: BroadcastStep) -> BroadcastChange {
    BroadcastChange { shard: shard(0), epoch: Epoch(1), id: id.to_owned(), step }
}

fn record(id: &str, sequence: u64) -> BroadcastChange {
    let item = Bytes::from(format!("message {id}"));
    change(id, BroadcastStep::Record { sequence, at: Millis(NOW), item })
}

fn advance(id: &str, cursor: &str) -> BroadcastChange {
    change(id, BroadcastStep::Advance { cursor: cursor.to_owned() })
}

fn done(id: &str) -> BroadcastChange {
    change(id, BroadcastStep::Done)
}

fn row(id: &str, sequence: u64, cursor: &str) -> BroadcastRow {
    BroadcastRow {
        id: id.to_owned(),
        sequence,
        cursor: cursor.to_owned(),
        item: Bytes::from(format!("message {id}")),
    }
}

async fn apply(store: &Arc<dyn StateStore>, broadcasts: Vec<BroadcastChange>) -> Vec<Verdict> {
    let batch = CommitBatch { broadcasts, ..CommitBatch::default() };
    store.commit(batch).await.expect("apply")
}

async fn rows(store: &Arc<dyn StateStore>, after: u64, limit: usize) -> Vec<BroadcastRow> {
    store.broadcasts(&shard(0), after, limit).await.expect("broadcasts")
}

/// Messages come by sequence with how far each got, for their shard only, and go when everybody has them.
pub async fn broadcasts_are_walked_in_sequence_and_go_when_done(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    store.claim(&[claim(1, 1)]).await.expect("claim");
    let elsewhere = BroadcastChange { shard: shard(1), ..record("m1", 1) };
    let steps = vec![record("m2", 9), record("m1", 4), record("m3", 5), elsewhere];
    assert_eq!(apply(&store, steps).await, [Verdict::Committed; 4]);
    let all = [row("m1", 4, ""), row("m3", 5, ""), row("m2", 9, "")];
    assert_eq!(rows(&store, 0, 100).await, all);
    assert_eq!(rows(&store, 4, 1).await, all[1..2]);
    // The later of two steps counts, and steps of one message may share a batch with its beginning.
    let steps = vec![advance("m3", "k"), advance("m3", "\u{e9}"), record("m4", 10), done("m1")];
    apply(&store, steps).await;
    apply(&store, vec![advance("m4", "b"), done("m2"), done("never came")]).await;
    drop(store);
    let store = fixture.reopened().await;
    let left = [row("m3", 5, "\u{e9}"), row("m4", 10, "b")];
    assert_eq!(rows(&store, 0, 100).await, left);
    apply(&store, vec![record("m5", 11), advance("m5", "z"), done("m5"), done("m4")]).await;
    assert_eq!(rows(&store, 0, 100).await, left[..1]);
    let elsewhere = store.broadcasts(&shard(1), 0, 10).await.expect("broadcasts");
    assert_eq!(elsewhere, [row("m1", 1, "")]);
}

/// A message that comes again changes nothing, whether it is under way or done.
pub async fn a_broadcast_is_recorded_once(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    apply(&store, vec![record("m", 1), record("m", 2)]).await;
    apply(&store, vec![advance("m", "k")]).await;
    assert_eq!(apply(&store, vec![record("m", 3)]).await, [Verdict::Committed]);
    assert_eq!(rows(&store, 0, 10).await, [row("m", 1, "k")]);
    apply(&store, vec![done("m")]).await;
    drop(store);
    let store = fixture.reopened().await;
    let steps = vec![record("m", 4), advance("m", "x"), record("other", 5)];
    apply(&store, steps).await;
    assert_eq!(rows(&store, 0, 10).await, [row("other", 5, "")]);
    // An id means nothing outside of its shard.
    store.claim(&[claim(1, 1)]).await.expect("claim");
    apply(&store, vec![BroadcastChange { shard: shard(1), ..record("m", 1) }]).await;
    let elsewhere = store.broadcasts(&shard(1), 0, 10).await.expect("broadcasts");
    assert_eq!(elsewhere, [row("m", 1, "")]);
}

/// Whoever lost the shard neither records nor moves anything.
pub async fn broadcast_steps_need_the_fence(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    apply(&store, vec![record("m", 1)]).await;
    let old = |change| BroadcastChange { epoch: Epoch(9), ..change };
    let steps = vec![
        old(record("new", 2)),
        old(advance("m", "k")),
        old(done("m")),
        BroadcastChange { shard: shard(5), ..record("unclaimed", 1) },
        advance("m", "b"),
    ];
    let lost = |stored| Verdict::FenceLost { stored: Epoch(stored) };
    let verdicts = apply(&store, steps).await;
    assert_eq!(verdicts, [lost(1), lost(1), lost(1), lost(0), Verdict::Committed]);
    assert_eq!(rows(&store, 0, 10).await, [row("m", 1, "b")]);
}

/// Ids of messages that are done are dropped long after every shard's low-water time has passed them; others stay.
pub async fn ids_of_done_broadcasts_are_dropped_when_nobody_repeats_them(
    fixture: &mut impl Fixture,
) {
    let store = claimed(fixture).await;
    let at = |id: &str, at| {
        change(id, BroadcastStep::Record { sequence: 1, at: Millis(at), item: Bytes::new() })
    };
    apply(&store, vec![at("old", NOW), at("running", NOW), at("young", NOW + 1_000)]).await;
    apply(&store, vec![done("old"), done("young")]).await;
    let came_again = |store: &Arc<dyn StateStore>| {
        let store = Arc::clone(store);
        async move {
            let steps = vec![record("old", 2), record("running", 3), record("young", 4)];
            apply(&store, steps).await;
            rows(&store, 1, 10).await.into_iter().map(|row| row.id).collect::<Vec<_>>()
        }
    };
    for low in [NOW, NOW + DELIVERED_WINDOW_MS, NOW + DELIVERED_WINDOW_MS + 1] {
        assert_eq!(came_again(&store).await, [""; 0]);
        store.raise_low_water(&[claim(0, 1)], Millis(low)).await.expect("raise");
        while store.expire().await.expect("expire") {}
    }
    assert_eq!(came_again(&store).await, ["old"]);
}

/// The keys of a shard come in byte order and pages, without those of other shards and types and of the deleted.
pub async fn keys_are_those_of_the_living_actors_of_a_shard(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    store.claim(&[claim(1, 1)]).await.expect("claim");
    let mut stored = ["b", "a", "B", "a b", "\u{e9}", "z", "\u{1f600}", "\u{ffee}", "10", "9"];
    commit(&store, stored.iter().map(|key| turn(key, 0, b"12345")).collect()).await;
    let mut elsewhere = turn("c", 0, b"1");
    elsewhere.shard = 1;
    commit(&store, vec![elsewhere, turn("gone", 0, b"1")]).await;
    let mut gone = turn("gone", 1, b"");
    (gone.record.state, gone.record.deleted) = (None, true);
    commit(&store, vec![gone]).await;
    stored.sort_unstable();
    let page = |number, after: &str, limit| {
        let (store, after) = (Arc::clone(&store), after.to_owned());
        async move { store.keys(&shard(number), &after, limit).await.expect("keys") }
    };
    assert_eq!(page(0, "", 100).await, stored);
    assert_eq!(page(0, "a", 3).await, ["a b", "b", "z"]);
    assert_eq!(page(0, "\u{1f600}", 3).await, [""; 0]);
    assert_eq!(page(1, "", 100).await, ["c"]);
    assert_eq!(page(2, "", 100).await, [""; 0]);
    let mut other = shard(0);
    other.actor_type = "counter".into();
    assert_eq!(store.keys(&other, "", 100).await.expect("keys"), [""; 0]);
}

/// A deleted actor keeps its row with revision and outcomes, says so, and is listed again once it has had a turn.
pub async fn a_deleted_actor_keeps_its_revision_and_is_not_listed(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    let deletion = |key: &str, previous| {
        let mut one = ActorCommit { ..turn(key, previous, b"") };
        (one.record.state, one.record.deleted) = (None, true);
        one
    };
    commit(&store, vec![turn("a", 0, b"1"), turn("b", 0, b"1"), deletion("never", 0)]).await;
    // Alone and among others: these are different paths through some stores.
    commit(&store, vec![deletion("a", 1)]).await;
    commit(&store, vec![deletion("b", 1), turn("c", 0, b"1")]).await;
    drop(store);
    let store = fixture.reopened().await;
    let ids = [id("a"), id("b"), id("c"), id("never")];
    let loaded = store.load(&ids).await.expect("load");
    let expected = [deletion("a", 1), deletion("b", 1), turn("c", 0, b"1"), deletion("never", 0)];
    assert_eq!(loaded, expected.map(|one| Some(one.record)));
    let listed = || {
        let store = Arc::clone(&store);
        async move {
            let rows = store.list("default", "Counter", "", "", 10).await.expect("list");
            rows.into_iter().map(|row| row.id.key.to_string()).collect::<Vec<_>>()
        }
    };
    assert_eq!(listed().await, ["c"]);
    // A tombstone takes outcomes without a turn, and a fresh life goes on from its revision.
    let mut outcome = deletion("b", 1);
    outcome.previous = Revision(2);
    outcome.record.outcomes = Bytes::from_static(b"one more");
    commit(&store, vec![turn("a", 2, b"again"), outcome.clone()]).await;
    let loaded = store.load(&ids[..2]).await.expect("load");
    assert_eq!(loaded, [Some(turn("a", 2, b"again").record), Some(outcome.record)]);
    assert_eq!(listed().await, ["a", "c"]);
    assert_eq!(store.keys(&shard(0), "", 10).await.expect("keys"), ["a", "c"]);
    // Even without a new revision.
    let mut back = turn("b", 1, b"back");
    back.previous = Revision(2);
    commit(&store, vec![back.clone()]).await;
    assert_eq!(store.load(&ids[1..2]).await.expect("load"), [Some(back.record)]);
    assert_eq!(listed().await, ["a", "b", "c"]);
}
