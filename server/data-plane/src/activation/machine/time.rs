//! What time does to an activation: deadlines, turn timeouts, cancellation and the idle timeout.

use callboard_types::{CallError, ErrorKind, Tick};

use super::{Activation, Effect, Env, Queued, ReplyTo};

/// What the worker is to do after a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Go on.
    Stay,
    /// The actor was not called for its idle timeout: drop it.
    Evict,
}

/// How soon an actor that could not be dropped is looked at again, in milliseconds.
const IDLE_RECHECK_MS: u64 = 1_000;

impl Activation {
    /// Called at the time of an [`Effect::Wake`], or later. Asks for the next one.
    pub fn on_timer(&mut self, env: Env<'_>, fx: &mut Vec<Effect>) -> Timer {
        if self.armed > env.now {
            // Left over from an earlier request; the one that counts is still to come.
            return Timer::Stay;
        }
        self.armed = Tick::NEVER;
        if let Some(ends) = self.remembered.as_mut() {
            ends.prune(env.now);
            self.remembered = self.remembered.take().filter(|ends| !ends.is_empty());
        }
        self.expire_turn(env, fx);
        self.expire_calls(env, fx);
        self.fire_timers(env);
        // A save that is due is made at the end of the round.
        let save_at = if self.save_at > env.now { self.save_at } else { Tick::NEVER };
        let mut next = save_at.min(self.next_firing());
        if self.init_due && self.init_not_before > env.now {
            next = next.min(self.init_not_before);
        }
        if self.is_busy() || self.is_loading() {
            next = next.min(self.next_deadline(env));
        } else {
            self.rest(env, fx);
            let idle_at = self.last_used.plus_millis(env.definition.idle_timeout_ms);
            // Ends that are remembered are nowhere else.
            let asked_for =
                env.kept || self.remembered.is_some() || self.outcomes.awaits_confirmation(env.now);
            let idle = idle_at <= env.now && !asked_for && !self.is_dirty();
            // Marks that were confirmed leave the row at the end of the round, and the actor at the next look.
            if idle && !self.outcomes.save_confirmed() {
                return Timer::Evict;
            }
            next = next.min(idle_at.max(env.now.plus_millis(IDLE_RECHECK_MS)));
        }
        if next != Tick::NEVER {
            self.arm(next, fx);
        }
        Timer::Stay
    }

    fn turn_ends(&self, env: Env<'_>) -> Tick {
        let busy = self.busy.as_ref().filter(|busy| !busy.run.is_empty());
        busy.map_or(Tick::NEVER, |busy| busy.head_since.plus_millis(env.definition.turn_timeout_ms))
    }

    fn expire_turn(&mut self, env: Env<'_>, fx: &mut Vec<Effect>) {
        if self.turn_ends(env) <= env.now
            && let Some(session) = self.busy.as_ref().map(|busy| busy.session)
        {
            self.on_run_lost(env, session, fx);
        }
    }

    fn expire_calls(&mut self, env: Env<'_>, fx: &mut Vec<Effect>) {
        let Some(busy) = self.busy.as_mut() else { return };
        let waiting = if env.hosted { deadline("before the call was run") } else { no_host(env) };
        let begun = deadline("after the call was begun; it may still be applied");
        busy.mailbox.retain_mut(|item| {
            let why = if item.is_begun() { &begun } else { &waiting };
            expire_waiters(item, env.now, why, fx);
            item.is_wanted()
        });
        let session = busy.session;
        let running_late = deadline("while a host ran the call; it may still be applied");
        for running in &mut busy.run {
            let left = expire_waiters(&mut running.item, env.now, &running_late, fx);
            if left && !running.item.is_wanted() && !running.cancelled {
                running.cancelled = true;
                fx.push(Effect::CancelTurn { session, turn_id: running.turn_id });
            }
        }
        let unanswered = deadline(
            "before the actor that the call was passed on to had answered; it may still be applied",
        );
        let late = busy.waits.extract_if(.., |wait| wait.call.deadline <= env.now);
        fx.extend(late.map(|wait| Effect::Answer {
            to: wait.call.reply_to,
            outcome: Err(unanswered.clone()),
        }));
        let undurable = deadline("before the result was durable; it may still be applied");
        for settled in &mut busy.settled {
            expire_waiters(&mut settled.item, env.now, &undurable, fx);
        }
    }

