//! Taking shards: the fence row first, then the accepted calls that wait there, then new calls.

use callboard_statestore::{Claimed, ShardClaim};
use callboard_types::{CallError, Durability, Epoch, ErrorKind, limits, shard::key_hash};

use super::{
    RoutedCall, Slot, Worker,
    inbox::ClaimedShard,
    types::{Place, ShardState},
};
use crate::{activation::inbox_record, store::ReadJob};

/// How far the low-water time lags behind the outcome window at most, in milliseconds. Raising it costs a transaction
/// per type.
const LOW_WATER_STEP_MS: i64 = 30_000;
/// How often that is looked at, in milliseconds: every shard of every type is.
const LOW_WATER_LOOK_MS: u64 = 1_000;

impl Worker {
    /// Claims the shards of a type that this worker serves and that are not claimed yet. Called when a host can run the
    /// type, so that accepted calls go on without waiting for a new one.
    pub(super) fn claim_type(&mut self, type_id: u32) {
        let (workers, number) = (self.workers.clone(), self.number);
        self.claim_count += 1;
        let claim = self.claim_count;
        let Some(slot) = self.types[type_id as usize].as_mut() else {
            return;
        };
        if slot.runtime.definition.durability != Durability::Volatile {
            let unused = slot.shards.iter_mut().zip(0_u32..).filter(|(shard, at)| {
                let mine = workers.of(type_id, *at) == number;
                let owned = shard.epoch != Epoch::ZERO && !shard.moving;
                mine && owned && shard.state == ShardState::Unused
            });
            let mut claims = Vec::new();
            for (shard, at) in unused {
                shard.state = ShardState::Claiming;
                shard.claim = claim;
                let id = slot.runtime.view.shard_id(at);
                claims.push(ShardClaim { shard: id, epoch: shard.epoch, node: self.node });
            }
            if !claims.is_empty() {
                self.outbox.read(ReadJob::Claim { type_id, number: claim, claims });
            }
        }
        self.activate_kept(type_id);
    }

    /// Claims one type that nobody has used yet. The low-water time of its shards must rise like that of others, or what
    /// lies below could never be cleared away.
    pub(super) fn claim_next_type(&mut self) {
        let count = self.types.len().max(1);
        self.claim_cursor = (self.claim_cursor + 1) % count;
        if let Ok(type_id) = u32::try_from(self.claim_cursor)
            && self.types.get(self.claim_cursor).is_some_and(Option::is_some)
        {
            self.claim_type(type_id);
        }
    }

    /// Keeps a call until its shard is claimed. While the store knows a later epoch than the view, that is until the view
    /// has caught up.
    pub(super) fn wait_for_claim(&mut self, routed: RoutedCall) {
        let place = (routed.actor_type.view.id, routed.shard);
        self.claim_shard(place);
        self.waiting.entry(place).or_default().push(routed);
        self.held += 1;
    }

    /// Claims a shard unless that is under way.
    pub(super) fn claim_shard(&mut self, (type_id, at): Place) {
        let Some(slot) = self.types[type_id as usize].as_mut() else {
            return;
        };
        let shard = &mut slot.shards[at as usize];
        if shard.state == ShardState::Unused {
            self.claim_count += 1;
            shard.state = ShardState::Claiming;
            shard.claim = self.claim_count;
            let id = slot.runtime.view.shard_id(at);
            let claims = vec![ShardClaim { shard: id, epoch: shard.epoch, node: self.node }];
            self.outbox.read(ReadJob::Claim { type_id, number: shard.claim, claims });
        }
    }

