//! What a type asks for beyond the running of calls, and the turns that come of it.

use callboard_proto::{
    host::v1::Register,
    types::v1::{ActorId, ActorTypeDefinition, Deliver, Durability, Kind},
};
use serde_json::json;

use super::{
    Scenario,
    check::{Check, Failure, ensure, same},
    session::{actor, reply, run, state, turn},
    stage::Stage,
};

const POOL: &str = "ConformancePool";

pub(super) const SCENARIOS: &[Scenario] = super::scenarios!["settings":
    "Register tells timers, channels and history" => told,
    "Register tells the pool" => pool,
    "a timer's turn is a turn like any other" => timer,
    "a message of a channel is an argument like any other" => channel,
    "instances of a pool work without state, many at once" => instances,
];

/// The type with this name.
pub(super) fn definition<'a>(
    register: &'a Register,
    name: &str,
) -> Result<&'a ActorTypeDefinition, Failure> {
    let found = register.types.iter().find(|definition| definition.name == name);
    found.ok_or_else(|| Failure(format!("{name} is not registered: {:?}", register.types)))
}

async fn registered(stage: &Stage) -> Result<Register, Failure> {
    let mut host = stage.host().await?;
    let (_, register) = host.session.handshake().await?;
    Ok(register)
}

async fn told(stage: Stage) -> Check {
    let register = registered(&stage).await?;
    let definition = definition(&register, "Conformance")?;
    let timers: Vec<(&str, u64)> =
        definition.timers.iter().map(|t| (t.action.as_str(), t.interval_ms)).collect();
    same("timers", timers, vec![("tick", 5_000)])?;
    let mut channels: Vec<(&str, &str, Deliver)> = definition
        .subscriptions
        .iter()
        .map(|s| (s.channel.as_str(), s.action.as_str(), s.deliver()))
        .collect();
    channels.sort_unstable_by_key(|(channel, ..)| *channel);
    let [alerts, news] = channels.as_slice() else {
        return Err(Failure(format!("expected two subscriptions: {channels:?}")));
    };
    same("the subscription of news", news, &("news", "news", Deliver::Every))?;
    let named = ["", "receive"].contains(&alerts.1);
    ensure(named, format!("the action that hears of alerts is {:?}", alerts.1))?;
    same("who gets alerts", (alerts.0, alerts.2), ("alerts", Deliver::Unspecified))?;
    let history = (definition.history_revisions, definition.history_age_ms);
    same("history", history, (10, 3_600_000))?;
    same("the pool of another kind", (definition.pool_min, definition.pool_max), (0, 0))
}

async fn pool(stage: Stage) -> Check {
    let register = registered(&stage).await?;
    let definition = definition(&register, POOL)?;
    same("kind", definition.kind(), Kind::Pooled)?;
    same("durability", definition.durability(), Durability::Unspecified)?;
    same("instances", (definition.pool_min, definition.pool_max), (1, 4))?;
    let actions: Vec<&str> = definition.actions.iter().map(|a| a.name.as_str()).collect();
    same("actions", actions, vec!["work"])?;
    same("state_type", definition.state_type.as_str(), "")
}

async fn timer(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let mut tick = turn(1, "tick", &json!({}));
    tick.payload = None;
    tick.metadata.insert("callboard-timer".to_owned(), "tick".to_owned());
    let result = host.session.play("k", Some(&json!({"total": 1})), tick).await?;
    same("the reply", reply(&result)?, json!({"timer": "tick"}))?;
    same("the state", state(&result)?, Some(json!({"total": 2})))
}

async fn channel(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    let mut turns = Vec::new();
    for (id, action, channel) in [(1, "news", "news"), (2, "receive", "alerts")] {
        let mut message = turn(id, action, &json!({"text": ["ä", id]}));
        message.metadata.insert("callboard-channel".to_owned(), channel.to_owned());
        turns.push(message);
    }
    session.run(run("k", None, turns)).await;
    for (id, channel) in [(1, "news"), (2, "alerts")] {
        let result = session.result(id).await?;
        let expected = json!({"channel": channel, "message": {"text": ["ä", id]}});
        same("the reply", reply(&result)?, expected)?;
        same("the state", state(&result)?, Some(json!({"total": id})))?;
    }
    Ok(())
}

async fn instances(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    for id in 1..=40 {
        let key = (id % 4).to_string();
        let mut work = run(&key, None, [turn(id, "work", &json!({"n": id}))]);
        work.actor = Some(ActorId { r#type: POOL.to_owned(), ..actor(&key) });
        work.activation_id = id % 4;
        session.run(work).await;
    }
    for id in 1..=40 {
        let result = session.result(id).await?;
        same("the reply", reply(&result)?, json!({"n": 2 * id}))?;
        same("the state of an instance", state(&result)?, None)?;
    }
    Ok(())
}
