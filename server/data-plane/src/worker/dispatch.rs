//! Handing turns to hosts, and taking their answers.

use std::sync::Arc;

use callboard_proto::{
    host::v1::{NodeFrame, Turn, TurnRun, node_frame::Frame, turn_run},
    types::v1 as pb,
};
use callboard_types::{
    ActorId, CallError, ErrorKind, Kind, Millis, SessionId, Tick, TypeDefinition, limits,
    shard::key_hash,
};

use super::{
    SessionCall, Slot, Worker,
    types::{Offer, Reserved, Standing, TypeSlot},
};
use crate::{
    activation::machine::{Answered, TurnCall, TurnEnd, TurnView},
    call::{Call, Lineage, ReplyTo},
    grpc::convert,
    session::SessionLink,
};

impl Worker {
    /// Hands an activation's ready turns to a session, or puts it in the queue for one. False if no session had credit.
    pub(super) fn dispatch(&mut self, slot: Slot) -> bool {
        if !self.leased || self.outbox.writer_is_full() {
            self.queue(slot);
            return false;
        }
        let ready = self.step_aside(slot, |activation, env, fx| activation.turns_ready(env, fx));
        if self.table.get(slot).is_some_and(|entry| entry.activation.wants_commit()) {
            // A tool needed no host and changed the actor after the round's commit was made.
            self.commit(slot);
        }
        let Some(ready) = ready.filter(|ready| *ready > 0) else { return true };
        let entry = self.table.get(slot).expect("it took a step");
        let Some(slot_type) = self.types[entry.type_id as usize].as_ref() else { return true };
        if slot_type.shards[entry.shard as usize].moving {
            return true;
        }
        // A result carries the state after its turn, so a big state makes runs short.
        let state_bytes = entry.activation.state().0.map_or(0, |state| state.data.len());
        let by_size = (limits::PAYLOAD_BYTES_MAX / state_bytes.max(1)).max(1);
        let init = slot_type.runtime.definition.init_action();
        let action = entry.activation.next_action().or(init).unwrap_or_default();
        let found = match slot_type.reserve(action, to_u32(ready.min(by_size))) {
            Ok(found) => found,
            Err(full) => {
                self.queue(slot);
                return !full;
            }
        };
        let Reserved { link, credits, only } = found;
        let most = only.map_or(credits as usize, |definition| {
            let able = |action: &str| definition.actions.contains_key(action);
            entry.activation.able_prefix(able).clamp(1, credits as usize)
        });
        let (number, place) = (self.number as u64, u64::from(slot.index));
        let mut count = self.turn_count;
        let session = link.id;
        let taken = self.step_aside(slot, |activation, env, fx| {
            let draw = || {
                count = count.wrapping_add(1);
                u64::from(count) << 32 | place << 8 | number
            };
            activation.take_run(env, session, most, draw, fx)
        });
        self.turn_count = count;
        let taken = to_u32(taken.unwrap_or(0));
        link.release(credits - taken);
        if taken > 0 {
            self.send_run(slot, &link);
        }
        true
    }

    fn queue(&mut self, slot: Slot) {
        let Some(entry) = self.table.get_mut(slot).filter(|entry| !entry.queued) else {
            return;
        };
        if let Some(slot_type) = self.types[entry.type_id as usize].as_mut() {
            entry.queued = true;
            slot_type.waiting.push_back(slot);
            self.starved.insert(entry.type_id);
        }
    }

    fn send_run(&mut self, slot: Slot, link: &Arc<SessionLink>) {
        let entry = self.table.get(slot).expect("it took a run");
        let Some(slot_type) = self.types[entry.type_id as usize].as_ref() else {
            return;
        };
        let view = &slot_type.runtime.view;
        let (state, tags) = entry.activation.state();
        let timeout_ms = slot_type.runtime.definition.turn_timeout_ms;
        let run = TurnRun {
            actor: Some(pb::ActorId {
                system: view.system.to_string(),
                r#type: view.name.to_string(),
                key: entry.key.to_string(),
            }),
            activation_id: u64::from(slot.generation) << 32 | u64::from(slot.index),
            epoch: slot_type.epoch(entry.shard).0,
            state: state.map(|state| turn_run::State::StateFull(convert::state_to_proto(state))),
            tags: convert::tags_to_proto(tags),
            turns: entry.activation.run().map(|turn| self.turn_frame(&turn, timeout_ms)).collect(),
        };
        self.metrics.dispatched(run.turns.len(), entry.activation.head_wait_micros());
        self.outbox.frame(link, NodeFrame { frame: Some(Frame::Run(run)) });
    }

