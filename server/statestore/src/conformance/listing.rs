//! Rules about listings.

use std::sync::Arc;

use callboard_types::{ActorId, Millis, Revision};

use super::{Fixture, claim, claimed, commit, turn};
use crate::{ShardClaim, StateStore};

async fn keys(store: &Arc<dyn StateStore>, prefix: &str, after: &str, limit: usize) -> Vec<String> {
    let rows = store.list("default", "Counter", prefix, after, limit).await;
    let rows = rows.expect("list");
    rows.into_iter().map(|row| row.id.key.to_string()).collect()
}

/// Order is by the bytes of the key; pages follow each other without gap or repetition; sizes are told.
pub async fn a_listing_is_in_byte_order_and_pages(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    let mut stored = ["b", "a", "B", "a b", "\u{e9}", "z", "\u{1f600}", "\u{ffee}", "10", "9"];
    commit(&store, stored.iter().map(|key| turn(key, 0, b"12345")).collect()).await;
    stored.sort_unstable();
    assert_eq!(keys(&store, "", "", 100).await, stored);
    let mut paged: Vec<String> = vec![];
    loop {
        let after = paged.last().cloned().unwrap_or_default();
        let page = keys(&store, "", &after, 3).await;
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, stored);
    let rows = store.list("default", "Counter", "z", "", 1).await.expect("list");
    assert_eq!((rows[0].revision, rows[0].state_bytes), (Revision(1), 5));
    assert_eq!(rows[0].updated_at, Millis(1_700_000_000_000));
}

/// `%` and `_` stand for themselves, and the prefix is compared byte for byte.
pub async fn a_prefix_is_taken_literally(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    let stored = ["%a", "_a", "a%1", "a_1", "ab1", "A_1", "e\u{301}", "\u{e9}", "user-1", "user-2"];
    commit(&store, stored.iter().map(|key| turn(key, 0, b"")).collect()).await;
    assert_eq!(keys(&store, "%", "", 100).await, ["%a"]);
    assert_eq!(keys(&store, "_", "", 100).await, ["_a"]);
    assert_eq!(keys(&store, "a_", "", 100).await, ["a_1"]);
    assert_eq!(keys(&store, "a%", "", 100).await, ["a%1"]);
    assert_eq!(keys(&store, "a", "a%1", 100).await, ["a_1", "ab1"]);
    assert_eq!(keys(&store, "e", "", 100).await, ["e\u{301}"]);
    assert_eq!(keys(&store, "user-", "user-1", 100).await, ["user-2"]);
    assert_eq!(keys(&store, "user-", "user-2", 100).await, [""; 0]);
    assert_eq!(keys(&store, "user-", "zzz", 100).await, [""; 0]);
    assert_eq!(keys(&store, "user-", "a", 100).await, ["user-1", "user-2"]);
}

/// Types and systems whose names extend or resemble another's do not show up in its listing.
pub async fn a_listing_stays_within_its_type(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    commit(&store, vec![turn("a", 0, b"")]).await;
    for (system, actor_type) in [("default", "Counter2"), ("default", "counter"), ("d", "Counter")]
    {
        let mut foreign = turn("foreign", 0, b"");
        foreign.id = ActorId::parse(system, actor_type, "foreign").expect("valid");
        let mut fence: ShardClaim = claim(0, 1);
        fence.shard.system = system.into();
        fence.shard.actor_type = actor_type.into();
        store.claim(&[fence]).await.expect("claim");
        commit(&store, vec![foreign]).await;
    }
    assert_eq!(keys(&store, "", "", 100).await, ["a"]);
    let rows = store.list("default", "Count", "", "", 10).await.expect("list");
    assert!(rows.is_empty());
}
