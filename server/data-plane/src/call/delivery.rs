//! Waiters that stand for a row, not for a caller: an outbox row, a firing, a message on its way to a subscriber.

use callboard_types::{CallError, ErrorKind};
use tokio::sync::mpsc;

use super::Outcome;

/// How a delivery ended.
#[derive(Debug)]
pub struct DeliveryEnd {
    /// The sender's number for it.
    pub ticket: u64,
    /// What its target answered, or why it was not delivered.
    pub outcome: Outcome,
}

/// Waits for the end of one delivery. The end comes even if the call is dropped on its way.
///
/// The channel has room for as many ends as its owner has deliveries under way: it may have no more, so that answering never
/// waits and nothing is lost.
#[derive(Debug)]
pub struct DeliveryWaiter {
    ends: mpsc::Sender<DeliveryEnd>,
    ticket: u64,
    answered: bool,
}

impl DeliveryWaiter {
    /// A waiter under the sender's own number.
    #[must_use]
    pub fn new(ends: mpsc::Sender<DeliveryEnd>, ticket: u64) -> Self {
        Self { ends, ticket, answered: false }
    }

    /// Tells the sender. Nobody hears it if the sender has gone.
    pub fn answer(mut self, outcome: Outcome) {
        self.tell(outcome);
    }

    fn tell(&mut self, outcome: Outcome) {
        self.answered = true;
        let _ = self.ends.try_send(DeliveryEnd { ticket: self.ticket, outcome });
    }
}

impl Drop for DeliveryWaiter {
    fn drop(&mut self) {
        if !self.answered {
            self.tell(Err(CallError::new(
                ErrorKind::OutcomeUnknown,
                "the delivery was dropped on its way; it may have been applied. It is made again",
            )));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Reply;

    #[test]
    fn a_delivery_that_is_dropped_on_its_way_ends_as_unknown() {
        let (ends, mut heard) = mpsc::channel(2);
        DeliveryWaiter::new(ends.clone(), 1).answer(Ok(Reply::default()));
        drop(DeliveryWaiter::new(ends, 2));
        assert!(heard.try_recv().is_ok_and(|end| end.ticket == 1 && end.outcome.is_ok()));
        let lost = heard.try_recv().expect("the end of the second");
        assert_eq!(
            (lost.ticket, lost.outcome.expect_err("unknown").kind),
            (2, ErrorKind::OutcomeUnknown)
        );
    }
}
