//! A request is applied at most once, and what an actor holds only grows.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use crate::history::History;

/// Checks it.
///
/// # Errors
/// A request that was applied twice, or a commit that lost an earlier one.
pub(crate) fn check(history: &History) -> Result<(), Violation> {
    let mut before: BTreeMap<_, &[u32]> = BTreeMap::new();
    for commit in &history.commits {
        let unique: BTreeSet<u32> = commit.adds.iter().copied().collect();
        if unique.len() < commit.adds.len() {
            return Err(format!(
                "at {} µs {:?} came to hold {:?}: one add twice",
                commit.at, commit.actor, commit.adds
            ));
        }
        let earlier = before.insert(commit.actor, &commit.adds).unwrap_or_default();
        if !commit.adds.starts_with(earlier) {
            return Err(format!(
                "at {} µs {:?} came to hold {:?} after {earlier:?}",
                commit.at, commit.actor, commit.adds
            ));
        }
    }
    Ok(())
}
