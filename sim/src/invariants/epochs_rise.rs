//! The epoch of a shard rises with every change, and never falls.

use std::collections::BTreeMap;

use super::Violation;
use crate::history::History;

/// Checks it.
///
/// # Errors
/// A shard whose epoch did not rise.
pub(crate) fn check(history: &History) -> Result<(), Violation> {
    let mut highest = BTreeMap::new();
    for (shard, owner, epoch) in &history.owners {
        let before = highest.insert(*shard, *epoch);
        if before.is_some_and(|before| before >= *epoch) {
            return Err(format!(
                "shard {shard:?} went to node {owner} at {epoch} after {before:?}"
            ));
        }
    }
    Ok(())
}
