//! One activation of the data plane, with those who wait for its answers.

use callboard_data_plane::{
    activation::machine::{Activation, Effect, Env, Timer, TurnEnd},
    call::{Call, Outcome, ReplyTo},
};
use callboard_types::{ActorId, Epoch, ErrorKind, Millis, SessionId, Tick};
use tokio::sync::oneshot;

use super::{Facts, Stage};
use crate::{
    bugs::Bug,
    history::{Actor as ActorName, Shard},
    message::{Attempt, Ended},
    state,
    store::Request,
};

/// Turns that one run takes to a host at most.
const RUN_TURNS: usize = 4;

/// Where an activation lives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Home<'a> {
    pub(super) facts: &'a Facts,
    pub(super) shard: Shard,
    pub(super) epoch: Epoch,
    pub(super) now: u64,
}

/// An activation.
#[derive(Debug)]
pub(super) struct Actor {
    activation: Activation,
    key: u32,
    waiters: Vec<(Attempt, oneshot::Receiver<Outcome>)>,
    /// The session that runs its turns now.
    session: Option<SessionId>,
    wake: Tick,
    /// What the store was asked and has not answered, with the time of asking.
    pub(super) asked: Vec<(Request, u64)>,
}

/// A run of turns for a host.
pub(super) struct Run {
    pub(super) session: SessionId,
    pub(super) ends: Vec<(u64, TurnEnd)>,
}

impl Home<'_> {
    fn env(&self) -> Env<'_> {
        Env {
            now: self.facts.clock.tick(self.now),
            wall: self.facts.clock.wall(self.now),
            latest: self.facts.clock.wall(self.now),
            definition: &self.facts.types[self.shard.0 as usize],
            epoch: self.epoch,
            low_water: Millis(0),
            hosted: !self.facts.hosts.is_empty(),
            kept: false,
            quiet: false,
            system: "default",
            key: "",
            outbox_full: false,
        }
    }
}

impl Actor {
    pub(super) fn new(home: Home<'_>, key: u32) -> Self {
        let activation = Activation::new(home.env());
        let asked =
            if activation.is_loading() { vec![(Request::Load { key }, 0)] } else { Vec::new() };
        let waiters = Vec::new();
        Self { activation, key, waiters, session: None, wake: Tick::NEVER, asked }
    }

    fn name(&self, shard: Shard) -> ActorName {
        (shard.0, self.key)
    }

