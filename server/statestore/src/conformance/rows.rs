//! Rules about actor rows and accepted calls: atomicity, revisions, keys, values, order.

use std::sync::Arc;

use bytes::Bytes;
use callboard_types::{Millis, Revision};

use super::{Fixture, accepted, claimed, commit, id, load, pack, record, shard, turn};
use crate::{ActorCommit, ActorRecord, CommitBatch, Error, StateBlob, StateStore, Verdict};

fn mismatch(stored: u64) -> Verdict {
    Verdict::RevisionMismatch { stored: Revision(stored) }
}

/// An actor whose row moved on is left out and told the stored revision; the others are committed.
pub async fn a_revision_mismatch_excludes_only_that_actor(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    commit(&store, vec![turn("a", 0, b"1"), turn("b", 0, b"1")]).await;
    let batch = CommitBatch {
        actors: vec![turn("a", 1, b"2"), turn("b", 0, b"wrong"), turn("c", 0, b"1")],
        inbox: vec![accepted("a", 1)],
        ..CommitBatch::default()
    };
    let verdicts = store.commit(batch).await.expect("commit");
    let done = Verdict::Committed;
    assert_eq!(verdicts, [done, mismatch(1), done, done]);
    assert_eq!(load(&store, "a").await, Some(record(2, b"2")));
    assert_eq!(load(&store, "b").await, Some(record(1, b"1")));
    assert_eq!(load(&store, "c").await, Some(record(1, b"1")));
    // The revision that was just stored is no licence to store it once more.
    let again =
        CommitBatch { actors: vec![turn("a", 1, b"2")], inbox: vec![], ..CommitBatch::default() };
    assert_eq!(store.commit(again).await.expect("commit"), [mismatch(2)]);
}

/// Neither the spilled outcomes nor the answered calls of an excluded actor are touched.
pub async fn an_excluded_actor_leaves_no_trace(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    let batch = CommitBatch {
        actors: vec![turn("a", 0, b"1")],
        inbox: vec![accepted("a", 1)],
        ..CommitBatch::default()
    };
    store.commit(batch).await.expect("commit");
    let mut stale = turn("a", 0, b"stale");
    stale.inbox_done = vec![1];
    stale.spill = vec![pack(5, 9, "stale")];
    let mut good = turn("b", 0, b"1");
    good.spill = vec![pack(5, 9, "good")];
    let batch = CommitBatch { actors: vec![stale, good], inbox: vec![], ..CommitBatch::default() };
    let verdicts = store.commit(batch).await.expect("commit");
    assert_eq!(verdicts, [mismatch(1), Verdict::Committed]);
    assert_eq!(store.inbox(&shard(0), 0, 10).await.expect("inbox").len(), 1);
    let queries = [(id("a"), Millis(7)), (id("b"), Millis(7))];
    let packs = store.spilled(&queries).await.expect("spilled");
    assert_eq!(packs, [vec![], vec![Bytes::from_static(b"good")]]);
}

/// A commit that expects a row where there is none writes nothing, alone or among others.
pub async fn a_missing_row_is_a_mismatch_for_a_later_revision(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    for companions in [vec![], vec![turn("there", 0, b"1")]] {
        let mut actors = companions;
        actors.push(turn("missing", 3, b"x"));
        let batch = CommitBatch { actors, inbox: vec![], ..CommitBatch::default() };
        let verdicts = store.commit(batch).await.expect("commit");
        assert_eq!(verdicts.last(), Some(&mismatch(0)));
        assert_eq!(load(&store, "missing").await, None);
    }
    assert!(load(&store, "there").await.is_some());
}

/// Every second actor of a large batch is stale: exactly those are left out.
pub async fn many_mismatches_in_a_large_batch_are_all_found(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    let key = |n: u64| format!("actor-{n:04}");
    let first = |n| turn(&key(n), 0, b"first");
    commit(&store, (0..300).map(first).collect()).await;
    let second = |n: u64| turn(&key(n), 1 - n % 2, b"second");
    let batch = CommitBatch {
        actors: (0..300).map(second).collect(),
        inbox: vec![],
        ..CommitBatch::default()
    };
    let verdicts = store.commit(batch).await.expect("commit");
    for (n, verdict) in verdicts.iter().enumerate() {
        let expected = if n % 2 == 0 { Verdict::Committed } else { mismatch(1) };
        assert_eq!(*verdict, expected, "actor {n}");
    }
    let ids: Vec<_> = (0..300).map(|n| id(&key(n))).collect();
    let rows = store.load(&ids).await.expect("load");
    let revision = |row: Option<ActorRecord>| row.map_or(0, |row| row.revision.0);
    let sum: u64 = rows.into_iter().map(revision).sum();
    assert_eq!(sum, 450);
}

