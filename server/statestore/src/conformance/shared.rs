//! Rules about nodes that share a store: who may write when owners change, and that nothing is kept in a node's memory
//! which another one has changed.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use callboard_types::{Epoch, Millis, NodeId, Revision};

use super::{SharedFixture, accepted, claim, commit, id, load, pack, record, shard, turn};
use crate::{ActorCommit, Claimed, CommitBatch, ShardClaim, StateStore, Verdict};

/// A claim of shard 0 by a node of its own for each epoch.
fn takeover(number: u32, epoch: u64) -> ShardClaim {
    ShardClaim { node: NodeId(epoch), ..claim(number, epoch) }
}

fn at_epoch(epoch: u64, commit: ActorCommit) -> ActorCommit {
    ActorCommit { epoch: Epoch(epoch), ..commit }
}

const HELD: Claimed = Claimed::Held { low_water: Millis(0) };

/// State, accepted calls and the right to write pass from node to node.
pub async fn what_one_node_commits_the_next_owner_loads(fixture: &mut impl SharedFixture) {
    let (first, second) = (fixture.node().await, fixture.node().await);
    assert_eq!(first.claim(&[takeover(0, 1)]).await.expect("claim"), [HELD]);
    let batch = CommitBatch {
        actors: vec![turn("a", 0, b"1")],
        inbox: vec![accepted("a", 1)],
        ..CommitBatch::default()
    };
    first.commit(batch).await.expect("commit");
    assert_eq!(second.claim(&[takeover(0, 2)]).await.expect("claim"), [HELD]);
    assert_eq!(load(&second, "a").await, Some(record(1, b"1")));
    assert_eq!(second.inbox(&shard(0), 0, 10).await.expect("inbox").len(), 1);
    commit(&second, vec![at_epoch(2, turn("a", 1, b"2"))]).await;
    assert_eq!(first.claim(&[takeover(0, 3)]).await.expect("back"), [HELD]);
    assert_eq!(load(&first, "a").await, Some(record(2, b"2")));
    commit(&first, vec![at_epoch(3, turn("a", 2, b"3"))]).await;
}

/// A node that claims or commits with an epoch that was overtaken is told the one that counts.
pub async fn a_higher_epoch_is_reported_with_its_value(fixture: &mut impl SharedFixture) {
    let (first, second) = (fixture.node().await, fixture.node().await);
    first.claim(&[takeover(0, 1), takeover(1, 1)]).await.expect("claim");
    second.claim(&[takeover(0, 41)]).await.expect("claim");
    let mut kept = turn("kept", 0, b"1");
    kept.shard = 1;
    let batch = CommitBatch {
        actors: vec![turn("lost", 0, b"1"), kept],
        inbox: vec![],
        ..CommitBatch::default()
    };
    let lost = Verdict::FenceLost { stored: Epoch(41) };
    assert_eq!(first.commit(batch).await.expect("commit"), [lost, Verdict::Committed]);
    let answers = first.claim(&[takeover(0, 40), takeover(1, 2)]).await.expect("claim");
    assert_eq!(answers, [Claimed::Lost { stored: Epoch(41) }, HELD]);
}

/// An epoch that was given out twice fences nobody off, so the second node does not get it.
pub async fn an_epoch_belongs_to_one_node(fixture: &mut impl SharedFixture) {
    let (first, second) = (fixture.node().await, fixture.node().await);
    let of = |node| ShardClaim { node: NodeId(node), ..claim(0, 7) };
    assert_eq!(first.claim(&[of(1)]).await.expect("first"), [HELD]);
    let lost = Claimed::Lost { stored: Epoch(7) };
    assert_eq!(second.claim(&[of(2)]).await.expect("second"), [lost]);
    assert_eq!(first.claim(&[of(1)]).await.expect("again"), [HELD]);
    commit(&first, vec![at_epoch(7, turn("a", 0, b"1"))]).await;
}

/// A claim waits for commits under way or shuts them out: what the new owner loads stays as it is, and holds everything
/// that the old owner was told is committed.
pub async fn nothing_of_an_old_epoch_is_committed_once_a_new_one_is_claimed(
    fixture: &mut impl SharedFixture,
) {
    const ROUNDS: u64 = 20;
    let (old, new) = (fixture.node().await, fixture.node().await);
    for round in 0..ROUNDS {
        let (epoch, next) = (2 * round + 1, 2 * round + 2);
        old.claim(&[takeover(0, epoch)]).await.expect("claim");
        let start = load(&old, "a").await.map_or(0, |row| row.revision.0);
        let acknowledged = Arc::new(AtomicU64::new(start));
        let writing =
            tokio::spawn(write_until_lost(Arc::clone(&old), epoch, Arc::clone(&acknowledged)));
        while acknowledged.load(Ordering::Acquire) < start + 3 {
            tokio::task::yield_now().await;
        }
        loop {
            // A claim may be told that the row is in use; it is then made again.
            match new.claim(&[takeover(0, next)]).await {
                Ok(answers) => break assert_eq!(answers, [HELD]),
                Err(error) => assert!(matches!(error, crate::Error::Unavailable(_)), "{error}"),
            }
        }
        let loaded = load(&new, "a").await.expect("row").revision;
        assert_eq!(writing.await.expect("writer"), Epoch(next), "the epoch that it is told");
        let told = acknowledged.load(Ordering::Acquire);
        assert_eq!(loaded, Revision(told), "what was acknowledged is what is loaded");
        assert_eq!(load(&new, "a").await.expect("row").revision, loaded, "a late commit");
    }
}

