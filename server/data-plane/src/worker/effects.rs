//! Carrying out what machines ask for, and what comes back from the store.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use callboard_statestore::{ActorRecord, InboxInsert, Verdict};
use callboard_types::{ActorId, CallError, ErrorKind};

use super::{RoutedCall, Slot, Worker, WriteVerdict, Written};
use crate::{
    activation::machine::{Effect, TurnCall},
    call::{Outcome, ReplyTo},
    store::{ReadJob, WriteJob},
};

impl Worker {
    pub(super) fn carry_out(&mut self, slot: Slot, effect: Effect) {
        match effect {
            Effect::Answer { to, outcome } => {
                self.metrics.answered(&outcome);
                self.answer(to, outcome);
            }
            Effect::HandBack(call) => self.hand_back(slot, *call),
            Effect::Leave => self.leave(slot),
            Effect::Wake(at) => self.timers.push(Reverse((at, slot))),
            Effect::LookUp { request_id, created_at } => {
                if let Some(id) = self.actor_id(slot) {
                    self.outbox.read(ReadJob::LookUp { slot, id, request_id, created_at });
                }
            }
            Effect::Accept { sequence, call } => {
                let Some(id) = self.actor_id(slot) else {
                    return;
                };
                let entry = self.table.get(slot).expect("it was there a line ago");
                let (type_id, shard) = (entry.type_id, entry.shard);
                let epoch = self.epoch_of((type_id, shard));
                let row = InboxInsert { id, shard, epoch, sequence, call };
                self.outbox.write(WriteJob::accept(slot, row));
            }
            Effect::CancelTurn { session, turn_id } => self.outbox.cancel_turn(session, turn_id),
            Effect::Route(call) => self.route(*call),
            Effect::Deliver(outputs) => self.deliver(slot, *outputs),
            Effect::Follow { to, deadline, link } => self.follow(to, deadline, *link),
        }
    }

    /// Sends on a call that a turn makes: to this worker, or to another one if that has room.
    pub(super) fn route(&mut self, turn_call: TurnCall) {
        let TurnCall { target, call } = turn_call;
        let actor_type = match self.catalog.require(&target.system, &target.actor_type) {
            Ok(found) => Arc::clone(found),
            Err(error) => return self.outbox.answer(call.reply_to, Err(error)),
        };
        match RoutedCall::aim(self.node, actor_type, &target.key, call) {
            Ok(routed) => self.send_on(routed),
            Err(refused) => self.outbox.answer(refused.0.reply_to, Err(refused.1)),
        }
    }

    /// Sends on a call of this node: to this worker, to another one if that has room, or into custody.
    pub(super) fn send_on(&mut self, routed: RoutedCall) {
        let view = &routed.actor_type.view;
        let worker = self.workers.of(view.id, routed.shard);
        let owner = view.shards.get(routed.shard as usize).map(|owner| owner.node);
        if worker == self.number {
            return self.local_calls.push_back(routed);
        }
        if owner != Some(self.node) {
            return self.send_elsewhere(routed);
        }
        let refused = self.workers.try_send(worker, super::Message::Calls(vec![routed]));
        if let Err(super::Message::Calls(calls)) = refused {
            for routed in calls {
                let error = CallError::new(
                    ErrorKind::MailboxFull,
                    "the worker that serves the actor is overloaded; the call was not run. Retry it",
                );
                self.outbox.answer(routed.call.reply_to, Err(error.retry_after(50)));
            }
        }
    }

    pub(super) fn actor_id(&self, slot: Slot) -> Option<ActorId> {
        let entry = self.table.get(slot)?;
        let view = &self.types[entry.type_id as usize].as_ref()?.runtime.view;
        Some(view.actor_id(&entry.key))
    }

    pub(super) fn load(&mut self, slot: Slot) {
        if let Some(id) = self.actor_id(slot) {
            self.outbox.read(ReadJob::Load { slot, id });
        }
    }

    pub(super) fn on_loaded(&mut self, rows: Vec<(Slot, Option<ActorRecord>)>) {
        for (slot, record) in rows {
            let loaded =
                self.step(slot, |activation, env, fx| activation.on_loaded(env, record, fx));
            if let Some(Err(error)) = loaded {
                // Serving the actor from a blank state would lose what is in the row.
                let error = CallError::new(
                    ErrorKind::Internal,
                    format!("the actor's row cannot be read and is left alone: {error}"),
                );
                tracing::error!(actor = ?self.actor_id(slot), %error, "unreadable actor row");
                self.fail(slot, &error);
            }
        }
    }

