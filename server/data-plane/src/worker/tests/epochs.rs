//! Epochs: what belongs to one ends with it.

use callboard_statestore::ActorCommit;
use callboard_types::Revision;

use super::*;
use crate::worker::types::ShardState;

/// Another node takes the shard at an epoch, in the store only.
async fn taken_in_the_store(stage: &Stage, epoch: u64) {
    let shard = stage.catalog.types()[0].view.shard_id(0);
    let claims = [ShardClaim { shard, epoch: Epoch(epoch), node: OTHER }];
    stage.doors.store.claim(&claims).await.expect("the store is there");
}

#[tokio::test]
async fn an_answer_to_a_claim_of_an_earlier_epoch_counts_for_nothing() {
    let mut stage = Stage::new(counter(Durability::Durable));
    Doors::shut(&stage.doors.claims);
    stage.agree(ShardOwner::new(ME, Epoch(1)));
    stage.offer();
    let mut waiter = stage.call("1", "add");
    stage.agree(ShardOwner::new(ME, Epoch(2)));
    stage.doors.claims.add_permits(1);
    let message = stage.worker.inbox.recv().await.expect("the first answer");
    assert!(matches!(message, Message::Claimed { .. }));
    stage.round(vec![message]);
    let state = |stage: &Stage| stage.worker.types[0].as_ref().map(|slot| slot.shards[0].state);
    assert_eq!(state(&stage), Some(ShardState::Claiming));
    Doors::open(&stage.doors.claims);
    let turns = stage.run().await;
    stage.answer(&turns[0], "one");
    assert!(stage.outcome(&mut waiter).await.expect("ok").durable);
    assert_eq!(stage.row().await.revision, Revision(1));
}

#[tokio::test]
async fn an_answer_to_a_claim_that_was_given_up_counts_for_nothing_after_a_second_one() {
    let mut stage = Stage::serving(counter(Durability::Durable));
    let _running = stage.call("1", "add");
    stage.run().await;
    Doors::shut(&stage.doors.claims);
    let slot = |stage: &Stage| {
        let slot = &stage.worker.types[0].as_ref().expect("registered").shards[0];
        (slot.state, slot.claim)
    };
    // Two moves begin and are cancelled; the shard is claimed again after each.
    stage.agree_on_move(1);
    stage.agree(ShardOwner::new(ME, Epoch(1)));
    let (_, number) = slot(&stage);
    stage.agree_on_move(1);
    stage.agree(ShardOwner::new(ME, Epoch(1)));
    let claimed = Claimed::Held { low_water: Millis(0) };
    let (inbox, epoch) = (vec![], Epoch(1));
    let shards = vec![ClaimedShard { shard: 0, epoch, claimed, inbox, last_row: 0 }];
    stage.round(vec![Message::Claimed { type_id: 0, number, shards }]);
    assert_eq!(slot(&stage).0, ShardState::Claiming, "what was accepted since is not in it");
    Doors::open(&stage.doors.claims);
    let held = |stage: &mut Stage| (slot(stage).0 == ShardState::Held).then_some(());
    stage.until("the answer to the second claim", held).await;
}

#[tokio::test]
async fn what_ran_in_an_earlier_life_is_cancelled_and_run_again_in_the_next() {
    let mut stage = Stage::serving(counter(Durability::Durable));
    let mut waiter = stage.call("1", "add");
    let old = stage.run().await;
    stage.agree(ShardOwner::new(ME, Epoch(2)));
    let cancelled = stage.frame();
    assert!(matches!(cancelled, Some(Frame::Cancel(cancel)) if cancel.turn_id == old[0].turn_id));
    let new = stage.run().await;
    assert_eq!(new[0].request_id, "1");
    stage.answer(&old[0], "late");
    stage.answer(&new[0], "one");
    assert!(stage.outcome(&mut waiter).await.is_ok());
    let row = stage.row().await;
    assert_eq!((row.revision, row.state.expect("a state").data), (Revision(1), "one".into()));
    assert!(stage.given_away().is_empty(), "the shard is still here");
}

#[tokio::test]
async fn calls_of_a_shard_that_went_away_leave_once_per_waiter_and_those_of_peers_go_back() {
    let mut stage = Stage::serving(counter(Durability::Durable));
    let _running = stage.call("1", "add");
    stage.run().await;
    let _waiting = (stage.call("2", "add"), stage.call("2", "add"), stage.call("3", "get"));
    stage.call_of_peer("1", "add", 8);
    stage.call_of_peer("5", "add", 9);
    stage.agree(ShardOwner::new(OTHER, Epoch(2)));
    // What was begun may be said to be unrun by nobody.
    let told = stage.peer_answers().into_iter().map(|(id, outcome)| (id, kind(outcome)));
    let told: Vec<_> = told.collect();
    assert_eq!(told, [(8, ErrorKind::LeaseLost), (9, ErrorKind::NotOwner)]);
    let mut calls = stage.calls_given_away();
    calls.sort_by(|a, b| a.call.request_id.cmp(&b.call.request_id));
    let ids: Vec<&str> = calls.iter().map(|routed| routed.call.request_id.as_str()).collect();
    assert_eq!(ids, ["1", "2", "2", "3"]);
    let begun: Vec<bool> = calls.iter().map(|routed| routed.call.begun).collect();
    assert_eq!(begun, [true, false, false, false]);
    assert!(calls.iter().all(|routed| matches!(routed.call.reply_to, ReplyTo::Unary(_))));
    let _late = stage.call("4", "add");
    assert_eq!(stage.given_away(), ["4"]);
}

