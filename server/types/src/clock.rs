//! Time as plain numbers, so that machines can be handed it.
//!
//! [`Tick`] is for measuring: it comes from the monotonic clock and means nothing outside the process. [`Millis`] is
//! for writing down: Unix time. A machine's own wall clock may be wrong; what actors see, schedules fire by and outcomes
//! age by goes by the [`ClusterClock`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

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

    /// Its microseconds, to be reckoned with beside Unix time.
    #[must_use]
    pub fn micros(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
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

/// Unix time in milliseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Millis(pub i64);

impl Millis {
    /// Reads this machine's wall clock, which may be wrong. What other nodes act on goes by the [`ClusterClock`]. Only
    /// shells call this; machines are given the result.
    #[must_use]
    pub fn now() -> Self {
        Self(wall_micros() / 1_000)
    }

    /// This time and a number of milliseconds more (or fewer).
    #[must_use]
    pub fn plus(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

/// Reads this machine's wall clock, in microseconds since 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
pub fn wall_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// A time that is not followed back by less than this: it stands still instead, in milliseconds.
const STEP_BACK_MS: i64 = 1_000;

/// The time that the cluster goes by: what most voters' wall clocks say, carried on by this machine's monotonic clock.
///
/// The leader takes the median of the voters' clocks and hands it out with each confirmed renewal. So one clock that is
/// wrong, the leader's included, moves nothing. Cheap to clone; reading takes no lock.
#[derive(Clone, Debug)]
pub struct ClusterClock(Source);

#[derive(Clone, Debug)]
enum Source {
    /// This machine's wall clock: the node is alone.
    Own,
    /// As the leader's answers say.
    Told(Arc<Told>),
}

/// In microseconds.
#[derive(Debug)]
struct Told {
    /// By how much Unix time is ahead of the monotonic clock, at least.
    offset: AtomicI64,
    /// By how much more it may be.
    error: AtomicI64,
}

/// No time was told yet.
const UNTOLD: i64 = i64::MIN;

impl ClusterClock {
    /// The clock of a node that is alone: its machine's wall clock.
    #[must_use]
    pub fn own() -> Self {
        Self(Source::Own)
    }

    /// The clock of a node of a cluster, which was not told the time yet. It shows 0 until then, so that nothing is due
    /// and nothing is old.
    #[must_use]
    pub fn untold() -> Self {
        Self(Source::Told(Arc::new(Told {
            offset: AtomicI64::new(UNTOLD),
            error: AtomicI64::new(0),
        })))
    }

    /// Sets it: Unix time is so many microseconds ahead of the monotonic clock, and maybe `error_us` more. A node that is
    /// alone goes by its own.
    pub fn set(&self, offset_us: i64, error_us: i64) {
        if let Source::Told(told) = &self.0 {
            told.error.store(error_us.max(0), Ordering::Release);
            told.offset.store(offset_us.max(UNTOLD + 1), Ordering::Release);
        }
    }

    /// True if it shows the time.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.micros_at(Tick(0)).is_some()
    }

    /// The time at a tick that was just read, in microseconds since 1970, if it shows the time. It may be later than that,
    /// never earlier.
    #[must_use]
    pub fn micros_at(&self, tick: Tick) -> Option<i64> {
        match &self.0 {
            Source::Own => Some(wall_micros()),
            Source::Told(told) => {
                let offset = told.offset.load(Ordering::Acquire);
                (offset != UNTOLD).then(|| tick.micros().saturating_add(offset))
            }
        }
    }

    /// The time at a tick that was just read; 0 if it does not show the time yet.
    #[must_use]
    pub fn at(&self, tick: Tick) -> Millis {
        Millis(self.micros_at(tick).unwrap_or_default() / 1_000)
    }

    /// By how many microseconds it may be later than it shows.
    #[must_use]
    pub fn error_us(&self) -> i64 {
        match &self.0 {
            Source::Own => 0,
            Source::Told(told) => told.error.load(Ordering::Acquire),
        }
    }

    /// The latest that the time can be at a tick that was just read; 0 if it does not show the time yet. A delay counts from
    /// here: whatever node's clock it ends by, it is not early.
    #[must_use]
    pub fn latest_at(&self, tick: Tick) -> Millis {
        let latest = self.micros_at(tick).map(|time| time.saturating_add(self.error_us()));
        Millis(latest.map_or(0, |latest| latest.saturating_add(999) / 1_000))
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Millis {
        self.at(Tick::now())
    }

    /// Like [`at`](Self::at), for whoever reads it again and again: small corrections never let it run backwards.
    #[must_use]
    pub fn at_after(&self, tick: Tick, before: Millis) -> Millis {
        let time = self.at(tick);
        if time < before && before < time.plus(STEP_BACK_MS) { before } else { time }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clusters_time_runs_with_the_monotonic_clock_from_what_it_was_set_to() {
        let clock = ClusterClock::untold();
        assert!(!clock.is_set() && clock.now() == Millis(0));
        clock.set(-2_000_000, 0);
        assert!(clock.is_set());
        assert_eq!(clock.at(Tick(5_000_999)), Millis(3_000));
        assert_eq!(clock.at(Tick(5_001_000)), Millis(3_001));
    }

    #[test]
    fn a_delay_counts_from_the_latest_that_the_time_can_be() {
        let clock = ClusterClock::untold();
        assert_eq!(clock.latest_at(Tick(5_000_000)), Millis(0));
        clock.set(-2_000_000, 1_500);
        assert_eq!(clock.at(Tick(5_000_000)), Millis(3_000));
        assert_eq!(clock.latest_at(Tick(5_000_000)), Millis(3_002), "rounded up");
        clock.set(-2_000_000, 1_000);
        assert_eq!(clock.latest_at(Tick(5_000_000)), Millis(3_001));
    }

    #[test]
    fn a_node_that_is_alone_goes_by_its_own_clock() {
        let clock = ClusterClock::own();
        clock.set(-1, 7);
        let own = Millis::now();
        assert_eq!(clock.error_us(), 0);
        assert!(clock.is_set() && clock.now() >= own && clock.now() < own.plus(60_000));
    }

    #[test]
    fn a_small_correction_stops_it_and_a_large_one_sets_it_back() {
        let clock = ClusterClock::untold();
        clock.set(0, 0);
        let before = clock.at(Tick(5_000_000));
        clock.set(-999_000, 0);
        assert_eq!(clock.at_after(Tick(5_000_000), before), Millis(5_000));
        assert_eq!(clock.at_after(Tick(6_500_000), before), Millis(5_501));
        clock.set(-1_000_000, 0);
        assert_eq!(clock.at_after(Tick(5_000_000), before), Millis(4_000));
    }
}
