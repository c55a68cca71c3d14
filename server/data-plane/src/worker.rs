//! A shard worker: the only owner of its shards' activations, so that the path of a call needs no locks.
//!
//! It drains its inbox in batches, feeds the activation machines, and carries out their effects. What it sends leaves
//! once per batch: many turns share a frame, many commits a transaction, many replies a message. It never waits for
//! anything but its inbox and the clock.

mod claims;
mod deliveries;
mod dispatch;
mod effects;
mod epochs;
mod inbox;
mod moves;
mod operate;
mod outbox;
mod steady;
mod table;
mod types;
mod unleased;
mod walks;

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque},
    sync::Arc,
};

use callboard_types::{CallError, Durability, ErrorKind, Lease, Millis, NodeId, Tick, limits};
use tokio::sync::{mpsc, oneshot};

pub use inbox::{
    ActorStats, ClaimedShard, Message, RoutedCall, SessionCall, WalkFound, WalkNews, Workers,
    WriteVerdict, Written,
};
pub use table::Slot;
pub(crate) use unleased::{lease_lost, shutting_down};

use crate::{
    activation::machine::{Activation, Admission, Effect, Env, Timer, cancelled_by_caller},
    call::{Call, Reply, ReplyTo},
    catalog::Catalog,
    deliveries::{BroadcastQueue, confirm::CONFIRM_ACTION},
    forward::ForwardQueue,
    metrics::WorkerMetrics,
    ports::Directory,
    store::{ReadQueue, WriteQueue},
};
use epochs::not_served;
use moves::Moves;
use outbox::Outbox;
use table::Table;
use types::{Place, Standing, TypeSlot};
use walks::Walks;

/// Messages that one round of the loop takes at most.
const ROUND_MESSAGES_MAX: usize = 256;
/// How often a worker looks after things that nothing wakes it for, in milliseconds.
const TICK_MS: u64 = 100;
/// Slots that the list of busy ones may hold beyond twice the number of activations before it is put in order.
const BUSY_SLACK: usize = 1_024;
/// Wake-ups are rounded up to this many microseconds, so that near ones share a round.
const TIMER_GRAIN_US: u64 = 2_000;

/// What a worker is built from.
#[derive(Debug)]
pub struct WorkerParts {
    /// Its number, below 256; it stands in the lowest byte of its turn ids.
    pub number: usize,
    /// This node.
    pub node: NodeId,
    /// Its inbox.
    pub inbox: mpsc::Receiver<Message>,
    /// All workers, for calls that turns make to each other's actors.
    pub workers: Workers,
    /// The commit writer.
    pub writes: WriteQueue,
    /// The store's readers.
    pub reads: ReadQueue,
    /// Takes calls of this node's own callers whose shard turns out to be elsewhere.
    pub forwards: ForwardQueue,
    /// The node's right to answer for its shards.
    pub lease: Lease,
    /// Hears of shards that were released, and of epochs that the store knows better.
    pub directory: Arc<dyn Directory>,
    /// Takes messages that committed turns said on channels.
    pub broadcasts: Arc<dyn BroadcastQueue>,
}

/// One shard worker.
#[derive(Debug)]
pub struct Worker {
    number: usize,
    node: NodeId,
    inbox: mpsc::Receiver<Message>,
    workers: Workers,
    catalog: Arc<Catalog>,
    types: Vec<Option<TypeSlot>>,
    /// Types with activations that wait for a session's credit.
    starved: BTreeSet<u32>,
    table: Table,
    timers: BinaryHeap<Reverse<(Tick, Slot)>>,
    outbox: Outbox,
    sender: deliveries::Sender,
    effects: Vec<Effect>,
    touched: Vec<Slot>,
    busy: Vec<Slot>,
    local_calls: VecDeque<RoutedCall>,
    /// Calls that wait for a claim, or for the view to catch up with the store.
    waiting: HashMap<Place, Vec<RoutedCall>>,
    /// Calls of this node's turns that came while the lease had lapsed.
    unleased: VecDeque<RoutedCall>,
    moves: Moves,
    walks: Walks,
    /// Types of actors that left and may have to come back.
    to_keep: Vec<u32>,
    lease: Lease,
    /// True if the lease held when the round began.
    leased: bool,
    directory: Arc<dyn Directory>,
    cancelled: HashSet<(u64, u64)>,
    callers_gone: bool,
    turn_count: u32,
    claim_cursor: usize,
    /// Claims that were made.
    claim_count: u64,
    held: usize,
    now: Tick,
    wall: Millis,
    /// The latest that it can be.
    latest: Millis,
    /// What low-water times go by.
    steady: steady::SteadyClock,
    next_tick: Tick,
    /// When low-water times are looked at next.
    next_marks: Tick,
    draining: Option<oneshot::Sender<()>>,
    refusing: bool,
    metrics: WorkerMetrics,
}

