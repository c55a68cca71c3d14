//! Many turns at once: few messages, every result, and no order where none is promised.

use std::collections::BTreeMap;

use callboard_proto::host::v1::{TurnRun, node_frame};
use serde_json::json;

use super::{
    Scenario,
    check::{Check, ensure, same},
    session::{Session, reply, run, turn},
    stage::Stage,
};

const ACTORS: u64 = 100;
const TURNS_OF_ACTOR: u64 = 10;
/// One message for every five results. A host that flushes once per event-loop tick needs far fewer.
const MESSAGES_MAX: usize = (ACTORS * TURNS_OF_ACTOR / 5) as usize;

pub(super) const SCENARIOS: &[Scenario] = super::scenarios!["batches":
    "1,000 turns of 100 actors come back in few messages, each actor in order" => thousand,
    "many messages with one turn each are answered as well" => single,
    "runs of the largest size are taken" => largest,
];

fn runs() -> Vec<TurnRun> {
    let ids = |actor: u64| (0..TURNS_OF_ACTOR).map(move |n| 1 + actor * TURNS_OF_ACTOR + n);
    (0..ACTORS)
        .map(|actor| {
            let turns = ids(actor).map(|id| turn(id, "add", &json!({"amount": 1})));
            run(&format!("actor-{actor}"), Some(&json!({"total": actor * 1000})), turns)
        })
        .collect()
}

/// Takes the results of everything in `runs()` and checks them.
async fn collect(session: &mut Session) -> Check {
    let mut done: BTreeMap<u64, u64> = BTreeMap::new();
    for _ in 0..ACTORS * TURNS_OF_ACTOR {
        let result = session.any_result().await?;
        let actor = (result.turn_id - 1) / TURNS_OF_ACTOR;
        let count = done.entry(actor).or_default();
        same("turns of one actor come in order", result.turn_id, 1 + actor * 10 + *count)?;
        *count += 1;
        same("the reply", reply(&result)?, json!({"total": actor * 1000 + *count}))?;
    }
    session.ping().await?;
    ensure(session.left_over().is_empty(), format!("too many frames: {:?}", session.left_over()))
}

async fn thousand(stage: Stage) -> Check {
    let mut host = stage.host().await?;
    let (hello, _) = host.session.handshake().await?;
    let session = &mut host.session;
    // The first turn of a process is slow in every runtime; it is not what is measured.
    session.works(5000).await?;
    let before = session.messages;
    let wave = (u64::from(hello.credits) / TURNS_OF_ACTOR).clamp(1, ACTORS) as usize;
    let all = runs();
    if wave == all.len() {
        session.send(all.into_iter().map(node_frame::Frame::Run)).await;
        collect(session).await?;
    } else {
        // The node keeps within the host's credits.
        for wave in all.chunks(wave) {
            session.send(wave.iter().cloned().map(node_frame::Frame::Run)).await;
            for turn in wave.iter().flat_map(|run| &run.turns) {
                session.result(turn.turn_id).await?;
            }
        }
    }
    let messages = session.messages - before;
    let text = format!("{messages} messages for 1,000 results; at most {MESSAGES_MAX} are right");
    ensure(messages <= MESSAGES_MAX, text)
}

async fn single(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    for id in 1..=200 {
        let state = json!({"total": id});
        session.run(run(&format!("k{id}"), Some(&state), [turn(id, "read", &json!({}))])).await;
    }
    for id in 1..=200 {
        let result = session.result(id).await?;
        same("the reply", reply(&result)?, json!({"total": id}))?;
    }
    Ok(())
}

async fn largest(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    let padding = "x".repeat(900 << 10);
    let mut turns: Vec<_> = (1..=64).map(|id| turn(id, "add", &json!({"amount": 1}))).collect();
    turns.push(turn(65, "add", &json!({"amount": 1, "padding": padding})));
    session.run(run("k", None, turns)).await;
    for id in 1..=65 {
        same("the reply", reply(&session.result(id).await?)?, json!({"total": id}))?;
    }
    Ok(())
}
