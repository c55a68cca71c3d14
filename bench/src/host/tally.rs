//! What a host has counted, for rows about calls that nobody waits for: how many came, and when the newest did.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use callboard_proto::types::v1::Payload;
use serde::{Deserialize, Serialize};

use crate::payload;

static COUNT: AtomicU64 = AtomicU64::new(0);
static LAST_MS: AtomicI64 = AtomicI64::new(0);

/// What a host has counted since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Turns of the counted action.
    pub(crate) count: u64,
    /// When the newest of them ran, in Unix milliseconds; 0 before the first.
    pub(crate) last_ms: i64,
}

/// Counts a turn. A host runs its turns on one thread.
pub(crate) fn count() {
    COUNT.fetch_add(1, Ordering::Relaxed);
    LAST_MS.store(payload::now_ms(), Ordering::Relaxed);
}

/// The tally as a reply.
pub(crate) fn reply() -> Payload {
    let tally =
        Tally { count: COUNT.load(Ordering::Relaxed), last_ms: LAST_MS.load(Ordering::Relaxed) };
    let data = serde_json::to_vec(&tally).expect("two numbers are JSON");
    payload::opaque(data.into())
}
