//! Occurrences that nobody fired in time: they are counted, and what comes next takes their place.
//!
//! Only the node that would have fired an occurrence knows whether it did: a call may well run for longer than the
//! catch-up window. So every node looks after the occurrences whose targets it owns, and the leader after those whose
//! targets nobody owns. What a node handed out in time is not late, however long it takes.

use std::{collections::HashSet, convert::Infallible, sync::Arc, time::Duration};

use callboard_types::{DueCursor, Kind, Millis, NodeId, NodeState, OccurrenceEnd, TypeView};
use parking_lot::Mutex;
use tokio::time::MissedTickBehavior;

use super::{Schedules, times::Times};
use crate::{
    machine::schedules::{Change, DueOccurrence, Schedule, Spec, change::Missed},
    metrics,
    view::Publisher,
};

/// How often late occurrences are looked for.
const INTERVAL: Duration = Duration::from_millis(500);
/// Occurrences that one look proposes about.
const LOOK_MAX: usize = 4_096;
/// Occurrences that one look judges. The next look goes on from there.
const JUDGED_MAX: usize = 16 * STRIDE;
/// Occurrences that are looked at under one lock.
const STRIDE: usize = 1_024;

/// The occurrences that this node handed out and that have not ended, as (schedule, number). Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handed(Arc<Mutex<HashSet<(u64, u64)>>>);

impl Handed {
    /// True if an occurrence is in time, or was when it was handed out. Notes it if this node is to fire it.
    pub(super) fn may_fire(
        &self,
        node: NodeId,
        publisher: &Publisher,
        one: &DueOccurrence,
        now: Millis,
    ) -> bool {
        let spec = one.schedule.spec();
        let key = (one.schedule.number(), one.due.number);
        if is_late(one, &spec, now) {
            return self.0.lock().contains(&key);
        }
        if owner(publisher, &one.schedule, &spec) == Some(node) {
            self.0.lock().insert(key);
        }
        true
    }

    pub(super) fn forget(&self, ends: &[OccurrenceEnd]) {
        let mut handed = self.0.lock();
        for end in ends {
            handed.remove(&(end.schedule, end.number));
        }
    }

    fn contains(&self, schedule: u64, number: u64) -> bool {
        self.0.lock().contains(&(schedule, number))
    }
}

/// Looks for late occurrences.
pub(crate) struct Latecomers(pub(crate) Schedules);

impl Latecomers {
    /// Runs until it is dropped.
    pub(crate) async fn run(self) -> Result<(), Infallible> {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut after = DueCursor::default();
        loop {
            ticks.tick().await;
            self.tidy();
            let Ok(now) = self.0.proposer.now() else { continue };
            let changes = self.look(&mut after, now).await;
            if changes.is_empty() {
                continue;
            }
            let missed = changes.iter().map(|one| one.missed).sum();
            let proposed = changes.into_iter().map(|one| self.0.change(Change::Missed(one)));
            let agreed = futures::future::join_all(proposed).await;
            match agreed.into_iter().find_map(Result::err) {
                None => metrics::schedules_late(missed),
                Some(error) => {
                    tracing::warn!(%error, "late occurrences are not counted yet; trying again");
                }
            }
        }
    }

    /// Forgets what was handed out and is not pending any more.
    fn tidy(&self) {
        let state = self.0.proposer.replicated.read();
        let all = state.machine.schedules();
        self.0.handed().0.lock().retain(|(schedule, number)| {
            all.by_number(*schedule)
                .is_some_and(|known| known.pending().any(|one| one.number == *number))
        });
    }

