//! Passes over a shard's rows in the store, and what is taken from memory meanwhile.

use std::{collections::VecDeque, sync::Arc};

use callboard_types::{ActorId, Epoch, Millis, Tick};
use hashbrown::HashSet;

use super::{
    Dead, Deliveries, Effect, LANE_ROWS_MAX, Now, Page, Place, ROWS_BYTES_MAX, ROWS_HELD_MAX, Row,
    State, StoredRow, due_tick, lanes::LaneKey, undecodable,
};
use crate::deliveries::{Item, letter::Origin};

/// First and longest pause between passes that found no room for what they read, in milliseconds.
const PASS_PAUSE_MS: (u64, u64) = (250, 30_000);
/// How often shards with rows to come are looked at, in milliseconds.
const LOOK_MS: u64 = 1_000;
/// Rows that come while a pass is under way and are kept until its end. With more, another pass follows.
const KEPT_MAX: usize = 4_096;

/// What is known of a shard's rows.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) epoch: Epoch,
    system: Arc<str>,
    actor_type: Arc<str>,
    /// Rows in memory, or with their end on its way.
    known: HashSet<u64>,
    /// Rows that went while a pass was under way, which may still show them.
    gone: HashSet<u64>,
    /// Lanes with rows that are in the store only.
    absent: HashSet<LaneKey>,
    pass: Option<Pass>,
    /// When the next row falls due.
    next_due: Option<Millis>,
    /// When to read again what there was no room for.
    again_at: Tick,
    pause_ms: u64,
    /// Dead letters since the shard was taken.
    pub(super) dead: usize,
}

/// A pass under way.
#[derive(Debug)]
struct Pass {
    number: u64,
    until: Millis,
    /// Rows that came meanwhile.
    kept: VecDeque<(LaneKey, Row)>,
    /// True if another pass must follow.
    again: bool,
    /// True if it brought rows into memory.
    brought: bool,
}

impl Shard {
    pub(super) fn new(epoch: Epoch, system: Arc<str>, actor_type: Arc<str>) -> Self {
        Self {
            epoch,
            system,
            actor_type,
            known: HashSet::new(),
            gone: HashSet::new(),
            absent: HashSet::new(),
            pass: None,
            next_due: None,
            again_at: Tick::NEVER,
            pause_ms: PASS_PAUSE_MS.0,
            dead: 0,
        }
    }

    /// A row is no longer in memory; it may be in the store still, unless it is gone.
    pub(super) fn forget(&mut self, sequence: u64, gone: bool) {
        self.known.remove(&sequence);
        if gone && self.pass.is_some() {
            self.gone.insert(sequence);
        }
    }

    /// When the shard must be looked at.
    pub(super) fn next_look(&self, now: Now) -> Tick {
        if self.pass.is_some() {
            return Tick::NEVER;
        }
        self.next_due.map_or(Tick::NEVER, |due| due_tick(now, due)).min(self.again_at)
    }

    fn source(&self, key: &str) -> ActorId {
        ActorId {
            system: Arc::clone(&self.system),
            actor_type: Arc::clone(&self.actor_type),
            key: key.into(),
        }
    }
}

impl Deliveries {
    /// Begins to read a shard's rows from the first on.
    pub(super) fn begin_pass(&mut self, place: Place, now: Now, fx: &mut Vec<Effect>) {
        let Some(shard) = self.shards.get_mut(&place) else { return };
        if let Some(pass) = &mut shard.pass {
            pass.again = true;
            return;
        }
        self.passes += 1;
        let (number, until) = (self.passes, now.wall);
        shard.pass =
            Some(Pass { number, until, kept: VecDeque::new(), again: false, brought: false });
        shard.again_at = Tick::NEVER;
        shard.next_due = None;
        shard.absent.clear();
        shard.gone.clear();
        fx.push(Effect::Read { place, number, after: (Millis(i64::MIN), 0), until });
    }

    /// Begins the passes that are due.
    pub(super) fn look_at_shards(&mut self, now: Now, fx: &mut Vec<Effect>) {
        if self.look_at > now.tick {
            return;
        }
        let due = |shard: &Shard| shard.next_look(now) <= now.tick;
        let places: Vec<Place> =
            self.shards.iter().filter(|(_, shard)| due(shard)).map(|(place, _)| *place).collect();
        for place in places {
            self.begin_pass(place, now, fx);
        }
        let looks = self.shards.values().map(|shard| shard.next_look(now)).min();
        self.look_at = Tick::NEVER;
        self.look_at(looks.unwrap_or(Tick::NEVER), now);
    }

    /// Sees to it that shards are looked at then. Due times are by the wall clock, which may step, so that waiting for a
    /// long time is done in parts.
    fn look_at(&mut self, at: Tick, now: Now) {
        if at != Tick::NEVER {
            self.look_at = self.look_at.min(at).min(now.tick.plus_millis(LOOK_MS));
        }
    }

    /// A row that has just been committed.
    pub(super) fn fresh_row(&mut self, place: Place, key: LaneKey, row: Row, now: Now) {
        let Some(shard) = self.shards.get_mut(&place) else { return };
        if let Some(pass) = &mut shard.pass {
            if pass.kept.len() < KEPT_MAX && !pass.again {
                pass.kept.push_back((key, row));
            } else {
                // The next pass finds it, and whatever comes after it.
                pass.again = true;
            }
            return;
        }
        if row.due_at > now.wall {
            let due = row.due_at;
            shard.next_due = Some(shard.next_due.map_or(due, |next| next.min(due)));
            return self.look_at(due_tick(now, due), now);
        }
        self.admit(place, key, row, now);
    }

