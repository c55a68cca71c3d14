//! Messages of channels at a worker: its shards record them and walk their actors, one message after the other.
//!
//! A delivery takes the way of any call of this worker and is answered here, without leaving it. What is durable is in the
//! shard's rows; when a shard leaves, its walk is forgotten, and the next owner goes on from the cursor.

mod hear;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    sync::Arc,
};

use ::metrics::{Counter, counter};
use bytes::Bytes;
use callboard_statestore::{BroadcastChange, BroadcastRow, BroadcastStep, Verdict};
use callboard_types::{
    Epoch, ErrorKind, Kind, Retry, Tick, limits, settings::Deliver, shard::key_hash,
};

use super::{
    RoutedCall, WalkFound, WalkNews, Worker,
    types::{Place, Standing},
};
use crate::{
    call::{Call, Lineage, Metadata, Outcome, Payload, ReplyTo, WalkTicket},
    channels::{
        Said,
        machine_walk::{Ask, Row, Stop, Walker},
        message::subscriptions,
    },
    metrics,
    store::{ReadJob, WalkRead, WriteJob},
    transcode,
};
use hear::Hearings;

/// How often an actor is tried whose `init` fails, before it counts as having the message: nobody can deliver to it.
const INIT_TRIES_MAX: u32 = 8;

/// The walks of a worker's shards, and the messages that they are about to record.
#[derive(Debug)]
pub(super) struct Walks {
    shards: BTreeMap<Place, ShardWalk>,
    /// The shards of walkers, by their numbers.
    places: HashMap<u64, Place>,
    walkers: u64,
    /// Shards whose walkers have something to do.
    ready: BTreeSet<Place>,
    hearings: Hearings,
    writes: HashMap<u64, Write>,
    write_count: u64,
    /// Deliveries under way.
    in_flight: usize,
    /// True if a walker had to leave deliveries for later.
    starved: bool,
    ended: VecDeque<(WalkTicket, bool)>,
    /// When a delivery is to be tried again.
    retry_at: Tick,
    /// The message that was recorded last, as rows hold it.
    encoded: Option<(Arc<Said>, Bytes)>,
    done_total: Counter,
    again_total: Counter,
}

/// The walker of one shard, and the message that it walks with.
#[derive(Debug)]
struct ShardWalk {
    number: u64,
    walker: Walker<Arc<Said>>,
    /// The ids of messages that were recorded since the walker is there and are not done.
    recorded: HashSet<String>,
    in_flight: usize,
    parts: Parts,
    init_failures: HashMap<u64, u32>,
}

/// What the deliveries of one message are made from.
#[derive(Debug, Default)]
struct Parts {
    /// The actions that listen, each with its argument and the request id.
    actions: Vec<(String, Payload, String)>,
    metadata: Metadata,
    lineage: Option<Box<Lineage>>,
}

/// What the writer was given.
#[derive(Debug)]
enum Write {
    /// A message, for those who wait for it to be recorded.
    Record { place: Place, epoch: Epoch, hearing: usize, id: String },
    /// The progress of a walk. The message's id, if that was the end of it.
    Progress { walker: u64, walk: u64, done: Option<String> },
}

// === impl Walks ===

impl Walks {
    pub(super) fn new() -> Self {
        Self {
            shards: BTreeMap::new(),
            places: HashMap::new(),
            walkers: 0,
            ready: BTreeSet::new(),
            hearings: Hearings::default(),
            writes: HashMap::new(),
            write_count: 0,
            in_flight: 0,
            starved: false,
            ended: VecDeque::new(),
            retry_at: Tick::NEVER,
            encoded: None,
            done_total: counter!(metrics::WALKED_TOTAL, "end" => "done"),
            again_total: counter!(metrics::WALKED_TOTAL, "end" => "again"),
        }
    }

    /// A delivery has ended.
    pub(super) fn ended(&mut self, ticket: Option<Box<WalkTicket>>, outcome: &Outcome) {
        let Some(ticket) = ticket else { return };
        let mut for_good = is_for_good(outcome);
        if matches!(outcome, Err(error) if error.kind == ErrorKind::InitFailed)
            && let Some(shard) =
                self.places.get(&ticket.walker).and_then(|p| self.shards.get_mut(p))
        {
            let failures = shard.init_failures.entry(ticket.stop.actor).or_default();
            *failures += 1;
            for_good = *failures >= INIT_TRIES_MAX;
        }
        if for_good { &self.done_total } else { &self.again_total }.increment(1);
        self.ended.push_back((*ticket, for_good));
    }