    fn turn_frame(&self, turn: &TurnView<'_>, limit_ms: u64) -> Turn {
        let call = turn.call;
        let left = turn.deadline.millis_after(self.now).min(limit_ms);
        let lineage = call.lineage.as_ref();
        Turn {
            turn_id: turn.turn_id,
            action: call.action.clone(),
            payload: convert::payload_to_proto(call.argument.clone()),
            request_id: call.request_id.clone(),
            created_at_ms: call.created_at.0,
            attempt: turn.attempt,
            timeout_ms: u32::try_from(left).unwrap_or(u32::MAX),
            caller: lineage.and_then(|l| l.caller.as_ref()).map(convert::actor_id_to_proto),
            metadata: call.metadata.clone(),
            chain: lineage
                .map(|l| l.chain.iter().map(convert::actor_id_to_proto).collect())
                .unwrap_or_default(),
            revision: turn.revision,
            read_only: turn.read_only,
        }
    }

    /// A session may have got free: lets the activations that wait for one be tried at the end of the round. There may be
    /// very many types; only those that are short of credit are looked at.
    pub(super) fn retry_starved(&mut self) {
        for at in &self.starved {
            if let Some(slot_type) = self.types[*at as usize].as_mut() {
                slot_type.retry();
            }
        }
    }

    /// Tries activations that wait for credit, as long as there is some.
    pub(super) fn dispatch_waiting(&mut self) {
        if self.starved.is_empty() {
            return;
        }
        for type_id in self.starved.iter().copied().collect::<Vec<_>>() {
            self.dispatch_waiting_of(type_id);
            let slot_type = self.types[type_id as usize].as_ref();
            if slot_type.is_none_or(|slot_type| slot_type.waiting.is_empty()) {
                self.starved.remove(&type_id);
            }
        }
    }

    fn dispatch_waiting_of(&mut self, type_id: u32) {
        let at = type_id as usize;
        let Some(slot_type) = self.types[at].as_mut().filter(|slot_type| slot_type.retry) else {
            return;
        };
        slot_type.retry = false;
        for _ in 0..slot_type.waiting.len() {
            let Some(slot) = self.types[at].as_mut().and_then(|of| of.waiting.pop_front()) else {
                break;
            };
            if let Some(entry) = self.table.get_mut(slot) {
                entry.queued = false;
            }
            if !self.dispatch(slot) {
                // Nobody has credit: the rest would fare no better.
                break;
            }
        }
    }

    pub(super) fn on_results(&mut self, session: &Arc<SessionLink>, results: Vec<(u64, TurnEnd)>) {
        for (turn_id, end) in results {
            let place = u32::try_from(turn_id >> 8 & 0xff_ffff).expect("24 bits fit");
            let slot = self.table.at_place(place);
            let answered = slot.and_then(|slot| {
                self.step(slot, |activation, env, fx| {
                    let micros = activation.head_micros(env.now);
                    (activation.on_result(env, session.id, turn_id, end, fx), micros)
                })
            });
            match answered {
                Some((Answered::Taken, micros)) => self.metrics.host_answered(micros),
                Some((Answered::Stale, _)) | None => self.metrics.stale_result(),
                Some((Answered::OutOfOrder, _)) => {
                    tracing::warn!(session = %session.id, "a host answered turns out of order");
                    session.close();
                }
            }
        }
        // The session has credit again, for whichever of its types.
        for at in &self.starved {
            let slot_type = self.types[*at as usize].as_mut();
            if let Some(slot_type) = slot_type.filter(|of| of.offers_of(session.id)) {
                slot_type.retry();
            }
        }
    }

    pub(super) fn on_offered(
        &mut self,
        session: &Arc<SessionLink>,
        offered: &[(u32, Arc<TypeDefinition>)],
    ) {
        for (type_id, definition) in offered {
            let Some(slot_type) = self.types.get_mut(*type_id as usize).and_then(Option::as_mut)
            else {
                continue;
            };
            slot_type.offers.retain(|offer| offer.link.id != session.id);
            slot_type.offers.push(Offer {
                link: Arc::clone(session),
                definition: Arc::clone(definition),
                differs: false,
            });
            slot_type.compare_offers();
            slot_type.retry();
            self.sender.machine.kick();
            self.outbox.know(session);
            self.claim_type(*type_id);
        }
    }

    pub(super) fn on_session_closed(&mut self, session: SessionId) {
        for slot_type in self.types.iter_mut().flatten() {
            slot_type.offers.retain(|offer| offer.link.id != session);
        }
        for slot in self.busy_slots() {
            self.step(slot, |activation, env, fx| {
                activation.on_run_lost(env, session, fx);
            });
        }
        self.outbox.forget(session);
        self.callers_gone = true;
    }

    // === calls made inside turns ===

