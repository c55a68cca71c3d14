//! The activation machine: mailbox, turns, speculation and the output gate of one actor.
//!
//! Calls wait in the mailbox in arrival order. The worker takes runs of them to a host; each answer becomes a *settled*
//! turn, whose outputs leave only when its commit and those before it are durable. Later turns may run on settled,
//! undurable state meanwhile. Pure: no clock, no I/O; the worker passes the time and carries out [`Effect`]s.

mod admission;
mod commit;
mod ends;
mod internal;
mod leave;
mod operate;
mod outputs;
mod time;
mod timers;
mod turns;

use std::collections::VecDeque;

use bytes::Bytes;
use callboard_statestore::{HistoryInsert, StateBlob};
use callboard_types::{
    ActorId, CallError, Durability, Epoch, Millis, Revision, SessionId, Tick, TypeDefinition,
    limits,
};

use super::{operate::Tool, outcome::Outcomes, remembered::Remembered};
use crate::{
    call::{Call, Link, Outcome, Reply, ReplyTo},
    deliveries::Output,
};

pub use admission::Admission;
use admission::{refuse, unknown_action};
pub use commit::CommitUnit;
pub use internal::OUTCOME_ACTION;
pub use time::Timer;
pub(crate) use time::cancelled as cancelled_by_caller;
pub use timers::TIMER_ENTRY;
pub use turns::{Answered, TurnEnd, TurnView};

/// What the worker knows and the machine needs at each step.
#[derive(Clone, Copy, Debug)]
pub struct Env<'a> {
    /// The monotonic clock.
    pub now: Tick,
    /// The cluster's time.
    pub wall: Millis,
    /// The latest that it can be: delays count from here, so that none is over early.
    pub latest: Millis,
    /// The actor's type.
    pub definition: &'a TypeDefinition,
    /// The epoch in which this node owns the shard.
    pub epoch: Epoch,
    /// Calls created before this time are refused.
    pub low_water: Millis,
    /// True if any host of the type is connected.
    pub hosted: bool,
    /// True if the actor stays in memory without being called: it is NAMED, or one of its pool's minimum.
    pub kept: bool,
    /// True if nothing is to begin here unasked: the node drains, its lease has lapsed, or the shard is to move.
    pub quiet: bool,
    /// The actor's system.
    pub system: &'a str,
    /// The actor's key.
    pub key: &'a str,
    /// True if as much waits to be delivered from memory as may. Outputs of durable types are rows, and wait in the store.
    pub outbox_full: bool,
}

/// What the worker is to do.
#[derive(Debug)]
pub enum Effect {
    /// Ask the store for an outcome and pass it to [`Activation::on_looked_up`].
    LookUp {
        /// The call's request id.
        request_id: String,
        /// Its creation time.
        created_at: Millis,
    },
    /// Make an accepted call durable and pass the verdict to [`Activation::on_accepted`].
    Accept {
        /// Its place in the shard's inbox.
        sequence: u64,
        /// The call, encoded.
        call: Bytes,
    },
    /// Tell a waiter.
    Answer {
        /// Who waits.
        to: ReplyTo,
        /// What came of the call.
        outcome: Outcome,
    },
    /// This node cannot serve a call and has not answered it: it goes back whence it came.
    HandBack(Box<Call>),
    /// Tell a session that nobody waits for a turn.
    CancelTurn {
        /// The session.
        session: SessionId,
        /// The turn.
        turn_id: u64,
    },
    /// Send on a call that a turn makes.
    Route(Box<TurnCall>),
    /// What a turn set going is to be delivered: its commit is durable, or it has none.
    Deliver(Box<Deliver>),
    /// Ask the actor of a link for the outcome, for this waiter, which waits until the deadline.
    Follow {
        /// Who waits.
        to: ReplyTo,
        /// Until when.
        deadline: Tick,
        /// Where the outcome is to be had.
        link: Box<Link>,
    },
    /// Nothing waits here and nothing will: drop the activation, and make another one if the actor is kept in memory.
    Leave,
    /// Call [`Activation::on_timer`] at this time at the latest.
    Wake(Tick),
}

/// What one turn set going.
#[derive(Debug)]
pub struct Deliver {
    /// The place of the first output's row among the shard's; the others follow. `None` if there are no rows.
    pub first_sequence: Option<u64>,
    /// In order.
    pub outputs: Vec<Output>,
}