    /// Takes a row into memory, if its lane is not absent and there is room. True if it was taken.
    fn admit(&mut self, place: Place, key: LaneKey, row: Row, now: Now) -> bool {
        let full = self.stored.rows >= ROWS_HELD_MAX || self.stored.bytes >= ROWS_BYTES_MAX;
        let long = self.lanes.find(&key).is_some_and(|lane| lane.rows.len() >= LANE_ROWS_MAX);
        let has_room = !long && (!full || self.make_room(&key, now));
        let Some(shard) = self.shards.get_mut(&place) else { return false };
        if !has_room || shard.absent.contains(&key) {
            shard.absent.insert(key);
            let at = now.tick.plus_millis(shard.pause_ms);
            shard.again_at = shard.again_at.min(at);
            self.look_at(at, now);
            return false;
        }
        shard.known.extend(row.sequence);
        self.stored.rows += 1;
        self.stored.bytes += row.bytes;
        self.append(key, row);
        true
    }

    /// Lets the lane go that waits longest before it is tried again; its rows stay in the store. False if there is none.
    fn make_room(&mut self, but: &LaneKey, now: Now) -> bool {
        let mut waiting = self.pauses.iter().rev().map(|(_, lane)| *lane);
        let found = waiting.find(|lane| {
            let key = &self.lanes.get(*lane).key;
            key.stored && key != but
        });
        let Some(lane) = found else { return false };
        let (key, rows) = {
            let lane = self.lanes.get(lane);
            (lane.key.clone(), lane.rows.iter().filter_map(|row| row.sequence).collect::<Vec<_>>())
        };
        self.drop_lane(lane);
        if let Some(shard) = self.shards.get_mut(&key.place) {
            rows.iter().for_each(|sequence| shard.forget(*sequence, false));
            let at = now.tick.plus_millis(shard.pause_ms);
            shard.again_at = shard.again_at.min(at);
            shard.absent.insert(key);
            self.look_at(at, now);
        }
        true
    }

    /// Nothing of a lane is in memory any more. What is in the store of it is read at once.
    pub(super) fn lane_is_empty(&mut self, lane: usize, now: Now) {
        let lane = self.lanes.remove(lane);
        debug_assert!(!matches!(lane.state, State::Paused(_)), "a lane that waits has a head");
        if let Some(shard) = self.shards.get_mut(&lane.key.place)
            && lane.key.stored
            && shard.absent.contains(&lane.key)
        {
            shard.again_at = now.tick;
            self.look_at(now.tick, now);
        }
    }

    /// A page of a shard's rows came.
    pub fn read(&mut self, place: Place, page: Page, now: Now, fx: &mut Vec<Effect>) {
        let awaited = |shard: &Shard| shard.pass.as_ref().map(|pass| (pass.number, pass.until));
        let Some((number, until)) = self.shards.get(&place).and_then(awaited) else { return };
        if number != page.number {
            return;
        }
        let mut after = (Millis(i64::MIN), 0);
        for row in page.rows {
            after = (row.due_at, row.sequence);
            self.read_row(place, row, now, fx);
        }
        if page.more {
            return fx.push(Effect::Read { place, number, after, until });
        }
        self.end_pass(place, page.next_due, now, fx);
    }

    fn read_row(&mut self, place: Place, row: StoredRow, now: Now, fx: &mut Vec<Effect>) {
        let crowded = self.is_crowded(place);
        let Some(shard) = self.shards.get_mut(&place) else { return };
        if shard.known.contains(&row.sequence) || shard.gone.contains(&row.sequence) {
            return;
        }
        let StoredRow { key, sequence, due_at, item } = row;
        let source = shard.source(&key);
        match Item::decode(&item) {
            Ok(item) => {
                let row = Row::new(Some(sequence), due_at, item);
                let lane = LaneKey::new(place, &source, true, &row.item);
                if self.admit(place, lane, row, now)
                    && let Some(pass) =
                        self.shards.get_mut(&place).and_then(|shard| shard.pass.as_mut())
                {
                    pass.brought = true;
                }
            }
            // The shard has as many dead letters as it may: the row stays.
            Err(_) if crowded => {}
            Err(why) => {
                // It must not stand in the way of the others.
                shard.known.insert(sequence);
                let bytes = item.len();
                self.stored.rows += 1;
                self.stored.bytes += bytes;
                let error = undecodable(&why);
                let origin = Origin::Turn;
                let dead = Dead { source, item, due_at, error, attempts: 0, origin };
                self.end_row(place, (sequence, bytes), Some(Box::new(dead)), None, fx);
            }
        }
    }

    fn end_pass(&mut self, place: Place, next_due: Option<Millis>, now: Now, fx: &mut Vec<Effect>) {
        let Some(shard) = self.shards.get_mut(&place) else { return };
        let Some(pass) = shard.pass.take() else { return };
        shard.next_due = next_due;
        shard.pause_ms = if pass.brought || shard.absent.is_empty() {
            PASS_PAUSE_MS.0
        } else {
            (shard.pause_ms * 2).min(PASS_PAUSE_MS.1)
        };
        let gone = std::mem::take(&mut shard.gone);
        for (key, row) in pass.kept {
            let Some(shard) = self.shards.get(&place) else { return };
            let seen =
                row.sequence.is_some_and(|at| shard.known.contains(&at) || gone.contains(&at));
            if !seen {
                self.fresh_row(place, key, row, now);
            }
        }
        if pass.again {
            return self.begin_pass(place, now, fx);
        }
        let next = self.shards.get(&place).map_or(Tick::NEVER, |shard| shard.next_look(now));
        self.look_at(next, now);
    }
}
