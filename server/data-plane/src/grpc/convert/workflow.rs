//! The workflow of a host's answer: checked, and with its request ids drawn.

use callboard_proto::{
    host::v1::{self as pb_host, workflow::Next},
    types::v1 as pb,
};
use callboard_types::{ActorId, CallError, ErrorKind, Millis, limits, settings::check_channel};

use super::{check_metadata, check_size, payload_from_proto, system_or_default};
use crate::{
    activation::workflow::{NextCall, Said, SideEffect, Workflow},
    call::draw_id,
};

/// The workflow of a turn; `None` if it sets nothing going.
///
/// # Errors
/// `InvalidHostAnswer` with the rule that it breaks. The turn fails with it.
pub(super) fn workflow(
    from: pb_host::Workflow,
    now: Millis,
) -> Option<Result<Box<Workflow>, CallError>> {
    let empty = from.effects.is_empty() && from.broadcasts.is_empty() && from.next.is_none();
    if empty && !from.checkpoint && !from.deactivate {
        return None;
    }
    Some(checked(from, now).map(Box::new).map_err(|broken| {
        let text = format!(
            "what the turn sets going breaks a rule ({}); the turn was discarded and nothing was applied",
            broken.message
        );
        CallError { kind: ErrorKind::InvalidHostAnswer, message: text, ..broken }
    }))
}

fn checked(from: pb_host::Workflow, now: Millis) -> Result<Workflow, CallError> {
    if from.effects.len() + from.broadcasts.len() > limits::TURN_OUTPUTS_MAX {
        let error = CallError::new(ErrorKind::InvalidHostAnswer, "too many effects and broadcasts");
        return Err(error.with("limit", limits::TURN_OUTPUTS_MAX));
    }
    let next = match from.next {
        None => None,
        Some(Next::Pipe(next)) => Some(next_call(next, false, now)?),
        Some(Next::Forward(next)) => Some(next_call(next, true, now)?),
    };
    Ok(Workflow {
        effects: from
            .effects
            .into_iter()
            .map(|from| effect(from, now))
            .collect::<Result<_, _>>()?,
        broadcasts: from
            .broadcasts
            .into_iter()
            .map(|from| said(from, now))
            .collect::<Result<_, _>>()?,
        next,
        checkpoint: from.checkpoint,
        deactivate: from.deactivate,
    })
}

fn effect(from: pb_host::Effect, now: Millis) -> Result<SideEffect, CallError> {
    if from.delay_ms > 0 && from.due_at_ms != 0 {
        return Err(wrong("an effect has a delay or a due time, not both"));
    }
    let delay_ms = i64::try_from(from.delay_ms).ok().filter(|delay| *delay <= DELAY_MAX_MS);
    if delay_ms.is_none() || !(0..=DUE_MAX_MS).contains(&from.due_at_ms) {
        return Err(wrong("an effect's delay or due time is out of range"));
    }
    check_action(&from.action)?;
    check_size(from.payload.as_ref().map_or(0, |payload| payload.data.len()))?;
    check_metadata(&from.metadata)?;
    Ok(SideEffect {
        target: target(from.target)?,
        action: from.action,
        argument: payload_from_proto(from.payload),
        delay_ms: from.delay_ms,
        due_at: Millis(from.due_at_ms),
        metadata: from.metadata,
        request_id: draw_id(now),
    })
}

/// Longest delay: a hundred years.
const DELAY_MAX_MS: i64 = 100 * 366 * 24 * 3_600 * 1_000;
/// Latest due time: the end of the year 9999.
const DUE_MAX_MS: i64 = 253_402_300_799_999;

fn said(from: pb_host::Broadcast, now: Millis) -> Result<Said, CallError> {
    check_channel(&from.channel)?;
    check_size(from.payload.as_ref().map_or(0, |payload| payload.data.len()))?;
    check_metadata(&from.metadata)?;
    Ok(Said {
        channel: from.channel,
        payload: payload_from_proto(from.payload),
        metadata: from.metadata,
        id: draw_id(now),
    })
}

