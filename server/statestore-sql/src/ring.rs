//! Which table an outcome pack goes to, where it is searched, and when a table may be emptied.
//!
//! The spill tables form a ring over time: a pack belongs to the table of the moment at which its youngest call was
//! created. Emptying a whole table is much cheaper than deleting rows, so a table is emptied as soon as every shard's
//! low-water time has passed everything in it.
//!
//! Safety does not rest on that happening in time. Each table has one number, the end of the latest period that it ever
//! took since it was empty. If the ring comes round to a table that still holds older packs, new ones join them and
//! the number rises: the old packs then live longer than needed, which costs space and nothing else. For the same
//! reason the width of a period may differ from one opening to the next.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use callboard_migrations::tables::SPILL_TABLES;
use callboard_types::Millis;

/// A pack that covers more than this is "wide". Packs of busy actors are narrow, so that a lookup reads a short range
/// of them; wide ones are searched as a whole but are few, since an actor makes at most a handful per second.
const NARROW_MS: i64 = 250;

/// What each spill table holds; shared by the writer and the readers.
#[derive(Debug)]
pub(crate) struct Ring {
    width: i64,
    holds_until: [AtomicI64; SPILL_TABLES],
}

impl Ring {
    /// An empty ring for an outcome window: eighty periods cover the window, the others the calls from clocks that are
    /// ahead and the time until somebody expires.
    pub(crate) fn new(window: Duration) -> Self {
        let width = i64::try_from(window.as_millis() / 80).unwrap_or(i64::MAX);
        Self {
            width: width.clamp(100, 24 * 3_600 * 1_000),
            holds_until: [const { AtomicI64::new(0) }; SPILL_TABLES],
        }
    }

    /// The table of a pack that ends at `until`, and the end of its period.
    pub(crate) fn place(&self, until: Millis) -> (usize, i64) {
        let period = until.0.max(0) / self.width;
        let slot = usize::try_from(period % SPILL_TABLES as i64).unwrap_or(0);
        (slot, period.saturating_add(1).saturating_mul(self.width))
    }

    /// Notes that a table holds, or is about to hold, packs that end before `end`.
    pub(crate) fn extend(&self, slot: usize, end: i64) {
        self.holds_until[slot].fetch_max(end, Ordering::AcqRel);
    }

    /// Notes that a table is empty.
    pub(crate) fn emptied(&self, slot: usize) {
        self.holds_until[slot].store(0, Ordering::Release);
    }

    /// The end of what a table holds; 0 if it is empty.
    pub(crate) fn holds_until(&self, slot: usize) -> i64 {
        self.holds_until[slot].load(Ordering::Acquire)
    }

    /// The tables that may hold a pack with an outcome of a call created at `created`.
    pub(crate) fn candidates(&self, created: Millis) -> impl Iterator<Item = usize> {
        (0..SPILL_TABLES).filter(move |slot| self.holds_until(*slot) > created.0)
    }

    /// A table of which nothing is needed when no call created before `low_water` is served, and whether there are
    /// more of them.
    pub(crate) fn expired(&self, low_water: Millis) -> (Option<usize>, bool) {
        let over = |slot: &usize| (1..=low_water.0).contains(&self.holds_until(*slot));
        let mut slots = (0..SPILL_TABLES).filter(over);
        (slots.next(), slots.next().is_some())
    }
}

/// True if a pack covers more time than [`NARROW_MS`].
pub(crate) fn is_wide(from: Millis, until: Millis) -> bool {
    until.0.saturating_sub(from.0) > NARROW_MS
}

/// The latest end that a narrow pack with a call created at `created` can have.
pub(crate) fn narrow_end(created: Millis) -> i64 {
    created.0.saturating_add(NARROW_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(600);

    #[test]
    fn a_table_is_only_emptied_when_everything_in_it_has_passed() {
        let ring = Ring::new(WINDOW);
        let (slot, end) = ring.place(Millis(1_000_000));
        assert_eq!((slot, end), (133 % SPILL_TABLES, 1_005_000));
        ring.extend(slot, end);
        assert_eq!(ring.expired(Millis(end - 1)), (None, false));
        assert_eq!(ring.expired(Millis(end)), (Some(slot), false));
        // The ring comes round before anybody expired: the later period now decides.
        let (same, later) = ring.place(Millis(1_000_000 + 128 * 7_500));
        assert_eq!(same, slot);
        ring.extend(same, later);
        assert_eq!(ring.expired(Millis(end)), (None, false));
        assert_eq!(ring.candidates(Millis(5)).collect::<Vec<_>>(), [slot]);
        ring.emptied(slot);
        assert_eq!(ring.candidates(Millis(5)).count(), 0);
    }

    #[test]
    fn a_pack_is_searched_where_it_was_put_whatever_the_width_was() {
        let ring = Ring::new(WINDOW);
        let pack_until = Millis(77_000_123);
        let (slot, end) = Ring::new(Duration::from_secs(7)).place(pack_until);
        ring.extend(slot, end);
        for created in [Millis(1), Millis(77_000_000), pack_until] {
            assert!(ring.candidates(created).any(|candidate| candidate == slot));
        }
    }

    #[test]
    fn calls_from_before_the_epoch_have_a_table_too() {
        let (slot, end) = Ring::new(WINDOW).place(Millis(-5));
        assert_eq!((slot, end), (0, 7_500));
    }
}
