//! Lanes: the rows of one source for one target, in order.

use std::collections::VecDeque;

use callboard_types::{ActorId, Millis, Tick};
use hashbrown::HashMap;
use slab::Slab;

use super::Place;
use crate::deliveries::Item;

/// Names a lane.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct LaneKey {
    pub(super) place: Place,
    /// True if its rows are in the store.
    pub(super) stored: bool,
    source: ActorId,
    target: Target,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Target {
    Actor(ActorId),
    Channel(String),
}

impl LaneKey {
    pub(super) fn new(place: Place, source: &ActorId, stored: bool, item: &Item) -> Self {
        let target = match item {
            Item::Call(call) => Target::Actor(call.target.clone()),
            Item::Broadcast(said) => Target::Channel(said.channel.clone()),
        };
        Self { place, stored, source: source.clone(), target }
    }
}

/// Something to deliver.
#[derive(Debug)]
pub(super) struct Row {
    /// Its place among the shard's; `None` if it is in memory only.
    pub(super) sequence: Option<u64>,
    pub(super) due_at: Millis,
    pub(super) item: Item,
    pub(super) bytes: usize,
}

impl Row {
    pub(super) fn new(sequence: Option<u64>, due_at: Millis, item: Item) -> Self {
        Self { sequence, due_at, bytes: item.size(), item }
    }
}

/// What a lane's head does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// There is none.
    Idle,
    /// It waits for room.
    Ready,
    /// It is tried.
    Flying(u64),
    /// It waits until then before it is tried again.
    Paused(Tick),
}

/// One lane.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) key: LaneKey,
    pub(super) rows: VecDeque<Row>,
    pub(super) state: State,
    /// How often its head was tried.
    pub(super) attempts: u32,
    /// When its head was tried first.
    pub(super) first_tried: Option<Tick>,
}

impl Lane {
    pub(super) fn source(&self) -> ActorId {
        self.key.source.clone()
    }
}

/// All lanes.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    all: Slab<Lane>,
    by_key: HashMap<LaneKey, usize>,
}

impl Lanes {
    /// The lane of a key; a new one if there is none.
    pub(super) fn at(&mut self, key: LaneKey) -> usize {
        if let Some(lane) = self.by_key.get(&key) {
            return *lane;
        }
        let lane = self.all.insert(Lane {
            key: key.clone(),
            rows: VecDeque::new(),
            state: State::Idle,
            attempts: 0,
            first_tried: None,
        });
        self.by_key.insert(key, lane);
        lane
    }

    pub(super) fn find(&self, key: &LaneKey) -> Option<&Lane> {
        self.by_key.get(key).map(|lane| &self.all[*lane])
    }

    pub(super) fn get(&self, lane: usize) -> &Lane {
        &self.all[lane]
    }

    pub(super) fn get_mut(&mut self, lane: usize) -> &mut Lane {
        &mut self.all[lane]
    }

    pub(super) fn remove(&mut self, lane: usize) -> Lane {
        let lane = self.all.remove(lane);
        self.by_key.remove(&lane.key);
        lane
    }

    /// The lanes of a shard whose rows are in the store.
    pub(super) fn of_place(&self, place: Place) -> Vec<usize> {
        let of =
            |(at, lane): (usize, &Lane)| (lane.key.place == place && lane.key.stored).then_some(at);
        self.all.iter().filter_map(of).collect()
    }
}
