//! Taking shards: the fence row first, then the accepted calls that wait there, then new calls.

use std::sync::Arc;

use callboard_statestore::{Claimed, ShardClaim};
use callboard_types::{CallError, Durability, Epoch, ErrorKind, limits, shard::key_hash};

use super::{
    RoutedCall, Slot, Worker,
    inbox::ClaimedShard,
    types::{ShardState, TypeSlot},
};
use crate::{activation::inbox_record, catalog::Catalog, store::ReadJob};

/// How far the low-water time lags behind the outcome window at most, in milliseconds. Raising it costs a transaction
/// per type.
const LOW_WATER_STEP_MS: i64 = 30_000;

impl TypeSlot {
    /// True if calls to the shard can run here: it is owned, and claimed if its type needs that.
    pub(super) fn can_serve(&self, shard: u32) -> bool {
        let Some(slot) = self.shards.get(shard as usize) else {
            return false;
        };
        let volatile = self.runtime.definition.durability == Durability::Volatile;
        let held = matches!(slot.state, ShardState::Held { .. });
        slot.epoch != Epoch::ZERO && (volatile || held)
    }
}

impl Worker {
    pub(super) fn on_catalog(&mut self, catalog: Arc<Catalog>) {
        for runtime in catalog.types() {
            let at = runtime.view.id as usize;
            if self.types.len() <= at {
                self.types.resize_with(at + 1, || None);
            }
            let slot = self.types[at].get_or_insert_with(|| TypeSlot::new(Arc::clone(runtime)));
            slot.runtime = Arc::clone(runtime);
            slot.compare_offers();
            let mut hosted_change = false;
            for (shard, owner) in slot.shards.iter_mut().zip(runtime.view.shards.iter()) {
                let epoch = if owner.node == self.node { owner.epoch } else { Epoch::ZERO };
                if shard.epoch != epoch {
                    shard.epoch = epoch;
                    shard.state = ShardState::Unused;
                    hosted_change = true;
                }
            }
            if hosted_change && !slot.offers.is_empty() {
                self.claim_type(runtime.view.id);
            }
        }
        self.catalog = catalog;
    }

