//! The output gate: what is handed to the commit writer, and what its verdicts release.

use bytes::Bytes;
use callboard_statestore::{ActorCommit, ActorRecord, OutboxInsert};
use callboard_types::{ActorId, Durability, Millis, Revision, Tick};

use super::{Activation, Deliver, Effect, Env, Phase, Queued, Settled, Work, accepted};
use crate::deliveries::{
    CallItem, Item,
    letter::Origin,
    machine::Dead,
    verdict::{self, Fate},
};

/// Turns of one actor that are to be committed together.
#[derive(Debug)]
pub struct CommitUnit {
    /// The row and what goes with it.
    pub commit: ActorCommit,
    /// Goes back to [`Activation::on_committed`].
    pub up_to: u64,
    /// Accepted calls that were given up; their letters belong into the commit.
    pub given_up: Vec<Dead>,
}

impl Settled {
    /// What operators are to see of it: an accepted call that its action never ended. Nobody may be waiting for its outcome.
    fn given_up(&self, target: &ActorId) -> Option<Dead> {
        let accepted = self.item.sequence.is_some();
        let error = self.outcome.as_ref().err()?;
        if !accepted || verdict::of(&self.outcome) != Fate::Dead {
            return None;
        }
        let call = &self.item.call;
        let caller = call.lineage.as_ref().and_then(|lineage| lineage.caller.clone());
        let origin = if caller.is_some() { Origin::Actor } else { Origin::Outside };
        let item = CallItem {
            target: target.clone(),
            action: call.action.clone(),
            argument: call.argument.clone(),
            request_id: call.request_id.clone(),
            created_at: call.created_at,
            metadata: call.metadata.clone(),
            hops: call.hops.as_deref().cloned().unwrap_or_default(),
            chain: Vec::new(),
        };
        Some(Dead {
            source: caller.unwrap_or_else(|| target.clone()),
            item: Item::Call(Box::new(item)).encode(),
            due_at: Millis(0),
            error: error.clone(),
            attempts: self.item.attempts,
            origin,
        })
    }
}

impl Activation {
    /// Makes one commit of everything that was settled since the last one. The worker calls it once
    /// per batch of inputs, so that turns that were answered together are committed together. Rows of the outbox get their
    /// places from `next_row`.
    pub fn take_commit(
        &mut self,
        env: Env<'_>,
        id: impl FnOnce() -> ActorId,
        shard: u32,
        next_row: &mut u64,
    ) -> Option<CommitUnit> {
        let fresh = || self.fresh();
        let clears = !self.stale_rows.is_empty() || self.outcomes.is_save_due();
        let clears_rows = clears && self.phase == Phase::Active;
        if !clears_rows && !self.wants_commit() {
            return None;
        }
        let up_to = fresh().next().map_or(self.submitted_count, |last| last.number);
        let mut inbox_done: Vec<u64> = fresh().filter_map(|s| s.item.sequence).collect();
        let id = id();
        let given_up = fresh().filter_map(|settled| settled.given_up(&id)).collect();
        inbox_done.append(&mut self.stale_rows);
        let previous = self.submitted;
        let outbox = self.outbox_rows(next_row);
        self.submitted = self.revision;
        self.submitted_count = up_to;
        self.outcomes.prune(env.low_water, env.wall);
        if env.definition.durability == Durability::Snapshot {
            // The row has everything.
            self.save_at = Tick::NEVER;
        }
        let forget = self.take_forget(env);
        let commit = ActorCommit {
            id,
            shard,
            epoch: env.epoch,
            previous,
            record: self.record(env),
            spill: self.outcomes.take_spill(up_to),
            inbox_done,
            outbox,
            // The worker names them.
            letters: Vec::new(),
            history: std::mem::take(&mut self.past),
            forget,
        };
        self.outcomes.row_taken();
        Some(CommitUnit { commit, up_to, given_up })
    }

    /// True if something was settled since the last commit that the next one is to hold, or marks are to leave the row.
    #[must_use]
    pub fn wants_commit(&self) -> bool {
        let saves = self.phase == Phase::Active && self.outcomes.is_save_due();
        saves || self.fresh().any(|settled| settled.undurable)
    }

    /// What was settled since the last commit, the newest first.
    fn fresh(&self) -> impl Iterator<Item = &Settled> {
        let settled = self.busy.iter().flat_map(|busy| busy.settled.iter().rev());
        settled.take_while(|settled| settled.number > self.submitted_count)
    }

    /// The rows of what was settled since the last commit.
    fn outbox_rows(&mut self, next_row: &mut u64) -> Vec<OutboxInsert> {
        let mut rows = Vec::new();
        let submitted = self.submitted_count;
        let settled = self.busy.iter_mut().flat_map(|busy| busy.settled.iter_mut());
        for turn in settled.filter(|turn| turn.number > submitted && !turn.outputs.is_empty()) {
            turn.first_sequence = *next_row;
            for output in &turn.outputs {
                let (due_at, item) = (output.due_at, output.item.encode());
                rows.push(OutboxInsert { sequence: *next_row, due_at, item });
                *next_row += 1;
            }
        }
        rows
    }

    fn record(&self, env: Env<'_>) -> ActorRecord {
        ActorRecord {
            revision: self.revision,
            state: self.state.clone(),
            tags: self.tags.clone(),
            outcomes: self.outcomes.encode_row(),
            spilled_until: self.outcomes.spilled_until(),
            updated_at: env.wall,
            deleted: self.is_deleted(),
        }
    }

