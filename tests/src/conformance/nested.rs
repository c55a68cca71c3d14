//! Calls that an action makes inside its turn.

use callboard_proto::{
    host::v1::{CancelTurn, TurnCallResult, node_frame, turn_call_result},
    types::v1::{CallError, Payload, Retry},
};
use serde_json::{Value, json};

use super::{
    Scenario,
    calls::server_error,
    check::{Check, json as payload, read_json, same},
    session::{Session, error, is_cancelled, reply, run, turn},
    stage::Stage,
};

pub(super) const SCENARIOS: &[Scenario] = super::scenarios!["calls inside turns":
    "a call names its target and gets the reply" => call,
    "calls of a turn count from 0, and each turn counts anew" => indexes,
    "a refusal reaches the action, and the caller if it is not caught" => refused,
    "an error of the called actor keeps its reason and details" => actor_error,
    "no value is answered as null" => no_value,
    "a cancelled turn stops waiting for its call" => cancelled,
    "answers to calls that nobody made are ignored" => stray,
];

fn argument(action: &str) -> Value {
    json!({"type": "Other", "key": "o/1", "action": action, "argument": {"amount": 3}})
}

async fn answer(
    session: &Session,
    turn_id: u64,
    call_index: u32,
    outcome: turn_call_result::Outcome,
) {
    let result = TurnCallResult { turn_id, call_index, outcome: Some(outcome) };
    session.send([node_frame::Frame::CallResult(result)]).await;
}

async fn call(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    session.run(run("k", None, [turn(1, "call", &argument("grow"))])).await;
    let call = session.call().await?;
    same("turn_id", call.turn_id, 1)?;
    same("call_index", call.call_index, 0)?;
    same("action", call.action.as_str(), "grow")?;
    let target = call.target.clone().unwrap_or_default();
    same("target type", target.r#type.as_str(), "Other")?;
    same("target key", target.key.as_str(), "o/1")?;
    let system = if target.system.is_empty() { "default" } else { &target.system };
    same("target system", system, "default")?;
    let sent = read_json("the call's argument", call.payload.as_ref())?;
    same("the call's argument", sent, json!({"amount": 3}))?;
    let outcome = turn_call_result::Outcome::Reply(payload(&json!({"total": 8})));
    answer(session, 1, 0, outcome).await;
    let result = session.result(1).await?;
    same("the reply", reply(&result)?, json!({"reply": {"total": 8}}))
}

async fn indexes(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    let argument = json!({"type": "Other", "key": "o", "action": "add", "count": 3});
    session.run(run("k", None, [turn(1, "calls", &argument), turn(2, "calls", &argument)])).await;
    for turn_id in 1..=2 {
        for index in 0..3 {
            let call = session.call().await?;
            same("turn and call index", (call.turn_id, call.call_index), (turn_id, index))?;
            let sent = read_json("the argument", call.payload.as_ref())?;
            same("the argument", sent, json!({"amount": index}))?;
            let outcome = turn_call_result::Outcome::Reply(payload(&json!(index * 10)));
            answer(session, turn_id, index, outcome).await;
        }
        let result = session.result(turn_id).await?;
        same("the replies", reply(&result)?, json!({"replies": [0, 10, 20]}))?;
    }
    Ok(())
}

async fn refused(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    let turns = [turn(1, "call", &argument("grow")), turn(2, "add", &json!({"amount": 1}))];
    session.run(run("k", Some(&json!({"total": 1})), turns)).await;
    session.call().await?;
    let refusal = server_error("CALL_CYCLE", 9, Retry::Never);
    answer(session, 1, 0, turn_call_result::Outcome::Error(refusal)).await;
    let result = session.result(1).await?;
    let failure = error(&result)?;
    same("code", failure.code, 9)?;
    same("reason", failure.reason.as_str(), "CALL_CYCLE")?;
    same("message", failure.message.as_str(), "CALL_CYCLE by the script")?;
    same("the turn after", reply(&session.result(2).await?)?, json!({"total": 2}))
}

async fn actor_error(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    session.run(run("k", None, [turn(1, "call", &argument("grow"))])).await;
    session.call().await?;
    let detail = prost_types::Any {
        type_url: "type.googleapis.com/acme.v1.Why".to_owned(),
        value: vec![8, 1],
    };
    let raised = CallError {
        code: 9,
        reason: "NOT_ENOUGH".to_owned(),
        message: "only 2 left".to_owned(),
        retry: Retry::Never.into(),
        from_actor: true,
        details: vec![detail.clone()],
        ..CallError::default()
    };
    answer(session, 1, 0, turn_call_result::Outcome::Error(raised)).await;
    let result = session.result(1).await?;
    let failure = error(&result)?;
    same("code", failure.code, 9)?;
    same("reason", failure.reason.as_str(), "NOT_ENOUGH")?;
    same("message", failure.message.as_str(), "only 2 left")?;
    same("details", &failure.details, &vec![detail])
}

async fn no_value(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    session.run(run("k", None, [turn(1, "call", &argument("grow"))])).await;
    session.call().await?;
    answer(session, 1, 0, turn_call_result::Outcome::Reply(Payload::default())).await;
    same("the reply", reply(&session.result(1).await?)?, json!({"reply": null}))
}

async fn cancelled(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    session.run(run("k", None, [turn(1, "call", &argument("grow"))])).await;
    session.call().await?;
    session.send([node_frame::Frame::Cancel(CancelTurn { turn_id: 1 })]).await;
    let result = session.result(1).await?;
    super::check::ensure(is_cancelled(&result), format!("the outcome: {:?}", result.outcome))?;
    let outcome = turn_call_result::Outcome::Reply(payload(&json!(1)));
    answer(session, 1, 0, outcome).await;
    session.works(2).await
}

async fn stray(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    session.run(run("k", None, [turn(1, "call", &argument("grow"))])).await;
    session.call().await?;
    for (turn_id, index) in [(1, 1), (1, 99), (2, 0), (0, 0)] {
        let outcome = turn_call_result::Outcome::Reply(payload(&json!("stray")));
        answer(session, turn_id, index, outcome).await;
    }
    let outcome = turn_call_result::Outcome::Reply(payload(&json!("right")));
    answer(session, 1, 0, outcome.clone()).await;
    same("the reply", reply(&session.result(1).await?)?, json!({"reply": "right"}))?;
    answer(session, 1, 0, outcome).await;
    session.works(3).await
}
