//! Runs of turns: what is handed to a host, and what becomes of its answers.

use bytes::Bytes;
use callboard_statestore::StateBlob;
use callboard_types::{
    CallError, Durability, ErrorKind, Kind, SessionId, Tick, limits,
    planted::{self, Bug},
};

use super::{
    Activation, Busy, Deliver, Effect, Env, Phase, Queued, Running, Settled, TurnCall, Work,
    accepted, answer_all,
    outputs::{Planned, plan},
};
use crate::{
    activation::{
        outcome::{StoredEnd, StoredOutcome},
        workflow::Workflow,
    },
    call::{Call, Link, Outcome, Payload, Reply, ReplyTo},
    deliveries::Output,
};

/// How a turn ended at its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnEnd {
    /// The reply, what the action's code returned instead, or `None` if the turn was cancelled.
    pub outcome: Option<Result<Payload, CallError>>,
    /// The state after the turn; `None` if it is unchanged.
    pub state: Option<StateBlob>,
    /// The encoded tags after the turn; `None` if they are unchanged.
    pub tags: Option<Bytes>,
    /// What the turn sets going, or the rule that it breaks; `None` for nothing.
    pub workflow: Option<Result<Box<Workflow>, CallError>>,
}

impl TurnEnd {
    /// A turn that failed.
    #[must_use]
    pub fn failed(error: CallError) -> Self {
        Self { outcome: Some(Err(error)), state: None, tags: None, workflow: None }
    }
}

/// What became of a host's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It was taken.
    Taken,
    /// It is for a turn that is no longer this host's to answer; it is dropped.
    Stale,
    /// It overtakes an unanswered turn of its run, which the protocol forbids.
    OutOfOrder,
}

/// One turn as the worker puts it into a frame.
#[derive(Debug)]
pub struct TurnView<'a> {
    /// Names the dispatch.
    pub turn_id: u64,
    /// The call.
    pub call: &'a Call,
    /// How often it has been handed to a host, counted from 1.
    pub attempt: u32,
    /// The revision that the actor has if this turn commits.
    pub revision: u64,
    /// True if it must not change state.
    pub read_only: bool,
    /// When the last of those who wait for it gives up.
    pub deadline: Tick,
}

/// How long a failed initialisation waits before it is tried again unasked, in milliseconds.
const INIT_RETRY_MS: u64 = 1_000;

impl Activation {
    /// How many turns could be handed to a host now, at most [`limits::RUN_TURNS_MAX`]. Calls that
    /// need no host are dealt with on the way.
    pub fn turns_ready(&mut self, env: Env<'_>, fx: &mut Vec<Effect>) -> usize {
        if self.phase != Phase::Active {
            return 0;
        }
        self.settle_in_memory(env, fx);
        self.start_timers(env, fx);
        if self.busy.as_ref().is_some_and(|busy| !busy.run.is_empty()) {
            return 0;
        }
        if self.init_due {
            return usize::from(self.wants_init(env));
        }
        self.busy.as_ref().map_or(0, |busy| ready_in(busy))
    }

    fn wants_init(&self, env: Env<'_>) -> bool {
        let waiting = self.busy.as_ref().is_some_and(|busy| !busy.mailbox.is_empty());
        (waiting || env.kept) && env.now >= self.init_not_before
    }

    /// Hands up to `max` turns to a session and says how many it took; `turn_id` draws an id per
    /// turn. Read them with [`run`](Self::run).
    pub fn take_run(
        &mut self,
        env: Env<'_>,
        session: SessionId,
        max: usize,
        mut turn_id: impl FnMut() -> u64,
        fx: &mut Vec<Effect>,
    ) -> usize {
        let ready = self.turns_ready(env, fx).min(max);
        if ready == 0 {
            return 0;
        }
        let init = if self.init_due { self.init_item(env) } else { None };
        let busy = self.busy.get_or_insert_with(Box::default);
        busy.session = session;
        busy.head_since = env.now;
        if let Some(item) = init {
            let turn_id = turn_id();
            busy.run.push_back(Running { turn_id, item, calls_made: 0, cancelled: false });
        } else {
            for mut item in busy.mailbox.drain(..ready) {
                item.attempts += 1;
                let turn_id = turn_id();
                busy.run.push_back(Running { turn_id, item, calls_made: 0, cancelled: false });
            }
        }
        let taken = busy.run.len();
        self.arm(env.now.plus_millis(env.definition.turn_timeout_ms), fx);
        taken
    }

