//! The delivery machine of one worker: rows in, attempts out, and what their ends mean.
//!
//! Rows wait in *lanes*, one per source and target: the head of a lane is tried until it has ended, then comes the
//! next; lanes do not wait for each other. Freshly committed rows come by memory; what is in the store only is read in
//! *passes* over a shard: when it is taken, when a row falls due, and when there was no room. A lane of which some row
//! is in the store only is *absent*: later rows of it are not taken from memory, or they would overtake. Pure: no
//! clock, no I/O.

mod confirms;
mod lanes;
mod passes;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use callboard_types::{
    ActorId, CallError, Epoch, ErrorKind, Millis, Tick, limits,
    planted::{self, Bug},
};
use hashbrown::HashMap;

pub use self::confirms::{GATHER_MAX, GATHER_MS, GATHERED_MAX};
use self::{
    confirms::Confirms,
    lanes::{Lane, LaneKey, Lanes, Row, State},
    passes::Shard,
};
use super::{
    Item, Output,
    confirm::Confirmed,
    letter::Origin,
    verdict::{self, Fate, UNKNOWN_PATIENCE_MS},
};
use crate::call::Outcome;

/// A shard, as (type id, shard number).
pub type Place = (u32, u32);

/// Rows of stores that one worker has in memory.
pub const ROWS_HELD_MAX: usize = 16_384;
/// Their size together, in bytes.
pub const ROWS_BYTES_MAX: usize = 64 * 1_024 * 1_024;
/// Outputs of volatile and snapshot actors that wait in one worker's memory. Turns that would add to them fail.
pub const MEMORY_ROWS_MAX: usize = 65_536;
/// Their size together, in bytes.
pub const MEMORY_BYTES_MAX: usize = 128 * 1_024 * 1_024;
/// Rows of one lane in memory.
const LANE_ROWS_MAX: usize = 256;
/// First and longest pause before a lane's head is tried again, in milliseconds.
const PAUSE_MS: (u64, u64) = (20, 5_000);
/// Above this age attempts carry their own time instead of the item's, in milliseconds: older calls are refused.
const RESTAMP_AGE_MS: i64 = limits::OUTCOME_WINDOW_MS / 2;
/// Above this age a confirmation says that attempts may have carried other times. Less than the above, because the nodes
/// that made them may have clocks of their own.
const RESTAMPED_AGE_MS: i64 = limits::OUTCOME_WINDOW_MS / 4;

/// The time of one step.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The monotonic clock.
    pub tick: Tick,
    /// The wall clock.
    pub wall: Millis,
}

/// A row as a pass reads it.
#[derive(Debug)]
pub struct StoredRow {
    /// The source's key.
    pub key: String,
    /// Its place.
    pub sequence: u64,
    /// When it is due.
    pub due_at: Millis,
    /// The item, encoded.
    pub item: bytes::Bytes,
}

/// One page of a pass.
#[derive(Debug, Default)]
pub struct Page {
    /// The pass that asked.
    pub number: u64,
    /// Rows in order of (due time, place).
    pub rows: Vec<StoredRow>,
    /// True if there may be more.
    pub more: bool,
    /// When the next row after those that are due now falls due; meaningful on the last page.
    pub next_due: Option<Millis>,
}

/// What the worker is to do.
#[derive(Debug)]
pub enum Effect {
    /// Make an attempt: [`Deliveries::flight`] says at what. Its end comes back to [`Deliveries::answered`].
    Send {
        /// Names the attempt.
        ticket: u64,
    },
    /// Read a page of a shard's rows that are due, and pass it to [`Deliveries::read`].
    Read {
        /// The shard.
        place: Place,
        /// The pass.
        number: u64,
        /// Rows above this.
        after: (Millis, u64),
        /// Rows due at this time or before.
        until: Millis,
    },
    /// A row has ended: let it go, and pass the verdict to [`Deliveries::done`].
    End {
        /// Names the end.
        ticket: u64,
        /// The shard.
        place: Place,
        /// The epoch.
        epoch: Epoch,
        /// Its place.
        sequence: u64,
        /// Set if it was given up.
        dead: Option<Box<Dead>>,
    },
    /// A row is gone: take the mark from the target if this worker serves it, and pass this to [`Deliveries::gather`]
    /// otherwise.
    Confirm {
        /// The target.
        target: ActorId,
        /// The delivery.
        confirmed: Confirmed,
    },
    /// Tell a target that this worker does not serve that rows are gone.
    Tell {
        /// The target.
        target: ActorId,
        /// The deliveries.
        confirmed: Vec<Confirmed>,
    },
    /// An output of which there is no row was given up.
    Lost {
        /// The actor that set it going.
        source: ActorId,
        /// Names it.
        id: String,
        /// Why.
        error: CallError,
    },
}

