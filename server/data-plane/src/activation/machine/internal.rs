//! Callboard's own actions, whose names begin with `$`: they run here, without a host.

use callboard_types::{CallError, Durability, ErrorKind, Millis, Tick, limits};

use super::{Activation, Admission, Effect, Env, Queued, accepted, refuse, tell, unknown_action};
use crate::{
    activation::{
        outcome::{Known, StoredOutcome},
        remembered::REMEMBERED_MS,
    },
    call::{Call, Outcome, ReplyTo, drawn_at},
    deliveries::confirm::{self, CONFIRM_ACTION, Confirmed},
};

/// The internal action that waits for the outcome of the call whose request id is its own.
pub const OUTCOME_ACTION: &str = "$outcome";

/// Somebody who waits for the outcome of a call that has not come, or whose outcome the store is asked for.
#[derive(Debug)]
pub(super) struct Wait {
    /// The `$outcome` call.
    pub(super) call: Call,
    /// True while the store is asked.
    pub(super) asking: bool,
}

impl Activation {
    /// Takes a call whose action begins with `$`.
    pub(super) fn on_internal(
        &mut self,
        env: Env<'_>,
        call: Call,
        fx: &mut Vec<Effect>,
    ) -> Admission {
        match call.action.as_str() {
            CONFIRM_ACTION => {
                for confirmed in confirm::read(&call.argument.data) {
                    self.confirm(env, &confirmed);
                }
                fx.push(Effect::Answer { to: call.reply_to, outcome: Ok(accepted(false)) });
                Admission::Taken
            }
            OUTCOME_ACTION => self.on_outcome_asked(env, call, fx),
            _ => {
                let error = unknown_action(env.definition, &call.action);
                refuse(call.reply_to, error, fx)
            }
        }
    }

    /// The sender of a delivery has let its row go. Leaves nothing to commit: the mark goes with the next commit, which is
    /// made for it before the actor leaves memory.
    pub fn confirm(&mut self, env: Env<'_>, confirmed: &Confirmed) {
        let Confirmed { request_id, restamped } = confirmed;
        self.outcomes.confirm_delivery(request_id, *restamped, env.wall);
        if !restamped {
            self.unflag_accepted(request_id);
        }
    }

    /// The sender of a delivery waited for its acceptance only, and has confirmed it before it ended: no mark is to be left
    /// for it, since nobody would confirm that. Late attempts with other creation times need one.
    fn unflag_accepted(&mut self, request_id: &str) {
        let items = self.busy.iter_mut().flat_map(|busy| busy.items_mut());
        for item in items.filter(|item| item.call.asynchronous && item.call.delivery) {
            item.call.delivery &= item.call.request_id != request_id;
        }
    }

    /// A delivery was made by this node's own worker, and will not be made again.
    pub fn confirm_delivery(&mut self, env: Env<'_>, request_id: &str) {
        self.outcomes.confirm_delivery(request_id, false, env.wall);
    }

    /// Answers from what is known, joins the call in flight, or waits for it, at most until the deadline.
    fn on_outcome_asked(&mut self, env: Env<'_>, call: Call, fx: &mut Vec<Effect>) -> Admission {
        self.last_used = env.now;
        let waits = self.busy.as_ref().map_or(0, |busy| busy.waits.len());
        if waits >= env.definition.mailbox_limit as usize {
            let text = "as many callers wait for ends of chains at this actor as may. Retry with the same request id";
            let error = CallError::new(ErrorKind::MailboxFull, text).retry_after(50);
            return refuse(call.reply_to, error.with("limit", env.definition.mailbox_limit), fx);
        }
        self.wait_for_outcome(env, call, fx);
        Admission::Taken
    }

    /// Looks for the outcome, once the row is there.
    pub(super) fn wait_for_outcome(&mut self, env: Env<'_>, call: Call, fx: &mut Vec<Effect>) {
        let id = &call.request_id;
        let same = |item: &&mut Queued| item.call.delivery && item.call.request_id == *id;
        let in_flight = self.busy.as_mut().and_then(|busy| busy.items_mut().find(same));
        if let Some(item) = in_flight {
            let deadline = call.deadline;
            item.askers.push((call.reply_to, deadline));
            return self.arm(deadline, fx);
        }
        let remembered = self.remembered.as_ref().and_then(|ends| ends.find(id)).cloned();
        if let Some(outcome) = remembered {
            return tell(call.reply_to, call.deadline, outcome, fx);
        }
        if self.is_loading() {
            return self.keep_waiting(call, false, fx);
        }
        let drawn = drawn_at(id);
        match self.outcomes.find(id, drawn) {
            Known::Here(found) => {
                let outcome = found.to_outcome();
                tell(call.reply_to, call.deadline, outcome, fx);
            }
            Known::AskStore => self.ask_for_outcome(call, drawn, fx),
            Known::Marked(mark) => self.ask_for_outcome(call, mark.created_at, fx),
            Known::New if self.is_forgotten(env, id) => {
                refuse(call.reply_to, not_kept(), fx);
            }
            Known::New => self.keep_waiting(call, false, fx),
        }
    }

