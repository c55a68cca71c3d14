//! The shell of the delivery machine: attempts become calls, ends become jobs of the commit writer, passes become reads.
//!
//! An attempt is a call like any other: to this worker, to another one, or into custody. Its end comes back over a channel
//! of its own, with room for every attempt under way.

use std::sync::Arc;

use callboard_statestore::{DeadLetterRow, OutboxDone, Verdict};
use callboard_types::{ActorId, Durability, Epoch, Tick, limits, shard::key_hash};
use tokio::sync::mpsc;

use super::{
    Slot, Worker,
    types::{Place, Standing},
};
use crate::{
    activation::machine::{Deliver, TurnCall},
    call::{DeliveryEnd, DeliveryWaiter, Link, ReplyTo},
    deliveries::{
        BroadcastJob, BroadcastQueue, Item,
        confirm::{self, Confirmed},
        letter::Letter,
        machine::{Dead, Deliveries, Effect, Now, Page},
        outcome_call,
    },
    store::{ReadJob, WriteJob},
};

/// A worker's deliveries, and the way back of their ends.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) machine: Deliveries,
    ends: mpsc::Sender<DeliveryEnd>,
    pub(super) heard: mpsc::Receiver<DeliveryEnd>,
    broadcasts: Arc<dyn BroadcastQueue>,
    /// Kept for its room.
    effects: Vec<Effect>,
}

impl Sender {
    pub(super) fn new(broadcasts: Arc<dyn BroadcastQueue>) -> Self {
        let (ends, heard) = mpsc::channel(limits::DELIVERIES_IN_FLIGHT_MAX);
        let machine = Deliveries::default();
        Self { machine, ends, heard, broadcasts, effects: Vec::new() }
    }
}

impl Worker {
    pub(super) fn delivery_now(&self) -> Now {
        Now { tick: self.now, wall: self.wall }
    }

    /// Lets the machine take a step and carries out its effects.
    pub(super) fn deliver_step(
        &mut self,
        step: impl FnOnce(&mut Deliveries, Now, &mut Vec<Effect>),
    ) {
        let now = self.delivery_now();
        let mut effects = std::mem::take(&mut self.sender.effects);
        step(&mut self.sender.machine, now, &mut effects);
        for effect in effects.drain(..) {
            self.deliver_effect(effect);
        }
        self.sender.effects = effects;
    }

