//! What a turn sets going: effects, broadcasts, and who answers in its place.

use callboard_proto::{
    host::v1::{Broadcast, Effect, NextCall, TurnResult, Workflow, turn_result, workflow::Next},
    types::v1::{ActorId, Payload},
};
use serde_json::{Value, json};

use super::{
    Scenario,
    check::{Check, Failure, ensure, json as payload, read_json, same},
    session::{error, reply, run, state, turn},
    stage::Stage,
};

pub(super) const SCENARIOS: &[Scenario] = super::scenarios!["workflow":
    "effects and broadcasts are in the result as they were made" => order,
    "a delay and a due time are told apart" => times,
    "effects and broadcasts may have no value" => no_value,
    "nothing set going is no workflow" => nothing,
    "a failed turn sets nothing going, and its neighbours their own" => failed,
    "a reading turn sets nothing going" => reading,
    "a pipe hands its value to the next actor" => pipe,
    "a forward names the next actor and has no value" => forward,
    "effects and broadcasts go beside a pipe and a forward" => beside,
    "checkpoint and deactivation are asked for" => asked,
    "the trace goes on with what a turn sets going, other metadata does not" => trace,
    "a thousand effects of one turn keep their order" => thousand,
];

fn effect(key: &str, amount: i64) -> Value {
    json!({"type": "Other", "key": key, "action": "add", "argument": {"amount": amount}})
}

fn with(mut value: Value, more: Value) -> Value {
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}

/// What the turn set going, which must be something.
fn workflow(result: &TurnResult) -> Result<&Workflow, Failure> {
    result.workflow.as_ref().ok_or_else(|| Failure("the result has no workflow".to_owned()))
}

