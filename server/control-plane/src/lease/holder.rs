//! The node's side of a lease.

use callboard_types::Tick;

use super::Timings;

/// Renewals that wait for an answer, at most. At four a second this is longer than a lease.
const IN_FLIGHT_MAX: usize = 64;
/// Confirmations that wait for the state machine, at most.
const PENDING_MAX: usize = 16;

/// What the node's own state machine says about the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is up or draining, in this life.
    Member,
    /// It is down, or has not started as far as was applied: it owns nothing that it may serve.
    Out,
}

/// What is to be done with the node's [`callboard_types::Lease`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Grant {
    /// Nothing.
    Unchanged,
    /// It holds until then.
    Extend(Tick),
    /// It ends now.
    Revoke,
}

/// Counts on which renewals the node may serve. One per life of a node; its shell sends renewals, hands in what comes
/// of them, and carries out what is returned, all from one task.
#[derive(Clone, Debug)]
pub struct Holder {
    timings: Timings,
    next_renewal: u64,
    /// (number, sent at), oldest first.
    in_flight: Vec<(u64, Tick)>,
    /// (sent at, index that must have been applied), each sent later than the one before and naming a higher index.
    pending: Vec<(Tick, u64)>,
    applied: u64,
    standing: Standing,
}

impl Holder {
    /// A holder that was never granted anything.
    #[must_use]
    pub fn new(timings: Timings) -> Self {
        Self {
            timings,
            next_renewal: 0,
            in_flight: Vec::new(),
            pending: Vec::new(),
            applied: 0,
            standing: Standing::Out,
        }
    }

    /// A renewal is about to be sent. `now` is read before anything of it leaves the node. Returns its number, by which
    /// [`Holder::confirmed`] knows it again.
    pub fn sent(&mut self, now: Tick) -> u64 {
        let served = self.timings.served();
        self.in_flight.retain(|(_, sent)| now.micros_since(*sent) < served);
        if self.in_flight.len() >= IN_FLIGHT_MAX {
            self.in_flight.remove(0);
        }
        let number = self.next_renewal;
        self.next_renewal += 1;
        self.in_flight.push((number, now));
        number
    }

    /// The leader confirmed a renewal, and named the index that the node must have applied. A confirmation of a renewal
    /// that is not in flight changes nothing.
    pub fn confirmed(&mut self, renewal: u64, applied_at_least: u64) -> Grant {
        let Some(at) = self.in_flight.iter().position(|(number, _)| *number == renewal) else {
            return Grant::Unchanged;
        };
        let (_, sent) = self.in_flight.remove(at);
        // Only what is sent later or asks for less is worth waiting for.
        if self.pending.iter().any(|(later, index)| *later >= sent && *index <= applied_at_least) {
            return Grant::Unchanged;
        }
        self.pending.retain(|(earlier, index)| *earlier > sent || *index < applied_at_least);
        if self.pending.len() >= PENDING_MAX {
            self.pending.remove(0);
        }
        let at = self.pending.partition_point(|(earlier, _)| *earlier < sent);
        self.pending.insert(at, (sent, applied_at_least));
        self.settle()
    }

    /// The renewal failed, or was answered without a confirmation.
    pub fn refused(&mut self, renewal: u64) {
        self.in_flight.retain(|(number, _)| *number != renewal);
    }

    /// The node's state machine applied the log up to `index`, and says `standing` about the node.
    pub fn applied(&mut self, index: u64, standing: Standing) -> Grant {
        self.applied = self.applied.max(index);
        let was = std::mem::replace(&mut self.standing, standing);
        match (was, standing) {
            (Standing::Member, Standing::Out) => Grant::Revoke,
            _ => self.settle(),
        }
    }

    /// Grants what the applied log allows.
    fn settle(&mut self) -> Grant {
        if self.standing == Standing::Out {
            return Grant::Unchanged;
        }
        let ready = self.pending.partition_point(|(_, index)| *index <= self.applied);
        match self.pending.drain(..ready).next_back() {
            Some((sent, _)) => Grant::Extend(Tick(sent.0.saturating_add(self.timings.served()))),
            None => Grant::Unchanged,
        }
    }
}
