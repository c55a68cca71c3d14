//! The activation machine: mailbox, turns, speculation and the output gate of one actor.
//!
//! Calls wait in the mailbox in arrival order. The worker takes runs of them to a host; each answer becomes a *settled*
//! turn, whose outputs leave only when its commit and those before it are durable. Later turns may run on settled,
//! undurable state meanwhile. Pure: no clock, no I/O; the worker passes the time and carries out [`Effect`]s.

mod commit;
mod time;
mod turns;

use std::collections::VecDeque;

use bytes::Bytes;
use callboard_statestore::{ActorRecord, StateBlob};
use callboard_types::{
    ActorId, CallError, Durability, Epoch, ErrorKind, Millis, Revision, SessionId, Tick,
    TypeDefinition, limits,
};

use super::outcome::{Known, Outcomes, StoredOutcome, fingerprint, id_hash};
use crate::call::{Call, Outcome, Reply, ReplyTo};

pub use commit::CommitUnit;
pub use time::Timer;
pub use turns::{Answered, TurnEnd, TurnView};

/// What the worker knows and the machine needs at each step.
#[derive(Clone, Copy, Debug)]
pub struct Env<'a> {
    /// The monotonic clock.
    pub now: Tick,
    /// The wall clock.
    pub wall: Millis,
    /// The actor's type.
    pub definition: &'a TypeDefinition,
    /// The epoch in which this node owns the shard.
    pub epoch: Epoch,
    /// Calls created before this time are refused.
    pub low_water: Millis,
    /// True if any host of the type is connected.
    pub hosted: bool,
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
    /// Tell a session that nobody waits for a turn.
    CancelTurn {
        /// The session.
        session: SessionId,
        /// The turn.
        turn_id: u64,
    },
    /// Send on a call that a turn makes.
    Route(Box<TurnCall>),
    /// Call [`Activation::on_timer`] at this time at the latest.
    Wake(Tick),
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
}

/// A call that the activation holds.
#[derive(Debug)]
struct Queued {
    call: Call,
    work: Work,
    id_hash: u64,
    fingerprint: u64,
    /// Repetitions of the call that wait for the same outcome.
    joined: Vec<ReplyTo>,
    /// Waiters for acceptance, until it is durable.
    acceptance: Vec<ReplyTo>,
    /// Its place in the shard's inbox, if it is there.
    sequence: Option<u64>,
    /// True while its row must not be written yet, because it may be a repetition.
    row_held_back: bool,
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
            acceptance: Vec::new(),
            sequence: None,
            row_held_back: false,
            checking: false,
            attempts: 0,
            arrived: now,
        }
    }

    /// Makes an accepted call durable, once it is known to be new.
    fn write_row(&mut self, fx: &mut Vec<Effect>) {
        if let Some(sequence) = self.sequence.filter(|_| self.row_held_back) {
            self.row_held_back = false;
            let call = super::inbox_record::encode(&self.call);
            fx.push(Effect::Accept { sequence, call });
        }
    }

    /// True if anybody waits for the call, or if it was accepted and so must be run.
    fn is_wanted(&self) -> bool {
        let waited_for = !self.joined.is_empty() || !matches!(self.call.reply_to, ReplyTo::Nobody);
        waited_for || self.call.asynchronous
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
    settled: VecDeque<Settled>,
    /// Calls made inside a turn that wait for earlier commits.
    parked: Vec<TurnCall>,
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
    busy: Option<Box<Busy>>,
}

