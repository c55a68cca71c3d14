//! A time for marks that never fall: the wall clock, as long as it runs no faster than time does.

use callboard_types::{Millis, Tick};

/// Follows a clock that shows 0 until it shows the time, and begins with the first time. When the clock steps forward, this
/// catches up at no more than twice the speed of time, so that a clock that was wrong for a moment moves no durable mark
/// further than twice that moment.
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

    /// The time, never ahead of what the clock shows; 0 as long as that shows 0.
    pub(super) fn follow(&mut self, now: Tick, wall: Millis) -> Millis {
        let passed = now.micros_since(self.seen) / 1_000;
        // What is left of a millisecond counts the next time.
        self.seen = self.seen.plus_millis(passed);
        let passed = i64::try_from(passed).unwrap_or(i64::MAX);
        let begins = self.time == Millis(0);
        self.time = if begins { wall } else { wall.min(self.time.plus(passed.saturating_mul(2))) };
        self.time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Tick = Tick(5_000_000);
    const BEGIN: i64 = 1_790_000_000_000;
    const HOUR_MS: i64 = 3_600_000;

    fn follow(clock: &mut SteadyClock, passed_ms: u64, wall_ms: i64) -> i64 {
        clock.follow(START.plus_millis(passed_ms), Millis(BEGIN + wall_ms)).0 - BEGIN
    }

    #[test]
    fn it_begins_once_the_clock_shows_the_time() {
        let mut clock = SteadyClock::new(START, Millis(0));
        assert_eq!(clock.follow(START.plus_millis(1_000), Millis(0)), Millis(0));
        assert_eq!(follow(&mut clock, 2_000, 2_000), 2_000);
        assert_eq!(follow(&mut clock, 3_000, HOUR_MS), 4_000);
    }

    #[test]
    fn a_clock_that_was_an_hour_ahead_for_a_moment_leaves_nothing_behind() {
        let mut clock = SteadyClock::new(START, Millis(BEGIN));
        assert_eq!(follow(&mut clock, 1_000, 1_000), 1_000);
        assert_eq!(follow(&mut clock, 2_000, HOUR_MS + 2_000), 3_000);
        assert_eq!(follow(&mut clock, 3_000, 3_000), 3_000);
        assert_eq!(follow(&mut clock, 4_000, 4_000), 4_000);
    }

    #[test]
    fn a_clock_that_is_set_right_is_caught_up_with_and_one_that_is_set_back_at_once() {
        let mut clock = SteadyClock::new(START, Millis(BEGIN));
        let mut time = 0;
        for minute in 0..=61_u32 {
            let passed_ms = minute * 60_000;
            time = follow(&mut clock, u64::from(passed_ms), HOUR_MS + i64::from(passed_ms));
            let is_caught_up = time == HOUR_MS + i64::from(passed_ms);
            assert_eq!(is_caught_up, minute >= 60, "minute {minute}");
        }
        assert_eq!(time, HOUR_MS + 61 * 60_000);
        assert_eq!(follow(&mut clock, 61 * 60_000, 7), 7);
    }
}
