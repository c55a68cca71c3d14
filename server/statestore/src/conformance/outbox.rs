//! Rules about what turns set going: outbox rows, their ends, dead letters.

use std::sync::Arc;

use bytes::Bytes;
use callboard_types::{ActorId, Epoch, Millis, Revision};

use super::{Fixture, claim, claimed, commit, load, shard, turn};
use crate::{
    ActorCommit, CommitBatch, DeadLetterRow, Error, OutboxDone, OutboxInsert, OutboxRow,
    StateStore, Verdict,
};

const EVER: Millis = Millis(i64::MAX);

fn item(sequence: u64, due_at: i64) -> OutboxInsert {
    OutboxInsert { sequence, due_at: Millis(due_at), item: Bytes::from(format!("item {sequence}")) }
}

/// A turn that sets rows going.
fn sending(key: &str, previous: u64, outbox: Vec<OutboxInsert>) -> ActorCommit {
    ActorCommit { outbox, ..turn(key, previous, b"sent") }
}

fn ended(sequence: u64) -> OutboxDone {
    OutboxDone { shard: shard(0), epoch: Epoch(1), sequence, dead: None }
}

fn letter(id: &str, system: &str, actor_type: &str) -> DeadLetterRow {
    DeadLetterRow {
        id: id.to_owned(),
        source: ActorId::parse(system, actor_type, "source").expect("a valid key"),
        letter: Bytes::from(format!("letter {id}")),
        died_at: Millis(1_700_000_000_123),
    }
}

async fn end(store: &Arc<dyn StateStore>, outbox_done: Vec<OutboxDone>) -> Vec<Verdict> {
    let batch = CommitBatch { outbox_done, ..CommitBatch::default() };
    store.commit(batch).await.expect("end")
}

/// All rows of a shard.
async fn rows(store: &Arc<dyn StateStore>, number: u32) -> Vec<OutboxRow> {
    let rows = store.outbox(&shard(number), (Millis(i64::MIN), 0), EVER, 10_000).await;
    rows.expect("outbox")
}

async fn sequences(store: &Arc<dyn StateStore>) -> Vec<u64> {
    rows(store, 0).await.into_iter().map(|row| row.sequence).collect()
}

/// Whoever is left out of a batch sends nothing; the others' rows are there with their state, as they were given.
pub async fn outbox_rows_are_written_if_and_only_if_the_state_is(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    store.claim(&[claim(1, 9)]).await.expect("claim");
    commit(&store, vec![turn("stale", 0, b"1")]).await;
    let mut lost = sending("lost", 0, vec![item(1, 0)]);
    (lost.shard, lost.epoch) = (1, Epoch(8));
    let batch = CommitBatch {
        actors: vec![
            sending("good", 0, vec![item(4, 0), item(5, 7_000)]),
            lost,
            sending("stale", 0, vec![item(6, 0)]),
            turn("quiet", 0, b"1"),
        ],
        ..CommitBatch::default()
    };
    let verdicts = store.commit(batch).await.expect("commit");
    let fence = Verdict::FenceLost { stored: Epoch(9) };
    let revision = Verdict::RevisionMismatch { stored: Revision(1) };
    assert_eq!(verdicts, [Verdict::Committed, fence, revision, Verdict::Committed]);
    drop(store);
    let store = fixture.reopened().await;
    let row = |sequence, due_at| OutboxRow {
        key: "good".into(),
        sequence,
        due_at: Millis(due_at),
        item: Bytes::from(format!("item {sequence}")),
    };
    assert_eq!(rows(&store, 0).await, [row(4, 0), row(5, 7_000)]);
    assert_eq!(rows(&store, 1).await, []);
    // One turn of one actor alone takes another path through some stores.
    commit(&store, vec![sending("good", 1, vec![item(8, 0)])]).await;
    assert_eq!(sequences(&store).await, [4, 8, 5]);
    assert_eq!(load(&store, "good").await.expect("row").revision, Revision(2));
}