/// Case, Unicode normal forms, trailing space, wildcards and control characters make different actors.
pub async fn look_alike_keys_never_share_a_row(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    let keys = [
        "a",
        "A",
        "a ",
        " a",
        "a\t",
        "a%",
        "a_",
        "%",
        "_",
        "a\\",
        "a'",
        "a\"",
        "a;--",
        "\u{e9}",
        "e\u{301}",
        "\u{df}",
        "ss",
        "SS",
        "\u{1f600}",
        "\u{ff41}",
        "\u{200b}a",
        "1",
        "01",
        "1.0",
        "1e0",
        "\u{1}",
    ];
    let keys: std::collections::BTreeSet<&str> = keys.into_iter().collect();
    commit(&store, keys.iter().map(|key| turn(key, 0, key.as_bytes())).collect()).await;
    let ids: Vec<_> = keys.iter().map(|key| id(key)).collect();
    let rows = store.load(&ids).await.expect("load");
    for (key, row) in keys.iter().zip(rows) {
        assert_eq!(row, Some(record(1, key.as_bytes())), "key {key:?}");
    }
    for absent in ["B", "a  ", "aa", "ba", "\u{c9}"] {
        assert_eq!(load(&store, absent).await, None, "key {absent:?}");
    }
}

/// No state, an empty state, empty tags and a state without a type come back as they were.
pub async fn empty_values_are_not_missing_values(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    let mut none = turn("none", 0, b"");
    none.record = ActorRecord { revision: Revision(1), ..ActorRecord::default() };
    let mut empty = turn("empty", 0, b"");
    empty.record.tags = Bytes::new();
    empty.record.outcomes = Bytes::new();
    let mut typed = turn("typed", 0, b"");
    typed.record.state = Some(StateBlob {
        content_type: "application/protobuf".into(),
        type_url: "acme.Empty".into(),
        data: Bytes::new(),
    });
    let mut bare = turn("bare", 0, b"");
    bare.record.state = Some(StateBlob::default());
    let turns = [none, empty, typed, bare];
    commit(&store, turns.to_vec()).await;
    for turn in turns {
        let loaded = store.load(&[turn.id]).await.expect("load").remove(0);
        assert_eq!(loaded, Some(turn.record));
    }
    let mut unset = turn("empty", 1, b"");
    unset.record.state = None;
    commit(&store, vec![unset]).await;
    assert_eq!(load(&store, "empty").await.expect("row").state, None);
}

/// The largest allowed state, with every byte value, is stored and replaced by a small one.
pub async fn big_states_come_back_whole(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    let size = u32::try_from(callboard_types::limits::STATE_BYTES_MAX).expect("fits");
    let big: Vec<u8> = (0..size).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    commit(&store, vec![turn("big", 0, &big), turn("small", 0, b"s")]).await;
    assert_eq!(load(&store, "big").await, Some(record(1, &big)));
    commit(&store, vec![turn("big", 1, b"small now")]).await;
    assert_eq!(load(&store, "big").await, Some(record(2, b"small now")));
}

/// 700 loads, a third of them misses: one answer per id, in the order asked.
pub async fn several_hundred_loads_answer_in_order(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    let key = |n: u64| format!("actor-{n}");
    let stored = (0..700).filter(|n| n % 3 != 0);
    commit(&store, stored.map(|n| turn(&key(n), 0, key(n).as_bytes())).collect()).await;
    let order: Vec<u64> = (0..700).map(|n| n * 383 % 700).collect();
    let ids: Vec<_> = order.iter().map(|n| id(&key(*n))).collect();
    let rows = store.load(&ids).await.expect("load");
    for (n, row) in order.into_iter().zip(rows) {
        let expected = (n % 3 != 0).then(|| record(1, key(n).as_bytes()));
        assert_eq!(row, expected, "actor {n}");
    }
    assert!(store.load(&[]).await.expect("nothing").is_empty());
}

/// The same id twice, and ids of other types and systems with the same key, each get their own answer.
pub async fn a_load_may_repeat_an_actor(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    commit(&store, vec![turn("a", 0, b"1")]).await;
    let mut elsewhere = id("a");
    elsewhere.system = "Default".into();
    let mut other = id("a");
    other.actor_type = "counter".into();
    let ids = [id("a"), elsewhere, other, id("a")];
    let rows = store.load(&ids).await.expect("load");
    let here = Some(record(1, b"1"));
    assert_eq!(rows, [here.clone(), None, None, here]);
}

/// What one handle committed, another one reads.
pub async fn a_commit_is_seen_through_another_handle(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    let mut first = turn("a", 0, b"1");
    first.spill = vec![pack(10, 20, "pack")];
    let batch = CommitBatch {
        actors: vec![first],
        inbox: vec![accepted("a", 4)],
        ..CommitBatch::default()
    };
    store.commit(batch).await.expect("commit");
    drop(store);
    let store = fixture.reopened().await;
    assert_eq!(load(&store, "a").await, Some(record(1, b"1")));
    assert_eq!(store.inbox(&shard(0), 0, 10).await.expect("inbox").len(), 1);
    let packs = store.spilled(&[(id("a"), Millis(15))]).await.expect("spilled");
    assert_eq!(packs, [vec![Bytes::from_static(b"pack")]]);
    commit(&store, vec![turn("a", 1, b"2")]).await;
}