    /// Snapshot types: makes a save if one is due, or, if `now` says so, if there is anything new.
    pub fn take_snapshot(
        &mut self,
        env: Env<'_>,
        id: impl FnOnce() -> ActorId,
        shard: u32,
        now: bool,
    ) -> Option<ActorCommit> {
        let due = self.save_at <= env.now || (now && self.save_at != Tick::NEVER);
        if env.definition.durability != Durability::Snapshot || self.saving || !due {
            return None;
        }
        self.save_at = Tick::NEVER;
        self.saving = true;
        let previous = self.submitted;
        self.submitted = self.revision;
        Some(ActorCommit {
            id: id(),
            shard,
            epoch: env.epoch,
            previous,
            record: self.record(env),
            spill: Vec::new(),
            inbox_done: Vec::new(),
            outbox: Vec::new(),
            letters: Vec::new(),
            history: Vec::new(),
            forget: None,
        })
    }

    /// Snapshot types: the save is durable.
    pub fn on_snapshot_saved(&mut self, env: Env<'_>, fx: &mut Vec<Effect>) {
        self.saving = false;
        self.rest(env, fx);
    }

    /// True if a state of a snapshot type has not been saved yet.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        self.saving || self.save_at != Tick::NEVER
    }

    /// Everything up to the number is durable: the gate opens.
    pub fn on_committed(&mut self, env: Env<'_>, up_to: u64, fx: &mut Vec<Effect>) {
        self.outcomes.confirm(up_to);
        let Some(busy) = self.busy.as_mut() else {
            return;
        };
        for settled in busy.settled.iter_mut().take_while(|settled| settled.number <= up_to) {
            settled.undurable = false;
        }
        while let Some(busy) = self.busy.as_mut()
            && busy.settled.front().is_some_and(|settled| !settled.undurable)
        {
            let settled = busy.settled.pop_front().expect("there is a front");
            if !settled.outputs.is_empty() {
                let first_sequence = (settled.first_sequence > 0).then_some(settled.first_sequence);
                let outputs = settled.outputs;
                fx.push(Effect::Deliver(Box::new(Deliver { first_sequence, outputs })));
            }
            self.finish(env, settled.item, &settled.outcome, fx);
        }
        if let Some(busy) = self.busy.as_mut().filter(|busy| busy.settled.is_empty()) {
            fx.extend(busy.parked.drain(..).map(|call| Effect::Route(Box::new(call))));
        }
        self.rest(env, fx);
    }

    /// The inbox row of an accepted call is durable: its caller may be told.
    pub fn on_accepted(&mut self, sequence: u64, fx: &mut Vec<Effect>) {
        let Some(busy) = self.busy.as_mut() else {
            return;
        };
        let Some(item) = busy.items_mut().find(|item| item.sequence == Some(sequence)) else {
            return;
        };
        item.row_durable = true;
        for (to, _) in item.acceptance.drain(..) {
            fx.push(Effect::Answer { to, outcome: Ok(accepted(true)) });
        }
    }

    /// Nobody knows whether the inbox row of an accepted call is there: it is written again under a new sequence. If
    /// both rows are there, the second is found to be a repetition when they are replayed.
    ///
    /// A call whose turn is on its way to the store needs no row any more: the commit takes the old one along and
    /// tells the caller, and nothing would ever take a new one along.
    pub fn on_acceptance_unknown(&mut self, sequence: u64, next: u64, fx: &mut Vec<Effect>) {
        let submitted = self.submitted_count;
        let Some(busy) = self.busy.as_mut() else {
            return;
        };
        let mut on_their_way = busy.settled.iter().take_while(|turn| turn.number <= submitted);
        if on_their_way.any(|turn| turn.item.sequence == Some(sequence)) {
            return;
        }
        if let Some(item) = busy.items_mut().find(|item| item.sequence == Some(sequence)) {
            item.sequence = Some(next);
            item.row_durable = false;
            item.row_held_back = true;
            item.write_row(fx);
            self.stale_rows.push(sequence);
        }
    }

    /// Starts over from the store: commits of this activation were discarded, or nobody knows
    /// whether they happened. Every call that has not been answered waits in the mailbox again, in
    /// its old order, and is checked against the row once it is loaded.
    pub fn restart(&mut self, env: Env<'_>, fx: &mut Vec<Effect>) {
        self.abandon_run(fx);
        if let Some(busy) = self.busy.as_mut() {
            let again: Vec<Queued> = busy.settled.drain(..).map(|settled| settled.item).collect();
            // What a timer did is no call: whatever became of it stands.
            let calls = |item: &Queued| item.work != Work::Init && item.timer.is_none();
            for mut item in again.into_iter().rev().filter(calls) {
                // A host answered it: what the store did is no fault of the turn.
                item.attempts = item.attempts.saturating_sub(1);
                item.call.begun = true;
                busy.mailbox.push_front(item);
            }
        }
        self.phase = Phase::Loading;
        self.revision = Revision::ZERO;
        self.submitted = Revision::ZERO;
        self.submitted_count = self.settled_count;
        self.state = None;
        self.tags = Bytes::new();
        self.outcomes = Default::default();
        self.init_due = env.definition.init_action().is_some();
        self.save_at = Tick::NEVER;
        self.saving = false;
        self.timers = Box::default();
        self.deleted_at = Revision::ZERO;
        self.past = Vec::new();
        self.forget_below = Revision::ZERO;
    }

    /// Frees what only a busy actor needs, and sets the clock for its idle timeout.
    pub(super) fn rest(&mut self, env: Env<'_>, fx: &mut Vec<Effect>) {
        if self.phase == Phase::Active && !self.is_busy() {
            self.busy = None;
            self.outcomes.shrink();
            self.arm(self.last_used.plus_millis(env.definition.idle_timeout_ms), fx);
        }
    }
}