    /// What is to be proposed about occurrences that are late at `now`, from above `after` on, which is moved on; back to
    /// the start once all were looked at.
    async fn look(&self, after: &mut DueCursor, now: Millis) -> Vec<Missed> {
        let (mut found, mut judged) = (Vec::new(), 0);
        while found.len() < LOOK_MAX && judged < JUDGED_MAX {
            let due: Vec<(DueCursor, Arc<Schedule>)> = {
                let state = self.0.proposer.replicated.read();
                let due = state.machine.schedules().due(*after, now).take(STRIDE);
                due.map(|(at, schedule)| (at, Arc::clone(schedule))).collect()
            };
            judged += due.len();
            *after = due
                .last()
                .filter(|_| due.len() == STRIDE)
                .map_or_else(DueCursor::default, |last| last.0);
            let due = due.iter().filter_map(|(at, schedule)| DueOccurrence::at(*at, schedule));
            found.extend(due.filter_map(|one| self.judge(&one, now)));
            if *after == DueCursor::default() {
                break;
            }
            tokio::task::yield_now().await;
        }
        found
    }

    fn judge(&self, one: &DueOccurrence, now: Millis) -> Option<Missed> {
        let schedule = &one.schedule;
        let number = one.due.number;
        // The cheap questions first: most of what is due is not late, and a cron line takes long to read.
        if one.due.triggered || self.0.handed().contains(schedule.number(), number) {
            return None;
        }
        let spec = schedule.spec();
        if !is_late(one, &spec, now) {
            return None;
        }
        let mine = match owner(&self.0.proposer.publisher, schedule, &spec) {
            Some(owner) => owner == self.0.node,
            None => self.0.proposer.leadership().is_some(),
        };
        let nominal = schedule.next().filter(|_| mine)?.nominal;
        let (_, times) = Times::of_schedule(schedule)?;
        let step = if spec.is_one_shot() {
            super::times::Step { next: None, missed: 1 }
        } else {
            times.after_miss(&spec, nominal, now)
        };
        Some(Missed {
            schedule: schedule.number(),
            generation: schedule.generation(),
            number,
            missed: step.missed,
            next: step.next,
        })
    }
}

/// True if an occurrence is past its catch-up window. Whoever triggers one waits for it, however late.
fn is_late(one: &DueOccurrence, spec: &Spec, now: Millis) -> bool {
    let window = i64::try_from(spec.window_ms).unwrap_or(i64::MAX);
    !one.due.triggered && one.due.due.plus(window) < now
}

/// The live owner of a schedule's target.
fn owner(publisher: &Publisher, schedule: &Schedule, spec: &Spec) -> Option<NodeId> {
    let view = publisher.current();
    let system = if spec.system.is_empty() { schedule.system() } else { spec.system.as_str() };
    let target = view.type_of(system, &spec.actor_type)?;
    let owner = target.shards.get(shard(target, schedule.number(), &spec.key)?)?.node;
    let live = view.node_of(owner).is_some_and(|node| node.state != NodeState::Down);
    live.then_some(owner)
}

/// The shard that a schedule's calls go to. Those of a pool have no key: its schedules are dealt out by their numbers, as
/// the data plane does it.
fn shard(target: &TypeView, schedule: u64, key: &str) -> Option<usize> {
    let shard = match target.definition.kind {
        Kind::Pooled => schedule.checked_rem(target.shards.len() as u64)?,
        _ => target.shard_of(key).into(),
    };
    usize::try_from(shard).ok()
}

#[cfg(test)]
mod tests {
    use callboard_types::{Epoch, ShardOwner, TypeDefinition};

    use super::*;

    #[test]
    fn a_pool_has_its_schedules_by_their_numbers_and_other_types_by_their_keys() {
        let mut target = TypeView {
            id: 1,
            system: "default".into(),
            name: "Counter".into(),
            definition: TypeDefinition::new("Counter"),
            descriptor_hash: "".into(),
            descriptor_set: [].into(),
            shards: vec![ShardOwner::new(NodeId(1), Epoch(1)); 4].into(),
        };
        let by_key = target.shard_of("a") as usize;
        assert_eq!([6, 7].map(|number| shard(&target, number, "a")), [Some(by_key); 2]);
        target.definition.kind = Kind::Pooled;
        assert_eq!([6, 7].map(|number| shard(&target, number, "a")), [Some(2), Some(3)]);
        target.shards = [].into();
        assert_eq!(shard(&target, 6, "a"), None);
    }
}