/// Rows come by due time and then by sequence, in pages, and not before they are asked for.
pub async fn outbox_rows_come_in_the_order_in_which_they_are_due(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    let sent = [item(3, 0), item(1, 500), item(2, 0), item(9, 0), item(7, 500), item(8, 90)];
    commit(&store, vec![sending("a", 0, sent.to_vec())]).await;
    let page = |after: (i64, u64), until, limit| {
        let store = Arc::clone(&store);
        async move {
            let after = (Millis(after.0), after.1);
            let rows = store.outbox(&shard(0), after, Millis(until), limit).await.expect("outbox");
            rows.into_iter().map(|row| row.sequence).collect::<Vec<_>>()
        }
    };
    assert_eq!(page((0, 0), i64::MAX, 100).await, [2, 3, 9, 8, 1, 7]);
    assert_eq!(page((0, 0), 0, 100).await, [2, 3, 9]);
    assert_eq!(page((0, 0), 90, 100).await, [2, 3, 9, 8]);
    assert_eq!(page((0, 0), 89, 100).await, [2, 3, 9]);
    assert_eq!(page((0, 2), 500, 3).await, [3, 9, 8]);
    assert_eq!(page((90, 8), 500, 100).await, [1, 7]);
    assert_eq!(page((500, 1), 500, 100).await, [7]);
    assert_eq!(page((500, 7), i64::MAX, 100).await, [0; 0]);
    assert_eq!(page((0, u64::MAX), i64::MAX, 100).await, [8, 1, 7]);
}

/// Where the next delayed row is due, and where sequences go on.
pub async fn the_ends_of_an_outbox_are_known(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    let ends = |after| {
        let store = Arc::clone(&store);
        async move { store.outbox_ends(&shard(0), Millis(after)).await.expect("ends") }
    };
    assert_eq!(ends(0).await, (None, 0));
    let sent = vec![item(5, 0), item(11, 700), item(6, 300), item(12, 0)];
    commit(&store, vec![sending("a", 0, sent)]).await;
    assert_eq!(ends(0).await, (Some(Millis(300)), 12));
    assert_eq!(ends(300).await, (Some(Millis(700)), 12));
    assert_eq!(ends(700).await, (None, 12));
    end(&store, vec![ended(12), ended(6)]).await;
    assert_eq!(ends(0).await, (Some(Millis(700)), 11));
    let other = store.outbox_ends(&shard(1), Millis(0)).await.expect("ends");
    assert_eq!(other, (None, 0));
}

/// A row that was delivered goes for good, under the fence of its shard; that it is gone already is no error.
pub async fn an_ended_delivery_goes_under_its_fence(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    let sent = (1..=4).map(|sequence| item(sequence, 0)).collect();
    commit(&store, vec![sending("a", 0, sent)]).await;
    let stale = OutboxDone { epoch: Epoch(7), ..ended(2) };
    let elsewhere = OutboxDone { shard: shard(3), ..ended(4) };
    let verdicts = end(&store, vec![ended(1), stale, elsewhere, ended(99), ended(3)]).await;
    let lost = |stored| Verdict::FenceLost { stored: Epoch(stored) };
    let done = Verdict::Committed;
    assert_eq!(verdicts, [done, lost(1), lost(0), done, done]);
    assert_eq!(end(&store, vec![ended(1)]).await, [done]);
    assert_eq!(end(&store, vec![OutboxDone { epoch: Epoch(2), ..ended(2) }]).await, [lost(1)]);
    drop(store);
    let store = fixture.reopened().await;
    assert_eq!(sequences(&store).await, [2, 4]);
}

/// Turns, accepted calls and ended deliveries share a commit; verdicts come in the order of the batch's lists.
pub async fn a_batch_mixes_turns_and_ended_deliveries(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    let sent = (1..=700).map(|sequence| item(sequence, 0)).collect();
    commit(&store, vec![sending("a", 0, sent)]).await;
    let batch = CommitBatch {
        actors: vec![sending("a", 1, vec![item(701, 0)]), turn("b", 3, b"stale")],
        inbox: vec![super::accepted("c", 1)],
        outbox_done: (1..=699).map(ended).collect(),
        ..CommitBatch::default()
    };
    let verdicts = store.commit(batch).await.expect("commit");
    let mut expected = vec![Verdict::Committed; 702];
    expected[1] = Verdict::RevisionMismatch { stored: Revision(0) };
    assert_eq!(verdicts, expected);
    assert_eq!(sequences(&store).await, [700, 701]);
    assert_eq!(store.inbox(&shard(0), 0, 10).await.expect("inbox").len(), 1);
}

