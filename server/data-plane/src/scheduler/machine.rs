//! Which occurrences are fired, tried again, ended and forgotten.
//!
//! What is due is read in *passes* over the node's copy of the schedules, in order of due times. An occurrence stays due
//! there until the cluster has agreed on its end, so the machine knows each that it has taken until a pass no longer shows
//! it. Between passes only what falls due anew is read. Pure: no clock, no I/O.

use std::collections::HashMap;

use callboard_types::{
    ActorId, CallError, DueCursor, Millis, Occurrence, OccurrenceEnd, Tick,
    planted::{self, Bug},
};

/// Calls under way at a time; further occurrences wait where they are.
pub(super) const FIRINGS_MAX: usize = 16_384;
/// Ends that wait to be agreed on; with more, nothing new is fired.
pub(super) const ENDS_MAX: usize = 16_384;
/// First and longest pause before an occurrence is tried again, in milliseconds.
const PAUSE_MS: (u64, u64) = (20, 5_000);
/// The pause before an occurrence of an unknown type or system is looked at again, in milliseconds.
const UNKNOWN_PAUSE_MS: u64 = 1_000;
/// How long an end that was agreed on may still be shown as due before it is taken for another one, in milliseconds.
const LAG_MAX_MS: u64 = 10_000;
/// Attempts that are younger than this carry the due time as their creation time, whichever node makes them; older ones
/// carry their own, because older calls are refused. In milliseconds.
const RESTAMP_AGE_MS: i64 = callboard_types::limits::OUTCOME_WINDOW_MS / 2;
/// Above this age the confirmation says that attempts may have carried other times: nodes have clocks of their own.
const RESTAMPED_AGE_MS: i64 = callboard_types::limits::OUTCOME_WINDOW_MS / 4;

/// Names a firing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Name {
    schedule: u64,
    generation: u64,
    number: u64,
}

impl From<&Occurrence> for Name {
    fn from(one: &Occurrence) -> Self {
        Self { schedule: one.at.schedule, generation: one.generation, number: one.number }
    }
}

impl From<&OccurrenceEnd> for Name {
    fn from(end: &OccurrenceEnd) -> Self {
        Self { schedule: end.schedule, generation: end.generation, number: end.number }
    }
}

/// How far a firing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its call is under way.
    Flying,
    /// Its call failed for now. The pass after this tick fires it again, if it is still due then.
    Pausing(Tick),
    /// It has ended, and nobody else knows yet.
    Ended,
    /// Its end is agreed on, since this tick. This node's copy may still show it as due.
    Agreed(Tick),
}

#[derive(Debug)]
struct Firing {
    stage: Stage,
    due: Millis,
    attempts: u32,
    fired_at: Millis,
    /// The target and the request id, for the confirmation.
    target: ActorId,
    request_id: String,
    /// True if attempts may have carried different creation times.
    restamped: bool,
    /// The pass that showed it last.
    seen: u64,
}

/// What an occurrence is to this node.
#[derive(Debug)]
pub(super) enum Place {
    /// This node fires it.
    Mine,
    /// Another node does, or nobody can now.
    NotMine,
    /// Its type or system is not known here, or not yet: it is looked at again.
    Unknown,
    /// It can never be fired, and this node says so.
    Hopeless(CallError),
}

/// An occurrence to fire now.
#[derive(Debug)]
pub(super) struct Fire {
    /// Goes back to [`Firings::answered`].
    pub(super) ticket: u64,
    /// The occurrence.
    pub(super) occurrence: Occurrence,
    /// The creation time of the call.
    pub(super) created_at: Millis,
}

/// The end of an attempt.
#[derive(Debug)]
pub(super) enum Ending {
    /// The occurrence has ended, well or not.
    Over(Option<CallError>),
    /// Nothing is decided: it is tried again.
    Again,
}

/// A delivery whose occurrence is gone, for its target.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gone {
    pub(super) target: ActorId,
    pub(super) request_id: String,
    pub(super) restamped: bool,
}

/// The time of one step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) tick: Tick,
    pub(super) wall: Millis,
}

