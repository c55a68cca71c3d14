//! Calls and their ends as peers exchange them.

use std::sync::Arc;

use callboard_proto::{
    peer::v1::{
        self as pb_peer, ForwardedCall, ForwardedReply, Redirect, forwarded_reply::Outcome as Ended,
    },
    types::v1 as pb,
};
use callboard_transport::status;
use callboard_types::{ActorId, CallError, ErrorKind, Millis, Tick, limits};

use super::Parcel;
use crate::{
    activation::operate::Tool,
    call::{Call, Hop, Lineage, Link, Outcome, Reply, ReplyTo},
    grpc::convert,
};

/// Most redirects that a call may have behind it.
pub(crate) const REDIRECTS_MAX: u32 = 2;
/// Longest request id between nodes, in bytes: those of calls made inside turns grow with their chain.
const REQUEST_ID_BYTES_MAX: usize = limits::REQUEST_ID_BYTES_MAX + 32 * limits::CHAIN_MAX;

/// A call for its owner. Payloads are shared, not copied.
pub(super) fn call(parcel: &Parcel, forward_id: u64, now: Tick, version: u64) -> ForwardedCall {
    let routed = &parcel.routed;
    let (call, view) = (&routed.call, &routed.actor_type.view);
    let timeout_ms = call.deadline.millis_after(now).clamp(1, limits::CALL_TIMEOUT_MAX_MS);
    let lineage = call.lineage.as_ref();
    ForwardedCall {
        forward_id,
        actor: Some(pb::ActorId {
            system: view.system.to_string(),
            r#type: view.name.to_string(),
            key: routed.key.clone(),
        }),
        action: call.action.clone(),
        payload: convert::payload_to_proto(call.argument.clone()),
        request_id: call.request_id.clone(),
        created_at_ms: call.created_at.0,
        timeout_ms: u32::try_from(timeout_ms).unwrap_or(u32::MAX),
        metadata: call.metadata.clone(),
        caller: lineage.and_then(|l| l.caller.as_ref()).map(convert::actor_id_to_proto),
        chain: lineage
            .map(|l| l.chain.iter().map(convert::actor_id_to_proto).collect())
            .unwrap_or_default(),
        r#async: call.asynchronous,
        view_version: version,
        epoch: view.shards.get(routed.shard as usize).map_or(0, |owner| owner.epoch.0),
        descriptor_hash: if call.from_json {
            view.descriptor_hash.to_string()
        } else {
            String::new()
        },
        redirects: parcel.returns.min(REDIRECTS_MAX),
        activates_only: call.activates_only,
        delivery: call.delivery,
        hops: call.hops.iter().flat_map(|hops| hops.iter()).map(hop_to_proto).collect(),
    }
}

fn hop_to_proto(hop: &Hop) -> pb_peer::Hop {
    pb_peer::Hop { actor: Some(convert::actor_id_to_proto(&hop.actor)), action: hop.action.clone() }
}

/// About how many bytes a call takes in a message, never much less than it does.
pub(super) fn size(call: &ForwardedCall) -> usize {
    let metadata: usize = call.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    let chain: usize = call.chain.iter().map(|id| id.key.len() + 300).sum();
    let payload = call.payload.as_ref().map_or(0, |payload| payload.data.len());
    let hops: usize = call.hops.iter().map(|hop| hop.action.len() + 800).sum();
    500 + call.request_id.len() + metadata + chain + hops + payload
}