/// Compares an actor with one of the actor's own system, which may be left out.
fn is_actor(what: &str, actor: Option<&ActorId>, key: &str) -> Check {
    let actor = actor.cloned().unwrap_or_default();
    ensure(["", "default"].contains(&actor.system.as_str()), format!("{what}: {actor:?}"))?;
    same(what, (actor.r#type.as_str(), actor.key.as_str()), ("Other", key))
}

/// Compares an effect but for its times.
fn is_effect(effect: &Effect, key: &str, amount: i64, metadata: &[(&str, &str)]) -> Check {
    is_actor("the target", effect.target.as_ref(), key)?;
    same("the action", effect.action.as_str(), "add")?;
    let argument = read_json("the argument", effect.payload.as_ref())?;
    same("the argument", argument, json!({"amount": amount}))?;
    let mut sent: Vec<(&str, &str)> =
        effect.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    sent.sort_unstable();
    same("the metadata", sent, metadata)
}

fn is_broadcast(broadcast: &Broadcast, channel: &str, message: &Value) -> Check {
    same("the channel", broadcast.channel.as_str(), channel)?;
    let sent = read_json("the message", broadcast.payload.as_ref())?;
    same("the message", &sent, message)
}

fn is_next(next: &NextCall, key: &str) -> Check {
    is_actor("the next actor", next.target.as_ref(), key)?;
    same("the next action", next.action.as_str(), "grow")
}

async fn order(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let argument = json!({
        "tell": [effect("b", 1), with(effect("a", 2), json!({"metadata": {"why": "ä"}})),
                 effect("b", 3)],
        "broadcast": [{"channel": "news", "message": {"n": 1}},
                      {"channel": "alerts", "message": "two", "metadata": {"m": "2"}}],
    });
    let turn = turn(1, "workflow", &argument);
    let result = host.session.play("k", Some(&json!({"total": 4})), turn).await?;
    same("the reply", reply(&result)?, json!({"total": 5}))?;
    same("the state", state(&result)?, Some(json!({"total": 5})))?;
    let workflow = workflow(&result)?;
    let [first, second, third] = workflow.effects.as_slice() else {
        return Err(Failure(format!("expected three effects: {:?}", workflow.effects)));
    };
    is_effect(first, "b", 1, &[])?;
    is_effect(second, "a", 2, &[("why", "ä")])?;
    is_effect(third, "b", 3, &[])?;
    for effect in &workflow.effects {
        same("the times of an effect", (effect.delay_ms, effect.due_at_ms), (0, 0))?;
    }
    let [first, second] = workflow.broadcasts.as_slice() else {
        return Err(Failure(format!("expected two broadcasts: {:?}", workflow.broadcasts)));
    };
    is_broadcast(first, "news", &json!({"n": 1}))?;
    is_broadcast(second, "alerts", &json!("two"))?;
    same("the metadata", second.metadata.get("m").map(String::as_str), Some("2"))?;
    same("the next call", workflow.next.as_ref(), None)?;
    same("checkpoint, deactivate", (workflow.checkpoint, workflow.deactivate), (false, false))
}

async fn times(stage: Stage) -> Check {
    const DUE: i64 = 1_900_000_000_123;
    let mut host = stage.ready().await?;
    let argument = json!({"tell": [
        with(effect("a", 1), json!({"delay_ms": 5_250})),
        with(effect("a", 2), json!({"at_ms": DUE})),
    ]});
    let result = host.session.play("k", None, turn(1, "workflow", &argument)).await?;
    let sent = &workflow(&result)?.effects;
    let times: Vec<(u64, i64)> = sent.iter().map(|e| (e.delay_ms, e.due_at_ms)).collect();
    same("delays and due times", times, vec![(5_250, 0), (0, DUE)])
}

async fn no_value(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let argument = json!({"tell": [{"type": "Other", "key": "a", "action": "add"}]});
    let result = host.session.play("k", None, turn(1, "workflow", &argument)).await?;
    let workflow = workflow(&result)?;
    same("how many effects", workflow.effects.len(), 1)?;
    let payload = workflow.effects[0].payload.clone().unwrap_or_default();
    same("the content type of no value", payload.content_type.as_str(), "")
}

async fn nothing(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    let turns = [turn(1, "add", &json!({"amount": 1})), turn(2, "workflow", &json!({}))];
    session.run(run("k", None, turns)).await;
    for id in 1..=2 {
        same("the workflow", session.result(id).await?.workflow, None)?;
    }
    Ok(())
}

async fn failed(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    let argument = |key: &str, fail: bool| {
        json!({
            "tell": [effect(key, 1)], "broadcast": [{"channel": "news", "message": 1}],
            "checkpoint": true, "deactivate": true, "fail": fail,
        })
    };
    let turns = [
        turn(1, "workflow", &argument("first", false)),
        turn(2, "workflow", &argument("second", true)),
        turn(3, "workflow", &argument("third", false)),
    ];
    session.run(run("k", None, turns)).await;
    for (id, key) in [(1, "first"), (3, "third")] {
        let result = session.result(id).await?;
        let workflow = workflow(&result)?;
        same("how many effects", workflow.effects.len(), 1)?;
        is_effect(&workflow.effects[0], key, 1, &[])?;
        same("how many broadcasts", workflow.broadcasts.len(), 1)?;
        same("the reply", reply(&result)?, json!({"total": if id == 1 { 1 } else { 2 }}))?;
    }
    let result = session.result(2).await?;
    same("reason", error(&result)?.reason.as_str(), "ON_PURPOSE")?;
    same("the workflow of a failed turn", result.workflow, None)
}

async fn reading(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let read = turn(1, "tell_read", &json!({}));
    let result = host.session.play("k", Some(&json!({"total": 7})), read).await?;
    same("the reply", reply(&result)?, json!({"total": 7}))?;
    same("the workflow of a reading turn", result.workflow, None)
}

async fn pipe(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let pipe =
        json!({"type": "Other", "key": "o/1", "action": "grow", "argument": {"size": [1, 2]}});
    let turn = turn(1, "workflow", &json!({"pipe": pipe}));
    let result = host.session.play("k", Some(&json!({"total": 1})), turn).await?;
    same("what the next actor gets", reply(&result)?, json!({"size": [1, 2]}))?;
    same("the state", state(&result)?, Some(json!({"total": 2})))?;
    let workflow = workflow(&result)?;
    ensure(workflow.effects.is_empty(), format!("{:?}", workflow.effects))?;
    match &workflow.next {
        Some(Next::Pipe(next)) => is_next(next, "o/1"),
        other => Err(Failure(format!("expected a pipe, got {other:?}"))),
    }
}

async fn forward(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let forward = json!({"type": "Other", "key": "o/1", "action": "grow"});
    let turn = turn(1, "workflow", &json!({"forward": forward}));
    let result = host.session.play("k", None, turn).await?;
    same("the outcome", &result.outcome, &Some(turn_result::Outcome::Reply(Payload::default())))?;
    same("the state", state(&result)?, Some(json!({"total": 1})))?;
    match &workflow(&result)?.next {
        Some(Next::Forward(next)) => is_next(next, "o/1"),
        other => Err(Failure(format!("expected a forward, got {other:?}"))),
    }
}

async fn beside(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    let next = json!({"type": "Other", "key": "n", "action": "grow"});
    let more =
        json!({"tell": [effect("a", 1)], "broadcast": [{"channel": "news", "message": null}]});
    let pipe = json!({"pipe": with(next.clone(), json!({"argument": 1}))});
    let turns = [
        turn(1, "workflow", &with(more.clone(), pipe)),
        turn(2, "workflow", &with(more, json!({"forward": next}))),
    ];
    session.run(run("k", None, turns)).await;
    for id in 1..=2 {
        let result = session.result(id).await?;
        let workflow = workflow(&result)?;
        same("effects", workflow.effects.len(), 1)?;
        same("broadcasts", workflow.broadcasts.len(), 1)?;
        is_broadcast(&workflow.broadcasts[0], "news", &Value::Null)?;
        let pipes = matches!(workflow.next, Some(Next::Pipe(_)));
        ensure(workflow.next.is_some() && pipes == (id == 1), format!("{:?}", workflow.next))?;
    }
    Ok(())
}

async fn asked(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    let turns = [
        turn(1, "workflow", &json!({"checkpoint": true})),
        turn(2, "workflow", &json!({"deactivate": true})),
    ];
    session.run(run("k", None, turns)).await;
    for (id, expected) in [(1, (true, false)), (2, (false, true))] {
        let result = session.result(id).await?;
        let workflow = workflow(&result)?;
        same("checkpoint, deactivate", (workflow.checkpoint, workflow.deactivate), expected)?;
    }
    Ok(())
}

async fn trace(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let own = json!({"metadata": {"traceparent": "own"}});
    let argument = json!({
        "tell": [effect("a", 1), with(effect("b", 2), own)],
        "broadcast": [{"channel": "news", "message": 1}],
    });
    let mut turn = turn(1, "workflow", &argument);
    for (name, value) in [("traceparent", "00-ab"), ("tracestate", "x=1"), ("other", "no")] {
        turn.metadata.insert(name.to_owned(), value.to_owned());
    }
    let result = host.session.play("k", None, turn).await?;
    let workflow = workflow(&result)?;
    same("how many effects", workflow.effects.len(), 2)?;
    let trace = [("traceparent", "00-ab"), ("tracestate", "x=1")];
    is_effect(&workflow.effects[0], "a", 1, &trace)?;
    let own = [("traceparent", "own"), ("tracestate", "x=1")];
    is_effect(&workflow.effects[1], "b", 2, &own)?;
    same("how many broadcasts", workflow.broadcasts.len(), 1)?;
    let metadata = &workflow.broadcasts[0].metadata;
    same("the trace", metadata.get("traceparent").map(String::as_str), Some("00-ab"))?;
    same("how many entries", metadata.len(), 2)
}

async fn thousand(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let effects: Vec<Value> = (0..1_000).map(|n| effect("a", n)).collect();
    let turn = turn(1, "workflow", &json!({"tell": effects}));
    let result = host.session.play("k", None, turn).await?;
    let workflow = workflow(&result)?;
    same("how many effects", workflow.effects.len(), 1_000)?;
    for (n, effect) in (0..).zip(&workflow.effects) {
        same("the argument", effect.payload.clone(), Some(payload(&json!({"amount": n}))))?;
    }
    Ok(())
}
