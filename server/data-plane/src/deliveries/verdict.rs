//! What the end of an attempt means for its row.

use callboard_types::{CallError, ErrorKind, Retry};

use crate::call::Outcome;

/// How long an attempt at an unknown type or system is repeated, in milliseconds: a node's view may lag behind.
pub const UNKNOWN_PATIENCE_MS: u64 = 10_000;

/// What becomes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The target has it: the row goes.
    Delivered,
    /// It is tried again, after a pause.
    Again,
    /// It is tried again while views may lag behind, and dies then.
    AgainForAWhile,
    /// It can never be delivered as it is.
    Dead,
}

/// What the end of an attempt means. An error of the action's own counts as delivered: the target ran it, and its outcome is
/// stored.
#[must_use]
pub fn of(outcome: &Outcome) -> Fate {
    match outcome {
        Ok(_) => Fate::Delivered,
        Err(error) if error.from_actor.is_some() => Fate::Delivered,
        Err(error) => of_error(error),
    }
}

fn of_error(error: &CallError) -> Fate {
    match error.kind {
        ErrorKind::ActionError => Fate::Delivered,
        ErrorKind::UnknownType | ErrorKind::UnknownSystem => Fate::AgainForAWhile,
        // The attempt was too old; the next one carries a later time.
        ErrorKind::RequestExpired | ErrorKind::Cancelled | ErrorKind::DeadlineExceeded => {
            Fate::Again
        }
        kind => match kind.retry() {
            Retry::Never => Fate::Dead,
            Retry::Safe | Retry::SameId => Fate::Again,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Reply;

    #[test]
    fn only_what_can_never_succeed_dies() {
        let fate = |kind| of(&Err(CallError::new(kind, "no")));
        for kind in [
            ErrorKind::UnknownAction,
            ErrorKind::InvalidActorKey,
            ErrorKind::InvalidArgument,
            ErrorKind::PayloadTooLarge,
            ErrorKind::RequestIdReused,
            ErrorKind::TurnCrashedHost,
            ErrorKind::InvalidHostAnswer,
            ErrorKind::CallCycle,
        ] {
            assert_eq!(fate(kind), Fate::Dead, "{kind:?}");
        }
        for kind in [
            ErrorKind::NoHost,
            ErrorKind::NotOwner,
            ErrorKind::LeaseLost,
            ErrorKind::MailboxFull,
            ErrorKind::StoreUnavailable,
            ErrorKind::OutcomeUnknown,
            ErrorKind::RequestExpired,
            ErrorKind::InitFailed,
            ErrorKind::ShuttingDown,
        ] {
            assert_eq!(fate(kind), Fate::Again, "{kind:?}");
        }
        assert_eq!(fate(ErrorKind::UnknownType), Fate::AgainForAWhile);
        assert_eq!(of(&Ok(Reply::default())), Fate::Delivered);
    }
}
