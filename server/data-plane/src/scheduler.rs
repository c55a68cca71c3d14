//! Fires schedules: makes the calls of occurrences that are due and whose targets this node owns.
//!
//! One task per node. It reads what is due from the node's copy of the schedules, hands the calls to the workers in
//! batches, and tells the cluster in batches how they ended. A firing that this node does not live to report is fired by
//! the target's next owner, under the same request id. What is taken, tried again and forgotten is `machine`'s to say.

mod machine;

use std::{collections::HashMap, sync::Arc, time::Duration};

use callboard_types::{
    ActorId, CallError, Durability, ErrorKind, Lease, Millis, NodeId, NodeState, Occurrence,
    OccurrenceEnd, Tick,
};
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use self::machine::{Ending, FIRINGS_MAX, Fire, Firings, Gone, Now, Place};
use crate::{
    call::{Call, DeliveryEnd, DeliveryWaiter, Metadata, Payload, ReplyTo},
    catalog::Catalog,
    deliveries::{
        confirm::{self, Confirmed},
        verdict::{self, Fate},
    },
    metrics,
    ports::Schedules,
    router::Router,
    transcode,
    worker::RoutedCall,
};

/// The metadata entry of a firing; its value is the schedule's name.
pub const SCHEDULE_ENTRY: &str = "callboard-schedule";

/// Occurrences that are read at a time. In between, others on the thread have their turn.
const PAGE: usize = 256;
/// Ends that one round of the loop takes at most.
const ROUND_ENDS: usize = 1_024;
/// Ends that the cluster is told at a time.
const TELL_MAX: usize = 2_048;
/// The shortest time between the beginnings of two passes, in milliseconds.
const PASS_MS: u64 = 20;
/// A pass takes at most one part in so many of the time.
const PASS_SHARE: u64 = 10;
/// The pause after the cluster could not be told, in milliseconds.
const TELL_AGAIN_MS: u64 = 100;
/// How long after its due time an occurrence waits for its type or system, in milliseconds: this node's view may lag.
const UNKNOWN_PATIENCE: i64 = 10_000;
/// The longest sleep while something is due later, in milliseconds: the wall clock may jump.
const SLEEP_MAX_MS: u64 = 500;
/// Deliveries that one confirmation names at most.
const CONFIRM_MAX: usize = 256;

type Told = (Vec<OccurrenceEnd>, Result<(), CallError>);

/// The firing loop of one node.
pub struct Scheduler {
    router: Router,
    lease: Lease,
    schedules: Arc<dyn Schedules>,
    firings: Firings,
    waiters: mpsc::Sender<DeliveryEnd>,
    ends: mpsc::Receiver<DeliveryEnd>,
    tell_after: Tick,
    pass_after: Tick,
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduler").finish_non_exhaustive()
    }
}

impl Scheduler {
    /// A loop over the schedules that fires only while the lease holds.
    #[must_use]
    pub fn new(router: Router, lease: Lease, schedules: Arc<dyn Schedules>) -> Self {
        // One end per call under way.
        let (waiters, ends) = mpsc::channel(FIRINGS_MAX);
        Self {
            router,
            lease,
            schedules,
            firings: Firings::default(),
            waiters,
            ends,
            tell_after: Tick::default(),
            pass_after: Tick::default(),
        }
    }