    /// When walks must be looked at although nothing happened; [`Tick::NEVER`] if they need not.
    pub(super) fn next_look(&self) -> Tick {
        self.retry_at
    }

    /// The shard leaves, or its epoch is over.
    pub(super) fn forget(&mut self, place: Place) {
        if let Some(shard) = self.shards.remove(&place) {
            self.places.remove(&shard.number);
            self.in_flight -= shard.in_flight;
        }
        self.ready.remove(&place);
        self.hearings.give_up(place);
    }

    /// The walker of a shard; a new one reads what is left to do.
    fn walker(&mut self, place: Place) -> &mut ShardWalk {
        let (walkers, places) = (&mut self.walkers, &mut self.places);
        self.ready.insert(place);
        self.shards.entry(place).or_insert_with(|| {
            *walkers += 1;
            places.insert(*walkers, place);
            ShardWalk {
                number: *walkers,
                walker: Walker::new(),
                recorded: HashSet::new(),
                in_flight: 0,
                parts: Parts::default(),
                init_failures: HashMap::new(),
            }
        })
    }

    fn by_number(&mut self, walker: u64) -> Option<(Place, &mut ShardWalk)> {
        let place = *self.places.get(&walker)?;
        self.ready.insert(place);
        Some((place, self.shards.get_mut(&place)?))
    }

    fn remember(&mut self, write: Write) -> u64 {
        self.write_count += 1;
        self.writes.insert(self.write_count, write);
        self.write_count
    }

    fn take_ended(&mut self, now: Tick) {
        while let Some((ticket, for_good)) = self.ended.pop_front() {
            let Some((_, shard)) = self.by_number(ticket.walker) else { continue };
            shard.in_flight -= 1;
            shard.walker.on_ended(ticket.stop, for_good, now);
            self.in_flight -= 1;
        }
        let room = self.in_flight < limits::DELIVERIES_IN_FLIGHT_MAX / 2;
        if self.starved && room {
            self.starved = false;
            self.ready.extend(self.shards.keys());
        }
        if self.retry_at <= now {
            self.retry_at = Tick::NEVER;
            self.ready.extend(self.shards.keys());
        }
    }
}

/// True if an actor counts as having the message.
fn is_for_good(outcome: &Outcome) -> bool {
    let Err(error) = outcome else { return true };
    // An attempt that is too old for the outcomes that are kept says nothing of the message.
    error.retry() == Retry::Never && error.kind != ErrorKind::RequestExpired
}

// === impl Worker ===

impl Worker {
    /// Tells whoever waits for the outcome of a call that this worker had.
    pub(super) fn answer(&mut self, to: ReplyTo, outcome: Outcome) {
        match to {
            ReplyTo::Walk(ticket) => self.walks.ended(ticket, &outcome),
            to => self.outbox.answer(to, outcome),
        }
    }

    /// A shard is served from now on: whatever it has recorded and not delivered goes on. A type that listens to nothing
    /// costs no read.
    pub(super) fn begin_walks(&mut self, place: Place) {
        let listens = self.types[place.0 as usize].as_ref().is_some_and(|slot| {
            let all = &slot.runtime.definition.settings.subscriptions;
            all.iter().any(|one| one.deliver == Deliver::Every)
        });
        if listens {
            self.walks.forget_idle(place);
            self.walks.walker(place);
        }
        for (hearing, said) in self.walks.hearings.take_unclaimed(place) {
            self.record(place, hearing, &said);
        }
    }

    pub(super) fn on_walk_news(&mut self, news: WalkNews) {
        let Some((place, shard)) = self.walks.by_number(news.walker) else { return };
        match news.found {
            WalkFound::Keys(walk, keys) => shard.walker.on_keys(walk, keys),
            WalkFound::Rows(rows) => {
                let slot = self.types[place.0 as usize].as_ref();
                let Some(system) = slot.map(|slot| &slot.runtime.view.system) else { return };
                let read = (rows.len(), rows.last().map_or(0, |row| row.sequence));
                let rows = rows.into_iter().filter_map(|row| readable(system, row)).collect();
                shard.walker.on_rows(read, rows);
            }
        }
    }

