//! What a turn's workflow becomes once the turn has settled: rows to come, and a link for whoever waits.

use callboard_types::{ActorId, CallError, Durability, ErrorKind, Millis, limits};

use super::Env;
use crate::{
    activation::workflow::{NextCall, Workflow},
    call::{Call, Hop, Link, Payload, drawn_at},
    deliveries::{BroadcastItem, CallItem, Item, Output},
};

/// What a settled turn sets going.
#[derive(Debug, Default)]
pub(super) struct Planned {
    /// In the order in which they take effect.
    pub(super) outputs: Vec<Output>,
    /// Who answers in the actor's place.
    pub(super) link: Option<Box<Link>>,
    /// Save a snapshot actor with this turn.
    pub(super) checkpoint: bool,
    /// Let the actor go once nothing waits for it.
    pub(super) deactivate: bool,
}

/// Puts a turn's workflow in order.
///
/// # Errors
/// What is wrong with the next call: a cycle, or too many stations. The turn fails with it. `MailboxFull` if as much waits
/// to be delivered from memory as may.
pub(super) fn plan(
    env: Env<'_>,
    call: &Call,
    reply: &Payload,
    flow: Workflow,
) -> Result<Planned, CallError> {
    let outputs = flow.effects.len() + flow.broadcasts.len() + usize::from(flow.next.is_some());
    // What a durable actor sets going waits in rows, not in memory.
    let in_memory = env.definition.durability != Durability::Durable;
    if outputs > 0 && in_memory && env.outbox_full {
        return Err(CallError::new(
            ErrorKind::MailboxFull,
            "as much waits to be delivered from this node's memory as it may hold; the turn was discarded. Retry later",
        )
        .retry_after(100));
    }
    let mut planned = Planned {
        outputs: Vec::with_capacity(outputs),
        link: None,
        checkpoint: flow.checkpoint,
        deactivate: flow.deactivate,
    };
    for effect in flow.effects {
        let due_at = match effect.due_at {
            Millis(0) if effect.delay_ms == 0 => Millis(0),
            Millis(0) => env.latest.plus(i64::try_from(effect.delay_ms).unwrap_or(i64::MAX)),
            given if given <= env.wall => Millis(0),
            given => given,
        };
        let item = Item::Call(Box::new(CallItem {
            target: in_system(env, effect.target),
            action: effect.action,
            argument: effect.argument,
            created_at: drawn_or_now(env, &effect.request_id),
            request_id: effect.request_id,
            metadata: effect.metadata,
            hops: Vec::new(),
            chain: Vec::new(),
        }));
        planned.outputs.push(Output { due_at, item });
    }
    for said in flow.broadcasts {
        let item = Item::Broadcast(Box::new(BroadcastItem {
            channel: said.channel,
            payload: said.payload,
            created_at: drawn_or_now(env, &said.id),
            id: said.id,
            metadata: said.metadata,
        }));
        planned.outputs.push(Output { due_at: Millis(0), item });
    }
    if let Some(next) = flow.next {
        let item = next_item(env, call, reply, next)?;
        let (actor, request_id) = (item.target.clone(), item.request_id.clone());
        planned.link = Some(Box::new(Link { actor, request_id }));
        let item = Item::Call(Box::new(item));
        planned.outputs.push(Output { due_at: Millis(0), item });
    }
    Ok(planned)
}

/// The next call of a chain. Its caller is this actor, its metadata the turn's.
fn next_item(
    env: Env<'_>,
    call: &Call,
    reply: &Payload,
    next: NextCall,
) -> Result<CallItem, CallError> {
    let target = in_system(env, next.target);
    let mut hops = call.hops.as_deref().cloned().unwrap_or_default();
    hops.push(Hop { actor: own(env), action: call.action.clone() });
    let waits = call.lineage.as_ref().map(|lineage| lineage.chain.as_slice()).unwrap_or_default();
    let passed = hops.iter().any(|hop| hop.actor == target && hop.action == next.action);
    if passed || waits.contains(&target) {
        return Err(CallError::new(
            ErrorKind::CallCycle,
            format!(
                "the chain came through action {} of actor {target} already, or that actor waits for its end; it would \
                 never end. The turn was discarded",
                next.action
            ),
        ));
    }
    if hops.len() > limits::HOPS_MAX {
        let text = "the chain of pipes and forwards has as many stations as it may; the turn was discarded";
        return Err(CallError::new(ErrorKind::ChainTooLong, text).with("limit", limits::HOPS_MAX));
    }
    Ok(CallItem {
        target,
        action: next.action,
        argument: if next.forwards { call.argument.clone() } else { reply.clone() },
        created_at: drawn_or_now(env, &next.request_id),
        request_id: next.request_id,
        metadata: call.metadata.clone(),
        hops,
        chain: waits.to_vec(),
    })
}

fn own(env: Env<'_>) -> ActorId {
    ActorId {
        system: env.system.into(),
        actor_type: env.definition.name.as_str().into(),
        key: env.key.into(),
    }
}

fn in_system(env: Env<'_>, mut target: ActorId) -> ActorId {
    if target.system.is_empty() {
        target.system = env.system.into();
    }
    target
}

fn drawn_or_now(env: Env<'_>, id: &str) -> Millis {
    match drawn_at(id) {
        Millis(0) => env.wall,
        drawn => drawn,
    }
}
