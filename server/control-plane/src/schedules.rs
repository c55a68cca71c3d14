//! Schedules as the rest of the node sees them: made, changed and read over the local replica.
//!
//! The machine stores times and compares occurrence numbers; what the times are is computed here, by the wall clock of
//! the node that proposes a change. Changes of many callers travel together: see `batch`.

mod batch;
mod check;
mod late;
mod times;

use std::sync::Arc;

use callboard_types::{
    ActorId, CallError, DueCursor, ErrorKind, Millis, NodeId, Occurrence, OccurrenceEnd, limits,
};
use futures::future::join_all;
use tokio::sync::watch;
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    machine::{
        Command,
        command::CreateSystem,
        schedules::{
            Argument, Change, ChangeResult, DueOccurrence, Next, Overlap, Schedule, Spec, When,
            change::{Create, Ended, Named, RACED, Resume, Triggered, Update, over_quota},
            requests::{For, REQUESTS_VERSION, no_time},
        },
    },
    propose::Proposer,
};

pub(crate) use batch::Batcher;
pub(crate) use late::Latecomers;

use late::Handed;
use times::Times;

/// Attempts to compute times of a schedule that changes at the same moment.
const ATTEMPTS: usize = 5;
/// Bytes of an error that a schedule keeps.
const ERROR_BYTES_MAX: usize = 256;
/// Largest page of a list.
pub const PAGE_MAX: usize = 1_000;

/// The schedules of the cluster. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Schedules {
    node: NodeId,
    proposer: Proposer,
    batcher: Batcher,
    handed: Handed,
    /// How many one system may have.
    limit: u64,
}

/// A page of schedules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// By name.
    pub schedules: Vec<Arc<Schedule>>,
    /// The name after which the next page begins; None on the last one.
    pub next: Option<Arc<str>>,
}

impl Schedules {
    pub(crate) fn new(node: NodeId, proposer: Proposer, batcher: Batcher, limit: u64) -> Self {
        Self { node, proposer, batcher, handed: Handed::default(), limit }
    }

    pub(crate) fn handed(&self) -> &Handed {
        &self.handed
    }

    /// Makes a schedule, and its system if that is not there. The same again changes nothing, and the same request id again
    /// does nothing: None says that an earlier attempt made the schedule, and that it has fired or was deleted since. An
    /// empty request id is always new.
    ///
    /// # Errors
    /// `InvalidArgument` and others say what is wrong with the spec, `ScheduleConflict` that the name stands for another
    /// schedule, `QuotaExceeded`, or `StoreUnavailable` if nobody could agree to it in time; it may be tried again.
    pub async fn create(
        &self,
        system: &str,
        name: &str,
        spec: Spec,
        paused: bool,
        request_id: &str,
    ) -> ChangeResult {
        check::name(name)?;
        check::spec(&spec)?;
        let request = self.request(request_id)?;
        // A request is agreed on even if there is nothing to do: it has to be known when the schedule is gone.
        if request.is_none()
            && let Some(known) = self.get(system, name).filter(|known| known.spec() == spec)
        {
            return Ok(Some(known));
        }
        let now = self.proposer.now()?;
        let first = first_time(system, name, &spec, now, self.proposer.latest());
        if let (Err(refusal), None) = (&first, request) {
            return Err(refusal.clone());
        }
        let create = Create {
            system: system.into(),
            name: name.into(),
            spec,
            first: first.as_ref().ok().copied(),
            paused,
            once: false,
            limit: self.limit,
        };
        let made = self.make(create, request).await;
        let Err(refusal) = first else {
            return made;
        };
        // A repetition may come when the time has passed, and only the cluster knows whether it is one.
        made.map_err(|error| if error.kind == ErrorKind::InvalidArgument { refusal } else { error })
    }

