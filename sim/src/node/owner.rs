//! The shards that a node owns: claims, activations, commits and releases.

use std::collections::{BTreeMap, VecDeque};

use callboard_control_plane::{
    lease::Standing,
    machine::command::{Raised, Release},
};
use callboard_data_plane::activation::machine::TurnEnd;
use callboard_statestore::ActorCommit;
use callboard_types::{Epoch, ErrorKind, SessionId};

use super::{
    Facts, Stage,
    actor::{self, Actor, Home},
    control::Control,
};
use crate::{
    bugs::Bug,
    callers::VOLATILE,
    coverage::Seen,
    history::{Shard, Uncovered},
    message::{Attempt, Ended, Message, Outgoing},
    net::Place,
    store::{Answer, Envelope, Request, Verdict},
};

/// After which time the store is asked again, in microseconds.
const ASK_AGAIN: u64 = 500_000;
/// After which time a commit counts as unknown, in microseconds.
const COMMIT_TIMEOUT: u64 = 700_000;
/// How long a moving shard waits for its running turns, in microseconds.
const MOVE_PATIENCE: u64 = 1_000_000;
/// How long a call waits for a view that its sender has, in microseconds.
const VIEW_PATIENCE: u64 = 500_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing was asked of it in this epoch.
    Idle,
    /// The fence row is being written.
    Claiming,
    /// It is served.
    Held,
    /// The store knows a newer owner.
    Lost,
    /// It was let go.
    Released,
}

#[derive(Debug)]
struct Write {
    key: u32,
    up_to: u64,
    commit: Box<ActorCommit>,
}

#[derive(Debug)]
struct InFlight {
    number: u64,
    key: u32,
    up_to: u64,
    /// When it was sent or last asked after.
    at: u64,
}

/// A shard that the node owns at an epoch.
#[derive(Debug)]
struct Held {
    epoch: Epoch,
    phase: Phase,
    moving_since: Option<u64>,
    waiting: Vec<Attempt>,
    actors: BTreeMap<u32, Actor>,
    queue: VecDeque<Write>,
    in_flight: Option<InFlight>,
    session: u64,
    claimed_at: u64,
    touched: bool,
}

/// What a node's owner wants to be agreed on.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    /// Shards that were let go.
    pub(crate) released: Vec<Release>,
    /// Shards whose epochs are below the store's.
    pub(crate) raised: Vec<Raised>,
}

/// What a node does as an owner.
#[derive(Debug, Default)]
pub(super) struct Owner {
    shards: BTreeMap<Shard, Held>,
    inbox: Vec<Attempt>,
    /// Calls whose sender knows more than this node, with the time until which they wait.
    ahead: Vec<(Attempt, u64)>,
    ended: Vec<(Attempt, Ended)>,
    raised: Vec<Raised>,
    next_turn: u64,
    next_commit: u64,
    /// The newest session with the store. What was shut out once stays so, whatever shard comes back.
    newest_session: u64,
}

impl Held {
    fn new(epoch: Epoch, session: u64) -> Self {
        Self {
            epoch,
            phase: Phase::Idle,
            moving_since: None,
            waiting: Vec::new(),
            actors: BTreeMap::new(),
            queue: VecDeque::new(),
            in_flight: None,
            session,
            claimed_at: 0,
            touched: false,
        }
    }

    fn home<'a>(&self, facts: &'a Facts, shard: Shard, now: u64) -> Home<'a> {
        Home { facts, shard, epoch: self.epoch, now }
    }

    fn ask(&self, facts: &Facts, shard: Shard, request: Request, stage: &mut Stage<'_>) {
        let (life, session) = (facts.life, self.session);
        let envelope = Envelope { life, session, shard, request };
        let message = Message::Ask(Box::new(envelope));
        stage.out.push(Outgoing::Send { to: Place::Store, message });
    }

    /// Ends every call, so that its gateway looks for another owner.
    fn let_go(&mut self, facts: &Facts, shard: Shard, phase: Phase, now: u64) {
        let home = self.home(facts, shard, now);
        for actor in self.actors.values_mut() {
            actor.fail(home, ErrorKind::NotOwner);
        }
        self.queue.clear();
        self.in_flight = None;
        self.phase = phase;
        self.touched = true;
    }

    /// True if nothing is on its way that could still change or answer anything.
    fn is_quiet(&self, now: u64) -> bool {
        let patience = self.moving_since.is_some_and(|since| now >= since + MOVE_PATIENCE);
        let running = self.actors.values().any(Actor::is_running) && !patience;
        self.in_flight.is_none() && self.queue.is_empty() && !running
    }
}