/// A row that was given up.
#[derive(Debug)]
pub struct Dead {
    /// The actor that set it going; of a call from outside, the actor that was called.
    pub source: ActorId,
    /// What it was, encoded.
    pub item: bytes::Bytes,
    /// When it was due.
    pub due_at: Millis,
    /// Why.
    pub error: CallError,
    /// How often it was tried.
    pub attempts: u32,
    /// Where it comes from.
    pub origin: Origin,
}

/// An attempt that is to be made.
#[derive(Debug)]
pub struct Flight<'a> {
    /// The actor that set it going.
    pub source: ActorId,
    /// What it is.
    pub item: &'a Item,
    /// The time that the attempt carries.
    pub created_at: Millis,
}

/// A row whose end is on its way to the store.
#[derive(Debug)]
struct Ending {
    place: Place,
    epoch: Epoch,
    sequence: u64,
    dead: bool,
    bytes: usize,
    confirm: Option<(ActorId, Confirmed)>,
}

/// What is held, counted against the bounds.
#[derive(Debug, Default)]
struct Held {
    rows: usize,
    bytes: usize,
}

/// Everything that one worker's shards have to deliver.
#[derive(Debug)]
pub struct Deliveries {
    lanes: Lanes,
    shards: BTreeMap<Place, Shard>,
    ready: VecDeque<usize>,
    /// Lanes whose head waits before it is tried again.
    pauses: BTreeSet<(Tick, usize)>,
    /// Delayed outputs without rows, by due time and number.
    later: BTreeMap<(Millis, u64), (LaneKey, Row)>,
    /// Attempts under way: the lane that each is of, if that is still there.
    flights: HashMap<u64, Option<usize>>,
    endings: HashMap<u64, Ending>,
    confirms: Confirms,
    stored: Held,
    memory: Held,
    tickets: u64,
    passes: u64,
    /// When shards must be looked at.
    look_at: Tick,
    paused: bool,
    closing: bool,
}

impl Default for Deliveries {
    fn default() -> Self {
        Self {
            lanes: Lanes::default(),
            shards: BTreeMap::new(),
            ready: VecDeque::new(),
            pauses: BTreeSet::new(),
            later: BTreeMap::new(),
            flights: HashMap::new(),
            endings: HashMap::new(),
            confirms: Confirms::default(),
            stored: Held::default(),
            memory: Held::default(),
            tickets: 0,
            passes: 0,
            look_at: Tick::NEVER,
            paused: false,
            closing: false,
        }
    }
}

impl Deliveries {
    // === shards ===

    /// The shard is this worker's from now on, in this epoch: its rows are read. `system` and `actor_type` name its actors.
    pub fn open(
        &mut self,
        place: Place,
        epoch: Epoch,
        (system, actor_type): (Arc<str>, Arc<str>),
        now: Now,
        fx: &mut Vec<Effect>,
    ) {
        if self.shards.get(&place).is_some_and(|shard| shard.epoch == epoch) {
            // Claimed once more: what is in memory stays true, and the store may hold more.
            return self.begin_pass(place, now, fx);
        }
        self.close(place);
        self.shards.insert(place, Shard::new(epoch, system, actor_type));
        self.begin_pass(place, now, fx);
    }

