//! What one turn does: replies, state, errors, tags, context.

use callboard_proto::{
    host::v1::turn_result,
    types::v1::{ActorId, Payload},
};
use serde_json::json;

use super::{
    Scenario,
    check::{Check, ensure, same},
    session::{EPOCH, actor, error, reply, run, state, turn},
    stage::Stage,
};

pub(super) const SCENARIOS: &[Scenario] = super::scenarios!["turns":
    "the first turn of an actor starts from the initial state" => initial,
    "turns of a run go in order, each on the state of the one before" => order,
    "an unchanged state is left out of the result" => unchanged,
    "an actor error travels as it is and leaves the state" => actor_error,
    "an unexpected exception is INTERNAL without its stack and leaves the state" => crash,
    "an unknown action or type is refused turn by turn" => unknown,
    "an undecodable argument is refused and the action does not run" => bad_argument,
    "a reading turn leaves the state whatever it does" => reading,
    "no value is a payload without content type" => no_value,
    "a missing argument is taken as no value" => missing_argument,
    "tags travel only when they change" => tags,
    "an error leaves the tags" => tags_after_error,
    "the context tells the facts of the call" => context,
    "keys are text of any kind" => keys,
];

async fn initial(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    let result = session.play("k", None, turn(1, "add", &json!({"amount": 5}))).await?;
    same("the reply", reply(&result)?, json!({"total": 5}))?;
    same("the state", state(&result)?, Some(json!({"total": 5})))?;
    let result = session.play("other", None, turn(2, "read", &json!({}))).await?;
    same("the reply of another actor", reply(&result)?, json!({"total": 0}))
}

async fn order(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    let turns = (1..=20).map(|id| turn(id, "add", &json!({"amount": id})));
    session.run(run("k", Some(&json!({"total": 100})), turns)).await;
    let mut total = 100;
    for id in 1..=20 {
        let result = session.any_result().await?;
        total += id;
        same("results come in the order of the turns", result.turn_id, id)?;
        same("the reply", reply(&result)?, json!({"total": total}))?;
        same("the state", state(&result)?, Some(json!({"total": total})))?;
    }
    Ok(())
}

async fn unchanged(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    let before = json!({"total": 9});
    let turns = [
        turn(1, "add", &json!({"amount": 0})),
        turn(2, "none", &json!({})),
        turn(3, "context", &json!({})),
    ];
    session.run(run("k", Some(&before), turns)).await;
    for id in 1..=3 {
        let result = session.result(id).await?;
        same(&format!("the state of turn {id}"), state(&result)?, None)?;
    }
    Ok(())
}

async fn actor_error(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    let argument = json!({"reason": "TOO_MUCH", "message": "no more than \"ten\" – ever"});
    let turns = [
        turn(1, "add", &json!({"amount": 1})),
        turn(2, "fail", &argument),
        turn(3, "add", &json!({"amount": 1})),
    ];
    session.run(run("k", Some(&json!({"total": 10})), turns)).await;
    same("before the error", reply(&session.result(1).await?)?, json!({"total": 11}))?;
    let result = session.result(2).await?;
    let failure = error(&result)?;
    same("code", failure.code, 9)?;
    same("reason", failure.reason.as_str(), "TOO_MUCH")?;
    same("message", failure.message.as_str(), "no more than \"ten\" – ever")?;
    same("from_actor", failure.from_actor, true)?;
    let after = session.result(3).await?;
    same("after the error", reply(&after)?, json!({"total": 12}))?;
    same("the state after the error", state(&after)?, Some(json!({"total": 12})))
}

