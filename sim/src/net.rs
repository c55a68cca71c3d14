//! The ways between nodes, and between nodes and the store: how long a message takes, and whether it arrives.

use std::collections::{BTreeMap, BTreeSet};

use crate::rng::Rng;

/// Who sends or receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// A node.
    Node(usize),
    /// The store.
    Store,
}

/// The network as it is now.
#[derive(Clone, Debug)]
pub(crate) struct Net {
    /// Ways that are cut, as (from, to).
    pub(crate) cut: BTreeSet<(Place, Place)>,
    /// Of a thousand messages, how many are lost.
    pub(crate) loss: u64,
    /// Microseconds that a message takes at most.
    pub(crate) delay: u64,
    /// Nodes whose commits take this long at most, in microseconds.
    pub(crate) late: BTreeSet<usize>,
    /// Nodes that learn late what is agreed on, with the time until which that is so.
    pub(crate) lagging: BTreeMap<usize, u64>,
    /// Nodes that get every other answer of the store only.
    pub(crate) deaf: BTreeSet<usize>,
}

/// What an ordinary message takes at most.
pub(crate) const DELAY: u64 = 3_000;
/// What a late entry of the log takes at most.
pub(crate) const LAG: u64 = 1_500_000;
/// What a late commit takes at most: longer than a takeover.
pub(crate) const LATE: u64 = 5_000_000;

impl Default for Net {
    fn default() -> Self {
        Self {
            cut: BTreeSet::new(),
            loss: 0,
            delay: DELAY,
            late: BTreeSet::new(),
            lagging: BTreeMap::new(),
            deaf: BTreeSet::new(),
        }
    }
}

impl Net {
    /// How long a message takes; `None` if it is lost.
    pub(crate) fn travel(&self, from: Place, to: Place, rng: &mut Rng) -> Option<u64> {
        if from == to {
            return Some(1);
        }
        if self.cut.contains(&(from, to)) {
            return None;
        }
        match (from, to) {
            (Place::Store, Place::Node(node)) if self.deaf.contains(&node) && rng.chance(500) => {
                None
            }
            (Place::Store, _) | (_, Place::Store) => Some(rng.between(300, DELAY)),
            _ if rng.chance(self.loss) => None,
            _ => Some(rng.between(100, self.delay)),
        }
    }

    /// Cuts or mends both directions.
    pub(crate) fn set(&mut self, a: Place, b: Place, cut: bool) {
        for way in [(a, b), (b, a)] {
            if cut {
                self.cut.insert(way);
            } else {
                self.cut.remove(&way);
            }
        }
    }
}