    /// Ends every call of an actor and drops it.
    pub(super) fn fail(&mut self, slot: Slot, error: &CallError) {
        self.step(slot, |activation, _, fx| activation.fail_all(error, fx));
        self.evict(slot);
    }

    /// Makes the commit of a touched activation, if it has one.
    pub(super) fn commit(&mut self, slot: Slot) {
        let times = self.times();
        let Some(entry) = self.table.get_mut(slot) else {
            return;
        };
        let Some(slot_type) = self.types[entry.type_id as usize].as_ref() else {
            return;
        };
        let key = &entry.key;
        let env = slot_type.env(times, entry.shard, key);
        let view = &slot_type.runtime.view;
        let id = || view.actor_id(key);
        let before = slot_type.shards[entry.shard as usize].next_row;
        let mut next_row = before;
        let place = (entry.type_id, entry.shard);
        let unit = entry.activation.take_commit(env, id, entry.shard, &mut next_row);
        if let Some(mut unit) = unit {
            for dead in unit.given_up {
                self.metrics.call_given_up();
                unit.commit.letters.push(self.dead_letter(dead));
            }
            self.outbox.write(WriteJob::turns(slot, unit.up_to, unit.commit));
        }
        if next_row != before
            && let Some(shard) = self.shard_mut(place)
        {
            shard.next_row = next_row;
        }
        self.snapshot(slot, false);
    }

    /// Makes the save of a snapshot actor, if one is due.
    pub(super) fn snapshot(&mut self, slot: Slot, at_once: bool) {
        let times = self.times();
        let Some(entry) = self.table.get_mut(slot) else {
            return;
        };
        let Some(slot_type) = self.types[entry.type_id as usize].as_ref() else {
            return;
        };
        let key = &entry.key;
        let env = slot_type.env(times, entry.shard, key);
        let view = &slot_type.runtime.view;
        let id = || view.actor_id(key);
        if let Some(commit) = entry.activation.take_snapshot(env, id, entry.shard, at_once) {
            self.outbox.write(WriteJob::snapshot(slot, commit));
        }
    }

    pub(super) fn on_written(&mut self, verdicts: Vec<WriteVerdict>) {
        let mut lost = BTreeMap::new();
        for WriteVerdict { slot, what, verdict } in verdicts {
            if let Written::Delivered(ticket) = what {
                self.on_row_ended(ticket, verdict);
                continue;
            }
            if let Written::Broadcast(ticket) = what {
                lost.extend(self.on_broadcast_written(ticket, verdict));
                continue;
            }
            match verdict {
                Some(Verdict::Committed) => {
                    self.step(slot, |activation, env, fx| match what {
                        Written::Turns(up_to) => activation.on_committed(env, up_to, fx),
                        Written::Accepted(sequence) => activation.on_accepted(sequence, fx),
                        Written::Snapshot => activation.on_snapshot_saved(env, fx),
                        Written::Delivered(_) | Written::Broadcast(_) => {}
                    });
                }
                Some(Verdict::FenceLost { stored }) => {
                    self.outbox.write(WriteJob::started_over(slot));
                    if let Some(entry) = self.table.get(slot) {
                        lost.insert((entry.type_id, entry.shard), stored);
                    }
                }
                None if let Written::Accepted(sequence) = what => {
                    let next = self.next_sequence(slot);
                    self.step(slot, |activation, _, fx| {
                        activation.on_acceptance_unknown(sequence, next, fx);
                    });
                }
                Some(Verdict::RevisionMismatch { .. }) | None => {
                    self.outbox.write(WriteJob::started_over(slot));
                    self.doubt_outbox(slot);
                    self.restart(slot);
                }
            }
        }
        for (place, stored) in lost {
            self.on_shard_lost(place, stored);
        }
    }

    /// The store disagrees with the activation, or nobody knows whether it does: start over from the row.
    fn restart(&mut self, slot: Slot) {
        let loading = self.table.get(slot).is_some_and(|entry| entry.activation.is_loading());
        if loading {
            return;
        }
        tracing::warn!(actor = ?self.actor_id(slot), "commit discarded, the actor is loaded again");
        self.step(slot, |activation, env, fx| activation.restart(env, fx));
        self.load(slot);
    }

    pub(super) fn answer_now(&mut self, to: ReplyTo, outcome: Outcome) {
        self.answer(to, outcome);
    }
}