    /// Makes a call later, once. Returns the name of its schedule, which is the same for the same request id.
    ///
    /// # Errors
    /// `QuotaExceeded`; `ScheduleConflict` if the request id stands for another call; what is wrong with the call; or
    /// `StoreUnavailable`, and it may be tried again.
    pub async fn once(&self, request_id: &str, call: &Occurrence) -> Result<String, CallError> {
        let ActorId { system, actor_type, key } = &call.target;
        let (content_type, type_url, data) = call.argument.clone();
        let mut metadata = call.metadata.clone();
        metadata.sort();
        let spec = Spec {
            system: String::new(),
            actor_type: actor_type.to_string(),
            key: key.to_string(),
            action: call.action.to_string(),
            argument: Argument { content_type, type_url, data: data.to_vec() },
            metadata,
            when: When::At(call.at.due),
            jitter_ms: 0,
            overlap: if call.accept_only { Overlap::Allow } else { Overlap::Skip },
            // It was accepted: however late, it is made.
            window_ms: u64::MAX,
            starts_at: None,
            ends_at: None,
            max_firings: None,
        };
        check::once(&spec)?;
        // Request ids are unique per actor.
        let named = [actor_type.as_bytes(), &[0], key.as_bytes(), &[0], request_id.as_bytes()];
        let name = format!("call-{:032x}", xxh3_128(&named.concat()));
        let first = Times::of(system, &name, &spec, call.at.due)?.first(call.at.due);
        let create = Create {
            system: system.to_string(),
            name: name.clone(),
            spec,
            first,
            paused: false,
            once: true,
            limit: self.limit,
        };
        self.make(create, None).await?;
        Ok(name)
    }

    async fn make(&self, create: Create, request: Option<u128>) -> ChangeResult {
        let (has_system, is_full) = {
            let state = self.proposer.replicated.read();
            let all = state.machine.schedules();
            let (system, name) = (&create.system, &create.name);
            let is_full = all.count(system) as u64 >= self.limit
                && all.get(system, name).is_none()
                && !request.is_some_and(|request| all.was_made(system, name, request));
            (state.machine.has_system(&create.system), is_full)
        };
        // Refused from here, so that a flood over the quota does not reach the log.
        if is_full {
            return Err(over_quota(&create.system, self.limit));
        }
        if !has_system && create.first.is_none() {
            // Nothing was made in a system that is not there, so this is no repetition.
            return Err(no_time());
        }
        if !has_system {
            let command = Command::CreateSystem(CreateSystem { name: create.system.clone() });
            self.proposer.propose(&command).await?;
        }
        let change = match request {
            Some(request) => Change::CreateFor(For { request, change: create }),
            None => Change::Create(create),
        };
        self.change(change).await
    }

    /// What a request id stands for; None if it is empty, or as long as a member may not know of requests.
    fn request(&self, id: &str) -> Result<Option<u128>, CallError> {
        check::request_id(id)?;
        let known = self.proposer.replicated.read().machine.admits_version(REQUESTS_VERSION);
        Ok((known && !id.is_empty()).then(|| xxh3_128(id.as_bytes())))
    }

    /// Gives a schedule another spec. `if_generation` refuses it unless the schedule has that generation; 0 does not.
    ///
    /// # Errors
    /// As [`create`](Self::create), and `UnknownSchedule`.
    pub async fn update(
        &self,
        system: &str,
        name: &str,
        spec: Spec,
        if_generation: u64,
    ) -> Result<Arc<Schedule>, CallError> {
        check::name(name)?;
        check::spec(&spec)?;
        if let Some(known) = self.get(system, name).filter(|known| known.spec() == spec) {
            return Ok(known);
        }
        let now = self.proposer.now()?;
        let first = Some(first_time(system, name, &spec, now, self.proposer.latest())?);
        let update = Update { of: named(system, name), spec, first, if_generation };
        self.change(Change::Update(update)).await?.ok_or_else(|| vanished(name))
    }

    /// A schedule as this node knows it.
    #[must_use]
    pub fn get(&self, system: &str, name: &str) -> Option<Arc<Schedule>> {
        self.proposer.replicated.read().machine.schedules().get(system, name).cloned()
    }

