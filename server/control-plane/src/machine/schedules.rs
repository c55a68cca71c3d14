//! The schedules that the cluster agreed on: who is due when, and what became of it.
//!
//! Times are values here. Whoever proposes a change computes them, by its own clock and time zones; the machine stores
//! them and compares occurrence numbers, so that every firing ends once. All maps share their parts with copies, so that
//! a snapshot of a million schedules is taken without holding anybody up.

pub mod change;
mod due;
pub mod record;
mod remembered;
pub mod requests;
pub mod spec;
pub mod stored;

use std::sync::Arc;

use callboard_types::{CallError, DueCursor, ErrorKind, Millis};
use imbl::{OrdMap, OrdSet, Vector};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::command::no_system;

pub use change::{Change, ChangeResult};
pub use due::DueOccurrence;
pub use record::{Counters, Next, Schedule};
pub use spec::{Argument, Overlap, Spec, When};

use remembered::Remembered;

/// What all schedules of a cluster may take, in bytes; every node holds them in memory and in snapshots. Unit tests fill
/// it, and have less to fill.
pub const SCHEDULES_BYTES_MAX: usize = if cfg!(test) { 64 << 20 } else { 1 << 30 };
/// What a schedule takes besides its name and its spec, about.
const RECORD_BYTES: usize = 256;
/// Batches of changes that are known by their ids: more than can be proposed while one may be proposed again.
const BATCHES_KNOWN: usize = 4_096;
/// Refusals among the results of batches that are known. Of more, the oldest batches are forgotten before their time: what
/// is refused and proposed again is refused again, or done once.
const REFUSALS_KNOWN: usize = 64 * 1_024;

/// Every schedule of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedules {
    by_number: OrdMap<u64, Arc<Schedule>>,
    /// Numbers by system and name.
    names: OrdMap<Arc<str>, OrdMap<Arc<str>, u64>>,
    due: OrdSet<(Millis, u64)>,
    bytes: usize,
    last_number: u64,
    /// The newest batches, with the refusals among their results.
    batches: Vector<(u128, Arc<Refusals>)>,
    /// How many refusals those have.
    refusals: usize,
    /// Delayed calls and schedules with one time that have fired, since they went.
    gone: Remembered,
    /// Requests that were done, whatever became of their schedules since.
    requests: Remembered,
}

/// Refused changes of a batch, by their places in it.
type Refusals = Vec<(u32, CallError)>;

/// What is kept so that repetitions do nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memory {
    batches: Vec<(u128, Arc<Refusals>)>,
    gone: Vec<(Millis, u128)>,
}

impl Schedules {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_number.len()
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    /// How many a system has.
    #[must_use]
    pub fn count(&self, system: &str) -> usize {
        self.names.get(system).map_or(0, OrdMap::len)
    }

    /// A schedule by name.
    #[must_use]
    pub fn get(&self, system: &str, name: &str) -> Option<&Arc<Schedule>> {
        self.by_number.get(self.names.get(system)?.get(name)?)
    }

    /// A schedule by number.
    #[must_use]
    pub fn by_number(&self, number: u64) -> Option<&Arc<Schedule>> {
        self.by_number.get(&number)
    }