    /// The turns of the current run in order.
    pub fn run(&self) -> impl Iterator<Item = TurnView<'_>> {
        let run = self.busy.iter().flat_map(|busy| busy.run.iter());
        run.zip(self.revision.0 + 1..).map(|(running, revision)| TurnView {
            turn_id: running.turn_id,
            call: &running.item.call,
            attempt: running.item.attempts,
            revision,
            read_only: matches!(running.item.work, Work::Turn { read_only: true, .. }),
            deadline: running.item.latest_deadline(),
        })
    }

    /// How long the first call of the current run waited in the mailbox, in microseconds.
    #[must_use]
    pub fn head_wait_micros(&self) -> u64 {
        let busy = self.busy.as_ref();
        let head = busy.and_then(|busy| Some((busy.head_since, busy.run.front()?)));
        head.map_or(0, |(since, running)| since.micros_since(running.item.arrived))
    }

    /// How long the turn that runs now has been running, in microseconds; 0 if none does.
    #[must_use]
    pub fn head_micros(&self, now: Tick) -> u64 {
        let busy = self.busy.as_ref().filter(|busy| !busy.run.is_empty());
        busy.map_or(0, |busy| now.micros_since(busy.head_since))
    }

    /// The state and encoded tags that the next turn starts from.
    #[must_use]
    pub fn state(&self) -> (Option<&StateBlob>, &Bytes) {
        (self.state.as_ref(), &self.tags)
    }

    /// Takes a host's answer to a turn.
    pub fn on_result(
        &mut self,
        env: Env<'_>,
        session: SessionId,
        turn_id: u64,
        end: TurnEnd,
        fx: &mut Vec<Effect>,
    ) -> Answered {
        let Some(busy) = self.busy.as_mut().filter(|busy| busy.session == session) else {
            return Answered::Stale;
        };
        match busy.run.iter().position(|running| running.turn_id == turn_id) {
            None => return Answered::Stale,
            Some(0) => {}
            Some(_) => return Answered::OutOfOrder,
        }
        let running = busy.run.pop_front().expect("the position is 0");
        busy.head_since = env.now;
        // What the turn asked for and nobody has seen yet ends with it.
        busy.parked.clear();
        if running.item.timer.is_none() {
            self.last_used = env.now;
        }
        self.end_turn(env, running.item, end, fx);
        self.settle_in_memory(env, fx);
        self.rest(env, fx);
        Answered::Taken
    }

    fn end_turn(&mut self, env: Env<'_>, item: Queued, end: TurnEnd, fx: &mut Vec<Effect>) {
        if item.work == Work::Init {
            return self.end_init(env, item, end, fx);
        }
        let Some(outcome) = end.outcome else {
            return self.end_cancelled(env, item, fx);
        };
        let read_only = matches!(item.work, Work::Turn { read_only: true, .. });
        let changed = end.state.is_some() || end.tags.is_some() || end.workflow.is_some();
        // Nobody asks for the outcome of a timer's turn: one that changes nothing leaves nothing to commit.
        let counts = !read_only && (item.timer.is_none() || (outcome.is_ok() && changed));
        let sized = check_sizes(&outcome, end.state.as_ref(), end.tags.as_ref());
        let flow = end.workflow.filter(|_| counts);
        let planned = match (sized, flow, &outcome) {
            (Ok(()), Some(flow), Ok(reply)) => {
                flow.and_then(|flow| plan(env, &item.call, reply, *flow))
            }
            (sized, ..) => sized.map(|()| Planned::default()),
        };
        let planned = match planned {
            Ok(planned) => planned,
            Err(error) => return self.discard_turn(env, item, error, fx),
        };
        let durable = counts && env.definition.durability == Durability::Durable;
        if counts {
            if outcome.is_ok() {
                self.change(env, end.state, end.tags, fx);
            }
            self.revision = self.revision.next();
        }
        let Planned { outputs, link, checkpoint, deactivate } = planned;
        if durable && item.timer.is_none() && !planted::is(Bug::NoStoredOutcome) {
            self.keep_outcome(env, &item, &outcome, link.as_deref());
        }
        let revision = self.revision;
        let outcome = outcome.map(|payload| match link {
            // The reply is the next actor's argument, and that actor's reply is the caller's.
            Some(_) => Reply { payload: Payload::default(), revision, durable, next: link },
            None => Reply { payload, revision, durable, next: None },
        });
        self.settle(env, item, outcome, (durable, outputs), fx);
        if checkpoint && env.definition.durability == Durability::Snapshot {
            self.save_at = env.now;
        }
        if deactivate {
            // As if its idle timeout were over; a call that waits or comes keeps it.
            self.last_used = Tick::default();
        }
    }

    /// The turn produced something that must not be: nothing of it counts.
    fn discard_turn(&mut self, env: Env<'_>, item: Queued, error: CallError, fx: &mut Vec<Effect>) {
        // What a row stands for must end for good, or the row would be run again and again.
        let durable = env.definition.durability == Durability::Durable;
        let read_only = matches!(item.work, Work::Turn { read_only: true, .. });
        let stored = item.sequence.is_some() || (item.call.delivery && durable && !read_only);
        if stored {
            self.revision = self.revision.next();
            self.keep_outcome(env, &item, &Err(error.clone()), None);
        }
        // Later turns of the run were computed on a state that does not count.
        self.settle(env, item, Err(error), (stored, Vec::new()), fx);
        self.abandon_run(fx);
    }

    /// Records the outcome of a turn; that of a delivery with a mark.
    fn keep_outcome(
        &mut self,
        env: Env<'_>,
        item: &Queued,
        outcome: &Result<Payload, CallError>,
        link: Option<&Link>,
    ) {
        let stored = stored_outcome(env, item, self.revision.0, outcome, link);
        let created_at = stored.created_at;
        self.outcomes.record(stored);
        if item.call.delivery {
            self.outcomes.mark(&item.call.request_id, item.fingerprint, created_at);
        }
    }

    /// Nothing happened. An accepted call is run again; whoever waits for another one is told.
    fn end_cancelled(&mut self, env: Env<'_>, item: Queued, fx: &mut Vec<Effect>) {
        if item.call.asynchronous {
            if item.attempts < limits::TURN_ATTEMPTS_MAX {
                let busy = self.busy.get_or_insert_with(Box::default);
                return busy.mailbox.push_front(item);
            }
            return self.end_turn(env, item, TurnEnd::failed(crashed_host(env)), fx);
        }
        let error = CallError::new(
            ErrorKind::Cancelled,
            "the turn was cancelled before it had a result; nothing was applied",
        );
        self.settle(env, item, Err(error), (false, Vec::new()), fx);
    }

    fn end_init(&mut self, env: Env<'_>, item: Queued, end: TurnEnd, fx: &mut Vec<Effect>) {
        let outcome = end.outcome.unwrap_or_else(|| {
            Err(CallError::new(ErrorKind::Cancelled, "the initialisation was cancelled"))
        });
        let sized = check_sizes(&outcome, end.state.as_ref(), end.tags.as_ref());
        let planned = outcome.and_then(|reply| match end.workflow {
            Some(flow) => flow.and_then(|flow| plan(env, &item.call, &reply, *flow)),
            None => Ok(Planned::default()),
        });
        match sized.and(planned) {
            Ok(planned) => {
                self.init_due = false;
                self.init_attempts = 0;
                self.change(env, end.state, end.tags, fx);
                self.revision = self.revision.next();
                let durable = env.definition.durability == Durability::Durable;
                let outputs = (durable, planned.outputs);
                self.settle(env, item, Ok(accepted(durable)), outputs, fx);
            }
            Err(error) => self.init_failed(env, &error, fx),
        }
    }

    /// Tells everybody who waits that the actor cannot start. Accepted calls stay and try again.
    fn init_failed(&mut self, env: Env<'_>, error: &CallError, fx: &mut Vec<Effect>) {
        let told = CallError::new(
            ErrorKind::InitFailed,
            format!(
                "the actor's init failed ({}: {}); the call was not run. The next call tries again",
                error.reason(),
                error.message
            ),
        );
        self.init_attempts = 0;
        let busy = self.busy.get_or_insert_with(Box::default);
        let (kept, failed): (Vec<_>, Vec<_>) =
            std::mem::take(&mut busy.mailbox).into_iter().partition(|item| item.sequence.is_some());
        let unasked = env.kept || !kept.is_empty();
        busy.mailbox.extend(kept);
        for mut item in failed {
            item.call.begun = item.is_begun();
            let told = item.call.refused_for(told.clone());
            answer_all(item, &Err(told), fx);
        }
        if unasked {
            self.init_not_before = env.now.plus_millis(INIT_RETRY_MS);
            self.arm(self.init_not_before, fx);
        }
    }

    fn change(
        &mut self,
        env: Env<'_>,
        state: Option<StateBlob>,
        tags: Option<Bytes>,
        fx: &mut Vec<Effect>,
    ) {
        if env.definition.kind == Kind::Pooled {
            // Instances of a pool are all alike.
            return;
        }
        let changed = state.is_some() || tags.is_some();
        if let Some(state) = state {
            self.state = Some(state);
        }
        if let Some(tags) = tags {
            self.tags = tags;
        }
        let snapshot = env.definition.durability == Durability::Snapshot;
        if snapshot && changed && self.save_at == Tick::NEVER {
            self.save_at = env.now.plus_millis(env.definition.snapshot_interval_ms);
            self.arm(self.save_at, fx);
        }
    }

    /// Puts an ended turn behind the gate, or answers at once if nothing is before it.
    fn settle(
        &mut self,
        env: Env<'_>,
        mut item: Queued,
        outcome: Outcome,
        (undurable, outputs): (bool, Vec<Output>),
        fx: &mut Vec<Effect>,
    ) {
        let busy = self.busy.get_or_insert_with(Box::default);
        if !undurable && (busy.settled.is_empty() || planted::is(Bug::ReadUncommitted)) {
            if !outputs.is_empty() {
                let deliver = Deliver { first_sequence: None, outputs };
                fx.push(Effect::Deliver(Box::new(deliver)));
            }
            return self.finish(env, item, &outcome, fx);
        }
        if planted::is(Bug::ReplyBeforeCommit) {
            let to = std::mem::replace(&mut item.call.reply_to, ReplyTo::Nobody);
            fx.push(Effect::Answer { to, outcome: outcome.clone() });
        }
        self.settled_count += 1;
        let number = self.settled_count;
        let first_sequence = 0;
        busy.settled.push_back(Settled {
            number,
            item,
            outcome,
            undurable,
            outputs,
            first_sequence,
        });
    }

    /// Answers everybody who waits for a call that has ended. The end of a delivery that no commit holds is remembered.
    pub(super) fn finish(
        &mut self,
        env: Env<'_>,
        item: Queued,
        outcome: &Outcome,
        fx: &mut Vec<Effect>,
    ) {
        if item.call.delivery && !outcome.as_ref().is_ok_and(|reply| reply.durable) {
            self.remember(env, &item.call, outcome, fx);
        }
        answer_all(item, outcome, fx);
    }

    /// Answers default reads that have reached the front of the mailbox, from the state as of now.
    pub(super) fn settle_in_memory(&mut self, env: Env<'_>, fx: &mut Vec<Effect>) {
        while self.phase == Phase::Active && !self.init_due {
            let Some(busy) = self.busy.as_mut() else {
                return;
            };
            let front_is_read = busy.mailbox.front().is_some_and(|item| item.work == Work::Read);
            if !front_is_read || !busy.run.is_empty() {
                return;
            }
            let item = busy.mailbox.pop_front().expect("there is a front");
            let state = self.state.as_ref().filter(|_| !item.call.activates_only);
            let payload = state.map_or_else(Payload::default, payload_of);
            let reply = Reply { payload, revision: self.revision, durable: false, next: None };
            self.last_used = env.now;
            self.settle(env, item, Ok(reply), (false, Vec::new()), fx);
        }
    }

    /// Takes the current run back into the mailbox and tells the host to stop. Its answers no
    /// longer count.
    pub(super) fn abandon_run(&mut self, fx: &mut Vec<Effect>) {
        let Some(busy) = self.busy.as_mut() else {
            return;
        };
        let session = busy.session;
        busy.parked.clear();
        while let Some(running) = busy.run.pop_back() {
            fx.push(Effect::CancelTurn { session, turn_id: running.turn_id });
            if running.item.work != Work::Init {
                busy.mailbox.push_front(running.item);
            }
        }
    }

    /// The host lost the run, by dying or by taking too long. Its first turn has used up an
    /// attempt; all are run again, except a turn that has had its last one.
    pub fn on_run_lost(&mut self, env: Env<'_>, session: SessionId, fx: &mut Vec<Effect>) {
        let Some(busy) = self.busy.as_mut().filter(|busy| busy.session == session) else {
            return;
        };
        let Some(head) = busy.run.front() else { return };
        let spent = head.item.attempts >= limits::TURN_ATTEMPTS_MAX;
        // Only the first turn was running; the others get the attempt back.
        busy.run.iter_mut().skip(1).for_each(|running| running.item.attempts -= 1);
        if spent {
            let running = busy.run.pop_front().expect("there is a head");
            fx.push(Effect::CancelTurn { session, turn_id: running.turn_id });
            self.abandon_run(fx);
            self.end_turn(env, running.item, TurnEnd::failed(crashed_host(env)), fx);
        } else {
            self.abandon_run(fx);
        }
        // Nobody waits for calls that were cancelled while they ran: they are not run again.
        if let Some(busy) = self.busy.as_mut() {
            busy.mailbox.retain(|item| item.is_wanted());
        }
        self.settle_in_memory(env, fx);
        self.rest(env, fx);
    }

    /// Takes a call that a turn makes to another actor, and holds it until every earlier commit of
    /// this actor is durable.
    ///
    /// # Errors
    /// `Some` refusal for the calling turn; `None` if the turn is not this session's to speak for.
    pub fn on_turn_call(
        &mut self,
        session: SessionId,
        turn_id: u64,
        call: TurnCall,
        fx: &mut Vec<Effect>,
    ) -> Result<(), Option<CallError>> {
        let busy = self.busy.as_mut().filter(|busy| busy.session == session).ok_or(None)?;
        let head = busy.run.front_mut().filter(|head| head.turn_id == turn_id).ok_or(None)?;
        head.calls_made += 1;
        if head.calls_made > limits::TURN_CALLS_MAX {
            let error = CallError::new(ErrorKind::InvalidArgument, "the turn makes too many calls");
            return Err(Some(error.with("limit", limits::TURN_CALLS_MAX)));
        }
        if busy.settled.iter().any(|settled| settled.undurable) {
            busy.parked.push(call);
        } else {
            fx.push(Effect::Route(Box::new(call)));
        }
        Ok(())
    }

    /// The call that a session's turn runs, if that turn runs now.
    #[must_use]
    pub fn running_call(&self, session: SessionId, turn_id: u64) -> Option<&Call> {
        let busy = self.busy.as_ref().filter(|busy| busy.session == session)?;
        busy.run.front().filter(|head| head.turn_id == turn_id).map(|head| &head.item.call)
    }

    /// Repeated if a durable actor's initialisation is run again before it was committed, so that its calls are made
    /// once; never repeated for others, whose revisions start anew with each life.
    fn init_id(&self, env: Env<'_>) -> String {
        let id = format!("init-{}-{}", env.epoch, self.revision.next());
        match env.definition.durability {
            Durability::Durable => id,
            Durability::Snapshot | Durability::Volatile => format!("{id}-{}", env.wall.0),
        }
    }

    fn init_item(&mut self, env: Env<'_>) -> Option<Queued> {
        let action = env.definition.init_action()?.to_owned();
        self.init_attempts += 1;
        let call = Call {
            action,
            argument: Payload::default(),
            request_id: self.init_id(env),
            created_at: env.wall,
            deadline: Tick::NEVER,
            metadata: Default::default(),
            lineage: None,
            asynchronous: false,
            activates_only: false,
            from_json: false,
            begun: false,
            delivery: false,
            hops: None,
            seat: None,
            reply_to: ReplyTo::Nobody,
        };
        Some(Queued { attempts: self.init_attempts, ..Queued::new(call, Work::Init, env.now) })
    }
}

