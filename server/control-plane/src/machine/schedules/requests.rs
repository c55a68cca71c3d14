//! Changes that are made once, however often they are asked for.
//!
//! A caller whose answer was lost asks again under the same request id, maybe long after the first attempt was applied:
//! the schedule may have fired or been deleted since, and its name may stand for another one.

use callboard_types::{CallError, ErrorKind, Millis};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::{
    Schedules,
    change::{ChangeResult, Create, Named},
};

/// The command version from which on requests are known.
pub(crate) const REQUESTS_VERSION: u32 = 4;

/// A change that is made once for its request. Part of commands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct For<T> {
    /// A hash of the id that names the request.
    pub request: u128,
    /// The change.
    pub change: T,
}

/// What a request has to be about to be the same. Part of hashes in snapshots.
const MADE: u8 = 1;
const DELETED: u8 = 2;

impl Schedules {
    /// True if a schedule was made for the request, whether or not it is there still.
    #[must_use]
    pub fn was_made(&self, system: &str, name: &str, request: u128) -> bool {
        self.requests.contains(hash(MADE, system, name, request))
    }
}

impl For<Create> {
    /// A repetition is answered with the schedule that has the name, or with None if there is none any more.
    pub(super) fn run(self, all: &mut Schedules, now: Millis) -> ChangeResult {
        let Self { request, change } = self;
        let hash = hash(MADE, &change.system, &change.name, request);
        if all.requests.contains(hash) {
            return Ok(all.get(&change.system, &change.name).cloned());
        }
        if change.first.is_none() {
            return Err(no_time());
        }
        let made = change.run(all, now)?;
        all.requests.insert(now, hash);
        Ok(made)
    }
}

impl For<Named> {
    pub(super) fn run(self, all: &mut Schedules, now: Millis) {
        let Self { request, change } = self;
        let hash = hash(DELETED, &change.system, &change.name, request);
        if !all.requests.contains(hash) {
            change.delete(all);
            all.requests.insert(now, hash);
        }
    }
}

fn hash(what: u8, system: &str, name: &str, request: u128) -> u128 {
    let request = request.to_le_bytes();
    xxh3_128(&[&[what], &request[..], system.as_bytes(), &[0], name.as_bytes()].concat())
}

/// Whoever proposed the schedule found no time for it, and asked only whether it was made before.
pub fn no_time() -> CallError {
    let text = "the schedule has no time at which it would fire; nothing was done";
    CallError::new(ErrorKind::InvalidArgument, text)
}
