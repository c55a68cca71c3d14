//! The lease: what may be said and begun without it.

use super::*;

fn lapse(stage: &Stage) {
    stage.lease.revoke();
}

fn renew(stage: &Stage) {
    stage.lease.extend_to(Tick::NEVER);
}

async fn added(durability: Durability) -> Stage {
    let mut stage = Stage::serving(counter(durability));
    let mut waiter = stage.call("1", "add");
    let turns = stage.run().await;
    stage.answer(&turns[0], "one");
    stage.outcome(&mut waiter).await.expect("ok");
    stage
}

#[tokio::test]
async fn a_read_that_was_computed_before_the_lease_lapsed_is_not_answered_after_it() {
    let mut stage = added(Durability::Durable).await;
    let mut read = stage.call("2", "read");
    let turns = stage.run().await;
    lapse(&stage);
    stage.answer(&turns[0], "ignored");
    assert_eq!(kind(stage.outcome(&mut read).await), ErrorKind::LeaseLost);
    let mut from_memory = stage.call("3", "get");
    assert_eq!(kind(stage.outcome(&mut from_memory).await), ErrorKind::LeaseLost);
    renew(&stage);
    let mut again = stage.call("3", "get");
    assert_eq!(stage.outcome(&mut again).await.expect("ok").payload.data, "one");
}

#[tokio::test]
async fn a_lease_that_comes_back_before_the_view_does_lets_nobody_see_the_state_of_the_lost_epoch()
{
    let mut stage = added(Durability::Durable).await;
    let mut running = stage.call("2", "read");
    let turns = stage.run().await;
    lapse(&stage);
    // Another node had the shard meanwhile, and this one has it again: the lease comes with the next view.
    let next = stage.catalog.view.version + 1;
    stage.lease.grant(Tick::NEVER, Tick::now(), next);
    stage.pass(1);
    let mut early = stage.call("3", "get");
    assert_eq!(kind(stage.outcome(&mut early).await), ErrorKind::LeaseLost);
    let (to, mut stats) = oneshot::channel();
    stage.round(vec![Message::Inspect { type_id: 0, key: "a".into(), to }]);
    assert!(stats.try_recv().is_err(), "nor is anybody shown what is in memory");
    stage.answer(&turns[0], "ignored");
    assert_eq!(kind(stage.outcome(&mut running).await), ErrorKind::LeaseLost);
    stage.agree(ShardOwner::new(ME, Epoch(2)));
    let mut read = stage.call("4", "get");
    assert_eq!(stage.outcome(&mut read).await.expect("ok").payload.data, "one");
}

#[tokio::test]
async fn what_was_computed_in_the_lost_epoch_is_withheld_even_if_the_view_comes_in_the_same_round()
{
    let mut stage = added(Durability::Volatile).await;
    let mut waiter = stage.call("2", "add");
    let turns = stage.run().await;
    lapse(&stage);
    let next = stage.catalog.view.version + 1;
    stage.lease.grant(Tick::NEVER, Tick::now(), next);
    let answered = stage.answered(&turns[0], "two");
    let news = stage.agreed(ShardOwner::new(ME, Epoch(2)));
    stage.round(vec![answered, news]);
    assert_eq!(kind(stage.outcome(&mut waiter).await), ErrorKind::LeaseLost);
}

#[tokio::test]
async fn a_committed_outcome_is_told_without_a_lease_and_so_is_its_repetition_later() {
    let mut stage = added(Durability::Durable).await;
    let mut waiter = stage.call("2", "add");
    let turns = stage.run().await;
    lapse(&stage);
    stage.answer(&turns[0], "two");
    assert_eq!(stage.outcome(&mut waiter).await.expect("it is durable").revision.0, 2);
    renew(&stage);
    let mut again = stage.call("2", "add");
    assert_eq!(stage.outcome(&mut again).await.expect("ok").revision.0, 2);
    assert!(stage.frame().is_none(), "nothing is run again");
}

#[tokio::test]
async fn a_volatile_reply_is_withheld_and_a_peer_is_told_to_look_elsewhere() {
    let mut stage = added(Durability::Volatile).await;
    let mut here = stage.call("2", "add");
    stage.call_of_peer("3", "add", 3);
    let turns = stage.run().await;
    lapse(&stage);
    stage.answer(&turns[0], "two");
    assert_eq!(kind(stage.outcome(&mut here).await), ErrorKind::LeaseLost);
    stage.call_of_peer("4", "add", 4);
    let (stream_id, outcome) = stage.peer_answer().expect("told");
    assert_eq!((stream_id, kind(outcome)), (4, ErrorKind::NotOwner));
}

