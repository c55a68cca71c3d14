//! Between protocol messages and this plane's own types. Nothing else in the plane looks into a message.

mod workflow;

use std::collections::HashMap;

use bytes::Bytes;
use callboard_proto::{
    host::v1::{TurnCall, TurnResult, turn_result},
    types::v1 as pb,
};
use callboard_statestore::StateBlob;
use callboard_transport::status;
use callboard_types::{
    Action, ActorId, CallError, Durability, ErrorKind, Kind, Millis, TypeDefinition, TypeSettings,
    limits,
    settings::{Deliver, History, Pool, RECEIVE_ACTION, Subscription, Timer},
};

use crate::{
    activation::machine::TurnEnd,
    call::{Metadata, Payload},
    worker::SessionCall,
};

pub use workflow::{check_action, check_not_internal};

/// The system that an empty name stands for.
pub const DEFAULT_SYSTEM: &str = "default";

/// `name`, or the default system if it is empty.
#[must_use]
pub fn system_or_default(name: &str) -> &str {
    if name.is_empty() { DEFAULT_SYSTEM } else { name }
}

/// A payload for the wire; `None` if there is no value.
#[must_use]
pub fn payload_to_proto(payload: Payload) -> Option<pb::Payload> {
    (!payload.content_type.is_empty()).then_some(pb::Payload {
        content_type: payload.content_type,
        type_url: payload.type_url,
        data: payload.data,
    })
}

/// A payload from the wire.
#[must_use]
pub fn payload_from_proto(payload: Option<pb::Payload>) -> Payload {
    payload.map_or_else(Payload::default, |payload| Payload {
        content_type: payload.content_type,
        type_url: payload.type_url,
        data: payload.data,
    })
}

/// A state for the wire.
#[must_use]
pub fn state_to_proto(state: &StateBlob) -> pb::Payload {
    pb::Payload {
        content_type: state.content_type.clone(),
        type_url: state.type_url.clone(),
        data: state.data.clone(),
    }
}

/// An actor's name for the wire.
#[must_use]
pub fn actor_id_to_proto(id: &ActorId) -> pb::ActorId {
    pb::ActorId {
        system: id.system.to_string(),
        r#type: id.actor_type.to_string(),
        key: id.key.to_string(),
    }
}

/// An error for the wire.
#[must_use]
pub fn error_to_proto(error: &CallError) -> pb::CallError {
    status::to_proto(error)
}

/// Tags as rows hold them.
#[must_use]
pub fn tags_to_proto(tags: &Bytes) -> HashMap<String, String> {
    if tags.is_empty() {
        return HashMap::new();
    }
    let pairs: Vec<(String, String)> = postcard::from_bytes(tags).unwrap_or_default();
    pairs.into_iter().collect()
}

fn tags_from_proto(tags: HashMap<String, String>) -> Bytes {
    if tags.is_empty() {
        return Bytes::new();
    }
    let mut pairs: Vec<(String, String)> = tags.into_iter().collect();
    pairs.sort();
    postcard::to_stdvec(&pairs).expect("plain data always encodes").into()
}

/// A host's answer to a turn. An answer without an outcome breaks the protocol, and fails the turn. What it sets going gets
/// ids that were drawn now.
#[must_use]
pub fn turn_end(result: TurnResult, now: Millis) -> TurnEnd {
    let outcome = match result.outcome {
        Some(turn_result::Outcome::Reply(payload)) => Some(Ok(payload_from_proto(Some(payload)))),
        Some(turn_result::Outcome::Error(error)) => {
            Some(Err(status::from_proto(pb::CallError { from_actor: true, ..error })))
        }
        Some(turn_result::Outcome::Cancelled(_)) => None,
        None => Some(Err(CallError::new(
            ErrorKind::InvalidHostAnswer,
            "the host answered the turn without an outcome; nothing was applied. Update its SDK",
        ))),
    };
    TurnEnd {
        outcome,
        state: result.state.map(|state| StateBlob {
            content_type: state.content_type,
            type_url: state.type_url,
            // A slice of its message would keep the whole message in memory for as long as the actor lives.
            data: Bytes::copy_from_slice(&state.data),
        }),
        tags: result.tags.map(|tags| tags_from_proto(tags.values)),
        workflow: result.workflow.and_then(|from| workflow::workflow(from, now)),
    }
}

