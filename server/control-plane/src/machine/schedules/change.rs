//! What can be asked of schedules. Part of commands: a variant is never removed, reordered or changed.

use std::sync::Arc;

use callboard_types::{CallError, ErrorKind, Millis};
use serde::{Deserialize, Serialize};

use super::{
    Next, Schedule, Schedules, Spec, When, call_hash,
    record::{More, TRIGGERS_MAX, Trigger},
    requests::{For, REQUESTS_VERSION},
    shot_hash, unknown,
};
use crate::machine::schedules::SCHEDULES_BYTES_MAX;

/// What a change takes besides what it names, or its refusal, about.
const CHANGE_BYTES: usize = 512;
/// A schedule that a change names is answered whole, and whoever makes batches does not know it: the largest there is,
/// about. Larger by a little does no harm, since a batch takes a quarter of what a message may.
const ANSWER_BYTES: usize = 28 * 1024;

/// What came of a change: the schedule as it stands then, None if it is gone or nobody asks.
pub type ChangeResult = Result<Option<Arc<Schedule>>, CallError>;

/// One change. Whoever proposes it has checked specs and computed times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Makes a schedule. The same again changes nothing.
    Create(Create),
    /// Gives a schedule another spec.
    Update(Update),
    /// Keeps a schedule from firing.
    Pause(Named),
    /// Lets it fire again.
    Resume(Resume),
    /// Fires it once, beside its own times.
    Trigger(Triggered),
    /// Forgets it.
    Delete(Named),
    /// A firing ended.
    Ended(Ended),
    /// Occurrences were too late.
    Missed(Missed),

    // From here on: command version 4.
    /// Makes a schedule, once for a request.
    CreateFor(For<Create>),
    /// Forgets a schedule, once for a request.
    DeleteFor(For<Named>),
}

/// A schedule to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Create {
    /// Its system, which must exist.
    pub system: String,
    /// Its name.
    pub name: String,
    /// What it is told to do.
    pub spec: Spec,
    /// Its first time; None if it has none.
    pub first: Option<Next>,
    /// True to make it paused.
    pub paused: bool,
    /// True for a single delayed call. Its name stands for its request id, so that it is made once in the outcome window.
    pub once: bool,
    /// How many schedules the system may have.
    pub limit: u64,
}

/// Another spec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// Which.
    pub of: Named,
    /// The spec.
    pub spec: Spec,
    /// Its first time.
    pub first: Option<Next>,
    /// Refused unless the schedule has this generation; 0 for any.
    pub if_generation: u64,
}

/// Names a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Its system.
    pub system: String,
    /// Its name.
    pub name: String,
}

/// The end of a pause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// Which.
    pub of: Named,
    /// The generation that times were computed of.
    pub generation: u64,
    /// The occurrence that times were computed from; 0 if there was none.
    pub number: u64,
    /// What comes next.
    pub next: Option<Next>,
    /// The occurrences that the pause made miss.
    pub missed: u64,
}

/// A firing that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Triggered {
    /// Which.
    pub of: Named,
    /// A hash of the id that names the trigger.
    pub request: u128,
}

/// The end of a firing. Without effect unless it is that of a pending occurrence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The schedule's number.
    pub schedule: u64,
    /// The generation that fired.
    pub generation: u64,
    /// The occurrence.
    pub number: u64,
    /// When it was handed to its actor.
    pub fired_at: Millis,
    /// Why its call failed; empty if it did not.
    pub error: String,
    /// What comes next, if the occurrence was one of the schedule's own times.
    pub next: Option<Next>,
    /// The occurrences that it made miss.
    pub missed: u64,
}

/// Occurrences that nobody fired in time. Without effect unless the first of them is pending.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// The schedule's number.
    pub schedule: u64,
    /// The generation.
    pub generation: u64,
    /// The first of them.
    pub number: u64,
    /// How many.
    pub missed: u64,
    /// What comes next.
    pub next: Option<Next>,
}

impl Change {
    /// Applies the change at the proposer's time `now`.
    pub(super) fn run(self, all: &mut Schedules, now: Millis) -> ChangeResult {
        match self {
            Self::Create(create) => create.run(all, now),
            Self::Update(update) => update.run(all, now),
            Self::Pause(of) => of.edit(all, |schedule| {
                if schedule.paused_at().is_none() {
                    schedule.more().paused_at = Some(now);
                }
                Ok(())
            }),
            Self::Resume(resume) => resume.run(all),
            Self::Trigger(trigger) => trigger.run(all, now),
            Self::Delete(of) => {
                of.delete(all);
                Ok(None)
            }
            Self::Ended(ended) => {
                ended.run(all, now);
                Ok(None)
            }
            Self::Missed(missed) => {
                missed.run(all);
                Ok(None)
            }
            Self::CreateFor(create) => create.run(all, now),
            Self::DeleteFor(delete) => {
                delete.run(all, now);
                Ok(None)
            }
        }
    }

    /// The command version that nodes must know to apply it.
    #[must_use]
    pub fn needs_version(&self) -> u32 {
        match self {
            Self::CreateFor(_) | Self::DeleteFor(_) => REQUESTS_VERSION,
            _ => 3,
        }
    }