/// A call that a turn makes to another actor.
#[derive(Debug)]
pub struct TurnCall {
    /// Whom it is for.
    pub target: ActorId,
    /// The call; its `reply_to` is the turn.
    pub call: Call,
}

/// What kind of work a queued call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// A turn on a host.
    Turn { read_only: bool, alone: bool },
    /// The state is read from memory.
    Read,
    /// The actor's initialisation.
    Init,
    /// What an operator does with the actor.
    Tool(Tool),
}

impl Work {
    /// True if it may change what is stored, so that it is applied once per request id.
    fn changes(self) -> bool {
        match self {
            Self::Turn { read_only, .. } => !read_only,
            Self::Tool(tool) => tool.changes(),
            Self::Read | Self::Init => false,
        }
    }
}

/// A call that the activation holds.
#[derive(Debug)]
struct Queued {
    call: Call,
    work: Work,
    id_hash: u64,
    fingerprint: u64,
    /// Repetitions of the call that wait for the same outcome, each until its own deadline.
    joined: Vec<(ReplyTo, Tick)>,
    /// Those who wait at the end of a chain for what the delivery comes to, each until its own deadline.
    askers: Vec<(ReplyTo, Tick)>,
    /// Waiters for acceptance, until it is durable, each with its own deadline.
    acceptance: Vec<(ReplyTo, Tick)>,
    /// The number of the timer that fired it, if it is no call.
    timer: Option<u8>,
    /// Its place in the shard's inbox, if it is there.
    sequence: Option<u64>,
    /// True while its row must not be written yet, because it may be a repetition.
    row_held_back: bool,
    /// True once its row is known to be in the store. Whether anybody still waits for that is another matter.
    row_durable: bool,
    /// True while the store is asked whether it was answered before.
    checking: bool,
    attempts: u32,
    arrived: Tick,
}

impl Queued {
    fn new(call: Call, work: Work, now: Tick) -> Self {
        Self {
            call,
            work,
            id_hash: 0,
            fingerprint: 0,
            joined: Vec::new(),
            askers: Vec::new(),
            acceptance: Vec::new(),
            timer: None,
            sequence: None,
            row_held_back: false,
            row_durable: false,
            checking: false,
            attempts: 0,
            arrived: now,
        }
    }

    /// True if a host may have run it.
    fn is_begun(&self) -> bool {
        self.attempts > 0 || self.call.begun
    }

    /// Makes an accepted call durable, once it is known to be new.
    fn write_row(&mut self, fx: &mut Vec<Effect>) {
        if let Some(sequence) = self.sequence.filter(|_| self.row_held_back) {
            self.row_held_back = false;
            let call = crate::activation::inbox_record::encode(&self.call);
            fx.push(Effect::Accept { sequence, call });
        }
    }

    /// When the first of those who wait gives up.
    fn next_deadline(&self) -> Tick {
        let waiters = self.joined.iter().chain(&self.askers).chain(&self.acceptance);
        waiters.map(|(_, at)| *at).fold(self.call.deadline, Tick::min)
    }

    /// When the last of those who wait for the outcome gives up; [`Tick::NEVER`] for accepted calls.
    fn latest_deadline(&self) -> Tick {
        let waiters = self.joined.iter().chain(&self.askers);
        waiters.map(|(_, at)| *at).fold(self.call.deadline, Tick::max)
    }

    /// Takes out those who wait for the outcome of whom something is so.
    fn take_waiters(&mut self, is_so: impl Fn(&(ReplyTo, Tick)) -> bool) -> Vec<ReplyTo> {
        let joined = self.joined.extract_if(.., |waiter| is_so(waiter));
        let askers = self.askers.extract_if(.., |waiter| is_so(waiter));
        joined.chain(askers).map(|(to, _)| to).collect()
    }

    /// True if anybody waits for the call, or if it was accepted and so must be run.
    fn is_wanted(&self) -> bool {
        let waited_for = !self.joined.is_empty() || !self.askers.is_empty();
        waited_for || !matches!(self.call.reply_to, ReplyTo::Nobody) || self.call.asynchronous
    }
}