/// Commits turns of an actor until the fence is lost; returns the epoch that is stored then.
async fn write_until_lost(
    store: Arc<dyn StateStore>,
    epoch: u64,
    acknowledged: Arc<AtomicU64>,
) -> Epoch {
    loop {
        let previous = acknowledged.load(Ordering::Acquire);
        let one = at_epoch(epoch, turn("a", previous, b"old owner"));
        let batch = CommitBatch { actors: vec![one], inbox: vec![], ..CommitBatch::default() };
        match store.commit(batch).await.expect("commit")[..] {
            [Verdict::Committed] => acknowledged.store(previous + 1, Ordering::Release),
            [Verdict::FenceLost { stored }] => return stored,
            ref other => panic!("{other:?}"),
        }
        // A store in memory never makes anybody wait.
        tokio::task::yield_now().await;
    }
}

/// Whoever comes last, the row ends with the highest epoch, and exactly its claimant may write.
pub async fn of_nodes_that_claim_at_once_the_highest_epoch_stays(fixture: &mut impl SharedFixture) {
    let mut nodes = vec![];
    for _ in 0..4 {
        nodes.push(fixture.node().await);
    }
    let claiming = |(node, epoch): (&Arc<dyn StateStore>, u64)| {
        let node = Arc::clone(node);
        tokio::spawn(async move {
            let shards = (0..16).map(|number| takeover(number, epoch));
            node.claim(&shards.collect::<Vec<_>>()).await.expect("claim")
        })
    };
    let tasks: Vec<_> = nodes.iter().zip([3, 9, 1, 5]).map(claiming).collect();
    for (task, epoch) in tasks.into_iter().zip([3, 9, 1, 5]) {
        for answer in task.await.expect("claim") {
            match answer {
                Claimed::Held { .. } => {}
                Claimed::Lost { stored } => assert!(stored > Epoch(epoch), "{stored:?}"),
            }
        }
    }
    for (node, epoch) in nodes.iter().zip([3, 9, 1, 5]) {
        let one = at_epoch(epoch, turn(&format!("of-{epoch}"), 0, b"1"));
        let batch = CommitBatch { actors: vec![one], inbox: vec![], ..CommitBatch::default() };
        let verdicts = node.commit(batch).await.expect("commit");
        let expected = match epoch {
            9 => Verdict::Committed,
            _ => Verdict::FenceLost { stored: Epoch(9) },
        };
        assert_eq!(verdicts, [expected]);
    }
}

/// Nodes with shards of their own never disturb each other, packs and accepted calls included.
pub async fn nodes_commit_side_by_side(fixture: &mut impl SharedFixture) {
    const COMMITS: u64 = 40;
    let mut tasks = vec![];
    for number in 0..3 {
        let store = fixture.node().await;
        tasks.push(tokio::spawn(async move {
            let owner = takeover(number, 1);
            store.claim(&[owner]).await.expect("claim");
            let key = format!("of-{number}");
            for previous in 0..COMMITS {
                let mut one = turn(&key, previous, b"x");
                one.shard = number;
                one.spill = vec![pack(1_000, 1_000, &format!("{key} {previous}"))];
                let mut call = accepted(&key, previous + 1);
                call.shard = number;
                let batch =
                    CommitBatch { actors: vec![one], inbox: vec![call], ..CommitBatch::default() };
                let verdicts = store.commit(batch).await.expect("commit");
                assert_eq!(verdicts, [Verdict::Committed; 2]);
            }
            let packs = store.spilled(&[(id(&key), Millis(1_000))]).await.expect("spilled");
            assert_eq!(packs[0].len() as u64, COMMITS);
            let calls = store.inbox(&shard(number), 0, 1_000).await.expect("inbox");
            assert_eq!(calls.len() as u64, COMMITS);
        }));
    }
    for task in tasks {
        task.await.expect("node");
    }
}

/// Spilled outcomes belong to the store, not to the node that spilled them; a node that expires sees everybody's
/// low-water times, and others go on spilling into what was emptied.
pub async fn outcomes_that_one_node_spilled_another_finds_and_expires(
    fixture: &mut impl SharedFixture,
) {
    const NOW: i64 = 1_700_000_000_000;
    let (first, second) = (fixture.node().await, fixture.node().await);
    first.claim(&[takeover(0, 1)]).await.expect("claim");
    second.claim(&[ShardClaim { node: NodeId(2), ..claim(1, 1) }]).await.expect("claim");
    let spill = |previous, data: &'static str| ActorCommit {
        spill: vec![pack(NOW, NOW, data)],
        ..turn("a", previous, b"x")
    };
    let found = |store: &Arc<dyn StateStore>| {
        let store = Arc::clone(store);
        async move {
            let queries = [(id("a"), Millis(NOW))];
            store.spilled(&queries).await.expect("spilled").remove(0)
        }
    };
    commit(&first, vec![spill(0, "one")]).await;
    assert_eq!(found(&second).await, [Bytes::from_static(b"one")]);
    let far = Millis(NOW + 3_600_000);
    let second_claim = ShardClaim { node: NodeId(2), ..claim(1, 1) };
    second.raise_low_water(&[second_claim], far).await.expect("raise");
    while second.expire().await.expect("expire") {}
    assert_eq!(found(&second).await.len(), 1, "the first node's shard keeps it");
    first.raise_low_water(&[takeover(0, 1)], far).await.expect("raise");
    while second.expire().await.expect("expire") {}
    assert_eq!(found(&first).await.len(), 0);
    // The first node does not know that its table was emptied.
    commit(&first, vec![spill(1, "two")]).await;
    assert_eq!(found(&second).await, [Bytes::from_static(b"two")]);
    assert_eq!(found(&first).await, [Bytes::from_static(b"two")]);
}
