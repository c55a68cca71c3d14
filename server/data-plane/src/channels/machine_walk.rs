//! How the messages that a shard has recorded reach its actors, one message after the other, in the order of keys. Pure.
//!
//! The rows of the store say what is left to do; nothing here outlives an epoch. An actor whose delivery is behind the
//! durable cursor is never asked again; one beyond it may be, by the next owner, and its outcome answers then.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use callboard_types::{
    Tick, limits,
    planted::{self, Bug},
};

/// Actors that have a message since its cursor was written, before the cursor is written again.
const ADVANCE_EVERY: usize = 128;
/// Pauses before a delivery that failed for now is tried again, in milliseconds: first and longest.
const RETRY_MS: (u64, u64) = (100, 10_000);
/// Rows that are read at a time.
pub const ROWS_PAGE: usize = 16;
/// Keys that are read at a time.
pub const KEYS_PAGE: usize = 256;

/// A recorded message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row<M> {
    /// Names it within the shard.
    pub id: String,
    /// Its place among the shard's.
    pub sequence: u64,
    /// Actors up to and including this key have it.
    pub cursor: String,
    /// The message.
    pub message: M,
}

/// Names one delivery of a shard's walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Which of the walks of this epoch.
    pub walk: u64,
    /// Which of its actors.
    pub actor: u64,
    /// Which of the actions that listen.
    pub action: u8,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask<M> {
    /// Read rows above this sequence, and pass them to [`Walker::on_rows`].
    Rows(u64),
    /// Say how many actions listen to a message, with [`Walker::on_begun`].
    Begin(M),
    /// Read keys above this one, and pass them to [`Walker::on_keys`].
    Keys(u64, String),
    /// Deliver to an actor, and pass the end to [`Walker::on_ended`].
    Deliver(Stop, Arc<str>, M),
    /// Write the cursor of this message, and pass the end to [`Walker::on_written`].
    Advance(u64, String, String),
    /// Write that the message is done, and pass the end to [`Walker::on_written`].
    Done(u64, String),
    /// These deliveries of a message are behind the durable cursor: their outcomes are not needed any more.
    Confirm(M, Vec<Arc<str>>),
}

/// The walks of one shard in one epoch.
#[derive(Debug)]
pub struct Walker<M> {
    rows: VecDeque<Row<M>>,
    /// The sequence of the last row that was read.
    read_until: u64,
    reading: bool,
    /// True if rows may have come that were not read.
    more: bool,
    current: Option<Walk<M>>,
    walks: u64,
    /// Messages that are known to be recorded and not done.
    known: HashSet<String>,
}

#[derive(Debug)]
struct Walk<M> {
    row: Row<M>,
    number: u64,
    /// How many actions listen; `None` until that is known.
    actions: Option<u8>,
    /// The last key that was read.
    read_until: String,
    keys_end: bool,
    reading: bool,
    /// Actors on the way, in the order of keys.
    stops: VecDeque<Way>,
    /// The number of the first of them.
    first: u64,
    /// Actors that have it, beyond the cursor.
    passed: Vec<Arc<str>>,
    /// Those of them that are covered by the cursor being written.
    written: usize,
    writing: bool,
    done: bool,
    retry_at: Tick,
}

/// An actor on the way of a message.
#[derive(Debug)]
struct Way {
    key: Arc<str>,
    /// Actions that it has not ended, as bits.
    left: u64,
    /// Those of them that are to be asked, as bits.
    to_ask: u64,
    not_before: Tick,
    failures: u32,
}

// === impl Walker ===

impl<M: Clone> Walker<M> {
    /// Nothing is known yet: the first step reads.
    #[must_use]
    pub fn new() -> Self {
        Self {
            rows: VecDeque::new(),
            read_until: 0,
            reading: false,
            more: true,
            current: None,
            walks: 0,
            known: HashSet::new(),
        }
    }

    /// A message was recorded, or was known already.
    pub fn on_recorded(&mut self) {
        self.more = true;
    }