    fn deliver_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Send { ticket } => self.attempt(ticket),
            Effect::Read { place, number, after, until } => {
                if let Some(shard) = self.shard_id(place) {
                    self.outbox.read(ReadJob::Outbox { place, shard, number, after, until });
                }
            }
            Effect::End { ticket, place, epoch, sequence, dead } => {
                let Some(shard) = self.shard_id(place) else { return };
                self.metrics.delivery_ended(dead.is_some());
                let dead = dead.map(|dead| self.dead_letter(*dead));
                let done = OutboxDone { shard, epoch, sequence, dead };
                self.outbox.write(WriteJob::delivered(ticket, done));
            }
            Effect::Confirm { target, confirmed } => self.confirm(target, confirmed),
            Effect::Tell { target, confirmed } => {
                let call = confirm::call(confirmed, self.now);
                self.route(TurnCall { target, call });
            }
            Effect::Lost { source, id, error } => {
                self.metrics.delivery_ended(true);
                tracing::warn!(%source, id, %error, "an output that was in memory only was given up");
            }
        }
    }

    /// A row is gone: its target needs no mark any more. One that this worker serves loses it here, without a call; of one
    /// that is not in memory nothing is remembered, and what its row says goes by itself, later.
    pub(super) fn confirm(&mut self, target: ActorId, confirmed: Confirmed) {
        let Ok(actor_type) = self.catalog.require(&target.system, &target.actor_type) else {
            return;
        };
        if actor_type.definition.durability != Durability::Durable {
            // Only stored outcomes have marks.
            return;
        }
        let (view, key) = (&actor_type.view, &*target.key);
        let place = (view.id, view.shard_of(key));
        let here = self.workers.of(place.0, place.1) == self.number;
        if !here || !self.leased || self.standing(place) != Standing::Serves {
            return self.sender.machine.gather(target, confirmed, self.delivery_now());
        }
        if let Some(slot) = self.table.find(place.0, key, key_hash(key)) {
            self.step_aside(slot, |activation, env, _| activation.confirm(env, &confirmed));
        }
    }

    /// A letter for what was given up.
    pub(super) fn dead_letter(&self, dead: Dead) -> DeadLetterRow {
        let Dead { source, item, due_at, error, attempts, origin } = dead;
        tracing::warn!(%source, %error, attempts, ?origin, "a call was given up; it is a dead letter now");
        DeadLetterRow {
            id: crate::call::draw_id(self.wall),
            source,
            letter: Letter { item, error, attempts, due_at, origin }.encode(),
            died_at: self.wall,
        }
    }

    /// Makes one attempt.
    fn attempt(&mut self, ticket: u64) {
        let waiter = DeliveryWaiter::new(self.sender.ends.clone(), ticket);
        let Some(flight) = self.sender.machine.flight(ticket, self.delivery_now()) else {
            return;
        };
        match flight.item {
            Item::Call(item) => {
                let to = ReplyTo::Delivery(waiter);
                let call = item.attempt(&flight.source, flight.created_at, to);
                let target = item.target.clone();
                self.route(TurnCall { target, call });
            }
            Item::Broadcast(said) => {
                let job = BroadcastJob {
                    id: said.id.clone(),
                    system: Arc::clone(&flight.source.system),
                    channel: said.channel.clone(),
                    payload: said.payload.clone(),
                    metadata: said.metadata.clone(),
                    source: flight.source,
                    created_at: said.created_at,
                    done: waiter,
                };
                self.sender.broadcasts.send(job);
            }
        }
    }

    /// A turn has committed, or needs no commit, and set these going.
    pub(super) fn deliver(&mut self, slot: Slot, deliver: Deliver) {
        let Some(entry) = self.table.get(slot) else { return };
        let place = (entry.type_id, entry.shard);
        let Some(source) = self.actor_id(slot) else { return };
        let Deliver { first_sequence, outputs } = deliver;
        let now = self.delivery_now();
        self.sender.machine.fresh(place, &source, first_sequence, outputs, now);
    }

    /// Asks the actor of a link for the outcome, for a waiter of this node.
    pub(super) fn follow(&mut self, to: ReplyTo, deadline: Tick, link: Link) {
        let Link { actor, request_id } = link;
        self.route(TurnCall { target: actor, call: outcome_call(to, deadline, request_id) });
    }

    /// Ends of attempts that came since the last round.
    pub(super) fn on_delivery_ends(&mut self, ends: &mut Vec<DeliveryEnd>) {
        for DeliveryEnd { ticket, outcome } in ends.drain(..) {
            self.deliver_step(|machine, now, fx| machine.answered(ticket, &outcome, now, fx));
        }
    }

    /// Rows that a pass asked for.
    pub(super) fn on_outbox_read(&mut self, place: Place, page: Page) {
        self.deliver_step(|machine, now, fx| machine.read(place, page, now, fx));
    }

    /// The store's verdict about the end of a row.
    pub(super) fn on_row_ended(&mut self, ticket: u64, verdict: Option<Verdict>) {
        let durable = match verdict {
            Some(Verdict::Committed) => Some(()),
            None => None,
            // Another owner has the shard; the view will say so, and the row is that one's.
            Some(Verdict::FenceLost { .. } | Verdict::RevisionMismatch { .. }) => return,
        };
        self.deliver_step(|machine, now, fx| machine.done(ticket, durable, now, fx));
    }

    /// The shard is served from now on: its rows are delivered.
    pub(super) fn open_outbox(&mut self, place: Place, epoch: Epoch) {
        let Some(slot_type) = self.types.get(place.0 as usize).and_then(Option::as_ref) else {
            return;
        };
        let view = &slot_type.runtime.view;
        let names = (Arc::clone(&view.system), Arc::clone(&view.name));
        self.deliver_step(|machine, now, fx| machine.open(place, epoch, names, now, fx));
    }

    /// Nobody knows whether a commit of the actor happened: its rows may be in the store.
    pub(super) fn doubt_outbox(&mut self, slot: Slot) {
        let place = self.table.get(slot).map(|entry| (entry.type_id, entry.shard));
        if let Some(place) = place {
            self.deliver_step(|machine, now, fx| machine.doubt(place, now, fx));
        }
    }

    /// Goes on with deliveries, once per round.
    pub(super) fn go_on_delivering(&mut self) {
        self.sender.machine.pause(!self.leased);
        self.deliver_step(|machine, now, fx| machine.turn(now, fx));
    }
}