    /// The writer's verdict on a change of a message. Returns the shard if it is another epoch's by now.
    pub(super) fn on_broadcast_written(
        &mut self,
        ticket: u64,
        verdict: Option<Verdict>,
    ) -> Option<(Place, Epoch)> {
        let write = self.walks.writes.remove(&ticket)?;
        let durable = verdict == Some(Verdict::Committed);
        let place = match write {
            Write::Record { place, epoch, hearing, id } => {
                self.walks.hearings.written(place, &id);
                let here = self.epoch_of(place) == epoch;
                self.walks.hearings.decided(hearing, place, durable);
                if durable && here && self.standing(place) == Standing::Serves {
                    let shard = self.walks.walker(place);
                    shard.recorded.insert(id);
                    shard.walker.on_recorded();
                }
                here.then_some(place)
            }
            Write::Progress { walker, walk, done } => {
                let (place, shard) = self.walks.by_number(walker)?;
                let mut asks = Vec::new();
                if matches!(verdict, Some(Verdict::Committed) | None) {
                    shard.walker.on_written(walk, durable, &mut asks);
                }
                if let Some(id) = done.filter(|_| durable) {
                    shard.recorded.remove(&id);
                    shard.init_failures.clear();
                }
                for ask in asks {
                    self.carry_out_walk(place, ask);
                }
                Some(place)
            }
        };
        match verdict {
            Some(Verdict::FenceLost { stored }) => place.map(|place| (place, stored)),
            _ => None,
        }
    }

    /// Takes every walk a step further. True if there are deliveries for this round.
    pub(super) fn go_on_walking(&mut self) -> bool {
        self.walks.take_ended(self.now);
        if self.refusing || !self.leased {
            return false;
        }
        while let Some(place) = self.walks.ready.pop_first() {
            self.step_walk(place);
        }
        !self.local_calls.is_empty()
    }

    fn step_walk(&mut self, place: Place) {
        let mut asks = Vec::new();
        loop {
            let before = limits::DELIVERIES_IN_FLIGHT_MAX.saturating_sub(self.walks.in_flight);
            let Some(shard) = self.walks.shards.get_mut(&place) else { return };
            let mut room = before;
            shard.walker.step(self.now, &mut room, &mut asks);
            shard.in_flight += before - room;
            self.walks.retry_at = self.walks.retry_at.min(shard.walker.retry_at());
            self.walks.in_flight += before - room;
            self.walks.starved |= room == 0;
            if asks.is_empty() {
                break;
            }
            for ask in asks.drain(..) {
                self.carry_out_walk(place, ask);
            }
        }
        self.walks.forget_idle(place);
    }

    fn carry_out_walk(&mut self, place: Place, ask: Ask<Arc<Said>>) {
        match ask {
            Ask::Rows(after) => self.read_for_walk(place, WalkRead::Rows(after)),
            Ask::Begin(said) => self.begin_walk(place, &said),
            Ask::Keys(walk, after) => self.next_keys(place, walk, after),
            Ask::Deliver(stop, key, _) => self.deliver_said(place, stop, &key),
            Ask::Advance(walk, id, cursor) => {
                self.write_progress(place, walk, id, BroadcastStep::Advance { cursor });
            }
            Ask::Done(walk, id) => self.write_progress(place, walk, id, BroadcastStep::Done),
            Ask::Confirm(_, keys) => self.confirm_walked(place, &keys),
        }
    }

    fn read_for_walk(&mut self, place: Place, read: WalkRead) {
        let walker = self.walks.shards.get(&place).map(|shard| shard.number);
        if let (Some(walker), Some(shard)) = (walker, self.shard_id(place)) {
            self.outbox.read(ReadJob::Walk { walker, shard, read });
        }
    }

    fn next_keys(&mut self, place: Place, walk: u64, after: String) {
        let slot = self.types[place.0 as usize].as_ref();
        let named = slot.filter(|slot| slot.runtime.definition.kind == Kind::Named);
        let Some(name) = named.map(|slot| slot.runtime.view.name.to_string()) else {
            return self.read_for_walk(place, WalkRead::Keys(walk, after));
        };
        // There is one actor, whether it has a row yet or not.
        let keys = if after < name { vec![name] } else { Vec::new() };
        if let Some(shard) = self.walks.shards.get_mut(&place) {
            shard.walker.on_keys(walk, keys);
        }
    }