    /// Schedules of a system by name, from above `after`, at most `limit`.
    #[must_use]
    pub fn list(&self, system: &str, prefix: &str, after: &str, limit: usize) -> Page {
        let limit = limit.clamp(1, PAGE_MAX);
        let state = self.proposer.replicated.read();
        let mut found: Vec<Arc<Schedule>> = state
            .machine
            .schedules()
            .list(system, after, prefix)
            .take(limit + 1)
            .cloned()
            .collect();
        let next = (found.len() > limit).then(|| {
            found.truncate(limit);
            found.last().map(|last| Arc::clone(last.name())).unwrap_or_default()
        });
        Page { schedules: found, next }
    }

    /// Keeps a schedule from firing.
    ///
    /// # Errors
    /// `UnknownSchedule`; `InvalidArgument` if nothing can have that name; or `StoreUnavailable`, and it may be tried again.
    pub async fn pause(&self, system: &str, name: &str) -> Result<Arc<Schedule>, CallError> {
        check::name(name)?;
        let paused = self.change(Change::Pause(named(system, name))).await?;
        paused.ok_or_else(|| vanished(name))
    }

    /// Lets a schedule fire again. What was due meanwhile is missed.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub async fn resume(&self, system: &str, name: &str) -> Result<Arc<Schedule>, CallError> {
        check::name(name)?;
        for _ in 0..ATTEMPTS {
            let known = self.get(system, name);
            let now = self.proposer.now()?;
            let mut resume =
                Resume { of: named(system, name), generation: 0, number: 0, next: None, missed: 0 };
            if let Some(known) = &known {
                resume.generation = known.generation();
                if let Some(pending) = known.next() {
                    resume.number = pending.number;
                    let step = Times::of_schedule(known)
                        .map(|(_, times)| times.after_pause(pending.nominal, now));
                    (resume.next, resume.missed) =
                        step.map_or((None, 0), |step| (step.next, step.missed));
                }
            }
            match self.change(Change::Resume(resume)).await {
                Err(error) if error.metadata.contains_key(RACED) => {}
                resumed => return resumed?.ok_or_else(|| vanished(name)),
            }
        }
        let text = "the schedule changes all the time; nothing was done. Try again";
        Err(CallError::new(ErrorKind::ScheduleConflict, text))
    }

    /// Fires a schedule now. A request id that is known fires nothing more; an empty one is always new.
    ///
    /// # Errors
    /// As [`pause`](Self::pause), and `QuotaExceeded` if many triggers wait.
    pub async fn trigger(
        &self,
        system: &str,
        name: &str,
        request_id: &str,
    ) -> Result<Arc<Schedule>, CallError> {
        check::name(name)?;
        let request = match request_id {
            "" => uuid::Uuid::now_v7().as_u128(),
            given => {
                check::request_id(given)?;
                xxh3_128(given.as_bytes())
            }
        };
        let trigger = Triggered { of: named(system, name), request };
        let triggered = self.change(Change::Trigger(trigger)).await?;
        triggered.ok_or_else(|| vanished(name))
    }

    /// Forgets a schedule. One that is not there stays so. The same request id again does nothing, whatever was made under
    /// the name since; an empty one is always new.
    ///
    /// # Errors
    /// `InvalidArgument` if nothing can have that name, or `StoreUnavailable`, and it may be tried again.
    pub async fn delete(
        &self,
        system: &str,
        name: &str,
        request_id: &str,
    ) -> Result<(), CallError> {
        check::name(name)?;
        let of = named(system, name);
        let change = match self.request(request_id)? {
            Some(request) => Change::DeleteFor(For { request, change: of }),
            None => Change::Delete(of),
        };
        self.change(change).await.map(|_| ())
    }

    /// Says when a spec would fire, without jitter.
    ///
    /// # Errors
    /// `InvalidArgument` says what is wrong with the spec, or that `after` is not within the years 1970 to 9999.
    pub fn preview(spec: &Spec, after: Millis, count: usize) -> Result<Vec<Millis>, CallError> {
        check::when(spec)?;
        check::moment("after_ms", after)?;
        times::preview(spec, after, count.clamp(1, PAGE_MAX))
    }

    /// Changes whenever anything about a schedule did.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.proposer.publisher.schedules()
    }

    /// Occurrences that are due at `until` or before, in order, from above `after`, at most `limit`, whoever owns their
    /// targets. Those that are too late to be fired are not among them; they are counted as missed.
    #[must_use]
    pub fn due(&self, after: DueCursor, until: Millis, limit: usize) -> Vec<Occurrence> {
        let (mut found, mut after) = (Vec::new(), after);
        loop {
            let wanted = limit - found.len();
            // Only pointers are taken under the lock.
            let due: Vec<_> = {
                let state = self.proposer.replicated.read();
                let due = state.machine.schedules().due(after, until).take(wanted);
                due.map(|(at, schedule)| (at, Arc::clone(schedule))).collect()
            };
            let Some((last, _)) = due.last() else {
                return found;
            };
            after = *last;
            let whole = due.len() < wanted;
            for (at, schedule) in &due {
                if let Some(one) = DueOccurrence::at(*at, schedule)
                    && self.handed.may_fire(self.node, &self.proposer.publisher, &one, until)
                {
                    found.push(one.spell());
                }
            }
            if whole || found.len() >= limit {
                return found;
            }
        }
    }

    /// When the first occurrence is due that is due later than `after`.
    #[must_use]
    pub fn next_due(&self, after: Millis) -> Option<Millis> {
        self.proposer.replicated.read().machine.schedules().next_due(after)
    }

    /// Says how firings ended, and returns once that is agreed.
    ///
    /// # Errors
    /// `StoreUnavailable` while nobody can agree to it; it may be tried again.
    pub async fn ended(&self, ends: Vec<OccurrenceEnd>) -> Result<(), CallError> {
        let now = self.proposer.now()?;
        let changes: Vec<Change> = {
            let state = self.proposer.replicated.read();
            let all = state.machine.schedules();
            let known = ends.iter().map(|end| all.by_number(end.schedule).cloned());
            let known: Vec<Option<Arc<Schedule>>> = known.collect();
            drop(state);
            let ends = ends.iter().zip(known);
            ends.filter_map(|(end, known)| Some(Change::Ended(ended(end, &known?, now)))).collect()
        };
        let agreed = join_all(changes.into_iter().map(|change| self.change(change))).await;
        agreed.into_iter().try_for_each(|agreed| agreed.map(|_| ()))?;
        self.handed.forget(&ends);
        Ok(())
    }

    async fn change(&self, change: Change) -> ChangeResult {
        self.batcher.change(change).await
    }
}