    /// How many messages are known to wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.known.len()
    }

    /// True if there is nothing to do.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.rows.is_empty() && self.current.is_none() && !self.reading && !self.more
    }

    /// When a step is due although nothing happened.
    #[must_use]
    pub fn retry_at(&self) -> Tick {
        self.current.as_ref().map_or(Tick::NEVER, |walk| walk.retry_at)
    }

    /// Rows that were asked for: how many there were and the sequence of the last one, and those whose message can be read.
    pub fn on_rows(&mut self, (count, last): (usize, u64), rows: Vec<Row<M>>) {
        self.reading = false;
        self.more |= count >= ROWS_PAGE;
        self.read_until = self.read_until.max(last);
        for row in rows {
            if self.known.insert(row.id.clone()) {
                self.rows.push_back(row);
            }
        }
    }

    /// So many actions listen to the current message.
    pub fn on_begun(&mut self, actions: usize) {
        if let Some(walk) = &mut self.current {
            walk.actions = Some(u8::try_from(actions.min(64)).unwrap_or(64));
        }
    }

    /// Keys that were asked for by this walk; fewer than [`KEYS_PAGE`] are the last ones.
    pub fn on_keys(&mut self, number: u64, keys: Vec<String>) {
        let Some(walk) = self.current.as_mut().filter(|walk| walk.number == number) else { return };
        walk.reading = false;
        walk.keys_end = keys.len() < KEYS_PAGE;
        let all = match walk.actions.unwrap_or(0) {
            64.. => u64::MAX,
            actions => (1 << actions) - 1,
        };
        if let Some(last) = keys.last() {
            walk.read_until.clone_from(last);
        }
        let way = |key: String| Way {
            key: key.into(),
            left: all,
            to_ask: all,
            not_before: Tick(0),
            failures: 0,
        };
        walk.stops.extend(keys.into_iter().map(way));
    }

    /// A delivery has ended: for good, or it is to be tried again.
    pub fn on_ended(&mut self, stop: Stop, for_good: bool, now: Tick) {
        let Some(walk) = self.current.as_mut().filter(|walk| walk.number == stop.walk) else {
            return;
        };
        let at = stop.actor.checked_sub(walk.first).and_then(|at| usize::try_from(at).ok());
        let Some(way) = at.and_then(|at| walk.stops.get_mut(at)) else { return };
        let bit = 1 << stop.action;
        if for_good {
            way.left &= !bit;
        } else {
            let pause = RETRY_MS.0.saturating_mul(1 << way.failures.min(10)).min(RETRY_MS.1);
            way.failures += 1;
            way.to_ask |= bit;
            way.not_before = now.plus_millis(pause);
            walk.retry_at = walk.retry_at.min(way.not_before);
        }
        while let Some(first) = walk.stops.pop_front_if(|first| first.left == 0) {
            walk.first += 1;
            walk.passed.push(first.key);
        }
    }

    /// What a walk wrote is durable; or nobody knows whether it is, and it is written again.
    pub fn on_written(&mut self, number: u64, durable: bool, asks: &mut Vec<Ask<M>>) {
        let Some(walk) = self.current.as_mut().filter(|walk| walk.number == number) else { return };
        walk.writing = false;
        if !durable {
            walk.done = false;
            return;
        }
        let behind: Vec<Arc<str>> = walk.passed.drain(..walk.written).collect();
        if !behind.is_empty() {
            asks.push(Ask::Confirm(walk.row.message.clone(), behind));
        }
        if walk.done
            && let Some(walk) = self.current.take()
        {
            self.known.remove(&walk.row.id);
        }
    }

    /// Says what is to be done now, with at most so many deliveries; of those that it asks for, the number is taken off.
    pub fn step(&mut self, now: Tick, deliveries: &mut usize, asks: &mut Vec<Ask<M>>) {
        if self.current.is_none() {
            self.begin_next(asks);
        }
        if let Some(walk) = &mut self.current {
            walk.step(now, deliveries, asks);
        }
        if self.more && !self.reading && self.rows.is_empty() {
            (self.more, self.reading) = (false, true);
            asks.push(Ask::Rows(self.read_until));
        }
    }

    fn begin_next(&mut self, asks: &mut Vec<Ask<M>>) {
        let Some(row) = self.rows.pop_front() else { return };
        self.walks += 1;
        asks.push(Ask::Begin(row.message.clone()));
        self.current = Some(Walk {
            number: self.walks,
            actions: None,
            read_until: row.cursor.clone(),
            keys_end: false,
            reading: false,
            stops: VecDeque::new(),
            first: 0,
            passed: Vec::new(),
            written: 0,
            writing: false,
            done: false,
            retry_at: Tick::NEVER,
            row,
        });
    }
}

impl<M: Clone> Default for Walker<M> {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Walk ===

impl<M: Clone> Walk<M> {
    fn step(&mut self, now: Tick, deliveries: &mut usize, asks: &mut Vec<Ask<M>>) {
        match self.actions {
            None => return,
            // Nobody listens any more.
            Some(0) => self.keys_end = true,
            Some(_) => {}
        }
        let room = self.stops.len() + KEYS_PAGE <= limits::BROADCAST_STOPS_MAX + KEYS_PAGE / 2;
        if !self.keys_end && !self.reading && room {
            self.reading = true;
            asks.push(Ask::Keys(self.number, self.read_until.clone()));
        }
        self.deliver(now, deliveries, asks);
        if self.writing || self.done {
            return;
        }
        let early = planted::is(Bug::WalkDoneEarly);
        let ended = self.keys_end && (self.stops.is_empty() || early);
        if ended {
            (self.writing, self.done, self.written) = (true, true, self.passed.len());
            asks.push(Ask::Done(self.number, self.row.id.clone()));
        } else if self.passed.len() >= ADVANCE_EVERY
            && let Some(last) = self.passed.last()
        {
            (self.writing, self.written) = (true, self.passed.len());
            asks.push(Ask::Advance(self.number, self.row.id.clone(), last.to_string()));
        }
    }

    fn deliver(&mut self, now: Tick, deliveries: &mut usize, asks: &mut Vec<Ask<M>>) {
        self.retry_at = Tick::NEVER;
        for (way, actor) in self.stops.iter_mut().zip(self.first..) {
            if way.to_ask == 0 {
                continue;
            }
            if way.not_before > now {
                self.retry_at = self.retry_at.min(way.not_before);
                continue;
            }
            while way.to_ask != 0 && *deliveries > 0 {
                let action = way.to_ask.trailing_zeros();
                way.to_ask &= way.to_ask - 1;
                *deliveries -= 1;
                let action = u8::try_from(action).expect("a bit of 64");
                let stop = Stop { walk: self.number, actor, action };
                asks.push(Ask::Deliver(stop, Arc::clone(&way.key), self.row.message.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