    /// Finds out which actions listen, and what they get.
    fn begin_walk(&mut self, place: Place, said: &Arc<Said>) {
        let Some(slot) = self.types[place.0 as usize].as_ref() else { return };
        let mut parts = Parts::default();
        for listens in subscriptions(&slot.runtime, &said.channel, Deliver::Every) {
            let action = &listens.action;
            match transcode::heard(&slot.runtime, action, &said.payload) {
                Ok(argument) => {
                    parts.actions.push((action.clone(), argument, said.request_id(action)));
                }
                Err(error) => {
                    let view = &slot.runtime.view;
                    tracing::warn!(system = %view.system, r#type = %view.name, channel = %said.channel,
                        id = %said.id, %action, %error, "a message does not fit an action that listens");
                }
            }
        }
        if said.published_at.plus(limits::DELIVERY_AGE_MAX_MS) < self.wall {
            tracing::warn!(channel = %said.channel, id = %said.id, shard = ?self.shard_id(place),
                "a message is given up: it could not be delivered to every actor for days");
            parts.actions.clear();
        }
        parts.metadata = said.metadata_for_actors();
        parts.lineage = said
            .source
            .clone()
            .map(|source| Box::new(Lineage { caller: Some(source), chain: Vec::new() }));
        if let Some(shard) = self.walks.shards.get_mut(&place) {
            shard.walker.on_begun(parts.actions.len());
            shard.parts = parts;
        }
    }

    fn deliver_said(&mut self, place: Place, stop: Stop, key: &str) {
        let Some(slot) = self.types[place.0 as usize].as_ref() else { return };
        let Some(shard) = self.walks.shards.get(&place) else { return };
        let Some((action, argument, id)) = shard.parts.actions.get(usize::from(stop.action)) else {
            return;
        };
        let ticket = WalkTicket { walker: shard.number, stop };
        let call = Call {
            action: action.clone(),
            argument: argument.clone(),
            request_id: id.clone(),
            created_at: self.wall,
            deadline: Tick::NEVER,
            metadata: shard.parts.metadata.clone(),
            lineage: shard.parts.lineage.clone(),
            activates_only: false,
            delivery: true,
            ..Call::activation(ReplyTo::Walk(Some(Box::new(ticket))), self.now)
        };
        let (actor_type, key) = (Arc::clone(&slot.runtime), key.to_owned());
        let key_hash = key_hash(&key);
        let routed = RoutedCall { actor_type, key, key_hash, shard: place.1, call };
        self.local_calls.push_back(routed);
    }

    /// Actors that are behind the durable cursor are never asked again: those in memory need not keep the mark of the
    /// message. There can be no attempt of an earlier time any more, since only this worker makes them.
    fn confirm_walked(&mut self, place: Place, keys: &[Arc<str>]) {
        let Some(shard) = self.walks.shards.get(&place) else { return };
        let ids: Vec<String> = shard.parts.actions.iter().map(|(_, _, id)| id.clone()).collect();
        for key in keys {
            if let Some(slot) = self.table.find(place.0, key, key_hash(key)) {
                self.step_aside(slot, |activation, env, _| {
                    ids.iter().for_each(|id| activation.confirm_delivery(env, id));
                });
            }
        }
    }

    fn write_progress(&mut self, place: Place, walk: u64, id: String, step: BroadcastStep) {
        let Some(shard) = self.walks.shards.get(&place) else { return };
        let done = (step == BroadcastStep::Done).then(|| id.clone());
        let write = Write::Progress { walker: shard.number, walk, done };
        self.write_change(place, id, step, write);
    }

    fn write_change(&mut self, place: Place, id: String, step: BroadcastStep, write: Write) {
        let Some(shard) = self.shard_id(place) else { return };
        let epoch = self.epoch_of(place);
        let ticket = self.walks.remember(write);
        self.outbox.write(WriteJob::broadcast(ticket, BroadcastChange { shard, epoch, id, step }));
    }
}

impl Walks {
    /// Lets go of a walker that has nothing to do.
    fn forget_idle(&mut self, place: Place) {
        let idle = |shard: &ShardWalk| shard.walker.is_idle() && shard.in_flight == 0;
        if self.shards.get(&place).is_some_and(idle)
            && let Some(shard) = self.shards.remove(&place)
        {
            self.places.remove(&shard.number);
        }
    }
}

fn readable(system: &Arc<str>, row: BroadcastRow) -> Option<Row<Arc<Said>>> {
    match Said::decode(system, &row.item) {
        Ok(said) => {
            let BroadcastRow { id, sequence, cursor, .. } = row;
            Some(Row { id, sequence, cursor, message: Arc::new(said) })
        }
        Err(error) => {
            tracing::error!(id = %row.id, row.sequence, %error,
                "a recorded message cannot be read; its row is left");
            None
        }
    }
}
