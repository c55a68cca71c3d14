//! Confirmations for targets that other workers or nodes serve, gathered so that one call serves several.
//!
//! A confirmation is a best effort, and a late one costs nothing but the room of a mark. So it waits for others to the same
//! target, for a short time: the target may leave memory meanwhile, and keeps the mark then.

use std::collections::BTreeMap;

use callboard_types::{ActorId, Tick};

use crate::deliveries::confirm::Confirmed;

/// How long a confirmation waits for others, in milliseconds.
pub const GATHER_MS: u64 = 50;
/// Confirmations to one target that do not wait for more. Each holds a mark in the target's row, which has room for
/// [`MARKS_MAX`](crate::activation::marks::MARKS_MAX) from all workers of all nodes.
pub const GATHER_MAX: usize = 32;
/// Confirmations of one worker that wait at most; with as many, none waits any longer.
pub const GATHERED_MAX: usize = 4_096;

/// Confirmations by target.
#[derive(Debug)]
pub(super) struct Confirms {
    waiting: BTreeMap<ActorId, Vec<Confirmed>>,
    count: usize,
    full: Vec<(ActorId, Vec<Confirmed>)>,
    /// When those that wait go at the latest.
    due: Tick,
}

impl Default for Confirms {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), count: 0, full: Vec::new(), due: Tick::NEVER }
    }
}

impl Confirms {
    /// True if none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.full.is_empty()
    }

    /// When [`take`](Self::take) is to be called at the latest.
    pub(super) fn due(&self) -> Tick {
        if self.full.is_empty() { self.due } else { Tick::default() }
    }

    pub(super) fn add(&mut self, target: ActorId, confirmed: Confirmed, now: Tick) {
        if self.waiting.is_empty() {
            self.due = now.plus_millis(GATHER_MS);
        }
        self.count += 1;
        let of_target = self.waiting.entry(target.clone()).or_default();
        of_target.push(confirmed);
        if of_target.len() >= GATHER_MAX {
            let confirmed = std::mem::take(of_target);
            self.waiting.remove(&target);
            self.count -= confirmed.len();
            self.full.push((target, confirmed));
        }
        if self.count >= GATHERED_MAX {
            self.due = now;
        }
    }

    /// What goes now: all if they are due, or if nothing is to wait any longer.
    pub(super) fn take(&mut self, now: Tick, all: bool) -> Vec<(ActorId, Vec<Confirmed>)> {
        let mut taken = std::mem::take(&mut self.full);
        if all || self.due <= now {
            self.count = 0;
            taken.extend(std::mem::take(&mut self.waiting));
        }
        if self.waiting.is_empty() {
            self.due = Tick::NEVER;
        }
        taken
    }
}
