//! Nodes that applied the same log hold the same state.

use super::Violation;
use crate::history::History;

/// Checks it.
///
/// # Errors
/// A node that differs.
pub(crate) fn check(history: &History) -> Result<(), Violation> {
    match history.diverged {
        None => Ok(()),
        Some((index, node)) => Err(format!("node {node} holds another state at index {index}")),
    }
}
