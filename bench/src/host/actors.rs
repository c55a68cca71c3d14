//! The bench's actors: a volatile one, a durable one, and a durable one that hears a channel, each a counter in 100 bytes.

use std::hash::{DefaultHasher, Hash, Hasher};

use callboard_proto::{
    host::v1::{
        Effect, NextCall, Turn, TurnResult, TurnRun, Workflow, turn_result::Outcome,
        turn_run::State, workflow::Next,
    },
    types::v1::{
        ActionDefinition, ActorId, ActorTypeDefinition, ChannelSubscription, Deliver, Durability,
        Kind, Payload,
    },
};

use crate::{
    host::{tally, unknown},
    payload,
};

/// The type whose state lives as long as its activation.
pub(crate) const VOLATILE: &str = "BenchVolatile";

/// The type whose every reply is committed.
pub(crate) const DURABLE: &str = "BenchDurable";

/// A durable type whose every actor hears [`CHANNEL`].
pub(crate) const SUBSCRIBER: &str = "BenchSubscriber";

/// The channel of [`SUBSCRIBER`].
pub(crate) const CHANNEL: &str = "bench";

/// Answers the argument, touches no state.
pub(crate) const ECHO: &str = "Echo";

/// Adds one to the counter, answers the state.
pub(crate) const ADD: &str = "Add";

/// Answers the state, and is read-only.
pub(crate) const PEEK: &str = "Peek";

/// Adds one to the counter and to the host's tally.
pub(crate) const COUNT: &str = "Count";

/// Answers the host's tally, whichever actor is asked.
pub(crate) const TALLY: &str = "Tally";

/// Adds one to the counter, and has another durable actor [`COUNT`].
pub(crate) const TELL: &str = "Tell";

/// The first of three steps, each an [`ADD`] of another durable actor. The last one answers.
pub(crate) const PIPE: &str = "Pipe";

/// The second step.
pub(crate) const PIPE_ON: &str = "PipeOn";

/// Actors that may be told something, or stand at a step of a pipe.
const OTHERS: u64 = 1_000;

/// Where the keys of those who are told, or stand at the second and third step, begin. They differ, so that no chain
/// meets itself.
const OTHERS_START: [u64; 2] = [1_000_000, 2_000_000];

/// Mailbox of one actor. A generator may put everything that it has in flight on one key.
const MAILBOX_LIMIT: u32 = 8_192;

/// What the host registers.
pub(crate) fn definitions(idle_timeout_ms: u64) -> Vec<ActorTypeDefinition> {
    let action = |name: &str, read_only| ActionDefinition {
        name: name.into(),
        read_only,
        ..Default::default()
    };
    let definition = |name: &str, durability| ActorTypeDefinition {
        name: name.into(),
        kind: Kind::Unnamed as i32,
        durability: durability as i32,
        actions: [(ECHO, false), (ADD, false), (PEEK, true), (COUNT, false), (TALLY, true)]
            .into_iter()
            .chain([(TELL, false), (PIPE, false), (PIPE_ON, false)])
            .map(|(name, read_only)| action(name, read_only))
            .collect(),
        idle_timeout_ms,
        mailbox_limit: MAILBOX_LIMIT,
        ..Default::default()
    };
    let hears = ChannelSubscription {
        channel: CHANNEL.into(),
        action: COUNT.into(),
        deliver: Deliver::Every as i32,
    };
    vec![
        definition(VOLATILE, Durability::Volatile),
        definition(DURABLE, Durability::Durable),
        ActorTypeDefinition {
            subscriptions: vec![hears],
            ..definition(SUBSCRIBER, Durability::Durable)
        },
    ]
}

/// Runs the turns of a run in order, each on the state that the previous one left.
pub(crate) fn run(run: TurnRun, mut result: impl FnMut(TurnResult)) {
    let mut state = match run.state {
        Some(State::StateFull(state)) => Some(state),
        // The host keeps no state, so the node never names one.
        Some(State::StateToken(_)) | None => None,
    };
    for turn in run.turns {
        let ended = run_turn(turn, state.as_ref());
        if let Some(changed) = &ended.state {
            state = Some(changed.clone());
        }
        result(ended);
    }
}

