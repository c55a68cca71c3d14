//! The one table between our errors and what travels on the wire.
//!
//! On unary methods an error is a `google.rpc.Status` with `ErrorInfo` and, where a retry is allowed, `RetryInfo`. On
//! streams, where one status cannot serve many calls, it is a `callboard.type.v1.CallError`. Both carry the same facts
//! in both directions; nothing else in the server builds a [`Status`] for a failed call.

use std::collections::{BTreeMap, HashMap};

use callboard_proto::types::v1 as pb;
use callboard_types::{CallError, ErrorKind, Retry, error::ActorFailure};
use prost::Message;
use prost_types::Any;
use tonic::{Code, Status};
use tonic_types::pb as rpc;

/// The domain of every `ErrorInfo` that Callboard writes.
pub const ERROR_DOMAIN: &str = "callboard.io";
/// Metadata of `ErrorInfo` that says whether the call may be sent again: the name of a `callboard.type.v1.Retry`.
pub const METADATA_RETRY: &str = "retry";
/// Metadata of `ErrorInfo` that is "true" if the actor's own code returned the error.
pub const METADATA_FROM_ACTOR: &str = "from_actor";
/// Metadata of `ErrorInfo` that says how many typed details did not fit into the response's headers.
pub const METADATA_DETAILS_DROPPED: &str = "details_dropped";

/// Most bytes of an error's message in a status. Streams carry it whole.
///
/// A status travels in HTTP/2 trailers, and common clients refuse headers over 8 KiB: 1 KiB of message, percent encoded
/// to 3 KiB at worst, and 3 KiB of details, 4 KiB in base64, stay below.
pub const STATUS_MESSAGE_BYTES_MAX: usize = 1024;
/// Most bytes of the encoded details in a status. Streams carry them whole.
pub const STATUS_DETAILS_BYTES_MAX: usize = 3 * 1024;

const TYPE_URL_PREFIX: &str = "type.googleapis.com/";
const ERROR_INFO: &str = "google.rpc.ErrorInfo";
const RETRY_INFO: &str = "google.rpc.RetryInfo";

/// The status that tells a unary caller why its call failed.
#[must_use]
pub fn to_status(error: &CallError) -> Status {
    let message = cut(&error.message, STATUS_MESSAGE_BYTES_MAX);
    let mut details = vec![any(ERROR_INFO, &error_info(error, None))];
    if error.retry() != Retry::Never {
        let delay = prost_types::Duration {
            seconds: i64::from(error.retry_after_ms / 1_000),
            nanos: i32::try_from(error.retry_after_ms % 1_000).expect("below 1,000") * 1_000_000,
        };
        let info = rpc::RetryInfo { retry_delay: Some(delay) };
        details.push(any(RETRY_INFO, &info));
    }
    let platform = details.len();
    if let Some(failure) = &error.from_actor {
        details.extend(
            failure
                .details
                .iter()
                .map(|(type_url, value)| Any { type_url: type_url.clone(), value: value.clone() }),
        );
    }
    let mut status = rpc::Status { code: error.code(), message: message.clone(), details };
    if status.encoded_len() > STATUS_DETAILS_BYTES_MAX + message.len() {
        let dropped = status.details.len() - platform;
        status.details.truncate(platform);
        status.details[0] = any(ERROR_INFO, &error_info(error, Some(dropped)));
    }
    let details = status.encode_to_vec();
    Status::with_details(Code::from_i32(status.code), message, details.into())
}

/// Reads the error back from a status: of a peer, or of any gRPC server in front of one.
#[must_use]
pub fn from_status(status: &Status) -> CallError {
    let decoded = rpc::Status::decode(status.details()).unwrap_or_default();
    let info = decoded
        .details
        .iter()
        .filter_map(|any| find::<rpc::ErrorInfo>(any, ERROR_INFO))
        .find(|info| info.domain == ERROR_DOMAIN);
    let Some(info) = info else {
        return CallError::new(kind_of_code(status.code()), status.message());
    };
    let retry_after_ms = decoded
        .details
        .iter()
        .find_map(|any| find::<rpc::RetryInfo>(any, RETRY_INFO))
        .and_then(|info| info.retry_delay)
        .map_or(0, |delay| millis(&delay));
    let mut metadata: BTreeMap<String, String> = info.metadata.into_iter().collect();
    let from_actor = metadata.remove(METADATA_FROM_ACTOR).is_some_and(|value| value == "true");
    metadata.remove(METADATA_RETRY);
    let details = decoded
        .details
        .into_iter()
        .filter(|detail| ![ERROR_INFO, RETRY_INFO].contains(&name_of(detail)))
        .map(|detail| (detail.type_url, detail.value))
        .collect();
    assemble(Facts {
        code: status.code() as i32,
        reason: info.reason,
        message: status.message().to_owned(),
        metadata,
        retry_after_ms,
        from_actor,
        details,
    })
}

