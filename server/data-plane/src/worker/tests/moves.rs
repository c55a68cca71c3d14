//! Planned moves: what leaves when, and when the control plane hears of it.

use super::*;

const GONE: [(u32, Epoch); 1] = [(0, Epoch(1))];

async fn until_released(stage: &mut Stage) -> Vec<(u32, Epoch)> {
    let told = |stage: &mut Stage| Some(stage.released()).filter(|released| !released.is_empty());
    for _ in 0..10 {
        stage.pass(3);
        if let Some(released) = told(stage) {
            return released;
        }
    }
    stage
        .until("the release", |stage| {
            stage.pass(3);
            told(stage)
        })
        .await
}

#[tokio::test]
async fn a_running_turn_ends_and_commits_before_the_shard_is_released_and_the_rest_leaves_at_once()
{
    let mut stage = Stage::serving(counter(Durability::Durable));
    let mut running = stage.call("1", "add");
    let turns = stage.run().await;
    let _waiting = stage.call("2", "add");
    stage.call_of_peer("3", "add", 3);
    stage.agree_on_move(1);
    assert_eq!(stage.given_away(), ["2"]);
    assert_eq!(kind(stage.peer_answer().expect("told").1), ErrorKind::NotOwner);
    let _late = stage.call("4", "add");
    assert_eq!(stage.given_away(), ["4"]);
    stage.pass(500);
    assert!(stage.released().is_empty(), "a turn is running");
    stage.answer(&turns[0], "one");
    assert!(stage.outcome(&mut running).await.expect("ok").durable);
    assert_eq!(until_released(&mut stage).await, GONE);
    stage.pass(1_000);
    assert_eq!(stage.released(), GONE, "it is said again until the view shows it");
    stage.agree(ShardOwner::new(OTHER, Epoch(2)));
    stage.pass(2_000);
    assert!(stage.released().is_empty());
}

#[tokio::test]
async fn turns_that_outlast_the_limit_are_cancelled_and_their_calls_leave() {
    let mut stage = Stage::serving(counter(Durability::Volatile));
    let _running = (stage.call("1", "add"), stage.call("1", "add"));
    let turns = stage.run().await;
    stage.agree_on_move(1);
    let waiting = stage.given_away();
    stage.pass(1_900);
    assert!(stage.released().is_empty() && stage.frame().is_none());
    stage.pass(200);
    let cancelled = stage.frame();
    assert!(matches!(cancelled, Some(Frame::Cancel(cancel)) if cancel.turn_id == turns[0].turn_id));
    assert_eq!([waiting, stage.given_away()].concat(), ["1", "1"]);
    assert_eq!(stage.released(), GONE);
    stage.answer(&turns[0], "late");
    assert_eq!(stage.worker.held, 0);
}

#[tokio::test]
async fn a_shard_that_nobody_used_is_released_at_once_and_never_claimed() {
    let mut stage = Stage::new(counter(Durability::Durable));
    stage.agree(ShardOwner::new(ME, Epoch(1)));
    stage.agree_on_move(1);
    assert_eq!(stage.released(), GONE);
    stage.offer();
    stage.pass(1_000);
    let shard = stage.catalog.types()[0].view.shard_id(0);
    let claims = [ShardClaim { shard, epoch: Epoch(0), node: OTHER }];
    let claimed = stage.doors.store.claim(&claims).await.expect("the store is there");
    assert!(matches!(claimed[0], Claimed::Held { .. }), "there is no row: {claimed:?}");
}

#[tokio::test]
async fn calls_that_waited_for_a_claim_leave_and_its_late_answer_changes_nothing() {
    let mut stage = Stage::new(counter(Durability::Durable));
    Doors::shut(&stage.doors.claims);
    stage.agree(ShardOwner::new(ME, Epoch(1)));
    stage.offer();
    let _waiting = stage.call("1", "add");
    stage.agree_on_move(1);
    assert_eq!((stage.given_away(), stage.released()), (vec!["1".to_owned()], GONE.to_vec()));
    Doors::open(&stage.doors.claims);
    let answer = stage.worker.inbox.recv().await.expect("the answer");
    stage.round(vec![answer]);
    let _late = stage.call("2", "add");
    assert_eq!(stage.given_away(), ["2"]);
}

