//! The bench's actors: a volatile one and a durable one, both a counter in 100 bytes.

use callboard_proto::{
    host::v1::{Turn, TurnResult, TurnRun, turn_result::Outcome, turn_run::State},
    types::v1::{ActionDefinition, ActorTypeDefinition, Durability, Kind, Payload},
};

use crate::{host::unknown, payload};

/// The type whose state lives as long as its activation.
pub(crate) const VOLATILE: &str = "BenchVolatile";

/// The type whose every reply is committed.
pub(crate) const DURABLE: &str = "BenchDurable";

/// Answers the argument, touches no state.
pub(crate) const ECHO: &str = "Echo";

/// Adds one to the counter, answers the state.
pub(crate) const ADD: &str = "Add";

/// Answers the state, and is read-only.
pub(crate) const PEEK: &str = "Peek";

/// Mailbox of one actor. A generator may put everything that it has in flight on one key.
const MAILBOX_LIMIT: u32 = 8_192;

/// What the host registers.
pub(crate) fn definitions(idle_timeout_ms: u64) -> Vec<ActorTypeDefinition> {
    let action = |name: &str, read_only| ActionDefinition {
        name: name.into(),
        read_only,
        ..Default::default()
    };
    [(VOLATILE, Durability::Volatile), (DURABLE, Durability::Durable)]
        .into_iter()
        .map(|(name, durability)| ActorTypeDefinition {
            name: name.into(),
            kind: Kind::Unnamed as i32,
            durability: durability as i32,
            actions: vec![action(ECHO, false), action(ADD, false), action(PEEK, true)],
            idle_timeout_ms,
            mailbox_limit: MAILBOX_LIMIT,
            ..Default::default()
        })
        .collect()
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
        ADD => {
            let next = payload::counter(state.map_or(0, payload::read_counter) + 1);
            result.state = Some(next.clone());
            Outcome::Reply(next)
        }
        PEEK => Outcome::Reply(state.cloned().unwrap_or_default()),
        other => Outcome::Error(unknown(format!("The bench has no action {other:?}."))),
    };
    result.outcome = Some(outcome);
    result
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
}
