//! Hashes of what was done, remembered for as long as somebody may ask for it again.

use callboard_types::{Millis, limits};
use imbl::{OrdSet, Vector};

/// So many are remembered at most. With more, the oldest are forgotten before their time.
pub(super) const REMEMBERED_MAX: usize = 1_000_000;
/// So many are remembered however old they are: a proposer whose clock is ahead must not empty the memory.
pub(super) const REMEMBERED_MIN: usize = 100_000;

/// Hashes, and since when each is known. Shares its parts with copies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Remembered {
    hashes: OrdSet<u128>,
    since: Vector<(Millis, u128)>,
}

impl Remembered {
    pub(super) fn contains(&self, hash: u128) -> bool {
        self.hashes.contains(&hash)
    }

    /// In the order in which they were taken in.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Millis, u128)> {
        self.since.iter().copied()
    }

    /// Takes in a hash, and forgets those of which nobody asks any more.
    pub(super) fn insert(&mut self, now: Millis, hash: u128) {
        if self.hashes.insert(hash).is_none() {
            self.since.push_back((now, hash));
        }
        let old = now.plus(-limits::OUTCOME_WINDOW_MS);
        while let Some((since, hash)) = self.since.front().copied() {
            let count = self.since.len();
            if count <= REMEMBERED_MIN || since >= old && count <= REMEMBERED_MAX {
                break;
            }
            self.since.pop_front();
            self.hashes.remove(&hash);
        }
    }
}

impl FromIterator<(Millis, u128)> for Remembered {
    fn from_iter<T: IntoIterator<Item = (Millis, u128)>>(hashes: T) -> Self {
        let since: Vector<(Millis, u128)> = hashes.into_iter().collect();
        Self { hashes: since.iter().map(|(_, hash)| *hash).collect(), since }
    }
}
