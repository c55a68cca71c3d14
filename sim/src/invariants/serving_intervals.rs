//! Answers that no commit covers come from one owner at a time, by true time: once a newer epoch answered or committed,
//! nobody answers for an older one.

use std::collections::BTreeMap;

use callboard_types::{Epoch, NodeId};

use super::Violation;
use crate::history::{History, Shard};

/// Checks it.
///
/// # Errors
/// An answer of an owner whose time was over.
pub(crate) fn check(history: &History) -> Result<(), Violation> {
    let mut signs: Vec<(u64, Shard, Epoch, Option<NodeId>)> = Vec::new();
    signs.extend(history.commits.iter().map(|it| (it.at, it.shard, it.epoch, None)));
    signs.extend(history.uncovered.iter().map(|it| (it.at, it.shard, it.epoch, Some(it.node))));
    signs.sort_by_key(|(at, ..)| *at);
    let mut newest: BTreeMap<Shard, (Epoch, Option<NodeId>)> = BTreeMap::new();
    for (at, shard, epoch, node) in signs {
        let (known, by) = newest.entry(shard).or_default();
        if epoch > *known {
            (*known, *by) = (epoch, node);
        } else if let Some(node) = node {
            let other = by.is_some_and(|by| by != node);
            if epoch < *known || other {
                return Err(format!(
                    "at {at} µs node {node} answered for shard {shard:?} at epoch {epoch}, and epoch {known} had \
                     begun at {by:?}"
                ));
            }
            *by = Some(node);
        }
    }
    Ok(())
}