    /// Takes the store's answers to claims. An answer to a claim of another epoch, or to one that was given up since, says
    /// nothing about the shard as it is now.
    pub(super) fn on_claimed(&mut self, (type_id, number): (u32, u64), claimed: Vec<ClaimedShard>) {
        for ClaimedShard { shard: at, epoch, claimed, inbox, last_row } in claimed {
            let Some(slot) = self.types[type_id as usize].as_mut() else {
                return;
            };
            let shard = &mut slot.shards[at as usize];
            let awaited = shard.state == ShardState::Claiming && shard.claim == number;
            if shard.epoch != epoch || !awaited {
                continue;
            }
            match claimed {
                Claimed::Held { low_water } => {
                    let next_sequence = inbox.last().map_or(1, |row| row.sequence + 1);
                    shard.state = ShardState::Held;
                    shard.low_water = shard.low_water.max(low_water);
                    shard.next_sequence = shard.next_sequence.max(next_sequence);
                    shard.next_row = shard.next_row.max(last_row + 1);
                    self.open_outbox((type_id, at), epoch);
                    self.replay(type_id, at, inbox);
                    self.begin_walks((type_id, at));
                    self.readmit_waiting((type_id, at));
                }
                Claimed::Lost { stored } => self.on_shard_lost((type_id, at), stored),
            }
        }
        self.activate_kept(type_id);
    }

    /// Puts accepted calls of an earlier life back into their actors' mailboxes, before any new call.
    fn replay(&mut self, type_id: u32, shard: u32, rows: Vec<callboard_statestore::InboxRow>) {
        for row in rows {
            match inbox_record::decode(&row.call) {
                Ok(call) => {
                    let key = &row.id.key;
                    let slot = self.activate(type_id, shard, key, key_hash(key));
                    self.step(slot, |activation, env, fx| {
                        activation.on_call(env, call, row.sequence, true, fx)
                    });
                }
                Err(error) => {
                    tracing::error!(actor = %row.id, row.sequence, %error,
                        "an accepted call cannot be read; its row is left in the inbox");
                }
            }
        }
    }

    /// Draws the place in its shard's inbox for an accepted call.
    pub(super) fn next_sequence(&mut self, slot: Slot) -> u64 {
        let Some(entry) = self.table.get(slot) else {
            return 0;
        };
        let Some(slot_type) = self.types[entry.type_id as usize].as_mut() else {
            return 0;
        };
        let shard = &mut slot_type.shards[entry.shard as usize];
        shard.next_sequence += 1;
        shard.next_sequence - 1
    }

    /// Refuses calls that waited for a claim past their deadline.
    pub(super) fn expire_claims(&mut self) {
        let now = self.now;
        let mut late = Vec::new();
        self.waiting.retain(|_, waiting| {
            late.extend(waiting.extract_if(.., |routed| routed.call.deadline <= now));
            !waiting.is_empty()
        });
        self.held = self.held.saturating_sub(late.len());
        let kind = if self.outbox.store_is_down() {
            ErrorKind::StoreUnavailable
        } else {
            ErrorKind::DeadlineExceeded
        };
        for routed in late {
            let error = CallError::new(
                kind,
                "the deadline passed before the actor's shard was taken over; the call was not run. Retry it",
            );
            let error = routed.call.refused_for(error);
            self.answer_now(routed.call.reply_to, Err(error));
        }
    }

    /// Asks for a higher low-water time where it lags far enough behind the window.
    pub(super) fn raise_low_water(&mut self) {
        if self.now < self.next_marks {
            return;
        }
        self.next_marks = self.now.plus_millis(LOW_WATER_LOOK_MS);
        // The mark never falls: a clock that is wrong for a moment must not move it out of reach of every call.
        let target = self.steady.follow(self.now, self.wall).plus(-limits::OUTCOME_WINDOW_MS);
        for slot in self.types.iter_mut().flatten() {
            if slot.runtime.definition.durability == Durability::Volatile {
                continue;
            }
            let mut claims = Vec::new();
            for (shard, at) in slot.shards.iter_mut().zip(0_u32..) {
                let lags = shard.low_water.plus(LOW_WATER_STEP_MS) < target;
                if shard.state == ShardState::Held && lags {
                    // Refusing earlier than the store knows is the safe order.
                    shard.low_water = target;
                    let id = slot.runtime.view.shard_id(at);
                    claims.push(ShardClaim { shard: id, epoch: shard.epoch, node: self.node });
                }
            }
            if !claims.is_empty() {
                self.outbox.read(ReadJob::RaiseLowWater { claims, to: target });
            }
        }
    }
}