async fn crash(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    let turns = [turn(1, "crash", &json!({})), turn(2, "add", &json!({"amount": 1}))];
    session.run(run("k", Some(&json!({"total": 10})), turns)).await;
    let result = session.result(1).await?;
    let failure = error(&result)?;
    same("code", failure.code, 13)?;
    same("reason", failure.reason.as_str(), "ACTION_ERROR")?;
    same("from_actor", failure.from_actor, true)?;
    for mark in ["\n", ".py", ".ts", ".js", ".java", "Traceback"] {
        let message = &failure.message;
        ensure(!message.contains(mark), format!("the message shows a stack: {message:?}"))?;
    }
    same("after the crash", reply(&session.result(2).await?)?, json!({"total": 11}))?;
    stage.log().says("boom").await
}

async fn unknown(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    let turns = [
        turn(1, "no_such_action", &json!({})),
        turn(2, "Add", &json!({"amount": 1})),
        turn(3, "toString", &json!({})),
        turn(4, "__init__", &json!({})),
        turn(5, "constructor", &json!({})),
        turn(6, "add", &json!({"amount": 1})),
    ];
    session.run(run("k", Some(&json!({"total": 1})), turns)).await;
    for id in 1..=5 {
        let result = session.result(id).await?;
        same("code", error(&result)?.code, 5)?;
        same("reason", error(&result)?.reason.as_str(), "UNKNOWN_ACTION")?;
    }
    same("the known action", reply(&session.result(6).await?)?, json!({"total": 2}))?;
    let mut other = run("k", None, [turn(7, "add", &json!({})), turn(8, "read", &json!({}))]);
    other.actor = Some(ActorId { r#type: "Unheard".to_owned(), ..actor("k") });
    session.run(other).await;
    for id in 7..=8 {
        let result = session.result(id).await?;
        same("code", error(&result)?.code, 5)?;
        same("reason", error(&result)?.reason.as_str(), "UNKNOWN_ACTION")?;
    }
    Ok(())
}

async fn bad_argument(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    let payload = |content_type: &str, data: &'static [u8]| Payload {
        content_type: content_type.to_owned(),
        type_url: String::new(),
        data: data.into(),
    };
    let mut turns = Vec::new();
    for (id, argument) in [
        (1, payload("application/json", b"{\"amount\": ")),
        (2, payload("application/json", b"\xff\xfe\x00")),
        (3, payload("application/protobuf", b"\x08\x01")),
        (4, payload("image/png", b"\x89PNG")),
    ] {
        let mut bad = turn(id, "add", &json!({}));
        bad.payload = Some(argument);
        turns.push(bad);
    }
    turns.push(turn(5, "read", &json!({})));
    session.run(run("k", Some(&json!({"total": 1})), turns)).await;
    for id in 1..=4 {
        let result = session.result(id).await?;
        let failure = error(&result)?;
        same(&format!("code of turn {id}"), failure.code, 3)?;
        same("reason", failure.reason.as_str(), "INVALID_ARGUMENT_PAYLOAD")?;
        same("from_actor", failure.from_actor, false)?;
    }
    same("the state afterwards", reply(&session.result(5).await?)?, json!({"total": 1}))
}

async fn reading(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    let turns = [
        turn(1, "read", &json!({})),
        turn(2, "mutate_read", &json!({})),
        turn(3, "add", &json!({"amount": 1})),
    ];
    session.run(run("k", Some(&json!({"total": 7})), turns)).await;
    let read = session.result(1).await?;
    same("the reply", reply(&read)?, json!({"total": 7}))?;
    same("the state of a reading turn", state(&read)?, None)?;
    let result = session.result(2).await?;
    ensure(
        matches!(result.outcome, Some(turn_result::Outcome::Reply(_))),
        format!("mutate_read: {:?}", result.outcome),
    )?;
    same("the state of a reading turn that mutates", state(&result)?, None)?;
    same("the next turn's total", reply(&session.result(3).await?)?, json!({"total": 8}))
}

async fn no_value(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    let result = session.play("k", None, turn(1, "none", &json!({}))).await?;
    match result.outcome {
        Some(turn_result::Outcome::Reply(payload)) => {
            same("content_type of no value", payload.content_type.as_str(), "")?;
            same("bytes of no value", payload.data.len(), 0)
        }
        other => ensure(false, format!("none: {other:?}")),
    }
}

async fn missing_argument(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    let mut bare = turn(1, "read", &json!({}));
    bare.payload = None;
    let mut empty = turn(2, "read", &json!({}));
    empty.payload = Some(Payload::default());
    session.run(run("k", Some(&json!({"total": 2})), [bare, empty])).await;
    for id in 1..=2 {
        same("the reply", reply(&session.result(id).await?)?, json!({"total": 2}))?;
    }
    Ok(())
}

async fn tags(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    let turns = [
        turn(1, "tag", &json!({"name": "colour", "value": "red"})),
        turn(2, "tags", &json!({})),
        turn(3, "tag", &json!({"name": "colour", "value": "red"})),
        turn(4, "tag", &json!({"name": "kept", "value": ""})),
        turn(5, "tags", &json!({})),
    ];
    let mut tagged = run("k", Some(&json!({"total": 1})), turns);
    tagged.tags.insert("kept".to_owned(), "yes".to_owned());
    session.run(tagged).await;
    let first = session.result(1).await?;
    let mut values: Vec<_> = first.tags.clone().unwrap_or_default().values.into_iter().collect();
    values.sort();
    let expected = [("colour", "red"), ("kept", "yes")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    same("the tags after the first turn", values, expected)?;
    same("the state", state(&first)?, None)?;
    let second = session.result(2).await?;
    same("the next turn sees", reply(&second)?, json!({"colour": "red", "kept": "yes"}))?;
    same("tags of a turn that only reads", second.tags, None)?;
    same("tags set to what they were", session.result(3).await?.tags, None)?;
    let fourth = session.result(4).await?.tags.unwrap_or_default();
    same("after removal", fourth.values.contains_key("kept"), false)?;
    same("the last turn sees", reply(&session.result(5).await?)?, json!({"colour": "red"}))
}

async fn tags_after_error(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    let turns = [
        turn(1, "tag", &json!({"name": "a", "value": "1"})),
        turn(2, "crash", &json!({})),
        turn(3, "tags", &json!({})),
    ];
    session.run(run("k", None, turns)).await;
    session.result(1).await?;
    error(&session.result(2).await?)?;
    same("tags after a crash", reply(&session.result(3).await?)?, json!({"a": "1"}))
}

async fn context(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    let caller = ActorId { r#type: "Caller".to_owned(), ..actor("caller-key") };
    let mut called = turn(1, "context", &json!({}));
    called.request_id = "the-request".to_owned();
    called.attempt = 3;
    called.caller = Some(caller);
    called.metadata.insert("traceparent".to_owned(), "00-ab-cd-01".to_owned());
    called.metadata.insert("leer".to_owned(), String::new());
    called.revision = 12;
    called.created_at_ms = 1_764_000_000_123;
    let plain = turn(2, "context", &json!({}));
    session.run(run("the key", None, [called, plain])).await;
    let expected = json!({
        "request_id": "the-request",
        "attempt": 3,
        "key": "the key",
        "caller": {"system": "default", "type": "Caller", "key": "caller-key"},
        "metadata": {"traceparent": "00-ab-cd-01", "leer": ""},
        "epoch": EPOCH,
        "revision": 12,
        "created_at_ms": 1_764_000_000_123_i64,
    });
    same("the context", reply(&session.result(1).await?)?, expected)?;
    let second = reply(&session.result(2).await?)?;
    same("the caller of a call from outside", &second["caller"], &json!(null))?;
    same("the metadata of another call", &second["metadata"], &json!({}))
}

async fn keys(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    let long = "k".repeat(512);
    for (id, key) in (1..).zip(["é", "e\u{301}", "a/b?c=d", " ", "__proto__", "日本", &long]) {
        let result = session.play(key, None, turn(id, "context", &json!({}))).await?;
        same("the key", reply(&result)?["key"].as_str(), Some(key))?;
    }
    Ok(())
}