    /// Feeds the activation and carries out what it asks for.
    fn step<R>(
        &mut self,
        home: Home<'_>,
        feed: impl FnOnce(&mut Activation, Env<'_>, &mut Vec<Effect>) -> R,
    ) -> R {
        let mut effects = Vec::new();
        let result = feed(&mut self.activation, home.env(), &mut effects);
        for effect in effects {
            match effect {
                Effect::Answer { to: ReplyTo::Unary(waiter), outcome } => {
                    drop(waiter.send(outcome));
                }
                Effect::LookUp { request_id, created_at } => {
                    let created_at = created_at.0;
                    let request = Request::LookUp { key: self.key, request_id, created_at };
                    self.asked.push((request, 0));
                }
                Effect::Wake(at) => self.wake = self.wake.min(at),
                // Nobody here accepts calls, cancels turns at hosts, or calls from turns.
                _ => {}
            }
        }
        result
    }

    /// Takes a call.
    pub(super) fn call(&mut self, home: Home<'_>, attempt: Attempt, stage: &Stage<'_>) {
        let (to, waiter) = oneshot::channel();
        let tick = home.facts.clock.tick(home.now);
        let request = &attempt.request;
        let left = request.deadline.saturating_sub(home.now) / 1_000;
        let mut call = Call::activation(ReplyTo::Unary(to), tick);
        call.activates_only = false;
        call.action = if request.reads { "get" } else { "Add" }.into();
        call.argument = state::number(request.operation);
        call.request_id = request.id.clone();
        call.created_at = Millis(request.created_at);
        call.deadline = tick.plus_millis(left);
        let at_once = request.reads && stage.bug == Some(Bug::ReadUncommitted);
        if at_once && !self.activation.is_loading() {
            let (state, _) = self.activation.state();
            let payload = state.map(|state| bytes::Bytes::clone(&state.data)).unwrap_or_default();
            let reply = callboard_data_plane::call::Reply {
                payload: callboard_data_plane::call::Payload {
                    data: payload,
                    ..Default::default()
                },
                ..Default::default()
            };
            if let ReplyTo::Unary(to) = call.reply_to {
                drop(to.send(Ok(reply)));
            }
        } else {
            self.step(home, |activation, env, fx| activation.on_call(env, call, 0, false, fx));
        }
        self.waiters.push((attempt, waiter));
    }

    /// Takes up the row.
    pub(super) fn loaded(
        &mut self,
        home: Home<'_>,
        record: Option<callboard_statestore::ActorRecord>,
    ) {
        let waited = self.asked.len();
        self.asked.retain(|(request, _)| !matches!(request, Request::Load { .. }));
        if self.asked.len() < waited && self.activation.is_loading() {
            let loaded =
                self.step(home, |activation, env, fx| activation.on_loaded(env, record, fx));
            loaded.expect("rows are written by activations");
        }
    }

    /// Takes up an older outcome.
    pub(super) fn looked_up(
        &mut self,
        home: Home<'_>,
        request_id: &str,
        found: Option<callboard_data_plane::activation::outcome::StoredOutcome>,
    ) {
        let is_it = |request: &Request| matches!(request, Request::LookUp { request_id: id, .. } if id == request_id);
        self.asked.retain(|(request, _)| !is_it(request));
        self.step(home, |activation, env, fx| {
            activation.on_looked_up(env, request_id, Ok(found), fx);
        });
    }

    /// Takes turns to a host, which computes their answers at once; they arrive later.
    pub(super) fn take_run(
        &mut self,
        home: Home<'_>,
        session: SessionId,
        next_turn: &mut u64,
    ) -> Option<Run> {
        let taken = self.step(home, |activation, env, fx| {
            let draw = || {
                *next_turn += 1;
                *next_turn
            };
            activation.take_run(env, session, RUN_TURNS, draw, fx)
        });
        if taken == 0 {
            return None;
        }
        self.session = Some(session);
        let mut adds = state::adds(self.activation.state().0);
        let turns = self.activation.run();
        let ends = turns.map(|turn| {
            let number = state::decode(&turn.call.argument.data)[0];
            adds.push(number);
            let count = u32::try_from(adds.len()).expect("few");
            let end = TurnEnd {
                outcome: Some(Ok(state::number(count))),
                state: Some(state::blob(&adds)),
                tags: None,
                workflow: None,
            };
            (turn.turn_id, end)
        });
        Some(Run { session, ends: ends.collect() })
    }

    /// Takes a host's answer. True if it was for a turn that is not awaited.
    pub(super) fn result(
        &mut self,
        home: Home<'_>,
        (mut session, mut turn_id): (SessionId, u64),
        end: TurnEnd,
        bug: Option<Bug>,
    ) -> bool {
        use callboard_data_plane::activation::machine::Answered;
        if bug == Some(Bug::StaleAttempt)
            && let (Some(current), Some(head)) = (self.session, self.activation.run().next())
        {
            (session, turn_id) = (current, head.turn_id);
        }
        let answered = self
            .step(home, |activation, env, fx| activation.on_result(env, session, turn_id, end, fx));
        answered == Answered::Stale
    }

    /// A host is gone.
    pub(super) fn session_lost(&mut self, home: Home<'_>, session: SessionId) {
        if self.session == Some(session) {
            self.step(home, |activation, env, fx| activation.on_run_lost(env, session, fx));
        }
    }

    /// Everything that was settled since the last commit.
    pub(super) fn take_commit(
        &mut self,
        home: Home<'_>,
    ) -> Option<(u64, Box<callboard_statestore::ActorCommit>)> {
        let id = || ActorId {
            system: "default".into(),
            actor_type: home.facts.types[home.shard.0 as usize].name.as_str().into(),
            key: self.key.to_string().into(),
        };
        let unit = self.activation.take_commit(home.env(), id, home.shard.1, &mut 1)?;
        Some((unit.up_to, Box::new(unit.commit)))
    }

    pub(super) fn committed(&mut self, home: Home<'_>, up_to: u64) {
        self.step(home, |activation, env, fx| activation.on_committed(env, up_to, fx));
    }

    /// Starts over from the store.
    pub(super) fn restart(&mut self, home: Home<'_>) {
        self.step(home, |activation, env, fx| activation.restart(env, fx));
        self.session = None;
        self.asked = vec![(Request::Load { key: self.key }, 0)];
    }

    /// Ends every call with an error.
    pub(super) fn fail(&mut self, home: Home<'_>, kind: ErrorKind) {
        let error = callboard_types::CallError::new(kind, "ended");
        self.step(home, |activation, _, fx| activation.fail_all(&error, fx));
        self.session = None;
    }

    /// Wakes the activation if it asked for it. True if it may be dropped.
    pub(super) fn wake(&mut self, home: Home<'_>) -> bool {
        if self.wake > home.facts.clock.tick(home.now) {
            return false;
        }
        self.wake = Tick::NEVER;
        self.step(home, |activation, env, fx| activation.on_timer(env, fx)) == Timer::Evict
    }

    /// True while a host runs turns.
    pub(super) fn is_running(&self) -> bool {
        self.activation.run().next().is_some()
    }

    /// The answers that are there, with what they were computed under.
    pub(super) fn take_answers(&mut self) -> Vec<(Attempt, Outcome)> {
        let mut answers = Vec::new();
        let mut at = 0;
        while at < self.waiters.len() {
            match self.waiters[at].1.try_recv() {
                Ok(outcome) => answers.push((self.waiters.swap_remove(at).0, outcome)),
                Err(oneshot::error::TryRecvError::Empty) => at += 1,
                Err(oneshot::error::TryRecvError::Closed) => {
                    panic!("{:?} dropped a call without an answer", self.name((0, 0)));
                }
            }
        }
        answers
    }
}

/// How an outcome looks to a gateway.
pub(super) fn ended(outcome: Outcome, view: u64) -> Ended {
    match outcome {
        Ok(reply) => Ended::Replied(reply.payload.data),
        Err(error) if error.kind == ErrorKind::NotOwner => Ended::Redirected { view },
        Err(error) => Ended::Failed(error.kind),
    }
}
