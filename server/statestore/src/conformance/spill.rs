//! Rules about outcomes that left their actor's row.

use std::sync::Arc;

use bytes::Bytes;
use callboard_types::{ActorId, Millis};

use super::{Fixture, claim, claimed, commit, id, pack, turn};
use crate::{SpillPack, StateStore};

const NOW: i64 = 1_700_000_000_000;
const MINUTE: i64 = 60_000;

async fn spill(store: &Arc<dyn StateStore>, key: &str, previous: u64, packs: Vec<SpillPack>) {
    let mut one = turn(key, previous, b"x");
    one.spill = packs;
    commit(store, vec![one]).await;
}

async fn found(store: &Arc<dyn StateStore>, key: &str, created: i64) -> Vec<String> {
    let queries = [(id(key), Millis(created))];
    let packs = store.spilled(&queries).await.expect("spilled").remove(0);
    let mut texts: Vec<String> = packs.iter().map(text).collect();
    texts.sort();
    texts
}

fn text(pack: &Bytes) -> String {
    String::from_utf8(pack.to_vec()).expect("text")
}

async fn expire_all(store: &Arc<dyn StateStore>) {
    while store.expire().await.expect("expire") {}
}

/// Both ends of a pack count, overlapping packs are all returned, other actors' are not, answers come in order.
pub async fn spilled_outcomes_are_found_by_creation_time(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    let packs = vec![
        pack(NOW, NOW + 10, "narrow"),
        pack(NOW + 10, NOW + 10, "point"),
        pack(NOW - 9 * MINUTE, NOW + 5, "wide"),
    ];
    spill(&store, "a", 0, packs).await;
    spill(&store, "A", 0, vec![pack(NOW, NOW, "other")]).await;
    assert_eq!(found(&store, "a", NOW).await, ["narrow", "wide"]);
    assert_eq!(found(&store, "a", NOW + 10).await, ["narrow", "point"]);
    assert_eq!(found(&store, "a", NOW - 9 * MINUTE).await, ["wide"]);
    assert_eq!(found(&store, "a", NOW - 9 * MINUTE - 1).await, [""; 0]);
    assert_eq!(found(&store, "a", NOW + 11).await, [""; 0]);
    assert_eq!(found(&store, "a", 0).await, ["narrow", "point", "wide"], "any time");
    let query = |n: i64| -> (ActorId, Millis) {
        (id(["a", "A", "absent"][usize::try_from(n % 3).expect("small")]), Millis(NOW + n / 3))
    };
    let queries: Vec<_> = (0..60).map(query).collect();
    let answers = store.spilled(&queries).await.expect("spilled");
    let counts: Vec<usize> = answers.iter().map(Vec::len).collect();
    assert_eq!(counts[..6], [2, 1, 0, 2, 0, 0]);
    assert_eq!(counts[30..36], [2, 0, 0, 0, 0, 0]);
}

/// Without expiry nothing is ever lost, however many windows pass: a full ring must not overwrite.
pub async fn spilled_outcomes_survive_long_after_the_ring_wrapped(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    for n in 0..120_i64 {
        let at = NOW + n * MINUTE;
        let revision = u64::try_from(n).expect("small");
        spill(&store, "a", revision, vec![pack(at, at + 5, &format!("{n}"))]).await;
    }
    // Nothing may go: the low-water time has not moved.
    expire_all(&store).await;
    drop(store);
    let store = fixture.reopened().await;
    for n in [0, 1, 17, 59, 60, 118, 119] {
        assert_eq!(found(&store, "a", NOW + n * MINUTE).await, [n.to_string()]);
    }
}

/// One shard with a low low-water time keeps the outcomes of all of them.
pub async fn one_low_shard_keeps_every_outcome(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    store.claim(&[claim(1, 1)]).await.expect("claim");
    spill(&store, "a", 0, vec![pack(NOW, NOW, "kept")]).await;
    let far = Millis(NOW + 24 * 60 * MINUTE);
    store.raise_low_water(&[claim(0, 1)], far).await.expect("raise");
    expire_all(&store).await;
    assert_eq!(found(&store, "a", NOW).await, ["kept"]);
    store.raise_low_water(&[claim(1, 1)], far).await.expect("raise");
    expire_all(&store).await;
    assert_eq!(found(&store, "a", NOW).await, [""; 0]);
}

/// Old packs go, young ones stay, and the space is used again.
pub async fn expiry_drops_only_what_lies_below_the_low_water_time(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    let minute = |n: i64| NOW + n * MINUTE;
    let mut revision = 0;
    for round in 0..3_i64 {
        let base = round * 200;
        for n in (0..40).step_by(4) {
            let at = minute(base + n);
            spill(&store, "a", revision, vec![pack(at, at, "x")]).await;
            revision += 1;
        }
        let low = Millis(minute(base + 30));
        store.raise_low_water(&[claim(0, 1)], low).await.expect("raise");
        expire_all(&store).await;
        for n in (32..40).step_by(4) {
            assert_eq!(found(&store, "a", minute(base + n)).await, ["x"], "minute {n}");
        }
        // An implementation may keep packs a little longer, but not those of the last round.
        for n in (0..40).step_by(4) {
            let old = found(&store, "a", minute(base - 200 + n)).await;
            assert_eq!(old, [""; 0], "minute {n} of round {}", round - 1);
        }
    }
}