#[tokio::test]
async fn state_of_an_earlier_epoch_is_never_read_in_a_later_one() {
    let mut stage = Stage::serving(counter(Durability::Durable));
    let mut waiter = stage.call("1", "add");
    let turns = stage.run().await;
    stage.answer(&turns[0], "one");
    stage.outcome(&mut waiter).await.expect("ok");
    stage.agree(ShardOwner::new(OTHER, Epoch(2)));
    taken_in_the_store(&stage, 2).await;
    let mut record = stage.row().await;
    record.revision = Revision(2);
    record.state.as_mut().expect("a state").data = "two".into();
    let commit = ActorCommit {
        id: ActorId::parse("default", "Counter", "a").expect("a valid name"),
        shard: 0,
        epoch: Epoch(2),
        previous: Revision(1),
        record,
        spill: vec![],
        inbox_done: vec![],
        outbox: Vec::new(),
        letters: Vec::new(),
        history: Vec::new(),
        forget: None,
    };
    let batch = CommitBatch { actors: vec![commit], inbox: vec![], ..CommitBatch::default() };
    stage.doors.store.commit(batch).await.expect("the other node commits");
    stage.agree(ShardOwner::new(ME, Epoch(3)));
    let mut read = stage.call("2", "get");
    let reply = stage.outcome(&mut read).await.expect("ok");
    assert_eq!((reply.revision, reply.payload.data), (Revision(2), "two".into()));
}