    /// Runs until it is dropped.
    pub async fn run(mut self) {
        let mut changed = self.schedules.changed();
        let mut catalog = self.router.catalog_reader();
        let mut followed = true;
        let mut telling: Option<BoxFuture<'static, Told>> = None;
        let mut round = Vec::with_capacity(ROUND_ENDS);
        self.firings.look_again();
        loop {
            let sleep = tokio::time::sleep(self.sleep(telling.is_some()));
            let told = async {
                match telling.as_mut() {
                    Some(telling) => telling.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.ends.recv_many(&mut round, ROUND_ENDS) => {}
                told = told => {
                    telling = None;
                    self.on_told(told).await;
                }
                news = changed.changed(), if followed => {
                    followed = news.is_ok();
                    self.firings.look_again();
                }
                () = catalog.changed() => self.firings.look_again(),
                () = sleep => {}
            }
            let now = self.now();
            for DeliveryEnd { ticket, outcome } in round.drain(..) {
                let ending = match verdict::of(&outcome) {
                    Fate::Again => Ending::Again,
                    Fate::Delivered | Fate::Dead | Fate::AgainForAWhile => {
                        Ending::Over(outcome.err())
                    }
                };
                metrics::schedule_answered(match &ending {
                    Ending::Again => "again",
                    Ending::Over(None) => "ok",
                    Ending::Over(Some(_)) => "error",
                });
                self.firings.answered(now, ticket, ending, spread(ticket));
            }
            self.fire().await;
            telling = telling.or_else(|| self.tell());
        }
    }

    /// How long nothing needs to be done unless there is news.
    fn sleep(&self, is_telling: bool) -> Duration {
        let now = self.now();
        let mut wake = Tick::NEVER;
        if self.firings.is_stale() {
            wake = wake.min(self.pass_after);
        }
        if !is_telling && self.firings.has_ends() {
            wake = wake.min(self.tell_after);
        }
        wake = wake.min(self.firings.next_pause().max(self.pass_after));
        if let Some(due) = self.schedules.next_due(now.wall) {
            let millis = u64::try_from(due.0.saturating_sub(now.wall.0)).unwrap_or(0);
            wake = wake.min(now.tick.plus_millis(millis.min(SLEEP_MAX_MS)));
        }
        wake.duration_after(now.tick)
    }

    fn now(&self) -> Now {
        let tick = Tick::now();
        Now { tick, wall: self.lease.clock().at_after(tick, self.firings.latest()) }
    }

    // === firing ===

    /// Fires what is due, as far as there is room.
    async fn fire(&mut self) {
        let began = self.now();
        let catalog = self.router.catalog_reader().load_full();
        if !self.lease.holds_for(began.tick, catalog.view.version) {
            // Others may own the targets by now. What was due meanwhile is looked for when the lease is back.
            self.firings.look_again();
            self.pass_after = began.tick.plus_millis(PASS_MS);
            return;
        }
        let pauses_end = self.firings.next_pause() <= began.tick;
        let passes = (self.firings.is_stale() || pauses_end) && began.tick >= self.pass_after;
        if passes && !self.firings.is_passing() {
            self.firings.begin_pass(began);
        }
        loop {
            let now = self.now();
            let (after, most) = self.firings.next_page(PAGE);
            if most == 0 {
                break;
            }
            let page = self.schedules.due(after, now.wall, most);
            let last = page.len() < most;
            let (node, speaks) = (self.router.node(), speaks(&catalog, self.router.node()));
            let place = |one: &Occurrence| place(&catalog, node, speaks, now.wall, one);
            let fires = self.firings.walk(now, page, last, place);
            if !fires.is_empty() {
                self.send(&catalog, fires, now).await;
            }
            if last {
                break;
            }
            tokio::task::yield_now().await;
        }
        if passes {
            let took = Tick::now().micros_since(began.tick) / 1_000 * PASS_SHARE;
            self.pass_after = began.tick.plus_millis(took.max(PASS_MS));
            metrics::schedule_oldest(self.firings.oldest_ms(began));
        }
    }

    async fn send(&mut self, catalog: &Catalog, fires: Vec<Fire>, now: Now) {
        let mut queues: Vec<Vec<RoutedCall>> = Vec::new();
        queues.resize_with(self.router.queues(), Vec::new);
        for Fire { ticket, occurrence, created_at } in fires {
            metrics::schedule_fired(now.wall.0.saturating_sub(occurrence.at.due.0));
            let target = occurrence.target.clone();
            let waiter = DeliveryWaiter::new(self.waiters.clone(), ticket);
            let call = call(occurrence, created_at, ReplyTo::Delivery(waiter));
            match fitted(catalog, &target, call) {
                Ok(call) => self.route(catalog, &target, call, &mut queues),
                Err(refused) => refuse(refused.0, refused.1),
            }
        }
        self.send_all(queues).await;
    }

    /// Puts a call into the queue that leads to its actor, or ends it.
    fn route(
        &self,
        catalog: &Catalog,
        target: &ActorId,
        call: Call,
        queues: &mut [Vec<RoutedCall>],
    ) {
        match aimed(self.router.node(), catalog, target, call) {
            Ok(routed) => queues[self.router.queue_for(&routed)].push(routed),
            Err(refused) => refuse(refused.0, refused.1),
        }
    }

    async fn send_all(&self, queues: Vec<Vec<RoutedCall>>) {
        for (queue, calls) in queues.into_iter().enumerate() {
            if !calls.is_empty() {
                self.router.send(queue, calls).await;
            }
        }
    }

    // === ends ===

    /// Tells the cluster what has ended, one batch at a time.
    fn tell(&mut self) -> Option<BoxFuture<'static, Told>> {
        if !self.firings.has_ends() || Tick::now() < self.tell_after {
            return None;
        }
        let ends = self.firings.take_ends(TELL_MAX);
        let schedules = Arc::clone(&self.schedules);
        Some(Box::pin(async move {
            let told = schedules.ended(ends.clone()).await;
            (ends, told)
        }))
    }

    async fn on_told(&mut self, (ends, told): Told) {
        let now = self.now();
        match told {
            Ok(()) => {
                let gone = self.firings.agreed(now, &ends);
                self.confirm(gone, now.tick).await;
            }
            Err(error) => {
                tracing::warn!(%error, ends = ends.len(), "ends of firings are not agreed on yet");
                self.firings.not_agreed(ends);
                self.tell_after = now.tick.plus_millis(TELL_AGAIN_MS);
            }
        }
    }