/// What is said of the end of a firing.
fn ended(end: &OccurrenceEnd, schedule: &Arc<Schedule>, now: Millis) -> Ended {
    let step = times::after_end(schedule, end.number, now);
    let mut error = end.error.as_ref().map(ToString::to_string).unwrap_or_default();
    error.truncate(error.floor_char_boundary(ERROR_BYTES_MAX));
    Ended {
        schedule: end.schedule,
        generation: end.generation,
        number: end.number,
        fired_at: end.fired_at,
        error,
        next: step.next,
        missed: step.missed,
    }
}

/// The first time of a spec that is taken up now, or why it has none. Delays count from `latest`, so that none is over
/// early.
fn first_time(
    system: &str,
    name: &str,
    spec: &Spec,
    now: Millis,
    latest: Millis,
) -> Result<Next, CallError> {
    check::future(spec, now)?;
    Times::of(system, name, spec, latest)?.first(now).ok_or_else(|| check::never(spec))
}

fn named(system: &str, name: &str) -> Named {
    Named { system: system.into(), name: name.into() }
}

/// The schedule went in the moment between its change and the look at it.
fn vanished(name: &str) -> CallError {
    let text = format!(
        "the schedule \"{}\" was changed, and it has fired or was deleted since",
        name.escape_debug()
    );
    CallError::new(ErrorKind::UnknownSchedule, text)
}

const _: () = assert!(limits::REQUEST_ID_BYTES_MAX <= limits::NAME_BYTES_MAX);
