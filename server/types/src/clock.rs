//! Time as plain numbers, so that machines can be handed it.
//!
//! [`Tick`] is for measuring: it comes from the monotonic clock and means nothing outside the process. [`Millis`] is
//! for writing down: Unix time by the wall clock, which may step.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A point on the machine's monotonic clock, in microseconds since an arbitrary origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

impl Tick {
    /// Later than any tick that a clock shows.
    pub const NEVER: Self = Self(u64::MAX);

    /// Reads the monotonic clock. Only shells call this; machines are given the result.
    ///
    /// It is `CLOCK_BOOTTIME`, which goes on while the machine is suspended: a lease must not outlive a pause that its
    /// holder did not notice.
    #[must_use]
    pub fn now() -> Self {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let micros = time.tv_sec.unsigned_abs() * 1_000_000 + time.tv_nsec.unsigned_abs() / 1_000;
        // One hour of headroom, so that subtracting a timeout from a tick cannot underflow right after a boot.
        Self(3_600_000_000 + micros)
    }

    /// This tick and a number of milliseconds more.
    #[must_use]
    pub fn plus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis.saturating_mul(1_000)))
    }

    /// Microseconds from `earlier` to this tick; 0 if it is not earlier.
    #[must_use]
    pub fn micros_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Milliseconds from now (`now`) until this tick, rounded up; 0 if it has passed.
    #[must_use]
    pub fn millis_after(self, now: Self) -> u64 {
        self.0.saturating_sub(now.0).div_ceil(1_000)
    }

    /// The time from `now` until this tick, for timers.
    #[must_use]
    pub fn duration_after(self, now: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(now.0))
    }
}

/// Unix time in milliseconds by the wall clock.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Millis(pub i64);

impl Millis {
    /// Reads the wall clock. Only shells call this; machines are given the result.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the wall clock"
    )]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// This time and a number of milliseconds more (or fewer).
    #[must_use]
    pub fn plus(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}
