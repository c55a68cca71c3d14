//! How turns end: what they produced is checked and settled, and whoever waits hears of it once the gate is open.

use bytes::Bytes;
use callboard_statestore::StateBlob;
use callboard_types::{
    CallError, Durability, ErrorKind, Kind, Retry, Tick, limits,
    planted::{self, Bug},
};

use super::{
    Activation, Deliver, Effect, Env, Phase, Queued, Settled, TurnEnd, Work, accepted, answer_all,
    outputs::{Planned, plan},
    turns::crashed_host,
};
use crate::{
    activation::outcome::{StoredEnd, StoredOutcome},
    call::{Link, Outcome, Payload, Reply, ReplyTo},
    deliveries::Output,
};

/// How long a failed initialisation waits before it is tried again unasked, in milliseconds.
const INIT_RETRY_MS: u64 = 1_000;

impl Activation {
    pub(super) fn end_turn(
        &mut self,
        env: Env<'_>,
        item: Queued,
        end: TurnEnd,
        fx: &mut Vec<Effect>,
    ) {
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
        if durable {
            self.keep_past(env);
        }
        let Planned { outputs, link, checkpoint, deactivate } = planned;
        let forgotten = planted::is(Bug::NoStoredOutcome)
            || (item.call.delivery && planted::is(Bug::DeliveryNotKept));
        if durable && item.timer.is_none() && !forgotten {
            let link = link.as_deref().filter(|_| !planted::is(Bug::LinkNotStored));
            self.keep_outcome(env, &item, &outcome, link);
        }
        let revision = self.revision;
        let outcome = outcome.map(|payload| match link {
            // The reply is the next actor's argument, and that actor's reply is the caller's.
            Some(_) => Reply { payload: Payload::default(), revision, durable, next: link },
            None => Reply { payload, revision, durable, next: None },
        });
        let saved = checkpoint && env.definition.durability == Durability::Snapshot;
        self.settle(env, item, outcome, (durable || saved, outputs), fx);
        if deactivate {
            self.leave_soon(env);
        }
    }

    /// The turn produced something that must not be: nothing of it counts.
    fn discard_turn(
        &mut self,
        env: Env<'_>,
        mut item: Queued,
        error: CallError,
        fx: &mut Vec<Effect>,
    ) {
        let for_good = error.retry() == Retry::Never;
        if !for_good && item.sequence.is_some() {
            // It was promised to run, and may yet succeed. The host has not failed: the attempt does not count.
            item.attempts = item.attempts.saturating_sub(1);
            self.abandon_run(fx);
            return self.busy_mut().mailbox.push_front(item);
        }
        // What a row stands for must end for good, or the row would be run again and again.
        let durable = env.definition.durability == Durability::Durable;
        let read_only = matches!(item.work, Work::Turn { read_only: true, .. });
        let delivered = item.call.delivery && durable && !read_only;
        let stored = for_good && (item.sequence.is_some() || delivered);
        if stored {
            self.revision = self.revision.next();
            self.keep_past(env);
            self.keep_outcome(env, &item, &Err(error.clone()), None);
        }
        // Later turns of the run were computed on a state that does not count.
        self.settle(env, item, Err(error), (stored, Vec::new()), fx);
        self.abandon_run(fx);
    }

    /// Records the outcome of a turn; that of a delivery with a mark.
    pub(super) fn keep_outcome(
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
            let id = &item.call.request_id;
            self.outcomes.mark(id, item.fingerprint, created_at, env.now);
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
                self.keep_past(env);
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
    pub(super) fn settle(
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
        let ended = match outcome {
            Ok(reply) => !reply.durable,
            // After any other error the delivery comes again.
            Err(error) => error.retry() == Retry::Never,
        };
        if item.call.delivery && ended {
            self.remember(env, &item.call, outcome, fx);
        }
        answer_all(item, outcome, fx);
    }

    /// Carries out what has reached the front of the mailbox and needs no host: default reads, which are answered from the
    /// state as of now, and tools, which need no initialised actor either.
    pub(super) fn settle_in_memory(&mut self, env: Env<'_>, fx: &mut Vec<Effect>) {
        while self.phase == Phase::Active
            && let Some(busy) = self.busy.as_mut().filter(|busy| busy.run.is_empty())
            && let Some(work) = busy.mailbox.front().map(|item| item.work)
        {
            match work {
                Work::Read if !self.init_due => {}
                Work::Tool(tool) if self.run_tool(env, tool, fx) => continue,
                _ => return,
            }
            let Some(busy) = self.busy.as_mut() else { return };
            let item = busy.mailbox.pop_front().expect("there is a front");
            let state = self.state.as_ref().filter(|_| !item.call.activates_only);
            let payload = state.map_or_else(Payload::default, payload_of);
            let reply = Reply { payload, revision: self.revision, durable: false, next: None };
            self.last_used = env.now;
            self.settle(env, item, Ok(reply), (false, Vec::new()), fx);
        }
    }
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