    /// Tells durable targets that they need not remember what they did any longer than usual.
    async fn confirm(&self, gone: Vec<Gone>, now: Tick) {
        let catalog = self.router.catalog_reader().load_full();
        let mut by_target: HashMap<ActorId, Vec<Confirmed>> = HashMap::new();
        for Gone { target, request_id, restamped } in gone {
            let known = catalog.type_of(&target.system, &target.actor_type);
            if known.is_some_and(|known| known.definition.durability == Durability::Durable) {
                let confirmed = Confirmed { request_id, restamped };
                by_target.entry(target).or_default().push(confirmed);
            }
        }
        let mut queues: Vec<Vec<RoutedCall>> = Vec::new();
        queues.resize_with(self.router.queues(), Vec::new);
        for (target, mut confirmed) in by_target {
            while !confirmed.is_empty() {
                let some = confirmed.drain(..confirmed.len().min(CONFIRM_MAX)).collect();
                self.route(&catalog, &target, confirm::call(some, now), &mut queues);
            }
        }
        self.send_all(queues).await;
    }
}

/// A number that differs from ticket to ticket.
fn spread(ticket: u64) -> u64 {
    ticket.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}

/// True if this node says of occurrences that nobody can fire that they have ended: one node is enough.
fn speaks(catalog: &Catalog, node: NodeId) -> bool {
    let up = catalog.view.nodes.iter().filter(|one| one.state == NodeState::Up);
    up.map(|one| one.id).min() == Some(node)
}

/// What an occurrence is to this node. A pool has no owner; each of its schedules falls to that of one instance.
fn place(catalog: &Catalog, node: NodeId, speaks: bool, wall: Millis, one: &Occurrence) -> Place {
    let hopeless = |error| if speaks { Place::Hopeless(error) } else { Place::NotMine };
    let actor_type = match catalog.require(&one.target.system, &one.target.actor_type) {
        Ok(found) => found,
        Err(_) if wall <= one.at.due.plus(UNKNOWN_PATIENCE) => return Place::Unknown,
        Err(error) => return hopeless(error),
    };
    if one.action.starts_with('$') {
        let text = "actions that begin with $ are Callboard's own; the occurrence was not fired";
        return hopeless(CallError::new(ErrorKind::InvalidArgument, text));
    }
    let view = &actor_type.view;
    let shard = match actor_type.pool() {
        Some(_) => one.at.schedule % view.shards.len() as u64,
        None => u64::from(view.shard_of(&one.target.key)),
    };
    let owner = usize::try_from(shard).ok().and_then(|shard| view.shards.get(shard));
    match owner {
        Some(owner) if owner.node == node && !owner.is_moving() => Place::Mine,
        _ => Place::NotMine,
    }
}

fn call(occurrence: Occurrence, created_at: Millis, reply_to: ReplyTo) -> Call {
    let request_id = occurrence.request_id();
    let (content_type, type_url, data) = occurrence.argument;
    let mut metadata: Metadata = occurrence.metadata.into_iter().collect();
    metadata.insert(SCHEDULE_ENTRY.to_owned(), occurrence.name.to_string());
    Call {
        action: occurrence.action.to_string(),
        argument: Payload { content_type, type_url, data },
        request_id,
        created_at,
        deadline: Tick::NEVER,
        metadata,
        asynchronous: occurrence.accept_only,
        activates_only: false,
        delivery: true,
        ..Call::activation(reply_to, Tick::default())
    }
}

/// The call on its way to its actor.
fn aimed(
    node: NodeId,
    catalog: &Catalog,
    target: &ActorId,
    call: Call,
) -> Result<RoutedCall, Box<(Call, CallError)>> {
    let actor_type = match catalog.require(&target.system, &target.actor_type) {
        Ok(found) => Arc::clone(found),
        Err(error) => return Err(Box::new((call, error))),
    };
    // Whatever key its schedule holds, a pool chooses the instance.
    let key = if actor_type.pool().is_some() { "" } else { &*target.key };
    RoutedCall::aim(node, actor_type, key, call)
}

/// The call with its argument as the target's type takes it: JSON becomes the action's request message.
fn fitted(
    catalog: &Catalog,
    target: &ActorId,
    mut call: Call,
) -> Result<Call, Box<(Call, CallError)>> {
    let Some(actor_type) = catalog.type_of(&target.system, &target.actor_type) else {
        return Ok(call);
    };
    if call.argument.content_type == transcode::JSON {
        match transcode::heard(actor_type, &call.action, &call.argument) {
            Ok(argument) => call.argument = argument,
            Err(error) => return Err(Box::new((call, error))),
        }
        call.from_json = true;
    }
    Ok(call)
}

fn refuse(call: Call, error: CallError) {
    if let ReplyTo::Delivery(waiter) = call.reply_to {
        waiter.answer(Err(error));
    }
}

#[cfg(test)]
mod tests;