/// What became of a call that was handed to the activation.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// It waits, or was answered at once.
    Taken,
    /// Its durable acceptance needs this: see [`Effect::Accept`].
    Refused,
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
        self.busy
            .as_ref()
            .map_or(0, |busy| busy.mailbox.len() + busy.run.len())
    }

    /// Calls that the activation holds, settled ones included.
    #[must_use]
    pub fn held(&self) -> usize {
        let busy = self.busy.as_ref();
        busy.map_or(0, |busy| {
            busy.mailbox.len() + busy.run.len() + busy.settled.len()
        })
    }

    /// True if it holds calls or a save is under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.held() > 0 || self.saving
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

    /// Takes a call. Repetitions of a known call get its outcome or join it.
    ///
    /// `sequence` is the place in the shard's inbox that an asynchronous call of a durable type would get; `replayed`
    /// says that it has that place already.
    pub fn on_call(
        &mut self,
        env: Env<'_>,
        mut call: Call,
        sequence: u64,
        replayed: bool,
        fx: &mut Vec<Effect>,
    ) -> Admission {
        self.last_used = env.now;
        let Some(work) = work_of(env.definition, &call) else {
            let error = unknown_action(env.definition, &call.action);
            return refuse(call.reply_to, error, fx);
        };
        let durable = env.definition.durability == Durability::Durable;
        let keeps_outcome = durable
            && matches!(
                work,
                Work::Turn {
                    read_only: false,
                    ..
                }
            );
        let (mut hash, mut print, mut checking) = (0, 0, false);
        if keeps_outcome {
            hash = id_hash(&call.request_id);
            print = fingerprint(&call.action, &call.argument);
            if !replayed && let Err(error) = check_age(env, call.created_at) {
                return refuse(call.reply_to, error, fx);
            }
            let Some(unanswered) = self.join(call, hash, print, fx) else {
                return Admission::Taken;
            };
            call = unanswered;
            match self.check_known(call, print, fx) {
                Some((unknown, ask)) => (call, checking) = (unknown, ask),
                None => return Admission::Taken,
            }
        }
        if self.depth() >= env.definition.mailbox_limit as usize && !replayed {
            return refuse(call.reply_to, mailbox_full(env.definition), fx);
        }
        let mut item = Queued {
            id_hash: hash,
            fingerprint: print,
            checking,
            ..Queued::new(call, work, env.now)
        };
        if replayed {
            item.sequence = Some(sequence);
        } else if item.call.asynchronous {
            let hold_back = checking || self.is_loading();
            accept(&mut item, sequence, keeps_outcome, hold_back, fx);
        }
        if checking {
            fx.push(Effect::LookUp {
                request_id: item.call.request_id.clone(),
                created_at: item.call.created_at,
            });
        }
        self.arm(item.call.deadline, fx);
        self.busy_mut().mailbox.push_back(item);
        Admission::Taken
    }

    /// Lets a call that is in flight already join; gives the call back if it is not.
    fn join(&mut self, call: Call, hash: u64, print: u64, fx: &mut Vec<Effect>) -> Option<Call> {
        let Some(busy) = self.busy.as_mut() else {
            return Some(call);
        };
        let same = |item: &&mut Queued| {
            item.id_hash == hash && item.call.request_id == call.request_id && item.fingerprint != 0
        };
        let items = (busy.settled.iter_mut().map(|settled| &mut settled.item))
            .chain(busy.run.iter_mut().map(|running| &mut running.item))
            .chain(busy.mailbox.iter_mut());
        let Some(item) = items.into_iter().find(|item| same(item)) else {
            return Some(call);
        };
        if item.fingerprint != print {
            refuse(call.reply_to, id_reused(&call.request_id), fx);
        } else if !call.asynchronous {
            item.call.deadline = item.call.deadline.max(call.deadline);
            item.joined.push(call.reply_to);
        } else if item.sequence.is_some() && item.acceptance.is_empty() {
            fx.push(Effect::Answer {
                to: call.reply_to,
                outcome: Ok(accepted(true)),
            });
        } else if item.sequence.is_some() {
            item.acceptance.push(call.reply_to);
        } else {
            item.joined.push(call.reply_to);
        }
        None
    }

    /// Answers a call whose outcome is known; otherwise gives it back and says whether the store must be asked.
    fn check_known(&self, call: Call, print: u64, fx: &mut Vec<Effect>) -> Option<(Call, bool)> {
        if self.is_loading() {
            // Looked at again when the row is there: see `on_loaded`.
            return Some((call, false));
        }
        match self.outcomes.find(&call.request_id, call.created_at) {
            Known::New => Some((call, false)),
            Known::AskStore => Some((call, true)),
            Known::Here(found) => {
                answer_known(found, print, call, fx);
                None
            }
        }
    }

    /// Takes up the row. Calls that waited are checked against its outcomes.
    ///
    /// # Errors
    /// The decoder's words if the row cannot be read; the activation must not be used then.
    pub fn on_loaded(
        &mut self,
        env: Env<'_>,
        record: Option<ActorRecord>,
        fx: &mut Vec<Effect>,
    ) -> Result<(), String> {
        let record = record.unwrap_or_default();
        self.outcomes = Outcomes::load(&record.outcomes, record.spilled_until)?;
        self.revision = record.revision;
        self.submitted = record.revision;
        self.state = record.state;
        self.tags = record.tags;
        self.phase = Phase::Active;
        self.last_used = env.now;
        let waiting = self
            .busy
            .as_mut()
            .map(|busy| std::mem::take(&mut busy.mailbox));
        for mut item in waiting.into_iter().flatten() {
            if item.fingerprint != 0 {
                match self
                    .outcomes
                    .find(&item.call.request_id, item.call.created_at)
                {
                    Known::New => item.write_row(fx),
                    Known::AskStore => {
                        item.checking = true;
                        fx.push(Effect::LookUp {
                            request_id: item.call.request_id.clone(),
                            created_at: item.call.created_at,
                        });
                    }
                    Known::Here(found) => {
                        let found = found.clone();
                        self.answer_repeated(item, &found, fx);
                        continue;
                    }
                }
            }
            self.busy_mut().mailbox.push_back(item);
        }
        self.settle_in_memory(env, fx);
        self.arm(env.now.plus_millis(env.definition.idle_timeout_ms), fx);
        Ok(())
    }

    /// Takes the store's answer to [`Effect::LookUp`].
    pub fn on_looked_up(
        &mut self,
        env: Env<'_>,
        request_id: &str,
        found: Option<&StoredOutcome>,
        fx: &mut Vec<Effect>,
    ) {
        let Some(busy) = self.busy.as_mut() else {
            return;
        };
        let at = busy
            .mailbox
            .iter()
            .position(|item| item.checking && item.call.request_id == request_id);
        let Some(at) = at else { return };
        match found {
            None => {
                busy.mailbox[at].checking = false;
                busy.mailbox[at].write_row(fx);
            }
            Some(found) => {
                let item = busy
                    .mailbox
                    .remove(at)
                    .expect("position is inside the mailbox");
                self.answer_repeated(item, found, fx);
            }
        }
        self.settle_in_memory(env, fx);
    }

    /// Answers everybody who waits for a call that was answered in an earlier life. An inbox row that is still there
    /// goes with the next commit.
    fn answer_repeated(&mut self, item: Queued, found: &StoredOutcome, fx: &mut Vec<Effect>) {
        let outcome = if found.fingerprint == item.fingerprint {
            found.to_outcome()
        } else {
            Err(id_reused(&item.call.request_id))
        };
        self.stale_rows
            .extend(item.sequence.filter(|_| !item.row_held_back));
        for to in item.acceptance {
            fx.push(Effect::Answer {
                to,
                outcome: Ok(accepted(true)),
            });
        }
        if item.call.asynchronous && !matches!(item.call.reply_to, ReplyTo::Nobody) {
            fx.push(Effect::Answer {
                to: item.call.reply_to,
                outcome: Ok(accepted(true)),
            });
        } else {
            fx.push(Effect::Answer {
                to: item.call.reply_to,
                outcome: outcome.clone(),
            });
        }
        for to in item.joined {
            fx.push(Effect::Answer {
                to,
                outcome: outcome.clone(),
            });
        }
    }

    /// Ends every call that waits, runs or is settled; the activation is gone afterwards.
    pub fn fail_all(&mut self, error: &CallError, fx: &mut Vec<Effect>) {
        let Some(busy) = self.busy.take() else { return };
        let session = busy.session;
        for running in &busy.run {
            fx.push(Effect::CancelTurn {
                session,
                turn_id: running.turn_id,
            });
        }
        let items = (busy.settled.into_iter().map(|settled| settled.item))
            .chain(busy.run.into_iter().map(|running| running.item))
            .chain(busy.mailbox);
        for item in items {
            answer_all(item, &Err(error.clone()), fx);
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

fn work_of(definition: &TypeDefinition, call: &Call) -> Option<Work> {
    if call.activates_only {
        return Some(Work::Read);
    }
    if let Some(found) = definition.actions.get(&call.action) {
        let alone = definition.speculation_off || found.speculation_off;
        return Some(Work::Turn {
            read_only: found.read_only,
            alone,
        });
    }
    definition
        .is_default_read(&call.action)
        .then_some(Work::Read)
}

fn check_age(env: Env<'_>, created_at: Millis) -> Result<(), CallError> {
    let oldest = env.low_water.max(env.wall.plus(-limits::OUTCOME_WINDOW_MS));
    if created_at < oldest {
        return Err(CallError::new(
            ErrorKind::RequestExpired,
            "the call was created before the outcomes that are still kept, so it can no longer be told \
             whether it was applied. It was not run now. Read the actor's state before calling anew",
        )
        .with("window_ms", limits::OUTCOME_WINDOW_MS));
    }
    if created_at > env.wall.plus(limits::CREATED_AHEAD_MS) {
        return Err(CallError::new(
            ErrorKind::RequestExpired,
            "the call's created_at lies in the future; it was not run. Set the caller's clock right",
        )
        .with("ahead_max_ms", limits::CREATED_AHEAD_MS));
    }
    Ok(())
}

fn accept(item: &mut Queued, sequence: u64, durable: bool, hold_back: bool, fx: &mut Vec<Effect>) {
    let waiter = std::mem::replace(&mut item.call.reply_to, ReplyTo::Nobody);
    item.call.deadline = Tick::NEVER;
    if durable {
        item.sequence = Some(sequence);
        item.acceptance.push(waiter);
        item.row_held_back = true;
        if !hold_back {
            item.write_row(fx);
        }
    } else {
        fx.push(Effect::Answer {
            to: waiter,
            outcome: Ok(accepted(false)),
        });
    }
}

fn accepted(durable: bool) -> Reply {
    Reply {
        durable,
        ..Reply::default()
    }
}

fn answer_known(found: &StoredOutcome, print: u64, call: Call, fx: &mut Vec<Effect>) {
    let outcome = if found.fingerprint != print {
        Err(id_reused(&call.request_id))
    } else if call.asynchronous {
        Ok(accepted(true))
    } else {
        found.to_outcome()
    };
    fx.push(Effect::Answer {
        to: call.reply_to,
        outcome,
    });
}

/// Gives an outcome to everybody who waits for a call.
fn answer_all(item: Queued, outcome: &Outcome, fx: &mut Vec<Effect>) {
    for to in item.joined {
        fx.push(Effect::Answer {
            to,
            outcome: outcome.clone(),
        });
    }
    for to in item.acceptance {
        let outcome = outcome.clone().map(|_| accepted(true));
        fx.push(Effect::Answer { to, outcome });
    }
    if !matches!(item.call.reply_to, ReplyTo::Nobody) {
        fx.push(Effect::Answer {
            to: item.call.reply_to,
            outcome: outcome.clone(),
        });
    }
}

fn refuse(to: ReplyTo, error: CallError, fx: &mut Vec<Effect>) -> Admission {
    fx.push(Effect::Answer {
        to,
        outcome: Err(error),
    });
    Admission::Refused
}

fn unknown_action(definition: &TypeDefinition, action: &str) -> CallError {
    let shown: String = action.chars().take(64).collect();
    let known: Vec<&str> = definition
        .actions
        .keys()
        .map(String::as_str)
        .take(20)
        .collect();
    CallError::new(
        ErrorKind::UnknownAction,
        format!(
            "type {} has no action \"{}\"; it has: {}",
            definition.name,
            shown.escape_debug(),
            known.join(", ")
        ),
    )
}

fn mailbox_full(definition: &TypeDefinition) -> CallError {
    CallError::new(
        ErrorKind::MailboxFull,
        "as many calls wait for this actor as its type allows; this one was not run. Retry later, or \
         spread the work over more actors",
    )
    .with("limit", definition.mailbox_limit)
    .retry_after(50)
}

fn id_reused(request_id: &str) -> CallError {
    let shown: String = request_id.chars().take(64).collect();
    CallError::new(
        ErrorKind::RequestIdReused,
        format!(
            "request id \"{}\" was used for another action or argument of this actor; the call was not \
             run. Use a new id for a new call",
            shown.escape_debug()
        ),
    )
}

#[cfg(test)]
mod tests;
