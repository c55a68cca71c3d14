//! The clocks of a node: neither tells true time.

use callboard_types::{Millis, Tick};

/// A node's clocks. Its monotonic one has an origin and a rate of its own; its wall clock may step as well.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// What it shows at the beginning of true time.
    pub(crate) origin: u64,
    /// How fast it runs, in ten-thousandths.
    pub(crate) rate: u64,
    /// By how much the wall clock was set, in microseconds.
    pub(crate) stepped: i64,
}

/// The wall clock's time at the beginning of true time, in Unix milliseconds.
const EPOCH_MS: i64 = 1_800_000_000_000;

impl Clock {
    /// The monotonic clock.
    #[must_use]
    pub(crate) fn tick(&self, now: u64) -> Tick {
        Tick(self.origin + now * self.rate / 10_000)
    }

    /// A clock for leases that steps with the wall clock: what a lease must not be measured by.
    #[must_use]
    pub(crate) fn stepping_tick(&self, now: u64) -> Tick {
        Tick(self.tick(now).0.saturating_add_signed(self.stepped))
    }

    /// The wall clock.
    #[must_use]
    pub(crate) fn wall(&self, now: u64) -> Millis {
        let micros = i64::try_from(now * self.rate / 10_000).expect("minutes") + self.stepped;
        Millis(EPOCH_MS + micros / 1_000)
    }
}
