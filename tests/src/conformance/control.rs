//! What the node says beside turns: Ping, CancelTurn, Deactivated; and who may run beside whom.

use std::time::Duration;

use tokio::time::Instant;

use callboard_proto::host::v1::{
    CancelTurn, Deactivated, TurnCallResult, node_frame, turn_call_result,
};
use serde_json::{Value, json};

use super::{
    Scenario,
    check::{Check, ensure, json as payload, same},
    session::{Session, actor, is_cancelled, reply, run, turn},
    stage::Stage,
};

pub(super) const SCENARIOS: &[Scenario] = super::scenarios!["control":
    "Ping is answered at once" => ping,
    "Ping is answered while an action keeps its thread busy" => ping_while_busy,
    "CancelTurn aborts a waiting turn, and the next one runs" => cancel,
    "CancelTurn ends a turn that has not begun" => cancel_queued,
    "CancelTurn after the result changes nothing" => cancel_late,
    "CancelTurn of an unknown turn is ignored" => cancel_unknown,
    "different actors run at the same time" => concurrent,
    "a second run of an actor waits for the first" => sequential,
    "a turn that comes twice is answered once" => duplicate,
    "Deactivated is taken and the next run starts from its own state" => deactivated,
];

async fn ping(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    for _ in 0..10 {
        session.ping().await?;
    }
    Ok(())
}

async fn ping_while_busy(stage: Stage) -> Check {
    const BUSY_MS: u64 = 2_000;
    const SLOWEST: Duration = Duration::from_millis(1_000);
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    session.works(1).await?;
    session.run(run("k", None, [turn(2, "block", &json!({"ms": BUSY_MS}))])).await;
    let start = Instant::now();
    let mut slowest = Duration::ZERO;
    let mut count = 0;
    while !session.has_result(2) && start.elapsed() < Duration::from_secs(10) {
        let sent = Instant::now();
        session.ping().await?;
        slowest = slowest.max(sent.elapsed());
        count += 1;
        // Pace, not synchronisation: a node pings now and then, not without pause.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    same("the reply", reply(&session.result(2).await?)?, json!({}))?;
    let busy = start.elapsed();
    ensure(busy >= Duration::from_millis(BUSY_MS * 9 / 10), format!("busy for {busy:?} only"))?;
    ensure(slowest < SLOWEST, format!("the slowest of {count} Pongs took {slowest:?}"))
}

fn cancel_turn(turn_id: u64) -> node_frame::Frame {
    node_frame::Frame::Cancel(CancelTurn { turn_id })
}

async fn cancel(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    let turns = [
        turn(1, "add", &json!({"amount": 1})),
        turn(2, "wait", &json!({})),
        turn(3, "add", &json!({"amount": 1})),
    ];
    session.run(run("k", Some(&json!({"total": 1})), turns)).await;
    same("the turn before", reply(&session.result(1).await?)?, json!({"total": 2}))?;
    session.ping().await?;
    ensure(!session.has_result(2), "wait ended without being cancelled")?;
    session.send([cancel_turn(2)]).await;
    let result = session.result(2).await?;
    ensure(is_cancelled(&result), format!("the outcome is not Cancelled: {:?}", result.outcome))?;
    same("the state of a cancelled turn", result.state, None)?;
    same("the turn after", reply(&session.result(3).await?)?, json!({"total": 3}))
}

async fn cancel_queued(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    let turns = [
        turn(1, "wait", &json!({})),
        turn(2, "add", &json!({"amount": 100})),
        turn(3, "add", &json!({"amount": 1})),
    ];
    session.run(run("k", Some(&json!({"total": 1})), turns)).await;
    session.send([cancel_turn(2), cancel_turn(1)]).await;
    for id in 1..=2 {
        let result = session.result(id).await?;
        ensure(is_cancelled(&result), format!("turn {id}: {:?}", result.outcome))?;
    }
    same("the turn after", reply(&session.result(3).await?)?, json!({"total": 2}))
}

async fn cancel_late(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    let result = session.play("k", None, turn(1, "add", &json!({"amount": 1}))).await?;
    same("the reply", reply(&result)?, json!({"total": 1}))?;
    session.send([cancel_turn(1)]).await;
    session.works(2).await?;
    session.ping().await?;
    while session.has_result(1) {
        let again = session.result(1).await?;
        same("what is answered again", reply(&again)?, json!({"total": 1}))?;
    }
    Ok(())
}

async fn cancel_unknown(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    session.send([cancel_turn(77), cancel_turn(0), cancel_turn(u64::MAX)]).await;
    session.works(1).await?;
    ensure(session.left_over().is_empty(), format!("unasked: {:?}", session.left_over()))
}

/// An argument of `call` that calls `read` of another actor.
fn call_argument() -> Value {
    json!({"type": "Other", "key": "o", "action": "read", "argument": {}})
}

async fn answer_call(session: &Session, turn_id: u64, call_index: u32) {
    let outcome = Some(turn_call_result::Outcome::Reply(payload(&json!({"total": 5}))));
    let result = TurnCallResult { turn_id, call_index, outcome };
    session.send([node_frame::Frame::CallResult(result)]).await;
}

async fn concurrent(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    for id in 1..=20 {
        session.run(run(&format!("k{id}"), None, [turn(id, "call", &call_argument())])).await;
    }
    for _ in 1..=20 {
        session.call().await?;
    }
    // All twenty wait inside their turns; a twenty-first actor is served all the same.
    session.works(21).await?;
    for id in (1..=20).rev() {
        answer_call(session, id, 0).await;
        let result = session.result(id).await?;
        same("the reply", reply(&result)?, json!({"reply": {"total": 5}}))?;
    }
    Ok(())
}

async fn sequential(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    session.run(run("k", None, [turn(1, "call", &call_argument())])).await;
    session.call().await?;
    let second = run("k", Some(&json!({"total": 10})), [turn(2, "add", &json!({"amount": 1}))]);
    session.run(second).await;
    session.works(3).await?;
    session.ping().await?;
    ensure(!session.has_result(2), "the second run of the actor overtook the first")?;
    answer_call(session, 1, 0).await;
    same("the first result", session.any_result().await?.turn_id, 1)?;
    same("the second run's reply", reply(&session.result(2).await?)?, json!({"total": 11}))
}

async fn duplicate(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    let waiting = run("k", None, [turn(1, "call", &call_argument())]);
    session.run(waiting.clone()).await;
    session.call().await?;
    session.run(waiting.clone()).await;
    answer_call(session, 1, 0).await;
    session.result(1).await?;
    session.run(waiting).await;
    let next = turn(2, "add", &json!({"amount": 1}));
    let result = session.play("k", Some(&json!({"total": 1})), next).await?;
    same("the turn after the duplicates", reply(&result)?, json!({"total": 2}))?;
    session.ping().await?;
    ensure(session.left_over().is_empty(), format!("answered again: {:?}", session.left_over()))
}

async fn deactivated(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    session.play("k", None, turn(1, "add", &json!({"amount": 50}))).await?;
    let gone = Deactivated { actor: Some(actor("k")), activation_id: 1 };
    let stranger = Deactivated { actor: Some(actor("never seen")), activation_id: 9 };
    session.send([gone, stranger].map(node_frame::Frame::Deactivated)).await;
    let mut again = run("k", Some(&json!({"total": 2})), [turn(2, "add", &json!({"amount": 1}))]);
    again.activation_id = 2;
    session.run(again).await;
    same("the reply", reply(&session.result(2).await?)?, json!({"total": 3}))
}