#[tokio::test]
async fn a_peer_whose_call_was_run_but_may_not_be_answered_is_not_told_that_it_was_not_run() {
    let mut stage = added(Durability::Volatile).await;
    stage.call_of_peer("2", "add", 2);
    let turns = stage.run().await;
    lapse(&stage);
    stage.answer(&turns[0], "two");
    let (stream_id, outcome) = stage.peer_answer().expect("told");
    assert_eq!((stream_id, kind(outcome)), (2, ErrorKind::LeaseLost));
}

#[tokio::test]
async fn without_a_lease_nobody_is_shown_what_is_in_memory() {
    let mut stage = added(Durability::Volatile).await;
    let mut ask = |leased: bool| {
        let (to, mut stats) = oneshot::channel();
        if !leased {
            lapse(&stage);
        }
        stage.round(vec![Message::Inspect { type_id: 0, key: "a".into(), to }]);
        stats.try_recv()
    };
    assert!(ask(true).expect("told").active);
    assert!(ask(false).is_err());
}

#[tokio::test]
async fn waiting_calls_are_kept_and_run_once_the_lease_is_back() {
    let mut stage = added(Durability::Durable).await;
    let _first = stage.call("2", "add");
    let turns = stage.run().await;
    let mut second = stage.call("3", "add");
    lapse(&stage);
    stage.answer(&turns[0], "two");
    stage.pass(500);
    assert!(stage.frame().is_none(), "no turn begins without a lease");
    renew(&stage);
    stage.pass(1);
    let turns = stage.run().await;
    assert_eq!(turns[0].request_id, "3");
    stage.answer(&turns[0], "three");
    assert_eq!(stage.outcome(&mut second).await.expect("ok").revision.0, 3);
}

#[tokio::test]
async fn a_call_of_a_turn_waits_for_the_lease_instead_of_failing_the_turn() {
    let mut stage = added(Durability::Durable).await;
    lapse(&stage);
    let session = Arc::clone(&stage.session);
    let to = ReplyTo::Turn { session, turn_id: 99, call_index: 0 };
    stage.call_with("in a turn", "add", |call| call.reply_to = to);
    stage.pass(500);
    assert!(stage.frame().is_none());
    renew(&stage);
    stage.pass(1);
    let turns = stage.run().await;
    assert_eq!(turns[0].request_id, "in a turn");
    stage.answer(&turns[0], "two");
    let result = stage.until("the result", Stage::frame).await;
    assert!(matches!(result, Frame::CallResult(TurnCallResult { turn_id: 99, .. })));
}

fn made(turn_id: u64, target: ActorId, request_id: &str) -> SessionCall {
    SessionCall {
        turn_id,
        call_index: 0,
        target,
        action: "add".into(),
        argument: Payload::default(),
        timeout_ms: 0,
        metadata: Metadata::new(),
        request_id: request_id.to_owned(),
    }
}

#[tokio::test]
async fn a_call_of_a_turn_without_a_system_is_for_an_actor_of_the_calling_actors_system() {
    let mut stage = Stage::serving(counter(Durability::Durable));
    let _caller = stage.call("1", "add");
    let turns = stage.run().await;
    let mut target = ActorId::parse("other", "Counter", "b").expect("a valid name");
    target.system = "".into();
    let session = Arc::clone(&stage.session);
    let calls = vec![made(turns[0].turn_id, target, "")];
    stage.round(vec![Message::SessionCalls { session, calls }]);
    assert_eq!(stage.run().await[0].action, "add");
}

#[tokio::test]
async fn a_call_of_a_turn_runs_under_the_id_that_the_turn_gave_it() {
    let mut stage = Stage::serving(counter(Durability::Durable));
    let _caller = stage.call("1", "add");
    let turns = stage.run().await;
    let target = ActorId::parse("default", "Counter", "b").expect("a valid name");
    let session = Arc::clone(&stage.session);
    let calls = vec![made(turns[0].turn_id, target, "saga/charge/0")];
    stage.round(vec![Message::SessionCalls { session, calls }]);
    let called = stage.run().await;
    assert_eq!((called[0].request_id.as_str(), called[0].created_at_ms), ("saga/charge/0", 0));
}