    /// Callers that are gone: a stream's call that was cancelled, streams that closed, unary calls
    /// that were dropped. Waiting calls that nobody wants are forgotten, running ones cancelled.
    pub fn on_callers_gone(&mut self, gone: impl Fn(&ReplyTo) -> bool, fx: &mut Vec<Effect>) {
        let Some(busy) = self.busy.as_mut() else {
            return;
        };
        let unwanted = |item: &mut Queued, fx: &mut Vec<Effect>| {
            let wanted_before = item.is_wanted();
            let mut left = item.take_waiters(|(to, _)| gone(to));
            let waited = item.acceptance.extract_if(.., |(to, _)| gone(to));
            left.extend(waited.map(|(to, _)| to));
            if gone(&item.call.reply_to) {
                left.push(std::mem::replace(&mut item.call.reply_to, ReplyTo::Nobody));
            }
            for to in left {
                fx.push(Effect::Answer { to, outcome: Err(cancelled()) });
            }
            wanted_before && !item.is_wanted()
        };
        busy.mailbox.retain_mut(|item| !unwanted(item, fx));
        let session = busy.session;
        for running in &mut busy.run {
            if unwanted(&mut running.item, fx) && !running.cancelled {
                running.cancelled = true;
                fx.push(Effect::CancelTurn { session, turn_id: running.turn_id });
            }
        }
        for settled in &mut busy.settled {
            unwanted(&mut settled.item, fx);
        }
        let left = busy.waits.extract_if(.., |wait| gone(&wait.call.reply_to));
        fx.extend(
            left.map(|wait| Effect::Answer { to: wait.call.reply_to, outcome: Err(cancelled()) }),
        );
    }

    fn next_deadline(&self, env: Env<'_>) -> Tick {
        let Some(busy) = self.busy.as_ref() else {
            return Tick::NEVER;
        };
        let items = (busy.settled.iter().map(|settled| &settled.item))
            .chain(busy.run.iter().map(|running| &running.item))
            .chain(busy.mailbox.iter());
        let waits = busy.waits.iter().map(|wait| wait.call.deadline);
        let next = items.map(Queued::next_deadline).chain(waits).min();
        let paused = busy.paused_until(env.now).unwrap_or(Tick::NEVER);
        next.unwrap_or(Tick::NEVER).min(self.turn_ends(env)).min(paused)
    }
}

/// Answers those whose deadline has passed, and lets the call go on without them. True if there were any.
fn expire_waiters(item: &mut Queued, now: Tick, error: &CallError, fx: &mut Vec<Effect>) -> bool {
    let mut late = item.take_waiters(|(_, at)| *at <= now);
    if item.call.deadline <= now {
        item.call.deadline = Tick::NEVER;
        late.push(std::mem::replace(&mut item.call.reply_to, ReplyTo::Nobody));
    }
    let any = !late.is_empty();
    for (to, _) in item.acceptance.extract_if(.., |(_, at)| *at <= now) {
        let error = deadline("before the call was accepted durably; it may still be run");
        fx.push(Effect::Answer { to, outcome: Err(error) });
    }
    for to in late.into_iter().filter(|to| !matches!(to, ReplyTo::Nobody)) {
        fx.push(Effect::Answer { to, outcome: Err(error.clone()) });
    }
    any
}

fn deadline(when: &str) -> CallError {
    CallError::new(
        ErrorKind::DeadlineExceeded,
        format!("the deadline passed {when}. A retry with the same request id is safe"),
    )
}

/// The caller has gone, or said that it does not wait any longer.
pub(crate) fn cancelled() -> CallError {
    CallError::new(
        ErrorKind::Cancelled,
        "the caller gave up; if the call was running already it may still be applied",
    )
}

fn no_host(env: Env<'_>) -> CallError {
    CallError::new(
        ErrorKind::NoHost,
        format!(
            "no host of type {} is connected, and none came before the call's deadline; it was not run. \
             Start one, and retry",
            env.definition.name
        ),
    )
    .retry_after(1_000)
}