/// Every firing of one node.
#[derive(Debug, Default)]
pub(super) struct Firings {
    known: HashMap<Name, Firing>,
    tickets: HashMap<u64, Name>,
    ticket: u64,
    ends: Vec<OccurrenceEnd>,
    /// Ends that are on their way to the cluster.
    telling: usize,
    /// Where the walk stands.
    after: DueCursor,
    /// Counts passes; the walk is in this one until it comes to the end.
    pass: u64,
    /// When the pass began, while it lasts.
    passing: Option<Tick>,
    /// True if what lies behind the walk may have changed.
    stale: bool,
    /// The newest wall clock.
    wall: Millis,
    /// When the first pause ends, or earlier.
    pause_ends: Option<Tick>,
    /// When occurrences of unknown types and systems are looked at again.
    unknown_until: Option<Tick>,
}

impl Firings {
    /// Something changed behind the walk: everything that is due is to be looked at again.
    pub(super) fn look_again(&mut self) {
        self.stale = true;
    }

    /// True if a pass is to begin.
    pub(super) fn is_stale(&self) -> bool {
        self.stale
    }

    /// Begins a pass.
    pub(super) fn begin_pass(&mut self, now: Now) {
        self.stale = false;
        self.pass += 1;
        self.passing = Some(now.tick);
        self.unknown_until = None;
        self.after = DueCursor::default();
    }

    /// Where the walk goes on, and how many occurrences it may take.
    pub(super) fn next_page(&self, most: usize) -> (DueCursor, usize) {
        let ends = self.ends.len() + self.telling;
        let flying = FIRINGS_MAX.saturating_sub(self.tickets.len());
        let room = if ends >= ENDS_MAX { 0 } else { flying };
        (self.after, room.min(most))
    }

    /// True while a pass waits for room.
    pub(super) fn is_passing(&self) -> bool {
        self.passing.is_some()
    }

    /// True if the cluster is to be told of ends.
    pub(super) fn has_ends(&self) -> bool {
        !self.ends.is_empty()
    }

    /// Takes what is due next, as it was asked for, and says what to fire. `last` if there was no more.
    pub(super) fn walk(
        &mut self,
        now: Now,
        page: Vec<Occurrence>,
        last: bool,
        place: impl Fn(&Occurrence) -> Place,
    ) -> Vec<Fire> {
        if now.wall < self.wall {
            // The clock was set back: what was walked past is not due any more.
            self.stale = true;
        }
        self.wall = now.wall;
        let mut fires = Vec::new();
        for occurrence in page {
            self.after = self.after.max(occurrence.at);
            if occurrence.at.due > now.wall {
                continue;
            }
            let name = Name::from(&occurrence);
            if let Some(known) = self.known.get_mut(&name) {
                known.seen = self.pass;
                if !known.is_to_fire(now.tick) {
                    continue;
                }
            }
            match place(&occurrence) {
                Place::Mine => fires.push(self.fire(now, name, occurrence)),
                Place::NotMine => {}
                Place::Unknown => {
                    let again = now.tick.plus_millis(UNKNOWN_PAUSE_MS);
                    self.unknown_until.get_or_insert(again);
                }
                Place::Hopeless(error) => self.give_up(now, name, &occurrence, error),
            }
        }
        if last {
            self.end_pass(now);
        }
        fires
    }

    fn fire(&mut self, now: Now, name: Name, occurrence: Occurrence) -> Fire {
        self.ticket += 1;
        self.tickets.insert(self.ticket, name);
        let pass = self.pass;
        let firing = self.known.entry(name).or_insert_with(|| Firing::new(&occurrence, pass));
        firing.stage = Stage::Flying;
        firing.attempts += 1;
        firing.fired_at = now.wall;
        if planted::is(Bug::FiringEndedEarly) {
            self.ends.push(firing.end(name, None));
        }
        let age = now.wall.0.saturating_sub(occurrence.at.due.0);
        firing.restamped |= age > RESTAMPED_AGE_MS;
        let created_at = if age > RESTAMP_AGE_MS { now.wall } else { occurrence.at.due };
        Fire { ticket: self.ticket, occurrence, created_at }
    }

    fn give_up(&mut self, now: Now, name: Name, occurrence: &Occurrence, error: CallError) {
        let pass = self.pass;
        let firing = self.known.entry(name).or_insert_with(|| Firing::new(occurrence, pass));
        firing.stage = Stage::Ended;
        firing.fired_at = now.wall;
        self.ends.push(firing.end(name, Some(error)));
    }

