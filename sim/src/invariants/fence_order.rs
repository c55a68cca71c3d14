//! The store accepts no commit of an older epoch after one of a newer epoch.

use std::collections::BTreeMap;

use callboard_types::Epoch;

use super::Violation;
use crate::history::History;

/// Checks it.
///
/// # Errors
/// A commit of an epoch that was over.
pub(crate) fn check(history: &History) -> Result<(), Violation> {
    let mut newest: BTreeMap<_, Epoch> = BTreeMap::new();
    for commit in &history.commits {
        let newest = newest.entry(commit.shard).or_default();
        if commit.epoch < *newest {
            return Err(format!(
                "at {} µs shard {:?} took a commit of epoch {} after one of epoch {newest}",
                commit.at, commit.shard, commit.epoch
            ));
        }
        *newest = commit.epoch;
    }
    Ok(())
}