impl Owner {
    /// Takes a call of a gateway.
    pub(super) fn take(&mut self, attempt: Attempt) {
        self.inbox.push(attempt);
    }

    /// The attempts that ended.
    pub(super) fn take_ended(&mut self) -> Vec<(Attempt, Ended)> {
        std::mem::take(&mut self.ended)
    }

    /// What is to be agreed on.
    pub(super) fn wishes(&self) -> Wishes {
        let released = self.shards.iter().filter(|(_, held)| held.phase == Phase::Released);
        let release = |((type_id, shard), held): (&Shard, &Held)| Release {
            type_id: *type_id,
            shard: *shard,
            epoch: held.epoch,
        };
        Wishes { released: released.map(release).collect(), raised: self.raised.clone() }
    }

    /// Takes up what was agreed on.
    pub(super) fn follow(&mut self, facts: &Facts, control: &Control, stage: &mut Stage<'_>) {
        let (me, now) = (facts.id(), stage.now);
        let is_in = control.standing(facts) == Standing::Member;
        let mut owned = BTreeMap::new();
        for view in control.machine().types().filter(|_| is_in) {
            for (number, owner) in (0_u32..).zip(&*view.shards) {
                if owner.node == me {
                    owned.insert((view.id, number), *owner);
                }
            }
        }
        self.raised.retain(|it| {
            let owner = owned.get(&(it.type_id, it.shard));
            owner.is_some_and(|owner| owner.epoch < it.above)
        });
        for (shard, held) in &mut self.shards {
            let owner = owned.get(shard);
            if owner.is_none_or(|owner| owner.epoch != held.epoch) {
                held.let_go(facts, *shard, Phase::Lost, now);
            }
        }
        self.collect(facts, control, stage);
        self.shards.retain(|shard, held| owned.get(shard).is_some_and(|it| it.epoch == held.epoch));
        for (shard, owner) in owned {
            let held = self.shards.entry(shard).or_insert_with(|| {
                self.newest_session += 1;
                Held::new(owner.epoch, self.newest_session)
            });
            if !owner.is_moving() {
                held.moving_since = None;
            } else if held.moving_since.is_none() {
                held.moving_since = Some(now);
                held.touched = true;
            }
        }
    }

    /// Works until nothing is left to do at this moment.
    pub(super) fn settle(&mut self, facts: &Facts, control: &Control, stage: &mut Stage<'_>) {
        let ahead = std::mem::take(&mut self.ahead);
        for (attempt, until) in ahead {
            if attempt.view <= control.applied() {
                self.inbox.push(attempt);
            } else if stage.now >= until {
                let view = control.applied();
                self.ended.push((attempt, Ended::Redirected { view }));
            } else {
                self.ahead.push((attempt, until));
            }
        }
        for attempt in std::mem::take(&mut self.inbox) {
            self.admit(facts, control, attempt, stage);
        }
        let touched: Vec<Shard> =
            self.shards.iter().filter(|(_, held)| held.touched).map(|(shard, _)| *shard).collect();
        for shard in touched {
            self.work(facts, shard, stage);
        }
        self.collect(facts, control, stage);
    }

    fn admit(&mut self, facts: &Facts, control: &Control, attempt: Attempt, stage: &mut Stage<'_>) {
        let (view, shard) = (control.applied(), attempt.request.shard);
        if attempt.view > view {
            return self.ahead.push((attempt, stage.now + VIEW_PATIENCE));
        }
        let Some(held) = self.shards.get_mut(&shard) else {
            return self.ended.push((attempt, Ended::Redirected { view }));
        };
        let gone = matches!(held.phase, Phase::Lost | Phase::Released);
        if gone || held.moving_since.is_some() {
            return self.ended.push((attempt, Ended::Redirected { view }));
        }
        held.touched = true;
        if held.phase == Phase::Idle && shard.0 == VOLATILE {
            held.phase = Phase::Held;
        } else if held.phase == Phase::Idle {
            held.phase = Phase::Claiming;
            held.claimed_at = stage.now;
            let epoch = held.epoch;
            held.ask(facts, shard, Request::Claim { epoch }, stage);
            if stage.bug == Some(Bug::ServeBeforeFence) {
                held.phase = Phase::Held;
            }
        }
        held.waiting.push(attempt);
    }