    /// The shard is no longer this worker's: its rows are the next owner's.
    pub fn close(&mut self, place: Place) {
        if self.shards.remove(&place).is_none() {
            return;
        }
        let lanes: BTreeSet<usize> = self.lanes.of_place(place).into_iter().collect();
        self.ready.retain(|lane| !lanes.contains(lane));
        lanes.into_iter().for_each(|lane| self.drop_lane(lane));
        self.endings.retain(|_, ending| {
            let stays = ending.place != place;
            if !stays {
                self.stored.rows -= 1;
                self.stored.bytes -= ending.bytes;
            }
            stays
        });
    }

    /// Nobody knows what the store has of a shard: it is read again.
    pub fn doubt(&mut self, place: Place, now: Now, fx: &mut Vec<Effect>) {
        self.begin_pass(place, now, fx);
    }

    /// Without a lease no attempt is made.
    pub fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// The node is about to stop: rows wait for their next owner, outputs without rows are still tried.
    pub fn close_down(&mut self) {
        self.closing = true;
    }

    /// A host came, or the cluster changed: whatever waits is tried again now.
    pub fn kick(&mut self) {
        for (_, lane) in std::mem::take(&mut self.pauses) {
            self.lanes.get_mut(lane).state = State::Ready;
            self.ready.push_back(lane);
        }
    }

    // === what waits ===

