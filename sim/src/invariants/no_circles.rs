//! A call meets at most two redirects before its caller hears something.

use super::Violation;
use crate::history::History;

/// Redirects that a call may meet.
const REDIRECTS_MAX: u32 = 2;

/// Checks it.
///
/// # Errors
/// A call that travelled further.
pub(crate) fn check(history: &History) -> Result<(), Violation> {
    match history.redirects.iter().find(|redirects| **redirects > REDIRECTS_MAX) {
        None => Ok(()),
        Some(redirects) => Err(format!("a call met {redirects} redirects")),
    }
}