/// A batch far beyond any statement's size limit, with everything in it, is one commit.
pub async fn large_batches_commit_whole(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    let whole = |n: u64| {
        let mut one = turn(&format!("actor-{n}"), 0, &n.to_le_bytes());
        one.spill = vec![pack(1, 5, "first"), pack(4, 90_000_000, "second")];
        one
    };
    let batch = CommitBatch {
        actors: (0..1_500).map(whole).collect(),
        inbox: (1..=1_500).map(|n| accepted("actor-1", n)).collect(),
        ..CommitBatch::default()
    };
    let verdicts = store.commit(batch).await.expect("commit");
    assert_eq!(verdicts, vec![Verdict::Committed; 3_000]);
    let mut answered = turn("actor-1", 1, b"done");
    answered.inbox_done = (2..=1_500).collect();
    commit(&store, vec![answered]).await;
    let left = store.inbox(&shard(0), 0, 10).await.expect("inbox");
    assert_eq!(left.iter().map(|row| row.sequence).collect::<Vec<_>>(), [1]);
    let packs = store.spilled(&[(id("actor-1499"), Millis(4))]).await.expect("spilled");
    assert_eq!(packs[0].len(), 2);
}

/// Many callers at a time, also on the same actor: each revision is granted exactly once.
pub async fn commits_at_the_same_time_all_take_effect(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    let caller = |store: Arc<dyn StateStore>| async move {
        let mut won = 0_u64;
        for revision in 0..20 {
            let batch = CommitBatch {
                actors: vec![turn("contended", revision, b"x")],
                inbox: vec![],
                ..CommitBatch::default()
            };
            let verdicts = store.commit(batch).await.expect("commit");
            won += u64::from(verdicts == [Verdict::Committed]);
        }
        won
    };
    let callers: Vec<_> = (0..8).map(|_| tokio::spawn(caller(Arc::clone(&store)))).collect();
    let mut won = 0;
    for caller in callers {
        won += caller.await.expect("caller");
    }
    let stored = load(&store, "contended").await.expect("row").revision;
    assert_eq!(stored, Revision(won));
}

/// Accepted calls are read per shard in sequence, in pages, from above a sequence, with big numbers.
pub async fn accepted_calls_come_back_in_sequence(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    let sequences = [9, 2, 10, 1, 3_000_000_000, 100];
    for part in sequences.chunks(3) {
        let batch = CommitBatch {
            actors: vec![],
            inbox: part.iter().map(|n| accepted("b", *n)).collect(),
            ..CommitBatch::default()
        };
        store.commit(batch).await.expect("commit");
    }
    let page = |after, limit| {
        let store = Arc::clone(&store);
        async move {
            let rows = store.inbox(&shard(0), after, limit).await.expect("inbox");
            rows.into_iter().map(|row| row.sequence).collect::<Vec<_>>()
        }
    };
    assert_eq!(page(0, 100).await, [1, 2, 9, 10, 100, 3_000_000_000]);
    assert_eq!(page(2, 2).await, [9, 10]);
    assert!(page(3_000_000_000, 5).await.is_empty());
    assert!(page(u64::MAX, 5).await.is_empty());
    let first = store.inbox(&shard(0), 0, 1).await.expect("inbox").remove(0);
    assert_eq!((first.id, first.call), (id("b"), Bytes::from_static(b"call 1")));
}

/// The row of an answered call goes in the transaction that stores the outcome, also when both are in one batch.
pub async fn an_answered_call_leaves_the_inbox_with_its_outcome(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    let batch = CommitBatch {
        actors: vec![],
        inbox: vec![accepted("a", 1), accepted("b", 2)],
        ..CommitBatch::default()
    };
    store.commit(batch).await.expect("accept");
    let answer = |key: &str, previous, done: &[u64]| ActorCommit {
        inbox_done: done.to_vec(),
        ..turn(key, previous, b"answered")
    };
    let batch = CommitBatch {
        actors: vec![answer("a", 0, &[1, 3])],
        inbox: vec![accepted("a", 3), accepted("b", 4)],
        ..CommitBatch::default()
    };
    store.commit(batch).await.expect("answer");
    let rows = store.inbox(&shard(0), 0, 10).await.expect("inbox");
    assert_eq!(rows.iter().map(|row| row.sequence).collect::<Vec<_>>(), [2, 4]);
    assert!(load(&store, "a").await.is_some());
}

/// A caller that gives a second call the sequence of a waiting one is stopped before it overwrites the first.
pub async fn a_sequence_used_twice_loses_no_call(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    let accept = |key| CommitBatch {
        actors: vec![turn(key, 0, b"1")],
        inbox: vec![accepted(key, 7)],
        ..CommitBatch::default()
    };
    store.commit(accept("first")).await.expect("first");
    let second = store.commit(accept("second")).await;
    assert!(matches!(second, Err(Error::Fatal(_))), "{second:?}");
    drop(store);
    let store = fixture.reopened().await;
    let rows = store.inbox(&shard(0), 0, 10).await.expect("inbox");
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].id, id("first"));
    assert_eq!(load(&store, "second").await, None);
}
