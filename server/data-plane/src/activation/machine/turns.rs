//! Runs of turns: what is handed to a host, and what becomes of its answers.

use bytes::Bytes;
use callboard_statestore::StateBlob;
use callboard_types::{CallError, Durability, ErrorKind, SessionId, Tick, limits};

use super::{
    Activation, Busy, Effect, Env, Phase, Queued, Running, TurnCall, Work, is_last_attempt,
};
use crate::{
    activation::workflow::Workflow,
    call::{Call, Payload, ReplyTo},
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

impl Activation {
    /// How many turns could be handed to a host now, at most [`limits::RUN_TURNS_MAX`]. Calls that
    /// need no host are dealt with on the way.
    pub fn turns_ready(&mut self, env: Env<'_>, fx: &mut Vec<Effect>) -> usize {
        if self.phase != Phase::Active {
            return 0;
        }
        self.settle_in_memory(env, fx);
        if self.phase != Phase::Active {
            return 0;
        }
        self.start_timers(env, fx);
        if self.busy.as_ref().is_some_and(|busy| !busy.run.is_empty()) {
            return 0;
        }
        if self.init_due {
            return usize::from(self.wants_init(env));
        }
        let busy = self.busy.as_ref().filter(|busy| busy.paused_until(env.now).is_none());
        busy.map_or(0, |busy| ready_in(busy))
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
    /// attempt; all are run again, except a turn that has had its last one. The last one comes after a pause.
    pub fn on_run_lost(&mut self, env: Env<'_>, session: SessionId, fx: &mut Vec<Effect>) {
        let Some(busy) = self.busy.as_mut().filter(|busy| busy.session == session) else {
            return;
        };
        let Some(head) = busy.run.front() else { return };
        let spent = head.item.attempts >= limits::TURN_ATTEMPTS_MAX;
        let paused = is_last_attempt(head.item.attempts);
        let is_init = head.item.work == Work::Init;
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
        if paused {
            let at = env.now.plus_millis(limits::TURN_LAST_ATTEMPT_PAUSE_MS);
            match is_init {
                true => self.init_not_before = at,
                false => self.busy_mut().last_attempt_at = at,
            }
            self.arm(at, fx);
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
            Work::Read | Work::Init | Work::Tool(_) => break,
        }
    }
    ready
}

pub(super) fn crashed_host(env: Env<'_>) -> CallError {
    CallError::new(
        ErrorKind::TurnCrashedHost,
        "each host that ran this turn died or took longer than the type's turn timeout; the turn was \
         given up and changed nothing. Effects that the action had outside Callboard may have happened",
    )
    .with("attempts", limits::TURN_ATTEMPTS_MAX)
    .with("turn_timeout_ms", env.definition.turn_timeout_ms)
}
