//! Calls that are to be made later: they become schedules that fire once.

use callboard_types::{CallError, DueCursor, ErrorKind, Millis, Occurrence, Tick};

use super::{Checked, Gateway};
use crate::{
    call::{Call, Reply},
    router::behind,
};

/// When a call is due, if not now. `latest` is the latest that the time can be, so that no delay is over early.
///
/// # Errors
/// `InvalidArgument` if it says so twice; `LeaseLost` if this node cannot count a delay yet.
pub(super) fn due_at(
    delay_ms: u64,
    due_at_ms: i64,
    latest: Millis,
) -> Result<Option<Millis>, CallError> {
    match (delay_ms, due_at_ms) {
        (0, 0) => Ok(None),
        // This node was not told the time yet, so it has no lease either.
        (_, 0) if latest == Millis(0) => Err(behind()),
        (delay, 0) => Ok(Some(latest.plus(i64::try_from(delay).unwrap_or(i64::MAX)))),
        (0, due) => Ok(Some(Millis(due))),
        _ => Err(CallError::new(
            ErrorKind::InvalidArgument,
            "only one of delay_ms and due_at_ms may be set; the call was not accepted",
        )),
    }
}

impl Gateway {
    /// Makes a call later. Returns the name of its schedule, and what the caller is told; accepted is accepted for good.
    pub(super) async fn make_later(
        &self,
        checked: Checked,
        due: Millis,
    ) -> Result<(String, Reply), CallError> {
        let routed = checked.routed;
        let view = &routed.actor_type.view;
        // An instance of a pool is chosen when the call is made.
        let target = match routed.call.seat {
            Some(_) => view.actor_id(&view.name),
            None => view.actor_id(&routed.key),
        };
        let Call { action, argument, request_id, metadata, deadline, .. } = routed.call;
        let occurrence = Occurrence {
            at: DueCursor { due, schedule: 0 },
            generation: 0,
            number: 0,
            name: "".into(),
            target,
            action: action.into(),
            argument: (argument.content_type, argument.type_url, argument.data),
            metadata: metadata.into_iter().collect(),
            accept_only: false,
        };
        let patience = deadline.duration_after(Tick::now());
        let made = self.schedules.once(request_id, occurrence);
        let name = tokio::time::timeout(patience, made).await.unwrap_or_else(|_| Err(late()))?;
        Ok((name, Reply { durable: true, ..Reply::default() }))
    }
}

fn late() -> CallError {
    CallError::new(
        ErrorKind::DeadlineExceeded,
        "the deadline passed before the cluster agreed on the call; it may still be made when it is due. A retry with the \
         same request id is safe",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_made_after_a_delay_or_at_a_time_but_not_both() {
        let at = |delay, due| due_at(delay, due, Millis(1_000));
        assert_eq!(at(0, 0), Ok(None));
        assert_eq!(at(500, 0), Ok(Some(Millis(1_500))));
        assert_eq!(at(0, 7), Ok(Some(Millis(7))));
        assert_eq!(at(u64::MAX, 0), Ok(Some(Millis(i64::MAX))));
        assert_eq!(at(1, 1).expect_err("refused").kind, ErrorKind::InvalidArgument);
    }
}