    /// True if a call that was made so long ago would not be remembered any more.
    fn is_forgotten(&self, env: Env<'_>, request_id: &str) -> bool {
        let drawn = drawn_at(request_id);
        let kept_for = match env.definition.durability {
            Durability::Durable => limits::OUTCOME_WINDOW_MS,
            Durability::Snapshot | Durability::Volatile => {
                i64::try_from(REMEMBERED_MS).unwrap_or(i64::MAX)
            }
        };
        drawn.0 > 0 && drawn.plus(kept_for) < env.wall
    }

    fn ask_for_outcome(&mut self, call: Call, created_at: Millis, fx: &mut Vec<Effect>) {
        fx.push(Effect::LookUp { request_id: call.request_id.clone(), created_at });
        self.keep_waiting(call, true, fx);
    }

    pub(super) fn keep_waiting(&mut self, call: Call, asking: bool, fx: &mut Vec<Effect>) {
        self.arm(call.deadline, fx);
        self.busy_mut().waits.push(Wait { call, asking });
    }

    /// The row is there: those who came before it are looked after.
    pub(super) fn review_waits(&mut self, env: Env<'_>, fx: &mut Vec<Effect>) {
        let Some(busy) = self.busy.as_mut() else { return };
        for wait in std::mem::take(&mut busy.waits) {
            self.wait_for_outcome(env, wait.call, fx);
        }
    }

    /// The store's answer about an outcome that somebody waits for.
    pub(super) fn on_outcome_found(
        &mut self,
        env: Env<'_>,
        request_id: &str,
        found: &Result<Option<StoredOutcome>, String>,
        fx: &mut Vec<Effect>,
    ) {
        let Some(busy) = self.busy.as_mut().filter(|busy| !busy.waits.is_empty()) else { return };
        let asked = |wait: &mut Wait| wait.asking && wait.call.request_id == request_id;
        let waits: Vec<Wait> = busy.waits.extract_if(.., asked).collect();
        for Wait { mut call, .. } in waits {
            match found {
                Ok(Some(found)) => tell(call.reply_to, call.deadline, found.to_outcome(), fx),
                Ok(None) => {
                    let ran = matches!(
                        self.outcomes.find(request_id, drawn_at(request_id)),
                        Known::Marked(_)
                    );
                    if ran || self.is_forgotten(env, request_id) {
                        refuse(call.reply_to, not_kept(), fx);
                    } else {
                        // It has not come yet. Asked once is enough: when it comes, those who wait join it.
                        call.begun = true;
                        self.keep_waiting(call, false, fx);
                    }
                }
                Err(error) => {
                    let text = format!("stored outcomes of the actor cannot be read: {error}");
                    refuse(call.reply_to, CallError::new(ErrorKind::Internal, text), fx);
                }
            }
        }
    }

    /// Those who waited for a call that comes now, as (who, until when).
    pub(super) fn waiters_of(&mut self, call: &Call) -> Vec<(ReplyTo, Tick)> {
        let Some(busy) = self.busy.as_mut().filter(|busy| !busy.waits.is_empty()) else {
            return Vec::new();
        };
        let id = &call.request_id;
        let waited = busy.waits.extract_if(.., |wait| call.delivery && wait.call.request_id == *id);
        waited.map(|wait| (wait.call.reply_to, wait.call.deadline)).collect()
    }

    /// A delivery ended here without a stored outcome, for good: those who wait for it, now or soon, hear how.
    pub(super) fn remember(
        &mut self,
        env: Env<'_>,
        call: &Call,
        outcome: &Outcome,
        fx: &mut Vec<Effect>,
    ) {
        for (to, deadline) in self.waiters_of(call) {
            tell(to, deadline, outcome.clone(), fx);
        }
        let ends = self.remembered.get_or_insert_with(Box::default);
        ends.add(&call.request_id, outcome, env.now);
    }
}

fn not_kept() -> CallError {
    CallError::new(
        ErrorKind::OutcomeNotKept,
        "the call was passed on to an actor that does not keep its outcome any more; it was applied, or will be, and is never \
         run again for this. Read the actor's state to see what came of it",
    )
}