fn ready_in(busy: &Busy) -> usize {
    let undurable = busy.settled.iter().filter(|settled| settled.undurable).count();
    if undurable >= limits::SPECULATION_DEPTH_MAX {
        return 0;
    }
    let (mut ready, mut bytes) = (0, 0);
    for item in busy.mailbox.iter().take(limits::RUN_TURNS_MAX) {
        bytes += item.call.argument.data.len();
        if ready > 0 && bytes > limits::PAYLOAD_BYTES_MAX {
            break;
        }
        match item.work {
            _ if item.checking => break,
            Work::Turn { alone: true, .. } => {
                // It starts a run of its own, once nothing before it can be discarded.
                return if ready == 0 { usize::from(undurable == 0) } else { ready };
            }
            Work::Turn { .. } => ready += 1,
            Work::Read | Work::Init => break,
        }
    }
    ready
}

fn crashed_host(env: Env<'_>) -> CallError {
    CallError::new(
        ErrorKind::TurnCrashedHost,
        "each host that ran this turn died or took longer than the type's turn timeout; the turn was \
         given up and changed nothing. Effects that the action had outside Callboard may have happened",
    )
    .with("attempts", limits::TURN_ATTEMPTS_MAX)
    .with("turn_timeout_ms", env.definition.turn_timeout_ms)
}