/// A call that a turn makes. A target without a system stays without: the worker knows the calling actor's.
///
/// # Errors
/// What is wrong with its target or its argument.
pub fn session_call(call: TurnCall) -> Result<SessionCall, CallError> {
    let target = call.target.unwrap_or_default();
    let own_system = target.system.is_empty();
    let key = if target.key.is_empty() { &target.r#type } else { &target.key };
    let mut target = ActorId::parse(system_or_default(&target.system), &target.r#type, key)?;
    if own_system {
        target.system = "".into();
    }
    check_size(call.payload.as_ref().map_or(0, |payload| payload.data.len()))?;
    check_metadata(&call.metadata)?;
    if !call.request_id.is_empty() {
        check_request_id(&call.request_id)?;
    }
    check_not_internal(&call.action)?;
    Ok(SessionCall {
        turn_id: call.turn_id,
        call_index: call.call_index,
        target,
        action: call.action,
        argument: payload_from_proto(call.payload),
        timeout_ms: call.timeout_ms,
        metadata: call.metadata,
        request_id: call.request_id,
    })
}

/// Checks the size of an argument.
///
/// # Errors
/// `PayloadTooLarge`.
pub fn check_size(bytes: usize) -> Result<(), CallError> {
    if bytes <= limits::PAYLOAD_BYTES_MAX {
        return Ok(());
    }
    let message = format!(
        "the argument has {bytes} bytes, over the limit of {}; the call was not run",
        limits::PAYLOAD_BYTES_MAX
    );
    Err(CallError::new(ErrorKind::PayloadTooLarge, message)
        .with("limit", limits::PAYLOAD_BYTES_MAX))
}

/// Checks an id that a caller chose for its call.
///
/// # Errors
/// `InvalidArgument`.
pub fn check_request_id(id: &str) -> Result<(), CallError> {
    if (1..=limits::REQUEST_ID_BYTES_MAX).contains(&id.len()) && !id.contains('\0') {
        return Ok(());
    }
    let message = "a request id has 1 to 128 bytes and no NUL; the call was not run";
    Err(CallError::new(ErrorKind::InvalidArgument, message)
        .with("limit", limits::REQUEST_ID_BYTES_MAX))
}

/// Checks the size of metadata.
///
/// # Errors
/// `MetadataTooLarge`.
pub fn check_metadata(metadata: &Metadata) -> Result<(), CallError> {
    if metadata.is_empty() {
        return Ok(());
    }
    let bytes: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if metadata.len() <= limits::METADATA_ENTRIES_MAX && bytes <= limits::METADATA_BYTES_MAX {
        return Ok(());
    }
    let message = format!(
        "the metadata has {} entries and {bytes} bytes, over the limit of {} and {}; the call was not \
         run",
        metadata.len(),
        limits::METADATA_ENTRIES_MAX,
        limits::METADATA_BYTES_MAX
    );
    Err(CallError::new(ErrorKind::MetadataTooLarge, message))
}

/// A definition as a host registers it, with every default filled in.
///
/// # Errors
/// `InvalidArgument` for kinds, durabilities or action lists that this server does not know how to read.
pub fn definition(from: pb::ActorTypeDefinition) -> Result<TypeDefinition, CallError> {
    let mut to = TypeDefinition::new(&from.name);
    let unknown = |what: &str, number: i32| {
        CallError::new(
            ErrorKind::InvalidArgument,
            format!("type {}: {what} {number} is not known to this server; update it", from.name),
        )
    };
    to.kind = match pb::Kind::try_from(from.kind) {
        Ok(pb::Kind::Named) => Kind::Named,
        Ok(pb::Kind::Unnamed | pb::Kind::Unspecified) => Kind::Unnamed,
        Ok(pb::Kind::Pooled) => Kind::Pooled,
        Err(_) => return Err(unknown("kind", from.kind)),
    };
    to.durability = match pb::Durability::try_from(from.durability) {
        // A pool has no state.
        Ok(pb::Durability::Unspecified) if to.kind == Kind::Pooled => Durability::Volatile,
        Ok(pb::Durability::Durable | pb::Durability::Unspecified) => Durability::Durable,
        Ok(pb::Durability::Snapshot) => Durability::Snapshot,
        Ok(pb::Durability::Volatile) => Durability::Volatile,
        Err(_) => return Err(unknown("durability", from.durability)),
    };
    to.settings = settings(&from, to.kind)?;
    for action in from.actions {
        let name = action.name.clone();
        let action = Action {
            input_type: action.input_type,
            output_type: action.output_type,
            read_only: action.read_only,
            speculation_off: action.speculation_off,
        };
        if to.actions.insert(name.clone(), action).is_some() {
            let message = format!("type {}: action {name} is listed twice", from.name);
            return Err(CallError::new(ErrorKind::InvalidArgument, message));
        }
    }
    let or = |given: u64, default: u64| if given == 0 { default } else { given };
    to.idle_timeout_ms = or(from.idle_timeout_ms, to.idle_timeout_ms);
    to.snapshot_interval_ms = or(from.snapshot_interval_ms, to.snapshot_interval_ms);
    to.turn_timeout_ms = or(from.turn_timeout_ms, to.turn_timeout_ms);
    if from.mailbox_limit > 0 {
        to.mailbox_limit = from.mailbox_limit;
    }
    to.shards = match (to.kind, from.shards) {
        (Kind::Named, _) => 1,
        (Kind::Pooled, _) => to.settings.pool.map_or(1, |pool| pool.max),
        (Kind::Unnamed, 0) => limits::SHARDS_DEFAULT,
        (Kind::Unnamed, given) => given,
    };
    to.state_type = from.state_type;
    to.service = from.service;
    to.speculation_off = from.speculation_off;
    Ok(to)
}

/// The settings of a definition, with every default filled in.
fn settings(from: &pb::ActorTypeDefinition, kind: Kind) -> Result<TypeSettings, CallError> {
    let timer = |timer: &pb::TimerDefinition| Timer {
        action: timer.action.clone(),
        interval_ms: timer.interval_ms,
    };
    let subscription = |given: &pb::ChannelSubscription| {
        let deliver = match pb::Deliver::try_from(given.deliver) {
            Ok(pb::Deliver::Unspecified) if kind == Kind::Named => Deliver::Every,
            Ok(pb::Deliver::Unspecified | pb::Deliver::Active) => Deliver::Active,
            Ok(pb::Deliver::Every) => Deliver::Every,
            Err(_) => {
                let text = format!(
                    "type {}: deliver {} is not known to this server; update it",
                    from.name, given.deliver
                );
                return Err(CallError::new(ErrorKind::InvalidArgument, text));
            }
        };
        let action = match given.action.as_str() {
            "" => RECEIVE_ACTION.to_owned(),
            action => action.to_owned(),
        };
        Ok(Subscription { channel: given.channel.clone(), action, deliver })
    };
    let bounds = (from.pool_min, from.pool_max);
    let max = if bounds.1 == 0 { limits::POOL_DEFAULT } else { bounds.1 };
    let is_pool = kind == Kind::Pooled || bounds != (0, 0);
    Ok(TypeSettings {
        timers: from.timers.iter().map(timer).collect(),
        subscriptions: from.subscriptions.iter().map(subscription).collect::<Result<_, _>>()?,
        pool: is_pool.then_some(Pool { min: bounds.0, max }),
        history: History { revisions: from.history_revisions, age_ms: from.history_age_ms },
    })
}
