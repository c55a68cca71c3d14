//! Goal: every kind of error says the same on a unary method, on a stream, and after a hop over a peer. Method: each
//! row of the table goes through both encodings and back.

use super::*;

fn platform_error(kind: ErrorKind) -> CallError {
    CallError::new(kind, "what happened").with("limit", 7).retry_after(1_250)
}

fn actor_error() -> CallError {
    let mut error = CallError::new(ErrorKind::ActionError, "not enough money").with("missing", 5);
    error.from_actor = Some(Box::new(ActorFailure {
        code: 9,
        reason: "NO_FUNDS".into(),
        details: vec![("type.googleapis.com/acme.Shortfall".into(), vec![8, 5])],
    }));
    error
}

/// (kind, code, reason, retry): what clients in four languages match on. Changing a row breaks them.
const TABLE: &[(ErrorKind, Code, &str, Retry)] = &[
    (ErrorKind::UnknownSystem, Code::NotFound, "UNKNOWN_SYSTEM", Retry::Never),
    (ErrorKind::UnknownType, Code::NotFound, "UNKNOWN_TYPE", Retry::Never),
    (ErrorKind::UnknownAction, Code::NotFound, "UNKNOWN_ACTION", Retry::Never),
    (ErrorKind::UnknownActor, Code::NotFound, "UNKNOWN_ACTOR", Retry::Never),
    (ErrorKind::InvalidActorKey, Code::InvalidArgument, "INVALID_ACTOR_KEY", Retry::Never),
    (ErrorKind::InvalidArgument, Code::InvalidArgument, "INVALID_ARGUMENT", Retry::Never),
    (ErrorKind::PayloadTooLarge, Code::InvalidArgument, "PAYLOAD_TOO_LARGE", Retry::Never),
    (ErrorKind::StateTooLarge, Code::FailedPrecondition, "STATE_TOO_LARGE", Retry::Never),
    (ErrorKind::MetadataTooLarge, Code::InvalidArgument, "METADATA_TOO_LARGE", Retry::Never),
    (ErrorKind::DeadlineExceeded, Code::DeadlineExceeded, "DEADLINE_EXCEEDED", Retry::SameId),
    (ErrorKind::Cancelled, Code::Cancelled, "CANCELLED", Retry::SameId),
    (ErrorKind::RequestExpired, Code::FailedPrecondition, "REQUEST_EXPIRED", Retry::Never),
    (ErrorKind::RequestIdReused, Code::FailedPrecondition, "REQUEST_ID_REUSED", Retry::Never),
    (ErrorKind::MailboxFull, Code::ResourceExhausted, "MAILBOX_FULL", Retry::Safe),
    (ErrorKind::NoHost, Code::Unavailable, "NO_HOST", Retry::Safe),
    (ErrorKind::NotOwner, Code::Unavailable, "NOT_OWNER", Retry::Safe),
    (ErrorKind::ShuttingDown, Code::Unavailable, "SHUTTING_DOWN", Retry::Safe),
    (ErrorKind::StoreUnavailable, Code::Unavailable, "STORE_UNAVAILABLE", Retry::SameId),
    (ErrorKind::OutcomeUnknown, Code::Unavailable, "OUTCOME_UNKNOWN", Retry::SameId),
    (ErrorKind::TurnCrashedHost, Code::Aborted, "TURN_CRASHED_HOST", Retry::Never),
    (ErrorKind::CallCycle, Code::FailedPrecondition, "CALL_CYCLE", Retry::Never),
    (ErrorKind::InitFailed, Code::FailedPrecondition, "INIT_FAILED", Retry::Safe),
    (ErrorKind::ActionError, Code::Internal, "ACTION_ERROR", Retry::Never),
    (ErrorKind::InvalidHostAnswer, Code::Internal, "INVALID_HOST_ANSWER", Retry::Never),
    (ErrorKind::IncompatibleType, Code::FailedPrecondition, "INCOMPATIBLE_TYPE", Retry::Never),
    (ErrorKind::ProtocolVersion, Code::FailedPrecondition, "PROTOCOL_VERSION", Retry::Never),
    (ErrorKind::DescriptorChanged, Code::Unavailable, "DESCRIPTOR_CHANGED", Retry::Safe),
    (ErrorKind::Internal, Code::Internal, "INTERNAL", Retry::SameId),
    (ErrorKind::PeerRefused, Code::PermissionDenied, "PEER_REFUSED", Retry::Never),
    (ErrorKind::LeaseLost, Code::Unavailable, "LEASE_LOST", Retry::SameId),
    (ErrorKind::OutcomeNotKept, Code::FailedPrecondition, "OUTCOME_NOT_KEPT", Retry::Never),
    (ErrorKind::ChainTooLong, Code::FailedPrecondition, "CHAIN_TOO_LONG", Retry::Never),
    (ErrorKind::QuotaExceeded, Code::ResourceExhausted, "QUOTA_EXCEEDED", Retry::Never),
    (ErrorKind::UnknownSchedule, Code::NotFound, "UNKNOWN_SCHEDULE", Retry::Never),
    (ErrorKind::ScheduleConflict, Code::AlreadyExists, "SCHEDULE_CONFLICT", Retry::Never),
    (ErrorKind::UnknownRevision, Code::NotFound, "UNKNOWN_REVISION", Retry::Never),
    (ErrorKind::UnknownDeadLetter, Code::NotFound, "UNKNOWN_DEAD_LETTER", Retry::Never),
];

