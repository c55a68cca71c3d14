//! Why a call failed, in the words that every surface uses.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// Whether the same call may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Retry {
    /// It will fail the same way, or its outcome is final.
    Never,
    /// It was not run.
    Safe,
    /// It may have run: only with the same request id.
    SameId,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $reason:literal, $code:literal, $retry:ident;)*) => {
        /// What went wrong, as a closed list. Each kind has a stable reason, a gRPC code and a retry rule.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum ErrorKind {
            $($(#[$doc])* $name,)*
        }

        impl ErrorKind {
            /// Every kind, for tables and tests.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The stable name that clients match on.
            #[must_use]
            pub fn reason(self) -> &'static str {
                match self { $(Self::$name => $reason,)* }
            }

            /// The `google.rpc.Code` number.
            #[must_use]
            pub fn code(self) -> i32 {
                match self { $(Self::$name => $code,)* }
            }

            /// Whether the same call may be sent again.
            #[must_use]
            pub fn retry(self) -> Retry {
                match self { $(Self::$name => Retry::$retry,)* }
            }
        }
    };
}

kinds! {
    /// No such system.
    UnknownSystem = "UNKNOWN_SYSTEM", 5, Never;
    /// No host ever registered the type.
    UnknownType = "UNKNOWN_TYPE", 5, Never;
    /// The actor has no stored state and is not in memory.
    UnknownActor = "UNKNOWN_ACTOR", 5, Never;
    /// The type has no such action.
    UnknownAction = "UNKNOWN_ACTION", 5, Never;
    /// A system, type or key breaks the naming rules.
    InvalidActorKey = "INVALID_ACTOR_KEY", 3, Never;
    /// The call itself is malformed.
    InvalidArgument = "INVALID_ARGUMENT", 3, Never;
    /// Argument or reply over the limit.
    PayloadTooLarge = "PAYLOAD_TOO_LARGE", 3, Never;
    /// The action produced a state over the limit; its turn was discarded.
    StateTooLarge = "STATE_TOO_LARGE", 9, Never;
    /// Metadata over the limit.
    MetadataTooLarge = "METADATA_TOO_LARGE", 3, Never;
    /// The deadline passed. The turn may still commit.
    DeadlineExceeded = "DEADLINE_EXCEEDED", 4, SameId;
    /// The caller gave up. The turn may still commit.
    Cancelled = "CANCELLED", 1, SameId;
    /// The call is older than the outcomes that are kept, or from the future.
    RequestExpired = "REQUEST_EXPIRED", 9, Never;
    /// The request id was used with another action or argument.
    RequestIdReused = "REQUEST_ID_REUSED", 9, Never;
    /// A mailbox or a queue in front of it is full.
    MailboxFull = "MAILBOX_FULL", 8, Safe;
    /// No host of the type is connected.
    NoHost = "NO_HOST", 14, Safe;
    /// This node does not own the actor's shard, and knows nobody who does.
    NotOwner = "NOT_OWNER", 14, Safe;
    /// The node is about to stop.
    ShuttingDown = "SHUTTING_DOWN", 14, Safe;
    /// The store cannot be reached or written.
    StoreUnavailable = "STORE_UNAVAILABLE", 14, SameId;
    /// The call may have been applied; nobody can say now.
    OutcomeUnknown = "OUTCOME_UNKNOWN", 14, SameId;
    /// The turn ended its host, or timed out there, as often as is allowed.
    TurnCrashedHost = "TURN_CRASHED_HOST", 10, Never;
    /// The call would wait for itself.
    CallCycle = "CALL_CYCLE", 9, Never;
    /// The actor's `init` failed; the next call tries again.
    InitFailed = "INIT_FAILED", 9, Safe;
    /// The action's own code failed without a reason of its own.
    ActionError = "ACTION_ERROR", 13, Never;
    /// A host's answer broke the protocol.
    InvalidHostAnswer = "INVALID_HOST_ANSWER", 13, Never;
    /// A registration contradicts what is registered.
    IncompatibleType = "INCOMPATIBLE_TYPE", 9, Never;
    /// The host speaks another major version of the protocol.
    ProtocolVersion = "PROTOCOL_VERSION", 9, Never;
    /// The action read JSON by a descriptor that has changed meanwhile.
    DescriptorChanged = "DESCRIPTOR_CHANGED", 14, Safe;
    /// A defect of Callboard.
    Internal = "INTERNAL", 13, SameId;
    /// Another node's request that this one must not take: a foreign cluster or secret, or no handshake.
    PeerRefused = "PEER_REFUSED", 7, Never;
    /// The node lost its right to answer, or never had it since it started; others may serve.
    LeaseLost = "LEASE_LOST", 14, SameId;
    /// The call was passed on to an actor that keeps no outcomes, and its reply is gone; it is never run again.
    OutcomeNotKept = "OUTCOME_NOT_KEPT", 9, Never;
    /// A call would come through more actors by pipes and forwards than it may.
    ChainTooLong = "CHAIN_TOO_LONG", 9, Never;
    /// As much of something as its system may have is there already.
    QuotaExceeded = "QUOTA_EXCEEDED", 8, Never;
    /// No such schedule.
    UnknownSchedule = "UNKNOWN_SCHEDULE", 5, Never;
    /// Another schedule has the name, or another generation than was expected.
    ScheduleConflict = "SCHEDULE_CONFLICT", 6, Never;
    /// The revision is not kept, or never was.
    UnknownRevision = "UNKNOWN_REVISION", 5, Never;
    /// No such dead letter.
    UnknownDeadLetter = "UNKNOWN_DEAD_LETTER", 5, Never;
}