fn payload_of(state: &StateBlob) -> Payload {
    Payload {
        content_type: state.content_type.clone(),
        type_url: state.type_url.clone(),
        data: state.data.clone(),
    }
}

fn stored_outcome(
    env: Env<'_>,
    item: &Queued,
    revision: u64,
    outcome: &Result<Payload, CallError>,
    link: Option<&Link>,
) -> StoredOutcome {
    let created_at = item.call.created_at;
    let end = match outcome {
        Ok(_) if let Some(Link { actor, request_id }) = link => {
            let text = |part: &str| part.to_owned();
            let name = (text(&actor.system), text(&actor.actor_type), text(&actor.key));
            StoredEnd::Chained(Box::new(name), request_id.clone())
        }
        Ok(payload) => StoredEnd::Reply(
            payload.content_type.clone(),
            payload.type_url.clone(),
            payload.data.to_vec(),
        ),
        Err(error) => StoredEnd::Error(Box::new(error.clone())),
    };
    StoredOutcome {
        request_id: item.call.request_id.clone(),
        fingerprint: item.fingerprint,
        created_at: if created_at.0 == 0 { env.wall } else { created_at },
        revision,
        end,
    }
}

fn check_sizes(
    outcome: &Result<Payload, CallError>,
    state: Option<&StateBlob>,
    tags: Option<&Bytes>,
) -> Result<(), CallError> {
    let check = |kind, what: &str, size: usize, limit: usize| {
        if size <= limit {
            return Ok(());
        }
        let message = format!(
            "the action produced {what} of {size} bytes, over the limit of {limit}; the turn was \
             discarded and nothing was applied"
        );
        Err(CallError::new(kind, message).with("limit", limit).with("size", size))
    };
    let size = match outcome {
        Ok(payload) => payload.data.len(),
        Err(error) => error.size(),
    };
    check(ErrorKind::PayloadTooLarge, "a reply", size, limits::PAYLOAD_BYTES_MAX)?;
    let size = state.map_or(0, |state| state.data.len());
    check(ErrorKind::StateTooLarge, "a state", size, limits::STATE_BYTES_MAX)?;
    let size = tags.map_or(0, Bytes::len);
    check(ErrorKind::StateTooLarge, "tags", size, limits::TAGS_BYTES_MAX)
}
