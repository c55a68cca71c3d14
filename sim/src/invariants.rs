//! What must be true of every history, one file each.

pub(crate) mod acknowledged;
pub(crate) mod applied_once;
pub(crate) mod epochs_rise;
pub(crate) mod fence_order;
pub(crate) mod liveness;
pub(crate) mod no_circles;
pub(crate) mod reads_fresh;
pub(crate) mod replicas_equal;
pub(crate) mod serving_intervals;

use crate::history::History;

/// What a history breaks, in words.
pub(crate) type Violation = String;

/// An invariant.
pub(crate) type Check = fn(&History) -> Result<(), Violation>;

/// Every invariant, by name.
pub(crate) const ALL: [(&str, Check); 9] = [
    ("replicas_equal", replicas_equal::check),
    ("epochs_rise", epochs_rise::check),
    ("fence_order", fence_order::check),
    ("serving_intervals", serving_intervals::check),
    ("acknowledged", acknowledged::check),
    ("applied_once", applied_once::check),
    ("reads_fresh", reads_fresh::check),
    ("no_circles", no_circles::check),
    ("liveness", liveness::check),
];

/// Checks all of them. Tells each that is broken.
#[must_use]
pub(crate) fn check_all(history: &History) -> Vec<(&'static str, Violation)> {
    let broken = |(name, check): &(&'static str, Check)| Some((*name, check(history).err()?));
    ALL.iter().filter_map(broken).collect()
}