    /// The walk has come to the end of what is due: what the pass did not show is gone.
    fn end_pass(&mut self, now: Now) {
        let Some(began) = self.passing.take() else { return };
        let pass = self.pass;
        let mut pause_ends = None;
        self.known.retain(|_, firing| match firing.stage {
            Stage::Flying | Stage::Ended => true,
            Stage::Pausing(until) if firing.seen == pass => {
                pause_ends = Some(pause_ends.map_or(until, |first: Tick| first.min(until)));
                true
            }
            Stage::Pausing(_) => false,
            // Whoever sees an agreed end as due for so long sees another one under its name.
            Stage::Agreed(since) => {
                let lags = since.plus_millis(LAG_MAX_MS) > now.tick;
                lags && (firing.seen == pass || since >= began)
            }
        });
        self.pause_ends = pause_ends;
    }

    /// An attempt has ended. `jitter` is any number, to spread the next ones.
    pub(super) fn answered(&mut self, now: Now, ticket: u64, ending: Ending, jitter: u64) {
        let Some(name) = self.tickets.remove(&ticket) else { return };
        let Some(firing) = self.known.get_mut(&name) else { return };
        match ending {
            Ending::Over(error) => {
                firing.stage = Stage::Ended;
                self.ends.push(firing.end(name, error));
            }
            Ending::Again => {
                let doubled = PAUSE_MS.0 << firing.attempts.saturating_sub(1).min(10);
                let pause = doubled.min(PAUSE_MS.1);
                let pause = pause / 2 + jitter % (pause / 2 + 1);
                let until = now.tick.plus_millis(pause);
                firing.stage = Stage::Pausing(until);
                self.pause_ends = Some(self.pause_ends.map_or(until, |first| first.min(until)));
            }
        }
    }

    /// When a pause ends; a pass then fires what it was for.
    pub(super) fn next_pause(&self) -> Tick {
        let unknown = self.unknown_until.unwrap_or(Tick::NEVER);
        self.pause_ends.unwrap_or(Tick::NEVER).min(unknown)
    }

    /// The newest time that it was told.
    pub(super) fn latest(&self) -> Millis {
        self.wall
    }

    /// Ends to tell the cluster; they come back to [`agreed`](Self::agreed) or [`not_agreed`](Self::not_agreed).
    pub(super) fn take_ends(&mut self, most: usize) -> Vec<OccurrenceEnd> {
        let count = self.ends.len().min(most);
        let ends: Vec<OccurrenceEnd> = self.ends.drain(..count).collect();
        self.telling += ends.len();
        ends
    }

    /// The cluster could not be told: it is told again.
    pub(super) fn not_agreed(&mut self, mut ends: Vec<OccurrenceEnd>) {
        self.telling -= ends.len();
        ends.append(&mut self.ends);
        self.ends = ends;
    }

    /// The cluster agreed on ends. Targets may forget what they remember for them.
    pub(super) fn agreed(&mut self, now: Now, ends: &[OccurrenceEnd]) -> Vec<Gone> {
        self.telling -= ends.len();
        // The next pass forgets them, once the node's copy does.
        self.stale = true;
        let mut gone = Vec::with_capacity(ends.len());
        for end in ends {
            let Some(firing) = self.known.get_mut(&Name::from(end)) else { continue };
            firing.stage = Stage::Agreed(now.tick);
            if firing.attempts > 0 {
                gone.push(Gone {
                    target: firing.target.clone(),
                    request_id: std::mem::take(&mut firing.request_id),
                    restamped: firing.restamped,
                });
            }
        }
        gone
    }

    /// How long the oldest occurrence that this node has taken has been due without an end, in milliseconds.
    pub(super) fn oldest_ms(&self, now: Now) -> i64 {
        let open = self.known.values().filter(|firing| !matches!(firing.stage, Stage::Agreed(_)));
        open.map(|firing| now.wall.0.saturating_sub(firing.due.0)).max().unwrap_or(0)
    }
}

impl Firing {
    fn new(occurrence: &Occurrence, seen: u64) -> Self {
        Self {
            stage: Stage::Flying,
            due: occurrence.at.due,
            attempts: 0,
            fired_at: Millis::default(),
            target: occurrence.target.clone(),
            request_id: occurrence.request_id(),
            restamped: false,
            seen,
        }
    }

    fn is_to_fire(&self, now: Tick) -> bool {
        matches!(self.stage, Stage::Pausing(until) if until <= now)
    }

    fn end(&self, name: Name, error: Option<CallError>) -> OccurrenceEnd {
        let Name { schedule, generation, number } = name;
        OccurrenceEnd { schedule, generation, number, fired_at: self.fired_at, error }
    }
}

#[cfg(test)]
mod tests;
