//! Marks of deliveries: which ones ran, for as long as their senders may make them again.
//!
//! An ordinary outcome is found by its call's creation time and forgotten after the window. A delivery may come again long
//! after, with the time of its newest attempt, so its id alone must tell that it ran. The marks travel in the actor's row,
//! behind its outcomes, and go when the sender says that its row is gone.

use callboard_types::{Millis, limits};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

/// Deliveries of one actor whose senders have not said that their rows are gone. Further ones are refused with
/// `MailboxFull`.
pub const MARKS_MAX: usize = 1_024;
/// How long an id is kept after its confirmation, if attempts with other creation times may still come.
const KEPT_AFTER_MS: i64 = limits::OUTCOME_WINDOW_MS + limits::CREATED_AHEAD_MS;

/// One delivery that ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// XXH3-128 of its request id.
    id: u128,
    /// Tells it apart from another call under the id.
    pub fingerprint: u64,
    /// The creation time of the attempt that ran.
    pub created_at: Millis,
    /// When it may go; 0 until it is confirmed.
    until: Millis,
}

/// The marks of one actor.
#[derive(Debug, Default)]
pub struct Marks(Vec<Mark>);

impl Marks {
    /// Takes up what a row holds behind its outcomes.
    ///
    /// # Errors
    /// The decoder's words.
    pub fn load(row: &[u8]) -> Result<Self, String> {
        if row.is_empty() {
            return Ok(Self::default());
        }
        postcard::from_bytes(row).map(Self).map_err(|error| error.to_string())
    }

    /// Appends the marks to a row; nothing if there are none.
    pub fn encode_behind(&self, row: &mut Vec<u8>) {
        if !self.0.is_empty() {
            row.extend(postcard::to_stdvec(&self.0).expect("plain data always encodes"));
        }
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True if there are as many as there may be.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.len() >= MARKS_MAX
    }

    /// True if the sender of a delivery has not said yet that its row is gone.
    #[must_use]
    pub fn has_unconfirmed(&self) -> bool {
        self.0.iter().any(|mark| mark.until.0 == 0)
    }

    /// Remembers that a delivery ran.
    pub fn add(&mut self, request_id: &str, fingerprint: u64, created_at: Millis) {
        let id = xxh3_128(request_id.as_bytes());
        self.0.push(Mark { id, fingerprint, created_at, until: Millis(0) });
    }

    /// Finds a delivery.
    #[must_use]
    pub fn find(&self, request_id: &str) -> Option<Mark> {
        if self.0.is_empty() {
            return None;
        }
        let id = xxh3_128(request_id.as_bytes());
        self.0.iter().rev().find(|mark| mark.id == id).copied()
    }

    /// The sender's row is gone. `restamped` says that late attempts may carry other creation times than the one that ran;
    /// otherwise the ordinary outcome keeps them from running. True if there was a mark.
    pub fn confirm(&mut self, request_id: &str, restamped: bool, wall: Millis) -> bool {
        let id = xxh3_128(request_id.as_bytes());
        let Some(at) = self.0.iter().position(|mark| mark.id == id) else { return false };
        if restamped {
            self.0[at].until = wall.plus(KEPT_AFTER_MS);
        } else {
            self.0.remove(at);
        }
        true
    }

    /// Forgets marks whose time is over.
    pub fn prune(&mut self, wall: Millis) {
        let oldest = wall.plus(-limits::DELIVERED_WINDOW_MS);
        self.0.retain(|mark| {
            let confirmed = mark.until.0 != 0;
            if confirmed { mark.until > wall } else { mark.created_at > oldest }
        });
    }

    /// Gives back memory that an idle actor does not need.
    pub fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_700_000_000_000);

    #[test]
    fn a_mark_outlives_its_row_only_while_late_attempts_may_come() {
        let mut marks = Marks::default();
        marks.add("young", 1, NOW);
        marks.add("old", 2, NOW);
        marks.confirm("young", false, NOW);
        marks.confirm("old", true, NOW);
        assert!(marks.find("young").is_none());
        let mut row = Vec::new();
        marks.encode_behind(&mut row);
        let mut after = Marks::load(&row).expect("readable");
        assert_eq!(after.find("old").map(|mark| mark.fingerprint), Some(2));
        after.prune(NOW.plus(KEPT_AFTER_MS - 1));
        assert!(after.find("old").is_some());
        after.prune(NOW.plus(KEPT_AFTER_MS));
        assert!(after.is_empty());
    }

    #[test]
    fn an_unconfirmed_mark_stays_for_seven_days() {
        let mut marks = Marks::default();
        marks.add("a", 1, NOW);
        marks.prune(NOW.plus(limits::DELIVERED_WINDOW_MS - 1));
        assert!(marks.find("a").is_some());
        marks.prune(NOW.plus(limits::DELIVERED_WINDOW_MS));
        assert!(marks.find("a").is_none());
    }
}