/// A caller that gives a second row the sequence of a waiting one is stopped before it overwrites the first.
pub async fn an_outbox_sequence_used_twice_loses_no_row(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    commit(&store, vec![sending("first", 0, vec![item(7, 0)])]).await;
    let actors = vec![sending("second", 0, vec![item(8, 0), item(7, 300)])];
    let second = store.commit(CommitBatch { actors, ..CommitBatch::default() }).await;
    assert!(matches!(second, Err(Error::Fatal(_))), "{second:?}");
    drop(store);
    let store = fixture.reopened().await;
    let left = rows(&store, 0).await;
    assert_eq!(left.iter().map(|row| &*row.key).collect::<Vec<_>>(), ["first"]);
    assert_eq!(load(&store, "second").await, None);
}

/// What could not be delivered stays for operators, by id and by type of its source, until one of them drops it.
pub async fn dead_letters_stay_until_they_are_dropped(fixture: &mut impl Fixture) {
    let store = claimed(fixture).await;
    let sent = (1..=4).map(|sequence| item(sequence, 0)).collect();
    commit(&store, vec![sending("a", 0, sent)]).await;
    let dead = |sequence, dead| OutboxDone { dead: Some(dead), ..ended(sequence) };
    let counter = |id| letter(id, "default", "Counter");
    let ends = vec![
        dead(3, counter("0c")),
        dead(1, letter("0b", "default", "Order")),
        dead(2, counter("0a")),
        OutboxDone { epoch: Epoch(4), ..dead(4, counter("0d")) },
        dead(50, letter("0e", "elsewhere", "Counter")),
    ];
    let lost = Verdict::FenceLost { stored: Epoch(1) };
    let done = Verdict::Committed;
    assert_eq!(end(&store, ends).await, [done, done, done, lost, done]);
    // Repeated after an answer that was lost: the letter is there once, as it was.
    let again = DeadLetterRow { letter: Bytes::from_static(b"other"), ..counter("0c") };
    assert_eq!(end(&store, vec![dead(3, again)]).await, [done]);
    // A call that was given up, in a commit that counts and in one that does not.
    let giving_up = |key, previous, id| {
        let letters = vec![letter(id, "default", "Ledger")];
        ActorCommit { letters, ..turn(key, previous, b"gave up") }
    };
    let refused = Verdict::RevisionMismatch { stored: Revision(1) };
    let batch = vec![giving_up("b", 0, "0f"), giving_up("a", 7, "0g")];
    let batch = CommitBatch { actors: batch, ..CommitBatch::default() };
    assert_eq!(store.commit(batch).await.expect("commit"), [done, refused]);
    drop(store);
    let store = fixture.reopened().await;
    assert_eq!(sequences(&store).await, [4]);
    let list = |of_type: &'static str, after: &'static str, limit| {
        let store = Arc::clone(&store);
        async move { store.dead_letters("default", of_type, after, limit).await.expect("list") }
    };
    let order = letter("0b", "default", "Order");
    let ledger = letter("0f", "default", "Ledger");
    let all = [counter("0a"), order.clone(), counter("0c"), ledger];
    assert_eq!(list("", "", 100).await, all);
    assert_eq!(list("Counter", "", 100).await, [counter("0a"), counter("0c")]);
    assert_eq!(list("", "0a", 1).await, [order]);
    assert_eq!(list("Count", "", 100).await, []);
    assert_eq!(store.dead_letter("0c").await.expect("read"), Some(counter("0c")));
    assert!(store.drop_dead_letter("0c").await.expect("drop"));
    assert!(!store.drop_dead_letter("0c").await.expect("drop again"));
    assert_eq!(store.dead_letter("0c").await.expect("read"), None);
    assert_eq!(list("Counter", "", 100).await, [counter("0a")]);
}