/// The message that tells a caller on a stream why its call failed.
#[must_use]
pub fn to_proto(error: &CallError) -> pb::CallError {
    let details = error.from_actor.as_ref().map(|failure| {
        failure
            .details
            .iter()
            .map(|(type_url, value)| Any { type_url: type_url.clone(), value: value.clone() })
            .collect()
    });
    pb::CallError {
        code: error.code(),
        reason: error.reason().to_owned(),
        message: error.message.clone(),
        retry: retry_to_proto(error.retry()).into(),
        retry_after_ms: error.retry_after_ms,
        from_actor: error.from_actor.is_some(),
        metadata: error.metadata.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
        details: details.unwrap_or_default(),
    }
}

/// Reads an error from a stream's message.
#[must_use]
pub fn from_proto(error: pb::CallError) -> CallError {
    assemble(Facts {
        code: error.code,
        reason: error.reason,
        message: error.message,
        metadata: error.metadata.into_iter().collect(),
        retry_after_ms: error.retry_after_ms,
        from_actor: error.from_actor,
        details: error.details.into_iter().map(|detail| (detail.type_url, detail.value)).collect(),
    })
}

/// What both encodings say about an error.
struct Facts {
    code: i32,
    reason: String,
    message: String,
    metadata: BTreeMap<String, String>,
    retry_after_ms: u32,
    from_actor: bool,
    details: Vec<(String, Vec<u8>)>,
}

fn assemble(facts: Facts) -> CallError {
    let from_actor = facts.from_actor.then(|| {
        // A code of the actor's own that is no gRPC error would reach callers as a success.
        let code = if (1..=16).contains(&facts.code) { facts.code } else { Code::Unknown as i32 };
        let reason = if facts.reason.is_empty() {
            ErrorKind::ActionError.reason().to_owned()
        } else {
            facts.reason.clone()
        };
        Box::new(ActorFailure { code, reason, details: facts.details })
    });
    let kind = if from_actor.is_some() {
        ErrorKind::ActionError
    } else {
        ErrorKind::ALL
            .iter()
            .copied()
            .find(|kind| kind.reason() == facts.reason)
            .unwrap_or_else(|| kind_of_code(Code::from_i32(facts.code)))
    };
    CallError {
        kind,
        message: facts.message,
        metadata: facts.metadata,
        retry_after_ms: facts.retry_after_ms,
        from_actor,
    }
}

/// The kind of an error about which only a gRPC code is known: of a proxy, of the transport, or of a newer version.
fn kind_of_code(code: Code) -> ErrorKind {
    match code {
        Code::Cancelled => ErrorKind::Cancelled,
        Code::DeadlineExceeded => ErrorKind::DeadlineExceeded,
        Code::InvalidArgument | Code::OutOfRange => ErrorKind::InvalidArgument,
        Code::NotFound => ErrorKind::UnknownType,
        Code::ResourceExhausted => ErrorKind::MailboxFull,
        // Whoever answered cannot know whether the call ran.
        Code::Unavailable => ErrorKind::OutcomeUnknown,
        Code::Ok
        | Code::Unknown
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss
        | Code::Unauthenticated => ErrorKind::Internal,
    }
}

fn error_info(error: &CallError, dropped: Option<usize>) -> rpc::ErrorInfo {
    let mut metadata: HashMap<String, String> = HashMap::new();
    if let Some(count) = dropped {
        metadata.insert(METADATA_DETAILS_DROPPED.into(), count.to_string());
    }
    let mut room = STATUS_DETAILS_BYTES_MAX / 2;
    for (name, value) in &error.metadata {
        let size = name.len() + value.len() + 8;
        if size <= room {
            room -= size;
            metadata.insert(name.clone(), value.clone());
        }
    }
    metadata.insert(METADATA_RETRY.into(), retry_to_proto(error.retry()).as_str_name().to_owned());
    if error.from_actor.is_some() {
        metadata.insert(METADATA_FROM_ACTOR.into(), "true".into());
    }
    rpc::ErrorInfo { reason: cut(error.reason(), 256), domain: ERROR_DOMAIN.into(), metadata }
}

fn retry_to_proto(retry: Retry) -> pb::Retry {
    match retry {
        Retry::Never => pb::Retry::Never,
        Retry::Safe => pb::Retry::Safe,
        Retry::SameId => pb::Retry::SameId,
    }
}

/// Cuts at a character boundary.
fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let mark = "…";
    format!("{}{mark}", &text[..text.floor_char_boundary(bytes_max - mark.len())])
}

fn any(name: &str, message: &impl Message) -> Any {
    Any { type_url: format!("{TYPE_URL_PREFIX}{name}"), value: message.encode_to_vec() }
}

fn find<M: Message + Default>(any: &Any, name: &str) -> Option<M> {
    (name_of(any) == name).then(|| M::decode(any.value.as_slice()).ok()).flatten()
}

/// The full name of the message in an `Any`.
fn name_of(any: &Any) -> &str {
    any.type_url.rsplit('/').next().unwrap_or_default()
}

fn millis(delay: &prost_types::Duration) -> u32 {
    let millis = delay.seconds.saturating_mul(1_000) + i64::from(delay.nanos / 1_000_000);
    u32::try_from(millis.max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
