//! How calls leave an activation without an answer: its shard moves, or its epoch is over.
//!
//! Nothing here decides what became of a call. A turn whose commit is under way may be durable or not; the call goes
//! back with its request id, and whoever serves the actor next finds the outcome or runs it.

use callboard_types::{Tick, limits};

use super::{Activation, Effect, Queued, Work};
use crate::{
    call::{Call, ReplyTo},
    deliveries::outcome_call,
};

impl Activation {
    /// The epoch is over: every call goes back, whatever became of it so far. The activation is gone afterwards.
    pub fn hand_back_all(&mut self, now: Tick, fx: &mut Vec<Effect>) {
        let Some(busy) = self.busy.take() else { return };
        let session = busy.session;
        let turns = busy.run.iter().map(|running| running.turn_id);
        fx.extend(turns.map(|turn_id| Effect::CancelTurn { session, turn_id }));
        let items = (busy.settled.into_iter().map(|settled| settled.item))
            .chain(busy.run.into_iter().map(|running| running.item))
            .chain(busy.mailbox);
        for item in items {
            hand_back(item, now, fx);
        }
        fx.extend(busy.waits.into_iter().map(|wait| Effect::HandBack(Box::new(wait.call))));
    }

    /// The shard is about to move: calls that wait go back, those that run or wait for their commit stay. So do calls
    /// whose row is on its way, until it is known to be there: then the row moves by itself.
    pub fn hand_back_waiting(&mut self, now: Tick, fx: &mut Vec<Effect>) {
        let Some(busy) = self.busy.as_mut() else { return };
        let waits = busy.waits.drain(..);
        fx.extend(waits.map(|wait| Effect::HandBack(Box::new(wait.call))));
        for item in std::mem::take(&mut busy.mailbox) {
            if item.row_is_under_way() {
                busy.mailbox.push_back(item);
            } else {
                hand_back(item, now, fx);
            }
        }
    }

    /// Running turns have had their time: they are cancelled at their host, and their calls go back.
    pub fn abandon_turns(&mut self, now: Tick, fx: &mut Vec<Effect>) {
        self.abandon_run(fx);
        self.hand_back_waiting(now, fx);
    }

    /// True if nothing of the activation would be missed by the next owner of its shard.
    #[must_use]
    pub fn may_leave(&self) -> bool {
        !self.is_busy() && !self.is_dirty()
    }
}

impl Queued {
    /// True from the moment an accepted call's row is handed out until it is durable.
    fn row_is_under_way(&self) -> bool {
        self.sequence.is_some() && !self.row_held_back && !self.row_durable
    }
}

/// Gives a call back, once per waiter. An accepted call whose row is written stays behind: the row is enough.
fn hand_back(item: Queued, now: Tick, fx: &mut Vec<Effect>) {
    let unasked = matches!(item.work, Work::Tool(_)) && item.call.asynchronous;
    if item.work == Work::Init || item.timer.is_some() || unasked {
        return;
    }
    let begun = item.is_begun();
    let mut give_back = |call| fx.push(Effect::HandBack(Box::new(call)));
    let mut call = Call { begun, ..item.call };
    for (to, deadline) in item.askers {
        // Not as the delivery: whoever runs that later owes its end to its sender only.
        give_back(outcome_call(to, deadline, call.request_id.clone()));
    }
    for (to, deadline) in item.joined {
        let one = Call { asynchronous: false, ..again(&call, to, deadline) };
        give_back(one);
    }
    for (to, deadline) in item.acceptance {
        give_back(again(&call, to, deadline));
    }
    if matches!(call.reply_to, ReplyTo::Nobody) {
        // Accepted in memory only, so it is this node that must not forget it.
        if !call.asynchronous || item.sequence.is_some() {
            return;
        }
        call.deadline = now.plus_millis(limits::CALL_TIMEOUT_DEFAULT_MS);
    }
    give_back(call);
}

/// The same logical call for another waiter.
fn again(call: &Call, reply_to: ReplyTo, deadline: Tick) -> Call {
    Call {
        action: call.action.clone(),
        argument: call.argument.clone(),
        request_id: call.request_id.clone(),
        created_at: call.created_at,
        deadline,
        metadata: call.metadata.clone(),
        lineage: call.lineage.clone(),
        asynchronous: call.asynchronous,
        activates_only: call.activates_only,
        from_json: call.from_json,
        begun: call.begun,
        delivery: call.delivery,
        hops: call.hops.clone(),
        seat: None,
        reply_to,
    }
}