fn run_turn(turn: Turn, state: Option<&Payload>) -> TurnResult {
    let mut result = TurnResult { turn_id: turn.turn_id, ..Default::default() };
    let outcome = match turn.action.as_str() {
        ECHO => Outcome::Reply(turn.payload.unwrap_or_default()),
        ADD | COUNT | TELL | PIPE | PIPE_ON => {
            let next = payload::counter(state.map_or(0, payload::read_counter) + 1);
            result.state = Some(next.clone());
            result.workflow = workflow(&turn, &next);
            if turn.action == COUNT {
                tally::count();
            }
            Outcome::Reply(next)
        }
        PEEK => Outcome::Reply(state.cloned().unwrap_or_default()),
        TALLY => Outcome::Reply(tally::reply()),
        other => Outcome::Error(unknown(format!("The bench has no action {other:?}."))),
    };
    result.outcome = Some(outcome);
    result
}

/// What a turn sets going.
fn workflow(turn: &Turn, reply: &Payload) -> Option<Workflow> {
    let pipe = |start, action: &str| Workflow {
        next: Some(Next::Pipe(NextCall {
            target: Some(other(turn, start)),
            action: action.into(),
        })),
        ..Default::default()
    };
    match turn.action.as_str() {
        TELL => {
            let effect = Effect {
                target: Some(other(turn, OTHERS_START[0])),
                action: COUNT.into(),
                payload: Some(reply.clone()),
                ..Default::default()
            };
            Some(Workflow { effects: vec![effect], ..Default::default() })
        }
        PIPE => Some(pipe(OTHERS_START[0], PIPE_ON)),
        PIPE_ON => Some(pipe(OTHERS_START[1], ADD)),
        _ => None,
    }
}

/// Another durable actor, by the call's id, so that a turn that is run again means the same one.
fn other(turn: &Turn, start: u64) -> ActorId {
    let mut hasher = DefaultHasher::new();
    turn.request_id.hash(&mut hasher);
    ActorId {
        system: String::new(),
        r#type: DURABLE.into(),
        key: payload::key(start + hasher.finish() % OTHERS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(turn_id: u64, action: &str) -> Turn {
        Turn { turn_id, action: action.into(), ..Default::default() }
    }

    fn reply(result: &TurnResult) -> u64 {
        match &result.outcome {
            Some(Outcome::Reply(reply)) => payload::read_counter(reply),
            other => panic!("not a reply: {other:?}"),
        }
    }

    #[test]
    fn turns_of_a_run_build_on_each_other_and_an_unknown_action_changes_nothing() {
        let mut results = Vec::new();
        run(
            TurnRun {
                state: Some(State::StateFull(payload::counter(41))),
                turns: vec![turn(1, ADD), turn(2, "Nothing"), turn(3, ADD), turn(4, PEEK)],
                ..Default::default()
            },
            |result| results.push(result),
        );
        assert_eq!(reply(&results[0]), 42);
        assert!(matches!(results[1].outcome, Some(Outcome::Error(_))));
        assert!(results[1].state.is_none());
        assert_eq!(reply(&results[2]), 43);
        assert_eq!(reply(&results[3]), 43);
        assert!(results[3].state.is_none());
    }
    #[test]
    fn a_turn_that_is_run_again_tells_the_same_actor() {
        let told = |turn_id| {
            let mut results = Vec::new();
            let tell = Turn { request_id: "one".into(), ..turn(turn_id, TELL) };
            run(TurnRun { turns: vec![tell], ..Default::default() }, |result| results.push(result));
            let workflow = results.remove(0).workflow.expect("it tells");
            workflow.effects[0].target.clone().expect("it has a target")
        };
        assert_eq!(told(1), told(2));
    }
}