/// Why a call failed. The one error type of the invocation path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallError {
    /// What went wrong. For errors that the actor's code returned: [`ErrorKind::ActionError`].
    pub kind: ErrorKind,
    /// What happened, whether a retry is safe, what to do.
    pub message: String,
    /// Facts about it, for example the limit that was exceeded.
    pub metadata: BTreeMap<String, String>,
    /// Advice on how long to wait before a retry, in milliseconds; 0 means none.
    pub retry_after_ms: u32,
    /// Set if the actor's own code returned the error.
    pub from_actor: Option<Box<ActorFailure>>,
}

/// What an actor's own code said about its failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorFailure {
    /// The `google.rpc.Code` number that the code chose.
    pub code: i32,
    /// The reason that it chose.
    pub reason: String,
    /// Typed details as (type URL, bytes).
    pub details: Vec<(String, Vec<u8>)>,
}

impl CallError {
    /// An error of Callboard itself.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            metadata: BTreeMap::new(),
            retry_after_ms: 0,
            from_actor: None,
        }
    }

    /// Adds a fact.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.metadata.insert(name.to_owned(), value.to_string());
        self
    }

    /// Adds advice on when to try again.
    #[must_use]
    pub fn retry_after(mut self, millis: u32) -> Self {
        self.retry_after_ms = millis;
        self
    }

    /// About how many bytes the error takes on the wire.
    #[must_use]
    pub fn size(&self) -> usize {
        let details = self.from_actor.iter().flat_map(|failure| &failure.details);
        self.message.len() + details.map(|(url, data)| url.len() + data.len()).sum::<usize>()
    }

    /// The `google.rpc.Code` number.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.from_actor.as_ref().map_or_else(|| self.kind.code(), |failure| failure.code)
    }

    /// The stable reason.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.from_actor.as_ref().map_or_else(|| self.kind.reason(), |failure| &failure.reason)
    }

    /// Whether the same call may be sent again. What an actor's code returned is a stored outcome.
    #[must_use]
    pub fn retry(&self) -> Retry {
        if self.from_actor.is_some() { Retry::Never } else { self.kind.retry() }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason(), self.message)
    }
}

impl std::error::Error for CallError {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_reason_is_unique_and_every_code_is_an_error() {
        let reasons: BTreeSet<_> = ErrorKind::ALL.iter().map(|kind| kind.reason()).collect();
        assert_eq!(reasons.len(), ErrorKind::ALL.len());
        assert!(ErrorKind::ALL.iter().all(|kind| (1..=16).contains(&kind.code())));
    }

    #[test]
    fn what_an_actor_returned_is_never_called_retryable() {
        let mut error = CallError::new(ErrorKind::ActionError, "no funds");
        error.from_actor =
            Some(Box::new(ActorFailure { code: 14, reason: "BUSY".into(), details: vec![] }));
        assert_eq!((error.code(), error.reason(), error.retry()), (14, "BUSY", Retry::Never));
    }
}