impl Worker {
    /// A worker without types; the catalog brings them.
    #[must_use]
    pub fn new(parts: WorkerParts) -> Self {
        Self {
            number: parts.number,
            node: parts.node,
            inbox: parts.inbox,
            workers: parts.workers,
            catalog: Arc::default(),
            types: Vec::new(),
            starved: BTreeSet::new(),
            table: Table::default(),
            timers: BinaryHeap::new(),
            outbox: Outbox::new(parts.number, parts.writes, parts.reads, parts.forwards),
            sender: deliveries::Sender::new(parts.broadcasts),
            effects: Vec::new(),
            touched: Vec::new(),
            busy: Vec::new(),
            local_calls: VecDeque::new(),
            waiting: HashMap::new(),
            unleased: VecDeque::new(),
            moves: Moves::new(),
            walks: Walks::new(),
            to_keep: Vec::new(),
            leased: parts.lease.holds_for(Tick::now(), 0),
            wall: parts.lease.clock().now(),
            latest: parts.lease.clock().now(),
            steady: steady::SteadyClock::new(Tick::now(), parts.lease.clock().now()),
            lease: parts.lease,
            directory: parts.directory,
            cancelled: HashSet::new(),
            callers_gone: false,
            turn_count: 0,
            claim_cursor: 0,
            claim_count: 0,
            held: 0,
            now: Tick::now(),
            next_tick: Tick::now(),
            next_marks: Tick::now(),
            draining: None,
            refusing: false,
            metrics: WorkerMetrics::new(parts.number),
        }
    }

    /// Runs until every sender of the inbox is gone.
    pub async fn run(mut self) {
        let mut round = Vec::with_capacity(ROUND_MESSAGES_MAX);
        let mut ends = Vec::new();
        loop {
            let wake = self.wake_at();
            let sleep = tokio::time::sleep(wake.duration_after(Tick::now()));
            tokio::select! {
                biased;
                taken = self.inbox.recv_many(&mut round, ROUND_MESSAGES_MAX) => {
                    if taken == 0 {
                        return;
                    }
                }
                _ = self.sender.heard.recv_many(&mut ends, ROUND_MESSAGES_MAX) => {}
                () = sleep => {}
            }
            self.now = Tick::now();
            self.look_at_lease();
            for message in round.drain(..) {
                self.on_message(message);
            }
            while ends.len() < ROUND_MESSAGES_MAX
                && let Ok(end) = self.sender.heard.try_recv()
            {
                ends.push(end);
            }
            self.on_delivery_ends(&mut ends);
            self.run_timers();
            self.end_round();
        }
    }