    pub(super) fn on_session_call(&mut self, session: &Arc<SessionLink>, made: SessionCall) {
        let place = u32::try_from(made.turn_id >> 8 & 0xff_ffff).expect("24 bits fit");
        let to = ReplyTo::Turn {
            session: Arc::clone(session),
            turn_id: made.turn_id,
            call_index: made.call_index,
        };
        let turn_id = made.turn_id;
        let made = self.table.at_place(place).and_then(|slot| {
            let own = self.actor_id(slot)?;
            let entry = self.table.get(slot)?;
            let parent = entry.activation.running_call(session.id, turn_id)?;
            Some((slot, turn_call((self.now, self.wall), own, parent, made)))
        });
        let (slot, made) = match made {
            Some((slot, Ok(made))) => (slot, made),
            Some((_, Err(error))) => return self.outbox.answer(to, Err(error)),
            None => return self.outbox.answer(to, Err(not_running())),
        };
        let call = TurnCall { target: made.target, call: Call { reply_to: to, ..made.call } };
        let refused = self
            .step(slot, |activation, _, fx| activation.on_turn_call(session.id, turn_id, call, fx));
        if let Some(Err(Some(error))) = refused {
            tracing::debug!(session = %session.id, %error, "a turn made too many calls");
            session.close();
        }
    }

    /// Actors that are kept in memory live from the moment a host can run them.
    pub(super) fn activate_kept(&mut self, type_id: u32) {
        let Some(slot_type) = self.types[type_id as usize].as_ref() else {
            return;
        };
        let kept = slot_type.kept().min(to_u32(slot_type.shards.len()));
        if kept == 0 || slot_type.offers.is_empty() {
            return;
        }
        let (name, kind) =
            (Arc::clone(&slot_type.runtime.view.name), slot_type.runtime.definition.kind);
        for shard in (0..kept).filter(|shard| self.serves(type_id, *shard)).collect::<Vec<_>>() {
            let key = match kind {
                Kind::Pooled => shard.to_string(),
                Kind::Named | Kind::Unnamed => name.to_string(),
            };
            let slot = self.activate(type_id, shard, &key, key_hash(&key));
            self.step(slot, |_, _, _| ());
        }
    }

    fn serves(&self, type_id: u32, shard: u32) -> bool {
        let slot_type = self.types[type_id as usize].as_ref();
        slot_type.is_some_and(|slot: &TypeSlot| {
            self.workers.of(type_id, shard) == self.number
                && slot.standing(shard) == Standing::Serves
        })
    }
}

fn turn_call(
    (now, wall): (Tick, Millis),
    own: ActorId,
    parent: &Call,
    mut made: SessionCall,
) -> Result<TurnCall, CallError> {
    if made.target.system.is_empty() {
        made.target.system = Arc::clone(&own.system);
    }
    let mut chain = parent.lineage.as_ref().map(|l| l.chain.clone()).unwrap_or_default();
    chain.push(own.clone());
    if chain.contains(&made.target) {
        return Err(CallError::new(
            ErrorKind::CallCycle,
            format!(
                "actor {} waits for this turn already, so a call to it would never end; it was not \
                 made. Reply first, or call asynchronously",
                made.target
            ),
        ));
    }
    if chain.len() > limits::CHAIN_MAX {
        let error = CallError::new(ErrorKind::CallCycle, "the chain of calls is too long");
        return Err(error.with("limit", limits::CHAIN_MAX));
    }
    let asked = match made.timeout_ms {
        0 => limits::CALL_TIMEOUT_DEFAULT_MS,
        millis => u64::from(millis),
    };
    // An accepted call can run long after it was made. Its own calls then carry no time, so that they are looked for
    // among all outcomes instead of being refused for their age.
    // Those with an id that the turn gave may have been made by an earlier turn.
    let young = parent.created_at > wall.plus(-limits::OUTCOME_WINDOW_MS / 2);
    let young = young && made.request_id.is_empty();
    let call = Call {
        action: made.action,
        argument: made.argument,
        request_id: match made.request_id {
            id if id.is_empty() => turn_call_id(&own, parent, made.call_index),
            given => given,
        },
        created_at: if young { parent.created_at } else { Millis(0) },
        deadline: parent.deadline.min(now.plus_millis(asked)),
        metadata: made.metadata,
        lineage: Some(Box::new(Lineage { caller: Some(own), chain })),
        asynchronous: false,
        activates_only: false,
        from_json: false,
        begun: false,
        delivery: false,
        hops: None,
        seat: None,
        reply_to: ReplyTo::Nobody,
    };
    Ok(TurnCall { target: made.target, call })
}

/// The id of a call that a turn makes: the turn's own, the calling actor, and the call's number. The actor must be in it,
/// because two actors may run turns under the same id and call the same third one.
fn turn_call_id(own: &ActorId, parent: &Call, call_index: u32) -> String {
    let caller = key_hash(&format!("{}\0{}\0{}", own.system, own.actor_type, own.key));
    format!("{}/{call_index}-{caller:016x}", parent.request_id)
}

fn not_running() -> CallError {
    CallError::new(ErrorKind::Cancelled, "the turn that made the call is no longer running")
}

fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
