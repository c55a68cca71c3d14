//! A time for marks that never fall: the wall clock, as long as it runs no faster than time does.

use callboard_types::{Millis, Tick};

/// Follows the wall clock. When that steps forward, this catches up at no more than twice the speed of time, so that a
/// clock that was wrong for a moment moves no durable mark further than twice that moment.
#[derive(Debug)]
pub(super) struct SteadyClock {
    /// When it was last looked at.
    seen: Tick,
    time: Millis,
}

impl SteadyClock {
    pub(super) fn new(now: Tick, wall: Millis) -> Self {
        Self { seen: now, time: wall }
    }

    /// The time, never ahead of the wall clock.
    pub(super) fn follow(&mut self, now: Tick, wall: Millis) -> Millis {
        let passed = now.micros_since(self.seen) / 1_000;
        // What is left of a millisecond counts the next time.
        self.seen = self.seen.plus_millis(passed);
        let passed = i64::try_from(passed).unwrap_or(i64::MAX);
        self.time = wall.min(self.time.plus(passed.saturating_mul(2)));
        self.time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Tick = Tick(5_000_000);
    const HOUR_MS: i64 = 3_600_000;

    #[test]
    fn a_clock_that_was_an_hour_ahead_for_a_moment_leaves_nothing_behind() {
        let mut clock = SteadyClock::new(START, Millis(0));
        assert_eq!(clock.follow(START.plus_millis(1_000), Millis(1_000)), Millis(1_000));
        let ahead = clock.follow(START.plus_millis(2_000), Millis(HOUR_MS + 2_000));
        assert_eq!(ahead, Millis(3_000));
        assert_eq!(clock.follow(START.plus_millis(3_000), Millis(3_000)), Millis(3_000));
        assert_eq!(clock.follow(START.plus_millis(4_000), Millis(4_000)), Millis(4_000));
    }

    #[test]
    fn a_clock_that_is_set_right_is_caught_up_with_and_one_that_is_set_back_at_once() {
        let mut clock = SteadyClock::new(START, Millis(0));
        let minutes = 0..=61;
        let mut time = Millis(0);
        for minute in minutes {
            let passed = minute * 60_000;
            let wall = Millis(HOUR_MS + i64::try_from(passed).expect("it is small"));
            time = clock.follow(START.plus_millis(passed), wall);
        }
        assert_eq!(time, Millis(HOUR_MS + 61 * 60_000));
        assert_eq!(clock.follow(START.plus_millis(61 * 60_000), Millis(7)), Millis(7));
    }
}
