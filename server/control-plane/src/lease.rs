//! Leases: who may answer for its shards, and who is taken to be gone. Two pure machines and the times between them.
//!
//! * [`Holder`]: the node's side. It sends renewals and learns how long it may serve.
//! * [`Keeper`]: the leader's side. It hears renewals and learns who was silent for too long.
//!
//! The same messages carry the [`time`].
//!
//! Why two nodes never serve the same shard: a renewal is sent at `s` and received later, at `r`. The holder serves
//! until `s + lease − margin` by its own clock; the keeper waits until `r + lease + margin` by its own. `s` is before
//! `r`, so the clocks' origins do not matter, and their rates may differ as long as twice the margin makes up for it:
//! with `lease` 2 s and `margin` 200 ms, by 10 % each. A new leader knows nothing of what its predecessor confirmed, but
//! every renewal confirmed by that was sent before a majority voted for the new one; so it waits as if it had heard
//! everybody at its election. And a node is never confirmed by a log that is behind what took its shards away: it serves
//! only once it applied as much as the leader had agreed on when it confirmed.

pub mod holder;
pub mod keeper;
pub mod time;

use std::time::Duration;

pub use holder::{Grant, Holder, Standing};
pub use keeper::{Heard, Keeper};

/// The times that leases are made of. The same on every node of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// From one renewal to the next.
    pub renewal: Duration,
    /// How long a lease lasts from the moment at which the renewal was sent, before the margin is taken off.
    pub lease: Duration,
    /// What the holder ends earlier and the keeper waits longer.
    pub margin: Duration,
    /// The longest time that a node waits for a leader before it stands for election.
    pub election_max: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            renewal: Duration::from_millis(250),
            lease: Duration::from_secs(2),
            margin: Duration::from_millis(200),
            election_max: Duration::from_millis(600),
        }
    }
}

/// Times that would let leases end whenever the leader changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the lease ({lease:?}) without margin ({margin:?}) and renewal ({renewal:?}) must be more than twice the longest \
     election timeout ({election_max:?}): otherwise every change of leader stops all nodes. Lengthen the lease, or \
     shorten the others"
)]
pub struct TimingsError {
    lease: Duration,
    margin: Duration,
    renewal: Duration,
    election_max: Duration,
}

impl Timings {
    /// Checks that a lease outlasts an election that fails once.
    ///
    /// # Errors
    /// It does not, or there is no margin.
    pub fn check(&self) -> Result<(), TimingsError> {
        let rest = self.lease.saturating_sub(self.margin).saturating_sub(self.renewal);
        if rest > 2 * self.election_max && !self.margin.is_zero() && !self.renewal.is_zero() {
            return Ok(());
        }
        let Self { renewal, lease, margin, election_max } = *self;
        Err(TimingsError { lease, margin, renewal, election_max })
    }

    /// How long a holder serves after it sent a renewal, in microseconds.
    fn served(&self) -> u64 {
        micros(self.lease.saturating_sub(self.margin))
    }

    /// How long a keeper waits after it received one, in microseconds.
    fn awaited(&self) -> u64 {
        micros(self.lease.saturating_add(self.margin))
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