#[tokio::test]
async fn a_snapshot_actor_is_saved_before_its_shard_is_released() {
    let mut stage = Stage::serving(counter(Durability::Snapshot));
    let mut waiter = stage.call("1", "add");
    let turns = stage.run().await;
    stage.answer(&turns[0], "one");
    stage.outcome(&mut waiter).await.expect("ok");
    Doors::shut(&stage.doors.commits);
    stage.agree_on_move(1);
    stage.pass(3_000);
    assert!(stage.released().is_empty(), "the save is under way");
    Doors::open(&stage.doors.commits);
    assert_eq!(until_released(&mut stage).await, GONE);
    assert_eq!(stage.row().await.state.expect("saved").data, "one");
}

#[tokio::test]
async fn a_store_that_does_not_answer_holds_a_shard_up_only_for_so_long() {
    let mut stage = Stage::serving(counter(Durability::Durable));
    let mut waiter = stage.call("1", "add");
    let turns = stage.run().await;
    Doors::shut(&stage.doors.commits);
    stage.answer(&turns[0], "one");
    stage.agree_on_move(1);
    stage.pass(9_000);
    assert!(stage.released().is_empty() && stage.given_away().is_empty());
    stage.pass(1_100);
    assert_eq!((stage.released(), stage.given_away()), (GONE.to_vec(), vec!["1".to_owned()]));
    assert!(waiter.try_recv().is_err(), "the next owner knows what became of it");
}

#[tokio::test]
async fn an_accepted_call_stays_until_its_row_is_there_and_then_its_row_is_enough() {
    let mut stage = Stage::serving(counter(Durability::Durable));
    let _running = stage.call("1", "add");
    let turns = stage.run().await;
    Doors::shut(&stage.doors.commits);
    let mut accepted = stage.call_with("2", "add", |call| call.asynchronous = true);
    stage.agree_on_move(1);
    assert!(stage.given_away().is_empty());
    Doors::open(&stage.doors.commits);
    assert!(stage.outcome(&mut accepted).await.expect("accepted").durable);
    stage.answer(&turns[0], "one");
    assert_eq!(until_released(&mut stage).await, GONE);
    assert!(stage.given_away().is_empty());
    let shard = stage.catalog.types()[0].view.shard_id(0);
    let rows = stage.doors.store.inbox(&shard, 0, 10).await.expect("the store is there");
    assert_eq!(rows.len(), 1);
}

#[tokio::test]
async fn after_a_cancelled_move_serving_goes_on_and_accepted_calls_are_found_again() {
    let mut stage = Stage::serving(counter(Durability::Durable));
    let mut running = stage.call("1", "add");
    let turns = stage.run().await;
    let mut accepted = stage.call_with("2", "add", |call| call.asynchronous = true);
    stage.outcome(&mut accepted).await.expect("accepted");
    stage.agree_on_move(1);
    stage.pass(10);
    stage.agree(ShardOwner::new(ME, Epoch(1)));
    stage.answer(&turns[0], "one");
    let found = stage.run().await;
    assert_eq!(found[0].request_id, "2");
    stage.answer(&found[0], "two");
    stage.outcome(&mut running).await.expect("ok");
    let mut next = stage.call("3", "add");
    let turns = stage.run().await;
    stage.answer(&turns[0], "three");
    assert_eq!(stage.outcome(&mut next).await.expect("ok").revision.0, 3);
    assert!(stage.given_away().is_empty() && stage.released().is_empty());
    let shard = stage.catalog.types()[0].view.shard_id(0);
    assert!(stage.doors.store.inbox(&shard, 0, 10).await.expect("the store is there").is_empty());
}

#[tokio::test]
async fn a_release_that_was_told_counts_even_if_the_move_is_cancelled() {
    let mut stage = Stage::serving(counter(Durability::Volatile));
    stage.agree_on_move(1);
    assert_eq!(stage.released(), GONE);
    stage.agree(ShardOwner::new(ME, Epoch(1)));
    let _late = stage.call("1", "add");
    assert_eq!(stage.given_away(), ["1"], "another node may serve it already");
    stage.agree(ShardOwner::new(ME, Epoch(2)));
    let _next = stage.call("2", "add");
    assert_eq!(stage.run().await[0].request_id, "2");
}