/// A turn that a host runs.
#[derive(Debug)]
struct Running {
    turn_id: u64,
    item: Queued,
    calls_made: u32,
    cancelled: bool,
}

/// A turn that a host answered and whose outputs wait for the gate.
#[derive(Debug)]
struct Settled {
    number: u64,
    item: Queued,
    outcome: Outcome,
    /// True until a commit that contains it is durable. Reads and refusals have nothing to commit.
    undurable: bool,
    /// What it sets going.
    outputs: Vec<Output>,
    /// The place of the first output's row; 0 until the commit is made.
    first_sequence: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The row is being read.
    Loading,
    /// Turns run.
    Active,
}

/// What the activation has to do; absent while it is idle, so that an idle actor is small.
#[derive(Debug, Default)]
struct Busy {
    mailbox: VecDeque<Queued>,
    /// The session that runs the current run.
    session: SessionId,
    run: VecDeque<Running>,
    /// When the first turn of the run began, as far as the node can tell.
    head_since: Tick,
    /// The front of the mailbox is not handed out for the last time before this.
    last_attempt_at: Tick,
    settled: VecDeque<Settled>,
    /// Calls made inside a turn that wait for earlier commits.
    parked: Vec<TurnCall>,
    /// Those who wait for the end of a chain.
    waits: Vec<internal::Wait>,
}

impl Busy {
    /// When the front of the mailbox may be handed out again, if that is the last time and still to come.
    fn paused_until(&self, now: Tick) -> Option<Tick> {
        let last = self.mailbox.front().is_some_and(|item| is_last_attempt(item.attempts));
        (last && self.last_attempt_at > now).then_some(self.last_attempt_at)
    }

    /// Every call that is held, the oldest first.
    fn items_mut(&mut self) -> impl Iterator<Item = &mut Queued> {
        (self.settled.iter_mut().map(|settled| &mut settled.item))
            .chain(self.run.iter_mut().map(|running| &mut running.item))
            .chain(self.mailbox.iter_mut())
    }
}

/// True if the next attempt is the last one of a turn that has had so many.
const fn is_last_attempt(attempts: u32) -> bool {
    attempts + 1 == limits::TURN_ATTEMPTS_MAX
}

/// One actor in memory.
#[derive(Debug)]
pub struct Activation {
    phase: Phase,
    /// The newest revision, committed or not.
    revision: Revision,
    /// The revision after the last commit that was handed out.
    submitted: Revision,
    state: Option<StateBlob>,
    tags: Bytes,
    outcomes: Outcomes,
    /// True until the initialisation has succeeded in this activation.
    init_due: bool,
    /// Do not try the initialisation again before this time.
    init_not_before: Tick,
    /// Hosts that lost the initialisation in a row.
    init_attempts: u32,
    /// Snapshot types: when the state must be saved; [`Tick::NEVER`] while it is clean.
    save_at: Tick,
    /// Snapshot types: a save is under way.
    saving: bool,
    last_used: Tick,
    /// The earliest wake-up that was asked for and has not come.
    armed: Tick,
    settled_count: u64,
    submitted_count: u64,
    /// Inbox rows of calls that turned out to be repetitions; they go with the next commit.
    stale_rows: Vec<u64>,
    /// The revision of the last deletion; zero if there was none.
    deleted_at: Revision,
    /// Past states that go with the next commit.
    past: Vec<HistoryInsert>,
    /// Past states below this revision are forgotten with the next commit; zero if none are.
    forget_below: Revision,
    /// The type's timers, once they are going.
    timers: Box<[timers::Going]>,
    /// Ends of deliveries that are not stored.
    remembered: Option<Box<Remembered>>,
    busy: Option<Box<Busy>>,
}

impl Activation {
    /// A new activation. Types without stored state start at once; others wait for [`Activation::on_loaded`].
    #[must_use]
    pub fn new(env: Env<'_>) -> Self {
        let phase = match env.definition.durability {
            Durability::Volatile => Phase::Active,
            Durability::Durable | Durability::Snapshot => Phase::Loading,
        };
        Self {
            phase,
            revision: Revision::ZERO,
            submitted: Revision::ZERO,
            state: None,
            tags: Bytes::new(),
            outcomes: Outcomes::default(),
            init_due: env.definition.init_action().is_some(),
            init_not_before: Tick::default(),
            init_attempts: 0,
            save_at: Tick::NEVER,
            saving: false,
            last_used: env.now,
            armed: Tick::NEVER,
            settled_count: 0,
            submitted_count: 0,
            stale_rows: Vec::new(),
            deleted_at: Revision::ZERO,
            past: Vec::new(),
            forget_below: Revision::ZERO,
            timers: Box::default(),
            remembered: None,
            busy: None,
        }
    }

