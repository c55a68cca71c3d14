//! Rules about who may write: claims, fences and the low-water time.

use super::{Fixture, claim, claimed, commit, load, shard, turn};
use crate::{Claimed, CommitBatch, InboxInsert, Verdict};
use callboard_types::{Epoch, Millis};

/// Raising and repeating a claim succeed; a lower one is told the stored epoch. Other shards are not touched.
pub async fn a_claim_raises_the_epoch_and_never_lowers_it(fixture: &mut impl Fixture) {
    let store = fixture.store().await;
    let held = Claimed::Held { low_water: Millis(0) };
    assert_eq!(store.claim(&[claim(0, 3)]).await.expect("first"), [held]);
    assert_eq!(store.claim(&[claim(0, 3)]).await.expect("again"), [held]);
    let mixed = [claim(0, 2), claim(1, 1), claim(0, 4)];
    let lost = Claimed::Lost { stored: Epoch(3) };
    assert_eq!(store.claim(&mixed).await.expect("mixed"), [lost, held, held]);
    let store = fixture.reopened().await;
    let lost = Claimed::Lost { stored: Epoch(4) };
    assert_eq!(store.claim(&[claim(0, 3)]).await.expect("old"), [lost]);
}

/// A shard that nobody claimed has no fence row, so nothing can be written to it.
pub async fn a_commit_without_a_claim_is_refused(fixture: &mut impl Fixture) {
    let store = fixture.store().await;
    let batch =
        CommitBatch { actors: vec![turn("a", 0, b"1")], inbox: vec![], ..CommitBatch::default() };
    let verdicts = store.commit(batch).await.expect("commit");
    assert_eq!(verdicts, [Verdict::FenceLost { stored: Epoch(0) }]);
    assert_eq!(load(&store, "a").await, None);
}

/// Items of a shard that moved on are left out, the others are committed.
pub async fn a_lost_fence_excludes_only_its_items(fixture: &mut impl Fixture) {
    let store = fixture.store().await;
    store.claim(&[claim(0, 1), claim(1, 5)]).await.expect("claim");
    let mut old = turn("old", 0, b"1");
    (old.shard, old.epoch) = (1, Epoch(4));
    let mut current = turn("current", 0, b"1");
    (current.shard, current.epoch) = (1, Epoch(5));
    let call = |number: u32, epoch: u64| InboxInsert {
        shard: number,
        epoch: Epoch(epoch),
        ..super::accepted("a", 1)
    };
    let batch = CommitBatch {
        actors: vec![turn("a", 0, b"1"), old, current],
        inbox: vec![call(1, 6), call(0, 1)],
        ..CommitBatch::default()
    };
    let lost = Verdict::FenceLost { stored: Epoch(5) };
    let done = Verdict::Committed;
    let verdicts = store.commit(batch).await.expect("commit");
    assert_eq!(verdicts, [done, lost, done, lost, done]);
    assert_eq!(load(&store, "old").await, None);
    assert!(load(&store, "a").await.is_some() && load(&store, "current").await.is_some());
    assert!(store.inbox(&shard(1), 0, 10).await.expect("inbox").is_empty());
    assert_eq!(store.inbox(&shard(0), 0, 10).await.expect("inbox").len(), 1);
}

/// Low-water times are durable, per shard, survive a claim and ignore lower values.
pub async fn the_low_water_time_only_rises(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    store.claim(&[claim(1, 1)]).await.expect("claim");
    for to in [1_000, 400] {
        let raised = store.raise_low_water(&[claim(0, 1)], Millis(to)).await;
        raised.expect("raise");
    }
    let store = fixture.reopened().await;
    let held = |at| Claimed::Held { low_water: Millis(at) };
    let answers = store.claim(&[claim(0, 2), claim(1, 1)]).await.expect("claim");
    assert_eq!(answers, [held(1_000), held(0)]);
}

/// Raising under an epoch that is no longer stored changes nothing and is no error.
pub async fn only_the_owner_raises_the_low_water_time(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    store.claim(&[claim(0, 2)]).await.expect("next epoch");
    let claims = [claim(0, 1), claim(7, 1)];
    store.raise_low_water(&claims, Millis(1_000)).await.expect("ignored");
    let held = Claimed::Held { low_water: Millis(0) };
    assert_eq!(store.claim(&[claim(0, 2)]).await.expect("claim"), [held]);
    let mut next = turn("a", 0, b"1");
    next.epoch = Epoch(2);
    commit(&store, vec![next]).await;
}