    /// Does what is due in a shard: admits, loads, runs, commits, releases.
    fn work(&mut self, facts: &Facts, shard: Shard, stage: &mut Stage<'_>) {
        let Some(held) = self.shards.get_mut(&shard) else { return };
        held.touched = false;
        let home = held.home(facts, shard, stage.now);
        let serves = held.phase == Phase::Held;
        if serves {
            for attempt in std::mem::take(&mut held.waiting) {
                let key = attempt.request.key;
                let actor = held.actors.entry(key).or_insert_with(|| Actor::new(home, key));
                actor.call(home, attempt, stage);
            }
        }
        let mut asks = Vec::new();
        for (key, actor) in &mut held.actors {
            for (request, at) in actor.asked.iter_mut().filter(|_| serves) {
                if *at == 0 || stage.now >= *at + ASK_AGAIN {
                    *at = stage.now;
                    asks.push(request.clone());
                }
            }
            if serves && held.moving_since.is_none() && !facts.hosts.is_empty() {
                let session = facts.hosts[stage.rng.below(facts.hosts.len())];
                if let Some(run) = actor.take_run(home, session, &mut self.next_turn) {
                    let (life, key, session) = (facts.life, *key, run.session);
                    let slow = stage.rng.chance(15);
                    let after = if slow {
                        stage.rng.between(500_000, 2_500_000)
                    } else {
                        stage.rng.between(500, 15_000)
                    };
                    let message = Message::Results { life, shard, key, session, ends: run.ends };
                    stage.out.push(Outgoing::Later { after, message });
                }
            }
            if let Some((up_to, commit)) = actor.take_commit(home).filter(|_| serves) {
                if stage.bug == Some(Bug::ReplyBeforeCommit) {
                    actor.committed(home, up_to);
                }
                held.queue.push_back(Write { key: *key, up_to, commit });
            }
        }
        for request in asks {
            held.ask(facts, shard, request, stage);
        }
        self.send_next(facts, shard, stage);
        self.release_if_quiet(facts, shard, stage.now);
    }

    fn send_next(&mut self, facts: &Facts, shard: Shard, stage: &mut Stage<'_>) {
        let Some(held) = self.shards.get_mut(&shard) else { return };
        if held.in_flight.is_some() {
            return;
        }
        let Some(Write { key, up_to, commit }) = held.queue.pop_front() else { return };
        self.next_commit += 1;
        let number = self.next_commit;
        held.in_flight = Some(InFlight { number, key, up_to, at: stage.now });
        held.ask(facts, shard, Request::Commit { number, key, commit }, stage);
    }

    fn release_if_quiet(&mut self, facts: &Facts, shard: Shard, now: u64) {
        let Some(held) = self.shards.get_mut(&shard) else { return };
        let moving = held.moving_since.is_some();
        let releasable = matches!(held.phase, Phase::Idle | Phase::Held);
        if moving && releasable && held.is_quiet(now) {
            held.let_go(facts, shard, Phase::Released, now);
        }
    }

    /// Gives the answers that are there to whom they are for.
    fn collect(&mut self, facts: &Facts, control: &Control, stage: &mut Stage<'_>) {
        let view = control.applied();
        for (shard, held) in &mut self.shards {
            let epoch = held.epoch;
            for actor in held.actors.values_mut() {
                for (attempt, outcome) in actor.take_answers() {
                    let uncovered = outcome.as_ref().is_ok_and(|reply| !reply.durable);
                    if uncovered && !control.may_answer(facts, stage) {
                        stage.coverage.saw(Seen::LeaseLapsed);
                        let kind = ErrorKind::LeaseLost;
                        self.ended.push((attempt, Ended::Failed(kind)));
                        continue;
                    }
                    if uncovered {
                        let (at, node) = (stage.now, facts.id());
                        let shard = *shard;
                        stage.history.uncovered.push(Uncovered { at, node, shard, epoch });
                    }
                    self.ended.push((attempt, actor::ended(outcome, view)));
                }
            }
            if matches!(held.phase, Phase::Lost | Phase::Released) {
                held.actors.clear();
                for attempt in held.waiting.drain(..) {
                    self.ended.push((attempt, Ended::Redirected { view }));
                }
            }
        }
    }

    pub(super) fn session_lost(&mut self, facts: &Facts, gone: SessionId, stage: &mut Stage<'_>) {
        for (shard, held) in &mut self.shards {
            let home = held.home(facts, *shard, stage.now);
            held.actors.values_mut().for_each(|actor| actor.session_lost(home, gone));
            held.touched = true;
        }
    }