/// A call from a peer, without its address.
///
/// # Errors
/// What breaks a limit or a naming rule.
pub(crate) fn from_wire(call: ForwardedCall, now: Tick) -> Result<Call, CallError> {
    let argument = convert::payload_from_proto(call.payload);
    // What is restored is a state, and was taken by its size when it was one.
    if Tool::named(&call.action) != Some(Tool::Restore) {
        convert::check_size(argument.data.len())?;
    }
    convert::check_metadata(&call.metadata)?;
    let invalid = |what: &str| CallError::new(ErrorKind::InvalidArgument, what);
    if call.request_id.len() > REQUEST_ID_BYTES_MAX {
        return Err(invalid("the request id of the forwarded call is too long; it was not run"));
    }
    if call.chain.len() > limits::CHAIN_MAX {
        let error = CallError::new(ErrorKind::CallCycle, "the chain of calls is too long");
        return Err(error.with("limit", limits::CHAIN_MAX));
    }
    if call.hops.len() > limits::HOPS_MAX {
        let error = CallError::new(ErrorKind::ChainTooLong, "the chain of pipes is too long");
        return Err(error.with("limit", limits::HOPS_MAX));
    }
    let name = |id: pb::ActorId| ActorId::parse(&id.system, &id.r#type, &id.key);
    let caller = call.caller.map(name).transpose()?;
    let chain = call.chain.into_iter().map(name).collect::<Result<Vec<_>, _>>()?;
    let hop = |hop: pb_peer::Hop| {
        Ok(Hop { actor: name(hop.actor.unwrap_or_default())?, action: hop.action })
    };
    let hops = call.hops.into_iter().map(hop).collect::<Result<Vec<_>, CallError>>()?;
    let inside = caller.is_some() || !chain.is_empty();
    let timeout_ms = u64::from(call.timeout_ms).min(limits::CALL_TIMEOUT_MAX_MS);
    Ok(Call {
        action: call.action,
        argument,
        request_id: call.request_id,
        created_at: Millis(call.created_at_ms),
        deadline: if call.delivery { Tick::NEVER } else { now.plus_millis(timeout_ms) },
        metadata: call.metadata,
        lineage: inside.then(|| Box::new(Lineage { caller, chain })),
        asynchronous: call.r#async,
        activates_only: call.activates_only,
        from_json: !call.descriptor_hash.is_empty(),
        begun: false,
        delivery: call.delivery,
        hops: (!hops.is_empty()).then(|| Box::new(hops)),
        seat: None,
        reply_to: ReplyTo::Nobody,
    })
}

/// The end of a call for the peer that waits for it. `redirect` says where the shard is if it is not here.
pub(crate) fn reply(
    forward_id: u64,
    outcome: Outcome,
    redirect: impl FnOnce() -> Option<Redirect>,
) -> ForwardedReply {
    let (outcome, revision, durable, next) = match outcome {
        Ok(Reply { payload, revision, durable, next }) => {
            let payload = convert::payload_to_proto(payload).unwrap_or_default();
            (Ended::Reply(payload), revision.0, durable, next.map(link_to_proto))
        }
        Err(error) => {
            let redirect = (error.kind == ErrorKind::NotOwner).then(redirect).flatten();
            let error = || Ended::Error(convert::error_to_proto(&error));
            (redirect.map_or_else(error, Ended::Redirect), 0, false, None)
        }
    };
    ForwardedReply { forward_id, outcome: Some(outcome), revision, durable, next }
}

#[expect(clippy::boxed_local, reason = "it is boxed where it comes from")]
fn link_to_proto(link: Box<Link>) -> pb_peer::Link {
    let actor = Some(convert::actor_id_to_proto(&link.actor));
    pb_peer::Link { actor, request_id: link.request_id }
}

fn link_from_proto(link: pb_peer::Link) -> Result<Box<Link>, CallError> {
    let id = link.actor.unwrap_or_default();
    let actor = ActorId::parse(&id.system, &id.r#type, &id.key)?;
    Ok(Box::new(Link { actor, request_id: link.request_id }))
}

/// How a call ended at its owner; `None` if the peer does not own the shard.
pub(super) fn outcome(reply: ForwardedReply) -> Option<Outcome> {
    match reply.outcome {
        Some(Ended::Reply(payload)) => {
            Some(reply.next.map(link_from_proto).transpose().map(|next| Reply {
                payload: convert::payload_from_proto(Some(payload)),
                revision: callboard_types::Revision(reply.revision),
                durable: reply.durable,
                next,
            }))
        }
        Some(Ended::Error(error)) => Some(Err(status::from_proto(error))),
        Some(Ended::Redirect(_)) => None,
        None => Some(Err(CallError::new(
            ErrorKind::OutcomeUnknown,
            "the actor's node answered without an outcome; the call may have been applied. Retry it \
             with the same request id",
        ))),
    }
}

/// The shard as this node's newest catalog sees it.
pub(crate) fn redirect(
    catalog: &crate::catalog::Catalog,
    actor_type: &Arc<crate::catalog::TypeRuntime>,
    shard: u32,
) -> Redirect {
    let view = catalog.type_of(&actor_type.view.system, &actor_type.view.name);
    let owner = view.unwrap_or(actor_type).view.shards.get(shard as usize).copied();
    let owner = owner.unwrap_or_default();
    let node = if owner.is_moving() { 0 } else { owner.node.0 };
    Redirect { node_id: node, epoch: owner.epoch.0, view_version: catalog.view.version }
}