#[tokio::test]
async fn a_fence_that_was_lost_is_reported_and_its_calls_wait_until_the_view_knows_the_owner() {
    let mut stage = Stage::serving(counter(Durability::Durable));
    let mut waiter = stage.call("1", "add");
    let turns = stage.run().await;
    taken_in_the_store(&stage, 9).await;
    stage.answer(&turns[0], "one");
    let reported = |stage: &mut Stage| stage.script.too_low.lock().pop();
    assert_eq!(stage.until("a report", reported).await, (0, Epoch(9)));
    assert!(waiter.try_recv().is_err() && stage.given_away().is_empty());
    stage.pass(1_000);
    assert_eq!(reported(&mut stage), Some((0, Epoch(9))), "it is said again");
    stage.agree(ShardOwner::new(OTHER, Epoch(10)));
    assert_eq!(stage.given_away(), ["1"]);
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_answered_from_the_row_and_not_run_again() {
    let mut stage = Stage::serving(counter(Durability::Durable));
    let (mut first, mut second) = (stage.call("1", "add"), stage.call("2", "add"));
    let turns = stage.run().await;
    *stage.doors.lose_answer.lock() = true;
    Doors::shut(&stage.doors.commits);
    stage.answer(&turns[0], "one");
    Doors::pass(&stage.doors.came).await;
    stage.answer(&turns[1], "two");
    Doors::open(&stage.doors.commits);
    assert_eq!(stage.outcome(&mut first).await.expect("ok").revision, Revision(1));
    // What was computed on top of it was discarded with it.
    let again = stage.run().await;
    assert_eq!(again[0].request_id, "2");
    stage.answer(&again[0], "two");
    assert_eq!(stage.outcome(&mut second).await.expect("ok").revision, Revision(2));
    assert_eq!(stage.row().await.state.expect("a state").data, "two");
}

#[tokio::test]
async fn a_commit_that_nobody_knows_about_is_the_next_owners_to_decide_if_the_fence_is_lost_too() {
    let mut stage = Stage::serving(counter(Durability::Durable));
    let mut waiter = stage.call("1", "add");
    let turns = stage.run().await;
    *stage.doors.lose_answer.lock() = true;
    taken_in_the_store(&stage, 9).await;
    stage.answer(&turns[0], "one");
    let reported = |stage: &mut Stage| stage.script.too_low.lock().pop();
    assert_eq!(stage.until("a report", reported).await, (0, Epoch(9)));
    assert!(waiter.try_recv().is_err(), "nothing is said about an outcome that is not known");
    stage.agree(ShardOwner::new(OTHER, Epoch(10)));
    assert_eq!(stage.given_away(), ["1"]);
}

#[tokio::test]
async fn a_named_actor_lives_on_the_owner_only_and_once_per_epoch() {
    let mut definition = counter(Durability::Durable);
    definition.kind = Kind::Named;
    definition.actions.insert("init".into(), Action::default());
    let mut stage = Stage::new(definition);
    stage.agree(ShardOwner::new(OTHER, Epoch(1)));
    stage.offer();
    stage.pass(200);
    assert!(stage.frame().is_none(), "it is not this node's");
    stage.agree(ShardOwner::new(ME, Epoch(2)));
    let turns = stage.run().await;
    assert_eq!(turns[0].action, "init");
    stage.answer(&turns[0], "ready");
    stage.offer();
    stage.pass(200);
    assert!(stage.frame().is_none(), "it lives already");
    stage.agree(ShardOwner::new(ME, Epoch(3)));
    assert_eq!(stage.run().await[0].action, "init");
}

#[tokio::test]
async fn a_cancellation_ends_the_call_that_was_there_and_not_a_later_one_of_the_same_number() {
    let mut stage = Stage::serving(counter(Durability::Durable));
    stage.call_of_peer("1", "add", 5);
    stage.run().await;
    let call = stage.routed_of_peer("2", "add", 5);
    let cancelled = HashSet::from([(stage.peer.0.id, 5)]);
    stage.round(vec![Message::Cancelled(cancelled), Message::Calls(vec![call])]);
    let (_, outcome) = stage.peer_answer().expect("the first one is told");
    assert_eq!(kind(outcome), ErrorKind::Cancelled);
    assert!(stage.peer_answer().is_none(), "the second one waits");
}

#[tokio::test]
async fn that_a_call_was_begun_is_not_forgotten_when_it_is_taken_up_again_in_the_next_epoch() {
    let mut stage = Stage::serving(counter(Durability::Volatile));
    let _waiter = stage.call("1", "add");
    stage.run().await;
    // From now on nobody runs it.
    stage.session.set_credits(0);
    stage.agree(ShardOwner::new(ME, Epoch(2)));
    stage.agree(ShardOwner::new(OTHER, Epoch(3)));
    let calls = stage.calls_given_away();
    assert_eq!((calls.len(), calls[0].call.begun), (1, true));
}

#[tokio::test]
async fn a_call_that_was_begun_and_cannot_be_taken_up_again_is_not_called_unrun() {
    let mut stage = Stage::serving(counter(Durability::Volatile));
    let mut waiter = stage.call("1", "add");
    stage.run().await;
    let (done, _drained) = oneshot::channel();
    stage.round(vec![Message::Drain(done)]);
    stage.agree(ShardOwner::new(ME, Epoch(2)));
    assert_eq!(kind(stage.outcome(&mut waiter).await), ErrorKind::OutcomeUnknown);
    let mut fresh = stage.call("2", "add");
    assert_eq!(kind(stage.outcome(&mut fresh).await), ErrorKind::ShuttingDown);
}

// === callers that go ===

#[tokio::test]
async fn a_cancelled_call_that_waits_for_its_shard_is_never_run() {
    let mut stage = Stage::new(counter(Durability::Durable));
    Doors::shut(&stage.doors.claims);
    stage.agree(ShardOwner::new(ME, Epoch(1)));
    stage.offer();
    stage.call_of_peer("1", "add", 5);
    let mut kept = stage.call("2", "add");
    let cancelled = HashSet::from([(stage.peer.0.id, 5)]);
    stage.round(vec![Message::Cancelled(cancelled)]);
    let (_, outcome) = stage.peer_answer().expect("told");
    assert_eq!(kind(outcome), ErrorKind::Cancelled);
    Doors::open(&stage.doors.claims);
    let turns = stage.run().await;
    assert_eq!(turns.len(), 1);
    stage.answer(&turns[0], "one");
    assert_eq!(stage.outcome(&mut kept).await.expect("ok").revision, Revision(1));
}

#[tokio::test]
async fn calls_of_a_session_that_is_over_wait_neither_for_the_lease_nor_in_custody() {
    let mut stage = Stage::serving(counter(Durability::Durable));
    let (to_host, _frames) = mpsc::channel(4);
    let session = SessionLink::new(SessionId(6), HostInfo::default(), 1, to_host);
    let of_turn = |call_index| {
        let session = Arc::clone(&session);
        ReplyTo::Turn { session, turn_id: 99, call_index }
    };
    stage.lease.revoke();
    stage.call_with("1", "add", |call| call.reply_to = of_turn(0));
    assert_eq!(stage.worker.unleased.len(), 1);
    session.close();
    stage.round(vec![Message::SessionClosed(SessionId(6))]);
    assert!(stage.worker.unleased.is_empty());
    stage.agree(ShardOwner::new(OTHER, Epoch(2)));
    stage.call_with("2", "add", |call| call.reply_to = of_turn(1));
    stage.round(vec![Message::SessionClosed(SessionId(6))]);
    let Ok(News::Calls(_held)) = stage.forwards.try_recv() else { panic!("it is in custody") };
    assert!(matches!(stage.forwards.try_recv(), Ok(News::CallersGone(_))));
}