    /// True if the row must be read before anything runs.
    #[must_use]
    pub fn is_loading(&self) -> bool {
        self.phase == Phase::Loading
    }

    /// Calls that wait or run.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.busy.as_ref().map_or(0, |busy| busy.mailbox.len() + busy.run.len())
    }

    /// Calls that the activation holds, settled ones included.
    #[must_use]
    pub fn held(&self) -> usize {
        let busy = self.busy.as_ref();
        busy.map_or(0, |busy| {
            busy.mailbox.len() + busy.run.len() + busy.settled.len() + busy.waits.len()
        })
    }

    /// True if it holds calls or a save is under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.held() > 0 || self.saving
    }

    /// How many calls at the front of the mailbox name an action that a host is able to run.
    #[must_use]
    pub fn able_prefix(&self, able: impl Fn(&str) -> bool) -> usize {
        let mailbox = self.busy.iter().flat_map(|busy| busy.mailbox.iter());
        mailbox.take_while(|item| able(&item.call.action)).count()
    }

    /// The action at the front of the mailbox.
    #[must_use]
    pub fn next_action(&self) -> Option<&str> {
        if self.init_due {
            return None;
        }
        let busy = self.busy.as_ref()?;
        busy.mailbox.front().map(|item| item.call.action.as_str())
    }

    /// The newest revision, committed or not.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Ends every call that waits, runs or is settled; the activation is gone afterwards.
    pub fn fail_all(&mut self, error: &CallError, fx: &mut Vec<Effect>) {
        let Some(busy) = self.busy.take() else { return };
        let session = busy.session;
        for running in &busy.run {
            fx.push(Effect::CancelTurn { session, turn_id: running.turn_id });
        }
        let items = (busy.settled.into_iter().map(|settled| settled.item))
            .chain(busy.run.into_iter().map(|running| running.item))
            .chain(busy.mailbox);
        for item in items {
            answer_all(item, &Err(error.clone()), fx);
        }
        for wait in busy.waits {
            refuse(wait.call.reply_to, error.clone(), fx);
        }
    }

    fn busy_mut(&mut self) -> &mut Busy {
        self.busy.get_or_insert_with(Box::default)
    }

    /// Asks to be woken at `at`, unless an earlier wake-up is on its way.
    fn arm(&mut self, at: Tick, fx: &mut Vec<Effect>) {
        if at < self.armed {
            self.armed = at;
            fx.push(Effect::Wake(at));
        }
    }
}

fn accepted(durable: bool) -> Reply {
    Reply { durable, ..Reply::default() }
}

/// Gives an outcome to everybody who waits for a call.
fn answer_all(item: Queued, outcome: &Outcome, fx: &mut Vec<Effect>) {
    for (to, deadline) in item.joined.into_iter().chain(item.askers) {
        tell(to, deadline, outcome.clone(), fx);
    }
    for (to, _) in item.acceptance {
        let outcome = outcome.clone().map(|_| accepted(true));
        fx.push(Effect::Answer { to, outcome });
    }
    if !matches!(item.call.reply_to, ReplyTo::Nobody) {
        tell(item.call.reply_to, item.call.deadline, outcome.clone(), fx);
    }
}

/// Gives an outcome to one who waits until a deadline. Whoever answers callers follows links: another node by itself, and
/// this one with [`Effect::Follow`]. The sender of a delivery only wants to know that it arrived.
fn tell(to: ReplyTo, deadline: Tick, outcome: Outcome, fx: &mut Vec<Effect>) {
    match outcome {
        Ok(Reply { next: Some(link), .. })
            if !to.is_peer() && !matches!(to, ReplyTo::Delivery(_) | ReplyTo::Nobody) =>
        {
            fx.push(Effect::Follow { to, deadline, link });
        }
        outcome => fx.push(Effect::Answer { to, outcome }),
    }
}

#[cfg(test)]
mod tests;