    /// Claims the shards of a type that this worker serves and that are not claimed yet. Called when a host can run the
    /// type, so that accepted calls go on without waiting for a new one.
    pub(super) fn claim_type(&mut self, type_id: u32) {
        let (workers, number) = (self.workers.clone(), self.number);
        let Some(slot) = self.types[type_id as usize].as_mut() else {
            return;
        };
        if slot.runtime.definition.durability != Durability::Volatile {
            let unused = slot.shards.iter_mut().zip(0_u32..).filter(|(shard, at)| {
                let mine = workers.of(type_id, *at) == number;
                mine && shard.epoch != Epoch::ZERO && shard.state == ShardState::Unused
            });
            let mut claims = Vec::new();
            for (shard, at) in unused {
                shard.state = ShardState::Claiming;
                let id = slot.runtime.view.shard_id(at);
                claims.push(ShardClaim { shard: id, epoch: shard.epoch, node: self.node });
            }
            if !claims.is_empty() {
                self.outbox.read(ReadJob::Claim { type_id, claims });
            }
        }
        self.activate_named(type_id);
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

    /// Keeps a call until its shard is claimed.
    pub(super) fn wait_for_claim(&mut self, routed: RoutedCall) {
        let (type_id, at) = (routed.actor_type.view.id, routed.shard);
        let Some(slot) = self.types[type_id as usize].as_mut() else {
            return;
        };
        let shard = &mut slot.shards[at as usize];
        match shard.state {
            ShardState::Unused => {
                shard.state = ShardState::Claiming;
                let id = slot.runtime.view.shard_id(at);
                let claims = vec![ShardClaim { shard: id, epoch: shard.epoch, node: self.node }];
                shard.waiting.push(routed);
                self.held += 1;
                self.outbox.read(ReadJob::Claim { type_id, claims });
            }
            ShardState::Claiming => {
                shard.waiting.push(routed);
                self.held += 1;
            }
            ShardState::Lost => {
                let error = CallError::new(
                    ErrorKind::NotOwner,
                    "another node has taken the actor's shard; the call was not run. Retry it",
                );
                self.answer_now(routed.call.reply_to, Err(error.retry_after(100)));
            }
            ShardState::Held { .. } => unreachable!("held shards take calls at once"),
        }
    }

    pub(super) fn on_claimed(&mut self, type_id: u32, claimed: Vec<ClaimedShard>) {
        for ClaimedShard { shard: at, claimed, inbox } in claimed {
            let Some(slot) = self.types[type_id as usize].as_mut() else {
                return;
            };
            let shard = &mut slot.shards[at as usize];
            let waiting = std::mem::take(&mut shard.waiting);
            self.held = self.held.saturating_sub(waiting.len());
            match claimed {
                Claimed::Held { low_water } => {
                    let next_sequence = inbox.last().map_or(1, |row| row.sequence + 1);
                    shard.state = ShardState::Held { low_water, next_sequence };
                    self.replay(type_id, at, inbox);
                }
                Claimed::Lost { stored } => {
                    tracing::error!(shard = %slot.runtime.view.shard_id(at), %stored, "shard lost");
                    shard.state = ShardState::Lost;
                }
            }
            waiting.into_iter().for_each(|routed| self.on_call(routed));
        }
        self.activate_named(type_id);
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
        match &mut slot_type.shards[entry.shard as usize].state {
            ShardState::Held { next_sequence, .. } => {
                *next_sequence += 1;
                *next_sequence - 1
            }
            _ => 0,
        }
    }

    /// The store says that somebody else owns the actor's shard: everything of the shard ends here.
    pub(super) fn on_fence_lost(&mut self, slot: Slot, stored: Epoch) {
        let Some(entry) = self.table.get(slot) else {
            return;
        };
        let (type_id, shard) = (entry.type_id, entry.shard);
        if let Some(slot_type) = self.types[type_id as usize].as_mut() {
            tracing::error!(shard = %slot_type.runtime.view.shard_id(shard), %stored, "fence lost");
            slot_type.shards[shard as usize].state = ShardState::Lost;
        }
        let error = CallError::new(
            ErrorKind::NotOwner,
            "another node has taken the actor's shard; the turn was discarded. Retry it with the same \
             request id",
        );
        let of_shard = |slot: &Slot| {
            let entry = self.table.get(*slot);
            entry.is_some_and(|entry| entry.type_id == type_id && entry.shard == shard)
        };
        let slots: Vec<Slot> = self.table.slots().filter(of_shard).collect();
        for slot in slots {
            self.fail(slot, &error);
        }
    }

    /// Refuses calls that waited for a claim past their deadline.
    pub(super) fn expire_claims(&mut self) {
        let now = self.now;
        let mut late = Vec::new();
        for shard in self.types.iter_mut().flatten().flat_map(|slot| &mut slot.shards) {
            if !shard.waiting.is_empty() {
                late.extend(shard.waiting.extract_if(.., |routed| routed.call.deadline <= now));
            }
        }
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
            self.answer_now(routed.call.reply_to, Err(error));
        }
    }

    /// Asks for a higher low-water time where it lags far enough behind the window.
    pub(super) fn raise_low_water(&mut self) {
        let target = self.wall.plus(-limits::OUTCOME_WINDOW_MS);
        for slot in self.types.iter_mut().flatten() {
            if slot.runtime.definition.durability == Durability::Volatile {
                continue;
            }
            let mut claims = Vec::new();
            for (shard, at) in slot.shards.iter_mut().zip(0_u32..) {
                let ShardState::Held { low_water, .. } = &mut shard.state else {
                    continue;
                };
                if low_water.plus(LOW_WATER_STEP_MS) < target {
                    // Refusing earlier than the store knows is the safe order.
                    *low_water = target;
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