    /// The system that must exist.
    pub(super) fn needs_system(&self) -> Option<&str> {
        match self {
            Self::Create(create) | Self::CreateFor(For { change: create, .. }) => {
                Some(&create.system)
            }
            _ => None,
        }
    }

    /// The schedule that is named, for answers to repetitions.
    pub(super) fn named(&self) -> Option<(&str, &str)> {
        let of = match self {
            Self::Create(create) | Self::CreateFor(For { change: create, .. }) => {
                return Some((&create.system, &create.name));
            }
            Self::Update(update) => &update.of,
            Self::Pause(of) | Self::Delete(of) | Self::DeleteFor(For { change: of, .. }) => of,
            Self::Resume(resume) => &resume.of,
            Self::Trigger(trigger) => &trigger.of,
            Self::Ended(_) | Self::Missed(_) => return None,
        };
        Some((&of.system, &of.name))
    }

    /// About how many bytes it takes in a command and in the answer, which has the schedule as it stands then.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let names = self.named().map_or(0, |(system, name)| system.len() + name.len());
        CHANGE_BYTES
            + 2 * names
            + match self {
                Self::Create(Create { spec, .. })
                | Self::CreateFor(For { change: Create { spec, .. }, .. })
                | Self::Update(Update { spec, .. }) => 2 * spec.bytes(),
                Self::Pause(_) | Self::Resume(_) | Self::Trigger(_) => ANSWER_BYTES,
                Self::Ended(ended) => ended.error.len(),
                Self::Delete(_) | Self::DeleteFor(_) | Self::Missed(_) => 0,
            }
    }
}

impl Named {
    /// Changes a schedule. Returns it as it stands.
    fn edit(
        &self,
        all: &mut Schedules,
        edit: impl FnOnce(&mut Schedule) -> Result<(), CallError>,
    ) -> ChangeResult {
        let before = all.get(&self.system, &self.name).cloned();
        let before = before.ok_or_else(|| unknown(&self.system, &self.name))?;
        let mut after = Schedule::clone(&before);
        edit(&mut after)?;
        Ok(Some(if after == *before { before } else { all.put(Some(&before), after) }))
    }

    pub(super) fn delete(&self, all: &mut Schedules) {
        if let Some(gone) = all.get(&self.system, &self.name).cloned() {
            all.remove(&gone);
        }
    }
}

impl Create {
    pub(super) fn run(self, all: &mut Schedules, now: Millis) -> ChangeResult {
        if let Some(known) = all.get(&self.system, &self.name) {
            let spec = known.spec();
            if spec == self.spec || self.once && known.once && spec.is_same_call(&self.spec) {
                return Ok(Some(Arc::clone(known)));
            }
            return Err(taken(&self.name));
        }
        if self.once && all.gone.contains(call_hash(&self.system, &self.name)) {
            return Ok(None);
        }
        let encoded = self.spec.encode();
        let fired = all.gone.contains(shot_hash(&self.system, &self.name, &encoded));
        if !fired && all.count(&self.system) as u64 >= self.limit {
            return Err(over_quota(&self.system, self.limit));
        }
        let system =
            all.names.get_key_value(self.system.as_str()).map(|(name, _)| Arc::clone(name));
        let mut schedule = Schedule {
            number: all.last_number + 1,
            system: system.unwrap_or_else(|| self.system.into()),
            name: self.name.into(),
            spec: encoded.into(),
            generation: 1,
            since: now,
            last_number: 0,
            next: None,
            one_shot: self.spec.is_one_shot(),
            once: self.once,
            more: None,
        };
        if fired {
            // The answer to the first attempt was lost, and it has ended since.
            schedule.more().fired = 1;
            return Ok(Some(Arc::new(schedule)));
        }
        schedule.set_next(self.first);
        if self.paused {
            schedule.more().paused_at = Some(now);
        }
        if all.bytes + schedule.bytes() > SCHEDULES_BYTES_MAX {
            return Err(no_room());
        }
        all.last_number += 1;
        Ok(Some(all.put(None, schedule)))
    }
}

impl Update {
    fn run(self, all: &mut Schedules, now: Millis) -> ChangeResult {
        let Self { of, spec, first, if_generation } = self;
        let total = all.bytes;
        of.edit(all, |schedule| {
            let encoded = spec.encode();
            if *schedule.spec == *encoded {
                return Ok(());
            }
            if if_generation != 0 && if_generation != schedule.generation {
                let text = format!(
                    "schedule \"{}\" has generation {}, not {if_generation}; look at it again before you change it",
                    of.name.escape_debug(),
                    schedule.generation
                );
                let error = CallError::new(ErrorKind::ScheduleConflict, text);
                return Err(error.with("generation", schedule.generation));
            }
            let (before, made) = (schedule.bytes(), schedule.made());
            schedule.more().made = Some(made);
            schedule.since = now;
            schedule.generation += 1;
            schedule.one_shot = spec.is_one_shot();
            schedule.once = false;
            schedule.spec = encoded.into();
            schedule.set_next(first);
            let after = schedule.bytes();
            if after > before && total - before + after > SCHEDULES_BYTES_MAX {
                return Err(no_room());
            }
            Ok(())
        })
    }
}