#[test]
fn each_row_of_the_table_reads_the_same_on_every_surface() {
    assert_eq!(TABLE.len(), ErrorKind::ALL.len(), "a new kind needs a row");
    for (kind, code, reason, retry) in TABLE {
        let error = platform_error(*kind);

        let status = to_status(&error);
        assert_eq!(status.code(), *code, "{reason}");
        assert_eq!(status.message(), "what happened", "{reason}");
        assert_eq!(from_status(&status), error_as_sent(&error), "{reason}");

        let message = to_proto(&error);
        assert_eq!(message.code, *code as i32, "{reason}");
        assert_eq!(message.reason, *reason);
        assert_eq!(message.retry(), retry_to_proto(*retry), "{reason}");
        assert_eq!(from_proto(message), error, "{reason}");
    }
}

/// Advice on when to retry travels only where a retry is allowed.
fn error_as_sent(error: &CallError) -> CallError {
    let mut sent = error.clone();
    if error.retry() == Retry::Never {
        sent.retry_after_ms = 0;
    }
    sent
}

#[test]
fn standard_clients_find_error_info_and_retry_info() {
    use tonic_types::StatusExt;

    let details = to_status(&platform_error(ErrorKind::MailboxFull)).get_error_details();
    let info = details.error_info().expect("error info");
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("MAILBOX_FULL", ERROR_DOMAIN));
    assert_eq!(info.metadata["limit"], "7");
    assert_eq!(info.metadata["retry"], "RETRY_SAFE");
    let delay = details.retry_info().expect("retry info").retry_delay;
    assert_eq!(delay, Some(std::time::Duration::from_millis(1_250)));

    let never = to_status(&platform_error(ErrorKind::UnknownType)).get_error_details();
    assert!(never.retry_info().is_none(), "no retry advice where a retry cannot help");
}

#[test]
fn an_actor_s_own_error_arrives_as_it_left_with_its_typed_details() {
    let error = actor_error();
    assert_eq!(from_status(&to_status(&error)), error);
    assert_eq!(from_proto(to_proto(&error)), error);
    assert_eq!(to_status(&error).code(), Code::FailedPrecondition);
}

#[test]
fn an_actor_error_that_is_no_grpc_error_never_looks_like_success() {
    for code in [0, -1, 17] {
        let error = from_proto(pb::CallError { code, from_actor: true, ..Default::default() });
        assert_eq!((error.code(), error.reason()), (Code::Unknown as i32, "ACTION_ERROR"));
    }
}

#[test]
fn details_that_would_break_the_trailers_are_dropped_and_counted() {
    let mut error = actor_error();
    error.message = "é".repeat(2_000);
    let failure = error.from_actor.as_mut().expect("an actor's error");
    failure.details.push(("type.googleapis.com/acme.Log".into(), vec![1; 100_000]));

    let status = to_status(&error);
    assert!(status.message().len() <= STATUS_MESSAGE_BYTES_MAX);
    assert!(status.details().len() <= STATUS_DETAILS_BYTES_MAX + STATUS_MESSAGE_BYTES_MAX);
    let read = from_status(&status);
    assert_eq!(read.reason(), "NO_FUNDS");
    assert_eq!(read.metadata[METADATA_DETAILS_DROPPED], "2");
    assert_eq!(from_proto(to_proto(&error)), error, "a stream carries them whole");
}

#[test]
fn a_status_that_callboard_did_not_write_is_never_called_safe_to_retry_with_a_new_id() {
    for code in (1..=16).map(Code::from_i32).filter(|code| *code != Code::ResourceExhausted) {
        let error = from_status(&Status::new(code, "from a proxy"));
        assert_ne!(error.retry(), Retry::Safe, "{code:?}");
    }
    let garbage = Status::with_details(Code::Unavailable, "x", vec![0xff; 64].into());
    assert_eq!(from_status(&garbage).kind, ErrorKind::OutcomeUnknown);
}