    pub(super) fn on_results(
        &mut self,
        facts: &Facts,
        shard: Shard,
        key: u32,
        session: SessionId,
        ends: Vec<(u64, TurnEnd)>,
        stage: &mut Stage<'_>,
    ) {
        let Some(held) = self.shards.get_mut(&shard) else { return };
        let home = held.home(facts, shard, stage.now);
        held.touched = true;
        let Some(actor) = held.actors.get_mut(&key) else { return };
        for (turn_id, end) in ends {
            if actor.result(home, (session, turn_id), end, stage.bug) {
                stage.coverage.saw(Seen::StaleAnswer);
            }
        }
    }

    /// Time passes.
    pub(super) fn tick(&mut self, facts: &Facts, stage: &mut Stage<'_>) {
        for (shard, held) in &mut self.shards {
            let home = held.home(facts, *shard, stage.now);
            held.actors.retain(|_, actor| !actor.wake(home));
            held.touched = true;
            if held.phase == Phase::Claiming && stage.now >= held.claimed_at + ASK_AGAIN {
                held.claimed_at = stage.now;
                held.ask(facts, *shard, Request::Claim { epoch: held.epoch }, stage);
            }
            let overdue = |it: &&mut InFlight| stage.now >= it.at + COMMIT_TIMEOUT;
            let Some(late) = held.in_flight.as_mut().filter(overdue) else { continue };
            late.at = stage.now;
            let (number, key) = (late.number, late.key);
            if stage.bug == Some(Bug::UnknownCommitAsFailure) {
                if let Some(actor) = held.actors.get_mut(&key) {
                    actor.fail(home, ErrorKind::ActionError);
                    actor.restart(home);
                }
                held.queue.retain(|write| write.key != key);
                held.in_flight = None;
                continue;
            }
            // A newer session takes the fence row and shuts the older one out before it asks.
            self.newest_session += 1;
            held.session = self.newest_session;
            held.ask(facts, *shard, Request::Resolve { number }, stage);
        }
    }

    pub(super) fn on_stored(
        &mut self,
        facts: &Facts,
        shard: Shard,
        answer: Answer,
        stage: &mut Stage<'_>,
    ) {
        let Some(held) = self.shards.get_mut(&shard) else { return };
        held.touched = true;
        let home = held.home(facts, shard, stage.now);
        match answer {
            Answer::Claimed { epoch, stored } if epoch == held.epoch => {
                if stored > epoch {
                    let (type_id, number) = shard;
                    self.raised.push(Raised { type_id, shard: number, above: stored });
                    held.let_go(facts, shard, Phase::Lost, stage.now);
                } else if held.phase == Phase::Claiming {
                    held.phase = Phase::Held;
                }
            }
            Answer::Loaded { key, record } => {
                if let Some(actor) = held.actors.get_mut(&key) {
                    actor.loaded(home, record.map(|record| *record));
                }
            }
            Answer::LookedUp { key, request_id, found } => {
                if let Some(actor) = held.actors.get_mut(&key) {
                    actor.looked_up(home, &request_id, found.map(|found| *found));
                }
            }
            Answer::Committed { number, verdict } => {
                self.on_verdict(facts, shard, number, verdict, stage);
            }
            Answer::Resolved { number, committed, stored } => {
                let verdict = match (committed, stored == held.epoch) {
                    (true, _) => Verdict::Done,
                    (false, true) => Verdict::Mismatch,
                    (false, false) => Verdict::FenceLost,
                };
                self.on_verdict(facts, shard, number, verdict, stage);
            }
            Answer::Claimed { .. } => {}
        }
    }

    fn on_verdict(
        &mut self,
        facts: &Facts,
        shard: Shard,
        number: u64,
        verdict: Verdict,
        stage: &mut Stage<'_>,
    ) {
        let Some(held) = self.shards.get_mut(&shard) else { return };
        let home = held.home(facts, shard, stage.now);
        let Some(write) = held.in_flight.take_if(|it| it.number == number) else { return };
        match verdict {
            Verdict::Done => {
                if let Some(actor) = held.actors.get_mut(&write.key) {
                    actor.committed(home, write.up_to);
                }
            }
            Verdict::FenceLost => held.let_go(facts, shard, Phase::Lost, stage.now),
            Verdict::Mismatch => {
                held.queue.retain(|other| other.key != write.key);
                if let Some(actor) = held.actors.get_mut(&write.key) {
                    actor.restart(home);
                }
            }
        }
    }
}