impl Resume {
    fn run(self, all: &mut Schedules) -> ChangeResult {
        let Self { of, generation, number, next, missed } = self;
        of.edit(all, |schedule| {
            let Some(paused_at) = schedule.paused_at() else {
                return Ok(());
            };
            let pending = schedule.next.map_or(0, |next| next.number);
            if (schedule.generation, pending) != (generation, number) {
                return Err(raced());
            }
            schedule.more().paused_at = None;
            // What was due when the pause began fires, or runs at this moment.
            if schedule.next.is_some_and(|next| next.due() > paused_at) && missed > 0 {
                schedule.more().missed += missed;
                schedule.set_next(next);
            }
            Ok(())
        })
    }
}

impl Triggered {
    fn run(self, all: &mut Schedules, now: Millis) -> ChangeResult {
        let request = self.request;
        self.of.edit(all, |schedule| {
            if schedule.more.as_ref().is_some_and(|more| more.triggered.contains(&request)) {
                return Ok(());
            }
            if schedule.more().triggers.len() >= TRIGGERS_MAX {
                let text = format!(
                    "{TRIGGERS_MAX} triggers of the schedule have not ended yet; nothing was done. Try again when they have"
                );
                return Err(CallError::new(ErrorKind::QuotaExceeded, text));
            }
            schedule.remember_trigger(request);
            schedule.last_number += 1;
            let trigger = Trigger {
                number: schedule.last_number,
                generation: schedule.generation,
                due: now,
            };
            schedule.more().triggers.push(trigger);
            Ok(())
        })
    }
}

impl Ended {
    fn run(self, all: &mut Schedules, now: Millis) {
        let Some(before) = all.by_number.get(&self.schedule).cloned() else {
            return;
        };
        let mut after = Schedule::clone(&before);
        let own = after.next.is_some_and(|next| next.number == self.number)
            && after.generation == self.generation;
        if own {
            after.next = None;
        } else if let Some(at) = after.trigger(self.generation, self.number) {
            after.more().triggers.remove(at);
        } else {
            return;
        }
        if after.is_spent() {
            all.remove(&before);
            if after.once {
                all.gone.insert(now, call_hash(&before.system, &before.name));
            } else if matches!(before.spec().when, When::At(_)) {
                all.gone.insert(now, shot_hash(&before.system, &before.name, &before.spec));
            }
            return;
        }
        let more: &mut More = after.more();
        more.fired += 1;
        more.failed += u64::from(!self.error.is_empty());
        more.last_fired = Some(self.fired_at);
        more.last_error = self.error.into();
        let fired = more.fired;
        let is_last = after.spec().max_firings.is_some_and(|most| fired >= most);
        if own {
            after.more().missed += self.missed;
            after.set_next(self.next.filter(|_| !is_last));
        } else if is_last {
            after.next = None;
        }
        all.put(Some(&before), after);
    }
}

impl Missed {
    fn run(self, all: &mut Schedules) {
        let Some(before) = all.by_number.get(&self.schedule).cloned() else {
            return;
        };
        let is_pending = before.next.is_some_and(|next| next.number == self.number);
        if !is_pending || before.generation != self.generation {
            return;
        }
        let mut after = Schedule::clone(&before);
        after.more().missed += self.missed;
        after.set_next(self.next);
        all.put(Some(&before), after);
    }
}

impl Schedule {
    /// True if it had one time only, which it does not have any more.
    fn is_spent(&self) -> bool {
        let triggers = self.more.as_ref().map_or(0, |more| more.triggers.len());
        self.one_shot && self.next.is_none() && triggers == 0
    }
}

fn taken(name: &str) -> CallError {
    let text = format!(
        "there is a schedule \"{}\" already that asks for something else; update it, or take another name",
        name.escape_debug()
    );
    CallError::new(ErrorKind::ScheduleConflict, text)
}

/// The cluster's schedules take as much as they may.
fn no_room() -> CallError {
    let text = format!(
        "the cluster's schedules take {SCHEDULES_BYTES_MAX} bytes already; nothing was done. Delete some, or make their \
         arguments smaller"
    );
    CallError::new(ErrorKind::QuotaExceeded, text)
}

/// What a system is told that has as many schedules as it may.
pub(crate) fn over_quota(system: &str, limit: u64) -> CallError {
    let text = format!(
        "system {} has {limit} schedules already, as many as it may; nothing was made. Delete some, or raise \
         limits.schedules_per_system",
        system.escape_debug()
    );
    CallError::new(ErrorKind::QuotaExceeded, text).with("limit", limit)
}

/// Times were computed of a schedule that has changed since.
fn raced() -> CallError {
    let text = "the schedule changed at the same moment; nothing was done. Try again";
    CallError::new(ErrorKind::ScheduleConflict, text).with(RACED, "true")
}

/// The fact by which a proposer knows that it has only to compute anew.
pub(crate) const RACED: &str = "raced";
