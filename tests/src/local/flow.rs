//! Actors that talk: a scripted host whose actions set other actors going.
//!
//! The argument says it all. `note` appends it to the state and replies with the state; `tell` notes `from..to` at another
//! actor, one effect per number; `pipe` and `forward` pass the call on; `deaf` is an action that only callers believe in.

use callboard_proto::{
    host::v1::{
        Effect, NextCall, Turn, TurnResult, Workflow, host_frame, node_frame, turn_result, workflow,
    },
    types::v1::{ActorId, Durability},
};

use super::{
    Definition, ScriptedHost,
    caller::{actor, json},
    host::{definition, state_of},
};

/// A type whose actors talk.
#[must_use]
pub fn talker(name: &str, durability: Durability) -> Definition {
    definition(name, durability, &["note", "tell", "pipe", "forward", "read?"])
}

/// An effect that notes something.
#[must_use]
pub fn note(target: ActorId, what: &str) -> Effect {
    Effect {
        target: Some(target),
        action: "note".to_owned(),
        payload: Some(json(what)),
        ..Effect::default()
    }
}

fn target(text: &str) -> (ActorId, String) {
    let parts: Vec<&str> = text.split('/').collect();
    let [actor_type, key, rest] = parts[..] else { panic!("expected TYPE/KEY/REST: {text}") };
    (actor(actor_type, key), rest.to_owned())
}

/// What an action does: (reply, state after it, workflow).
#[must_use]
pub fn act(turn: &Turn, state: Option<String>) -> (String, Option<String>, Option<Workflow>) {
    let argument = turn.payload.as_ref().map(|payload| payload.data.clone()).unwrap_or_default();
    let argument = String::from_utf8_lossy(&argument).into_owned();
    let before = state.unwrap_or_default();
    match turn.action.as_str() {
        "tell" => {
            let (target, rest) = target(&argument);
            let effects = match rest.split_once("..") {
                Some((from, to)) => {
                    let number = |text: &str| text.parse::<u64>().expect("a number");
                    let numbers = number(from)..number(to);
                    numbers.map(|number| note(target.clone(), &number.to_string())).collect()
                }
                None => {
                    let (delay, action) = rest.split_once('+').unwrap_or(("0", &rest));
                    let delay_ms = delay.parse().expect("milliseconds");
                    vec![Effect { action: action.to_owned(), delay_ms, ..note(target, "told") }]
                }
            };
            let flow = Workflow { effects, ..Workflow::default() };
            ("told".to_owned(), Some(format!("{before}told,")), Some(flow))
        }
        "pipe" | "forward" => {
            // The path: the stations to come, each as TYPE/KEY/ACTION.
            let (next, rest) = argument.split_once(' ').unwrap_or((&argument, "end"));
            let (target, action) = target(next);
            let next = NextCall { target: Some(target), action };
            let next = match turn.action.as_str() {
                "pipe" => workflow::Next::Pipe(next),
                _ => workflow::Next::Forward(next),
            };
            let flow = Workflow { next: Some(next), ..Workflow::default() };
            (rest.to_owned(), Some(format!("{before}passed,")), Some(flow))
        }
        "read" => (before, None, None),
        _ => {
            let state = format!("{before}{argument},");
            (state.clone(), Some(state), None)
        }
    }
}

/// Lets [`act`] answer every turn until the session ends.
pub fn talk(mut host: ScriptedHost) {
    tokio::spawn(async move {
        while let Some(frame) = host.next().await {
            let node_frame::Frame::Run(run) = frame else { continue };
            let mut state = state_of(&run);
            let mut results = Vec::new();
            for turn in &run.turns {
                let (reply, next, flow) = act(turn, state.clone());
                results.push(flow_result(turn.turn_id, &reply, next.as_deref(), flow));
                state = next.or(state);
            }
            host.send(results).await;
        }
    });
}

/// A result that sets something going.
#[must_use]
pub fn flow_result(
    turn_id: u64,
    reply: &str,
    state: Option<&str>,
    workflow: Option<Workflow>,
) -> host_frame::Frame {
    host_frame::Frame::Result(TurnResult {
        turn_id,
        outcome: Some(turn_result::Outcome::Reply(json(reply))),
        state: state.map(json),
        tags: None,
        workflow,
    })
}