    fn wake_at(&self) -> Tick {
        let timer = self.timers.peek().map_or(Tick::NEVER, |Reverse((at, _))| *at);
        let grain = Tick(timer.0.div_ceil(TIMER_GRAIN_US).saturating_mul(TIMER_GRAIN_US));
        let deliveries = self.sender.machine.next_wake(self.delivery_now());
        let looks = self.moves.next_look().min(self.walks.next_look());
        grain.min(self.next_tick).min(looks).min(deliveries)
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::Calls(calls) => self.on_calls(calls),
            Message::Results { session, results } => self.on_results(&session, results),
            Message::Written(verdicts) => self.on_written(verdicts),
            Message::OutboxRead { place, page } => self.on_outbox_read(place, page),
            Message::WriterReady => {
                self.outbox.retry_writes();
                self.retry_starved();
            }
            Message::Loaded(rows) => self.on_loaded(rows),
            Message::LookedUp(answers) => {
                for (slot, request_id, found) in answers {
                    self.step(slot, |activation, env, fx| {
                        activation.on_looked_up(env, &request_id, found, fx);
                    });
                }
            }
            Message::SessionCalls { session, calls } => {
                calls.into_iter().for_each(|call| self.on_session_call(&session, call));
            }
            Message::Cancelled(calls) => {
                self.cancelled.extend(calls);
                self.callers_gone = true;
            }
            Message::CallersGone => self.callers_gone = true,
            Message::Offered { session, types } => self.on_offered(&session, &types),
            Message::CreditsChanged => self.retry_starved(),
            Message::SessionClosed(session) => self.on_session_closed(session),
            Message::Catalog(catalog) => self.on_catalog(catalog),
            Message::Claimed { type_id, number, shards } => {
                self.on_claimed((type_id, number), shards);
            }
            Message::Said(here) => self.on_said(here),
            Message::Walk(news) => self.on_walk_news(news),
            Message::Passed(to) => drop(to.send(())),
            Message::Inspect { type_id, key, to } => {
                let stats = self.inspect(type_id, &key);
                if self.lease.holds_for(Tick::now(), self.catalog.view.version) {
                    drop(to.send(stats));
                }
            }
            Message::Drain(to) => {
                self.refusing = true;
                self.sender.machine.close_down();
                self.draining = Some(to);
            }
        }
    }

    // === calls ===

    fn on_calls(&mut self, calls: Vec<RoutedCall>) {
        let named = |routed: &RoutedCall| routed.call.reply_to.is_named_in(&self.cancelled);
        if !self.cancelled.is_empty() && calls.iter().any(named) {
            // The caller uses the number of a call again that it gave up before: the new one is wanted.
            self.drop_unwanted();
        }
        calls.into_iter().for_each(|call| self.on_call(call));
    }

    fn on_call(&mut self, routed: RoutedCall) {
        let type_id = routed.actor_type.view.id;
        let standing = self.standing((type_id, routed.shard));
        if standing == Standing::Elsewhere {
            return self.send_elsewhere(routed);
        }
        if let Some(error) = self.refusal(&routed) {
            // A call of another node goes on to the owner, whatever became of it here.
            let goes_on = matches!(error.kind, ErrorKind::NotOwner | ErrorKind::LeaseLost);
            let error = if goes_on { error } else { routed.call.refused_for(error) };
            return self.refuse(routed.call.reply_to, error);
        }
        if !self.leased {
            return self.on_call_unleased(routed);
        }
        if standing == Standing::Claims {
            return self.wait_for_claim(routed);
        }
        if routed.call.action == CONFIRM_ACTION
            && self.table.find(type_id, &routed.key, routed.key_hash).is_none()
        {
            // Nothing is remembered of the actor that would have to go; what its row says goes by itself, later.
            return self.outbox.answer(routed.call.reply_to, Ok(Reply::default()));
        }
        let Some(routed) = self.leave_unless_there(routed) else { return };
        let slot = self.activate(type_id, routed.shard, &routed.key, routed.key_hash);
        if let Some(routed) = self.move_on(slot, routed) {
            self.admit(slot, routed.call);
        }
    }

    /// Sends a call to another instance of its pool if this one has no room. Calls of other nodes are theirs to move.
    fn move_on(&mut self, slot: Slot, mut routed: RoutedCall) -> Option<RoutedCall> {
        let limit = routed.actor_type.definition.mailbox_limit as usize;
        let is_full = || self.table.get(slot).is_some_and(|one| one.activation.depth() >= limit);
        let may_move = routed.call.seat.is_some() && !routed.call.reply_to.is_peer();
        if !may_move || !is_full() || !routed.move_seat(self.node) {
            return Some(routed);
        }
        self.send_on(routed);
        None
    }

    fn refusal(&self, routed: &RoutedCall) -> Option<CallError> {
        // Turns that may still finish may also make their calls; a refusal would become their stored outcome.
        if self.refusing && routed.call.reply_to.is_peer() {
            // Its node keeps it until the shard has moved.
            return Some(not_served(&routed.call));
        }
        let ours = matches!(routed.call.reply_to, ReplyTo::Turn { .. } | ReplyTo::Delivery(_));
        if self.refusing && !ours {
            return Some(shutting_down());
        }
        if self.held >= limits::WORKER_IN_FLIGHT_MAX {
            let error = CallError::new(
                ErrorKind::MailboxFull,
                "the node holds as many calls as it may; this one was not run. Retry it later",
            );
            return Some(error.with("limit", limits::WORKER_IN_FLIGHT_MAX).retry_after(100));
        }
        let definition = &routed.actor_type.definition;
        if definition.durability == Durability::Durable && self.outbox.store_is_down() {
            return Some(CallError::new(
                ErrorKind::StoreUnavailable,
                "the state store cannot be written at the moment; the call was not run. Retry it with \
                 the same request id",
            ));
        }
        None
    }

    fn refuse(&mut self, to: ReplyTo, error: CallError) {
        self.metrics.refused(error.kind);
        self.answer(to, Err(error));
    }

    /// Finds the actor's activation, or begins one.
    fn activate(&mut self, type_id: u32, shard: u32, key: &str, key_hash: u64) -> Slot {
        if let Some(slot) = self.table.find(type_id, key, key_hash) {
            return slot;
        }
        let slot_type = self.types[type_id as usize].as_ref().expect("the catalog named the type");
        let env = slot_type.env(self.times(), shard, key);
        let activation = Activation::new(env);
        let loading = activation.is_loading();
        let slot = self.table.insert((type_id, shard), key, key_hash, activation);
        slot_type.runtime.activated();
        self.metrics.activated();
        if loading {
            self.load(slot);
        }
        slot
    }

    fn admit(&mut self, slot: Slot, call: Call) {
        let sequence = if call.asynchronous { self.next_sequence(slot) } else { 0 };
        let admission = self
            .step(slot, |activation, env, fx| activation.on_call(env, call, sequence, false, fx));
        if admission == Some(Admission::Refused) {
            self.metrics.refused(ErrorKind::InvalidArgument);
        }
    }

    // === machines ===

    /// Lets one activation take a step, carries out its effects, and looks at it again at the end of the round.
    fn step<R>(
        &mut self,
        slot: Slot,
        step: impl FnOnce(&mut Activation, Env<'_>, &mut Vec<Effect>) -> R,
    ) -> Option<R> {
        let entry = self.table.get_mut(slot)?;
        if !entry.touched {
            entry.touched = true;
            self.touched.push(slot);
        }
        self.step_aside(slot, step)
    }

    /// Like [`step`](Self::step), for steps that leave nothing to commit or to hand out.
    fn step_aside<R>(
        &mut self,
        slot: Slot,
        step: impl FnOnce(&mut Activation, Env<'_>, &mut Vec<Effect>) -> R,
    ) -> Option<R> {
        let times = self.times();
        let entry = self.table.get_mut(slot)?;
        let slot_type = self.types[entry.type_id as usize].as_ref()?;
        let outbox_full = self.sender.machine.is_full();
        let env = slot_type.env(times, entry.shard, &entry.key);
        let quiet = env.quiet || self.refusing || !self.leased;
        let env = Env { outbox_full, quiet, ..env };
        let before = entry.activation.held();
        let mut effects = std::mem::take(&mut self.effects);
        let result = step(&mut entry.activation, env, &mut effects);
        self.held = (self.held + entry.activation.held()).saturating_sub(before);
        if !entry.listed && entry.activation.is_busy() {
            entry.listed = true;
            self.busy.push(slot);
        }
        for effect in effects.drain(..) {
            self.carry_out(slot, effect);
        }
        // Carrying out never makes new effects, so the buffer goes back as it came.
        self.effects = effects;
        Some(result)
    }

    fn run_timers(&mut self) {
        let mut due = Vec::new();
        while let Some(Reverse((at, slot))) = self.timers.peek().copied()
            && at <= self.now
        {
            self.timers.pop();
            due.push(slot);
        }
        // What they ask for now comes in a later round, whatever time it names.
        for slot in due {
            let timer = self.step(slot, |activation, env, fx| activation.on_timer(env, fx));
            if timer == Some(Timer::Evict) {
                self.evict(slot);
            }
        }
        if self.now >= self.next_tick {
            self.next_tick = self.now.plus_millis(TICK_MS);
            self.on_tick();
        }
    }

    fn on_tick(&mut self) {
        self.expire_claims();
        self.claim_next_type();
        self.tell_again();
        self.review_unleased();
        self.raise_low_water();
        // Another worker's turns may have freed a session that this one waits for.
        self.retry_starved();
        self.metrics.flush(self.held);
        if self.busy.len() > 2 * self.table.len() + BUSY_SLACK {
            self.busy_slots();
        }
        self.finish_draining();
    }

    fn evict(&mut self, slot: Slot) {
        let Some(entry) = self.table.remove(slot) else {
            return;
        };
        if let Some(slot_type) = &self.types[entry.type_id as usize] {
            slot_type.runtime.deactivated();
        }
        self.metrics.deactivated();
    }

    /// Gives each touched activation its commit and its turns, then sends everything.
    fn end_round(&mut self) {
        if self.callers_gone {
            self.drop_unwanted();
        }
        self.dispatch_waiting();
        loop {
            self.go_on_delivering();
            while let Some(routed) = self.local_calls.pop_front() {
                self.on_call(routed);
            }
            self.bring_back();
            if self.go_on_walking() {
                continue;
            }
            if self.touched.is_empty() {
                break;
            }
            let mut touched = std::mem::take(&mut self.touched);
            for slot in touched.drain(..) {
                if let Some(entry) = self.table.get_mut(slot) {
                    entry.touched = false;
                }
                self.commit(slot);
                self.dispatch(slot);
            }
            if self.touched.is_empty() {
                // Keeps its capacity for the next round.
                self.touched = touched;
            }
        }
        self.see_moves_through();
        self.outbox.flush(&self.lease, self.catalog.view.version);
    }

    /// Forgets calls whose callers have gone.
    fn drop_unwanted(&mut self) {
        self.callers_gone = false;
        let cancelled = std::mem::take(&mut self.cancelled);
        let gone = |to: &ReplyTo| to.is_gone(&cancelled);
        let mut unwanted = Vec::new();
        self.waiting.retain(|_, waiting| {
            unwanted.extend(waiting.extract_if(.., |routed| gone(&routed.call.reply_to)));
            !waiting.is_empty()
        });
        self.held = self.held.saturating_sub(unwanted.len());
        let (left, kept) = std::mem::take(&mut self.unleased)
            .into_iter()
            .partition::<Vec<_>, _>(|routed| gone(&routed.call.reply_to));
        self.unleased = kept.into();
        for routed in unwanted.into_iter().chain(left) {
            self.refuse(routed.call.reply_to, cancelled_by_caller());
        }
        for slot in self.busy_slots() {
            self.step(slot, |activation, _, fx| {
                activation.on_callers_gone(gone, fx);
            });
        }
        // What went into custody before this is looked through there.
        self.outbox.callers_gone(cancelled);
    }

    /// The slots that hold calls. Also forgets those that no longer do.
    fn busy_slots(&mut self) -> Vec<Slot> {
        let table = &mut self.table;
        self.busy.retain(|slot| {
            let Some(entry) = table.get_mut(*slot) else {
                return false;
            };
            entry.listed = entry.activation.is_busy();
            entry.listed
        });
        self.busy.clone()
    }

    // === questions ===

    fn inspect(&self, type_id: u32, key: &str) -> ActorStats {
        let slot = self.table.find(type_id, key, callboard_types::shard::key_hash(key));
        let entry = slot.and_then(|slot| self.table.get(slot));
        entry.map_or_else(ActorStats::default, |entry| {
            let (state, tags) = entry.activation.state();
            ActorStats {
                active: !entry.activation.is_loading(),
                depth: entry.activation.depth(),
                revision: entry.activation.revision(),
                state: state.cloned(),
                tags: tags.clone(),
            }
        })
    }

    // === the end ===

    /// While draining: saves what must be saved, and says so when nothing is left to do.
    fn finish_draining(&mut self) {
        if self.draining.is_none() {
            return;
        }
        let slots: Vec<Slot> = self.table.slots().collect();
        let mut busy = !self.outbox.is_idle() || !self.waiting.is_empty();
        busy |= !self.unleased.is_empty() || self.sender.machine.is_busy();
        for slot in slots {
            self.snapshot(slot, true);
            let entry = self.table.get(slot).expect("nothing was removed");
            busy |= entry.activation.is_busy() || entry.activation.is_dirty();
        }
        if !busy && let Some(done) = self.draining.take() {
            let _ = done.send(());
        }
    }

    fn standing(&self, (type_id, shard): Place) -> Standing {
        let slot = self.types.get(type_id as usize).and_then(Option::as_ref);
        slot.map_or(Standing::Elsewhere, |slot| slot.standing(shard))
    }
}

#[cfg(test)]
mod tests;