    /// The schedules of a system by name, from above `after`.
    pub fn list<'a>(
        &'a self,
        system: &str,
        after: &str,
        prefix: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Schedule>> + use<'a> {
        let from: Arc<str> = if after >= prefix { after.into() } else { prefix.into() };
        let inclusive = after < prefix || after.is_empty();
        let names = self.names.get(system).into_iter();
        names
            .flat_map(move |names| names.range(Arc::clone(&from)..))
            .skip_while({
                let after: Arc<str> = after.into();
                move |(name, _)| !inclusive && **name == after
            })
            .take_while(move |(name, _)| name.starts_with(prefix))
            .filter_map(|(_, number)| self.by_number.get(number))
    }

    /// When the first occurrence is due that is due later than `after`.
    #[must_use]
    pub fn next_due(&self, after: Millis) -> Option<Millis> {
        let from = (after.plus(1), 0);
        self.due.range(from..).next().map(|(due, _)| *due)
    }

    /// Where occurrences are due at `until` or before, in order, from above `after`.
    pub fn due(
        &self,
        after: DueCursor,
        until: Millis,
    ) -> impl Iterator<Item = (DueCursor, &Arc<Schedule>)> {
        let from = (after.due, after.schedule);
        let due = self.due.range((std::ops::Bound::Excluded(from), std::ops::Bound::Unbounded));
        due.take_while(move |(due, _)| *due <= until).filter_map(|(due, number)| {
            let schedule = self.by_number.get(number)?;
            Some((DueCursor { due: *due, schedule: *number }, schedule))
        })
    }

    /// Applies a batch, unless it was applied before. True if anything differs, and a result for each change.
    pub(super) fn apply(
        &mut self,
        id: u128,
        now: Millis,
        changes: Vec<Change>,
        has_system: impl Fn(&str) -> bool,
    ) -> (bool, Vec<ChangeResult>) {
        if let Some((_, refusals)) = self.batches.iter().rev().find(|(known, _)| *known == id) {
            return (false, self.results_again(&changes, &Arc::clone(refusals)));
        }
        let mut results = Vec::with_capacity(changes.len());
        for change in changes {
            results.push(match change.needs_system() {
                Some(system) if !has_system(system) => no_system(system),
                _ => change.run(self, now),
            });
        }
        let refusals = (0_u32..).zip(&results);
        let refusals = refusals.filter_map(|(at, result)| Some((at, result.clone().err()?)));
        self.remember_batch(id, refusals.collect());
        (true, results)
    }

    fn remember_batch(&mut self, id: u128, refusals: Refusals) {
        self.refusals += refusals.len();
        self.batches.push_back((id, Arc::new(refusals)));
        // The newest is kept in any case.
        while self.batches.len() > 1
            && (self.batches.len() > BATCHES_KNOWN || self.refusals > REFUSALS_KNOWN)
        {
            let forgotten = self.batches.pop_front();
            self.refusals -= forgotten.map_or(0, |(_, refusals)| refusals.len());
        }
    }

    /// What a batch that was applied before is answered: refusals as then, and schedules as they stand now.
    fn results_again(&self, changes: &[Change], refusals: &Refusals) -> Vec<ChangeResult> {
        let results = (0_u32..).zip(changes).map(|(at, change)| {
            if let Some((_, error)) = refusals.iter().find(|(refused, _)| *refused == at) {
                return Err(error.clone());
            }
            Ok(change.named().and_then(|(system, name)| self.get(system, name).cloned()))
        });
        results.collect()
    }

    /// Takes in a schedule as it is now, in the place of what it was.
    fn put(&mut self, before: Option<&Arc<Schedule>>, after: Schedule) -> Arc<Schedule> {
        if let Some(before) = before {
            self.unlist(before);
        }
        let after = Arc::new(after);
        for one in after.pending() {
            self.due.insert((one.due, after.number));
        }
        self.bytes += after.bytes();
        if before.is_none() {
            let names = self.names.entry(Arc::clone(&after.system)).or_default();
            names.insert(Arc::clone(&after.name), after.number);
        }
        self.by_number.insert(after.number, Arc::clone(&after));
        after
    }

    fn remove(&mut self, gone: &Arc<Schedule>) {
        self.unlist(gone);
        self.by_number.remove(&gone.number);
        if let Some(names) = self.names.get_mut(&gone.system) {
            names.remove(&gone.name);
            if names.is_empty() {
                self.names.remove(&gone.system);
            }
        }
    }

    /// Takes out what [`put`](Self::put) counted and indexed besides the name.
    fn unlist(&mut self, schedule: &Schedule) {
        for one in schedule.pending() {
            self.due.remove(&(one.due, schedule.number));
        }
        self.bytes -= schedule.bytes();
    }
}

impl Schedule {
    fn bytes(&self) -> usize {
        let more = self.more.as_ref().map_or(0, |more| more.bytes());
        self.name.len() + self.spec.len() + RECORD_BYTES + more
    }
}

fn call_hash(system: &str, name: &str) -> u128 {
    xxh3_128(&[system.as_bytes(), &[0], name.as_bytes()].concat())
}

/// Stands for a schedule with one time that has fired: whoever asks for the same again repeats an attempt whose answer was
/// lost.
fn shot_hash(system: &str, name: &str, spec: &[u8]) -> u128 {
    xxh3_128(&[system.as_bytes(), &[0], name.as_bytes(), &[0], spec].concat())
}

fn unknown(system: &str, name: &str) -> CallError {
    let text = format!(
        "system {} has no schedule \"{}\"; `callboard schedule list` shows those it has",
        system.escape_debug(),
        name.escape_debug()
    );
    CallError::new(ErrorKind::UnknownSchedule, text)
}

#[cfg(test)]
mod tests;