    /// True if no more outputs without rows should be added.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.memory.rows >= MEMORY_ROWS_MAX || self.memory.bytes >= MEMORY_BYTES_MAX
    }

    /// True if outputs without rows wait that could be sent, or attempts are under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        let unsaved = |lane: &usize| !self.lanes.get(*lane).key.stored;
        let waited_for = !self.flights.is_empty() || !self.endings.is_empty();
        waited_for || !self.confirms.is_empty() || self.ready.iter().any(unsaved)
    }

    /// When [`turn`](Self::turn) is to be called at the latest.
    #[must_use]
    pub fn next_wake(&self, now: Now) -> Tick {
        let pause = self.pauses.first().map_or(Tick::NEVER, |(at, _)| *at);
        let later = self.later.first_key_value().map(|((due, _), _)| *due);
        let due = later.map_or(Tick::NEVER, |due| due_tick(now, due));
        pause.min(due).min(self.look_at).min(self.confirms.due())
    }

    /// Takes what a turn set going: outputs with rows if `first_sequence` is set.
    pub fn fresh(
        &mut self,
        place: Place,
        source: &ActorId,
        first_sequence: Option<u64>,
        outputs: Vec<Output>,
        now: Now,
    ) {
        let mut sequence = first_sequence;
        for Output { due_at, item } in outputs {
            let row = Row::new(sequence, due_at, item);
            let key = LaneKey::new(place, source, row.sequence.is_some(), &row.item);
            sequence = sequence.map(|sequence| sequence + 1);
            if row.sequence.is_some() {
                self.fresh_row(place, key, row, now);
                continue;
            }
            self.memory.rows += 1;
            self.memory.bytes += row.bytes;
            if row.due_at > now.wall {
                self.tickets += 1;
                self.later.insert((row.due_at, self.tickets), (key, row));
            } else {
                self.append(key, row);
            }
        }
    }

    fn append(&mut self, key: LaneKey, row: Row) {
        let lane = self.lanes.at(key);
        let found = self.lanes.get_mut(lane);
        found.rows.push_back(row);
        if found.state == State::Idle {
            found.state = State::Ready;
            self.ready.push_back(lane);
        }
    }

    /// Goes on with what is due, as far as there is room. Called at the end of each round.
    pub fn turn(&mut self, now: Now, fx: &mut Vec<Effect>) {
        while let Some((at, lane)) = self.pauses.first().copied().filter(|(at, _)| *at <= now.tick)
        {
            self.pauses.remove(&(at, lane));
            self.lanes.get_mut(lane).state = State::Ready;
            self.ready.push_back(lane);
        }
        while let Some(entry) = self.later.first_entry().filter(|entry| entry.key().0 <= now.wall) {
            let (key, row) = entry.remove();
            self.append(key, row);
        }
        self.look_at_shards(now, fx);
        if !self.paused {
            self.send(fx);
        }
        for (target, confirmed) in self.confirms.take(now.tick, self.closing) {
            fx.push(Effect::Tell { target, confirmed });
        }
    }

    /// Keeps a confirmation for a target of another worker or node until more have come, or for a short time. Whose the
    /// source's shard is by then does not matter: the row is gone.
    pub fn gather(&mut self, target: ActorId, confirmed: Confirmed, now: Now) {
        self.confirms.add(target, confirmed, now.tick);
    }

    fn send(&mut self, fx: &mut Vec<Effect>) {
        let mut kept = VecDeque::new();
        while self.flights.len() < limits::DELIVERIES_IN_FLIGHT_MAX
            && let Some(lane) = self.ready.pop_front()
        {
            if self.closing && self.lanes.get(lane).key.stored {
                kept.push_back(lane);
                continue;
            }
            self.tickets += 1;
            let ticket = self.tickets;
            self.lanes.get_mut(lane).state = State::Flying(ticket);
            self.flights.insert(ticket, Some(lane));
            fx.push(Effect::Send { ticket });
        }
        kept.append(&mut self.ready);
        self.ready = kept;
    }

    /// What an attempt is to be made at.
    #[must_use]
    pub fn flight(&self, ticket: u64, now: Now) -> Option<Flight<'_>> {
        let lane = self.lanes.get((*self.flights.get(&ticket)?)?);
        let row = lane.rows.front()?;
        let drawn = row.item.created_at();
        let young = drawn.plus(RESTAMP_AGE_MS) > now.wall && drawn <= now.wall;
        let created_at = if young { drawn } else { now.wall };
        Some(Flight { source: lane.source(), item: &row.item, created_at })
    }

    // === how attempts end ===

    /// An attempt has ended.
    pub fn answered(&mut self, ticket: u64, outcome: &Outcome, now: Now, fx: &mut Vec<Effect>) {
        let Some(lane) = self.flights.remove(&ticket).flatten() else { return };
        let fate = verdict::of(outcome);
        let found = self.lanes.get_mut(lane);
        found.attempts += 1;
        let first_tried = *found.first_tried.get_or_insert(now.tick);
        let row = found.rows.front().expect("an attempt is made at a row");
        let since = row.item.created_at().max(row.due_at);
        let too_old = since.plus(limits::DELIVERY_AGE_MAX_MS) < now.wall;
        let patient = now.tick < first_tried.plus_millis(UNKNOWN_PATIENCE_MS);
        let place = found.key.place;
        let again = match fate {
            Fate::Delivered => false,
            Fate::Dead => self.is_crowded(place),
            Fate::Again => !too_old || self.is_crowded(place),
            Fate::AgainForAWhile => patient || self.is_crowded(place),
        };
        let found = self.lanes.get_mut(lane);
        if again && !planted::is(Bug::RowGoneEarly) {
            let pause = pause_ms(found.attempts, ticket);
            let at = now.tick.plus_millis(pause);
            found.state = State::Paused(at);
            self.pauses.insert((at, lane));
            return;
        }
        let error = outcome.as_ref().err().filter(|_| fate != Fate::Delivered).cloned();
        self.end_head(lane, error, now, fx);
    }

    /// True if a shard has so many dead letters that rows stay where they are.
    pub(super) fn is_crowded(&self, place: Place) -> bool {
        self.shards.get(&place).is_some_and(|shard| shard.dead >= limits::DEAD_LETTERS_MAX)
    }

    /// The head of a lane has ended: with an error if it was given up.
    fn end_head(&mut self, lane: usize, error: Option<CallError>, now: Now, fx: &mut Vec<Effect>) {
        let found = self.lanes.get_mut(lane);
        let row = found.rows.pop_front().expect("a lane is tried for its head");
        let attempts = std::mem::take(&mut found.attempts);
        found.first_tried = None;
        let (source, place) = (found.source(), found.key.place);
        if found.rows.is_empty() {
            self.lane_is_empty(lane, now);
        } else {
            found.state = State::Ready;
            self.ready.push_back(lane);
        }
        let Some(sequence) = row.sequence else {
            self.memory.rows -= 1;
            self.memory.bytes -= row.bytes;
            if let Some(error) = error {
                fx.push(Effect::Lost { source, id: row.item.id().to_owned(), error });
            }
            return;
        };
        let dead = error.map(|error| {
            let item = row.item.encode();
            let (due_at, origin) = (row.due_at, Origin::Turn);
            Box::new(Dead { source, item, due_at, error, attempts, origin })
        });
        let confirm = match &row.item {
            Item::Call(call) => {
                let restamped = call.created_at.plus(RESTAMPED_AGE_MS) < now.wall;
                let confirmed = Confirmed { request_id: call.request_id.clone(), restamped };
                Some((call.target.clone(), confirmed))
            }
            Item::Broadcast(_) => None,
        };
        self.end_row(place, (sequence, row.bytes), dead, confirm, fx);
    }

    /// Has a row's end written.
    fn end_row(
        &mut self,
        place: Place,
        (sequence, bytes): (u64, usize),
        dead: Option<Box<Dead>>,
        confirm: Option<(ActorId, Confirmed)>,
        fx: &mut Vec<Effect>,
    ) {
        let Some(shard) = self.shards.get_mut(&place) else { return };
        let epoch = shard.epoch;
        shard.dead += usize::from(dead.is_some());
        self.tickets += 1;
        let ticket = self.tickets;
        let is_dead = dead.is_some();
        // A letter may be tried again: its target must still know whether it ran.
        let confirm = confirm.filter(|_| !is_dead);
        let ending = Ending { place, epoch, sequence, dead: is_dead, bytes, confirm };
        self.endings.insert(ticket, ending);
        fx.push(Effect::End { ticket, place, epoch, sequence, dead });
    }

    /// A row's end is durable: it is gone. `None` if nobody knows: the end is written again, and a dead letter is not, so
    /// that the shard is read for it.
    pub fn done(&mut self, ticket: u64, durable: Option<()>, now: Now, fx: &mut Vec<Effect>) {
        let Some(ending) = self.endings.remove(&ticket) else { return };
        let Ending { place, epoch, sequence, dead, bytes, confirm } = ending;
        if durable.is_none() && !dead {
            let again = Ending { place, epoch, sequence, dead, bytes, confirm };
            self.endings.insert(ticket, again);
            return fx.push(Effect::End { ticket, place, epoch, sequence, dead: None });
        }
        self.stored.rows -= 1;
        self.stored.bytes -= bytes;
        if let Some(shard) = self.shards.get_mut(&place) {
            shard.forget(sequence, durable.is_some());
        }
        if durable.is_none() {
            return self.begin_pass(place, now, fx);
        }
        if let Some((target, confirmed)) = confirm {
            fx.push(Effect::Confirm { target, confirmed });
        }
    }

    /// Lets go of a lane with what is in it, which is not among those that wait for room. An attempt under way is forgotten.
    fn drop_lane(&mut self, lane: usize) {
        let Lane { rows, state, key, .. } = self.lanes.remove(lane);
        match state {
            State::Flying(ticket) => drop(self.flights.insert(ticket, None)),
            State::Paused(at) => drop(self.pauses.remove(&(at, lane))),
            State::Ready | State::Idle => {}
        }
        let held = if key.stored { &mut self.stored } else { &mut self.memory };
        held.rows -= rows.len();
        held.bytes -= rows.iter().map(|row| row.bytes).sum::<usize>();
    }
}

/// How long a lane waits before it is tried again. The ticket spreads lanes that failed together.
fn pause_ms(attempts: u32, ticket: u64) -> u64 {
    let base = PAUSE_MS.0.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(PAUSE_MS.1);
    let spread = ticket.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    base * 3 / 4 + spread % (base / 2).max(1)
}

/// When a time by the wall clock comes, as far as the clock goes on as it is.
fn due_tick(now: Now, due: Millis) -> Tick {
    let wait = u64::try_from(due.0.saturating_sub(now.wall.0)).unwrap_or(0);
    now.tick.plus_millis(wait)
}

/// What a row that cannot be read dies of.
fn undecodable(why: &str) -> CallError {
    CallError::new(
        ErrorKind::InvalidArgument,
        format!(
            "the row cannot be read ({why}): it was damaged, or written by a later version. It was not delivered"
        ),
    )
}

#[cfg(test)]
mod tests;