fn next_call(from: pb_host::NextCall, forwards: bool, now: Millis) -> Result<NextCall, CallError> {
    check_action(&from.action)?;
    let target = target(from.target)?;
    Ok(NextCall { target, action: from.action, forwards, request_id: draw_id(now) })
}

/// The actor that is named; one without a system stays without, because the turn's actor is known elsewhere.
fn target(from: Option<pb::ActorId>) -> Result<ActorId, CallError> {
    let from = from.ok_or_else(|| wrong("an output names no actor"))?;
    let own_system = from.system.is_empty();
    let key = if from.key.is_empty() { &from.r#type } else { &from.key };
    let mut target = ActorId::parse(system_or_default(&from.system), &from.r#type, key)?;
    if own_system {
        target.system = "".into();
    }
    Ok(target)
}

/// Checks the name of an action that a user calls.
///
/// # Errors
/// `InvalidArgument`: too long, empty or with control characters, or one of Callboard's own.
pub fn check_action(action: &str) -> Result<(), CallError> {
    let fits = (1..=limits::ACTION_BYTES_MAX).contains(&action.len());
    if !fits || action.chars().any(char::is_control) {
        return Err(wrong("an action's name has 1 to 128 bytes and no control characters"));
    }
    check_not_internal(action)
}

/// Refuses the names of Callboard's own actions.
///
/// # Errors
/// `InvalidArgument`.
pub fn check_not_internal(action: &str) -> Result<(), CallError> {
    if action.starts_with('$') {
        let text = "actions whose names begin with `$` are Callboard's own; the call was not run";
        return Err(wrong(text));
    }
    Ok(())
}

fn wrong(text: &str) -> CallError {
    CallError::new(ErrorKind::InvalidArgument, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_790_000_000_123);

    fn effect_to(actor_type: &str, action: &str) -> pb_host::Effect {
        let target =
            pb::ActorId { r#type: actor_type.into(), key: "a".into(), ..Default::default() };
        pb_host::Effect { target: Some(target), action: action.into(), ..Default::default() }
    }

    fn said_so(from: pb_host::Workflow) -> Result<Box<Workflow>, CallError> {
        workflow(from, NOW).expect("it sets something going")
    }

    #[test]
    fn an_output_that_breaks_a_rule_makes_the_whole_answer_invalid() {
        let effect = || effect_to("Counter", "add");
        let broken = [
            pb_host::Effect { target: None, ..effect() },
            pb_host::Effect { delay_ms: 5, due_at_ms: 5, ..effect() },
            pb_host::Effect { due_at_ms: -1, ..effect() },
            effect_to("Counter", ""),
            effect_to("Counter", "$delete"),
            effect_to("no good\0name", "add"),
        ];
        for bad in broken {
            let effects = vec![effect(), bad.clone()];
            let error = said_so(pb_host::Workflow { effects, ..Default::default() });
            assert_eq!(error.expect_err("refused").kind, ErrorKind::InvalidHostAnswer, "{bad:?}");
        }
        let many = vec![effect(); limits::TURN_OUTPUTS_MAX + 1];
        let error = said_so(pb_host::Workflow { effects: many, ..Default::default() });
        assert_eq!(error.expect_err("too many").metadata["limit"], "1024");
        let channel = pb_host::Broadcast { channel: String::new(), ..Default::default() };
        let said = pb_host::Workflow { broadcasts: vec![channel], ..Default::default() };
        assert!(said_so(said).is_err());
    }

    #[test]
    fn every_output_has_an_id_of_its_own() {
        let effects = vec![effect_to("Counter", "add"); 3];
        let flow = said_so(pb_host::Workflow { effects, ..Default::default() }).expect("fits");
        let ids: std::collections::BTreeSet<_> =
            flow.effects.iter().map(|effect| effect.request_id.as_str()).collect();
        assert_eq!(ids.len(), 3);
        assert!(flow.effects[0].target.system.is_empty(), "the actor's own, whatever that is");
        assert_eq!(crate::call::drawn_at(&flow.effects[0].request_id), NOW);
    }

    #[test]
    fn a_turn_that_sets_nothing_going_has_no_workflow() {
        assert!(workflow(pb_host::Workflow::default(), NOW).is_none());
    }
}
