//! Following the catalog: shards that come, are to move, change their epoch, or go.
//!
//! Whatever the activations of a shard hold belongs to one epoch. When it is over they end with it, and their calls leave
//! by the redirect exit: to the worker itself if the shard is still this node's, to the custody of this node if a caller
//! here waits, back to the other node otherwise.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use callboard_types::{CallError, Epoch, ErrorKind, shard::key_hash};

use super::{
    RoutedCall, Slot, Worker,
    types::{Place, ShardSlot, ShardState, Standing, TypeSlot},
    unleased::lease_lost,
};
use crate::{
    call::{Call, ReplyTo},
    catalog::Catalog,
};

/// What the catalog says about a shard, if it is news: where, the epoch, whether it is to move.
type News = (Place, Epoch, bool);

impl Worker {
    pub(super) fn on_catalog(&mut self, catalog: Arc<Catalog>) {
        let mut news = Vec::new();
        for runtime in catalog.types() {
            let at = runtime.view.id as usize;
            if self.types.len() <= at {
                self.types.resize_with(at + 1, || None);
            }
            if self.types[at].as_ref().is_some_and(|slot| Arc::ptr_eq(&slot.runtime, runtime)) {
                continue;
            }
            let slot = self.types[at].get_or_insert_with(|| TypeSlot::new(Arc::clone(runtime)));
            slot.runtime = Arc::clone(runtime);
            slot.compare_offers();
            self.compare_shards(runtime.view.id, &mut news);
        }
        self.outbox.withhold_unleased(&self.lease, self.catalog.view.version);
        self.catalog = catalog;
        self.look_at_lease();
        if !news.is_empty() {
            self.on_shards_changed(news);
        }
    }

    fn compare_shards(&self, type_id: u32, news: &mut Vec<News>) {
        let Some(slot) = self.types[type_id as usize].as_ref() else {
            return;
        };
        let shards = slot.shards.iter().zip(slot.runtime.view.shards.iter()).zip(0_u32..);
        for ((known, owner), at) in shards {
            let epoch = if owner.node == self.node { owner.epoch } else { Epoch::ZERO };
            let moving = epoch != Epoch::ZERO && owner.is_moving();
            let changed = known.epoch != epoch || known.moving != moving;
            if changed && self.workers.of(type_id, at) == self.number {
                news.push(((type_id, at), epoch, moving));
            }
        }
    }

    fn on_shards_changed(&mut self, news: Vec<News>) {
        let owned = |place: &Place| self.epoch_of(*place) != Epoch::ZERO;
        let places = news.iter().map(|(place, ..)| *place).filter(owned).collect();
        let mut slots = self.slots_of(&places);
        let mut types = BTreeSet::new();
        for (place, epoch, moving) in news {
            let slots = slots.remove(&place).unwrap_or_default();
            let Some(shard) = self.shard_mut(place) else { continue };
            let ended = shard.epoch != epoch;
            if ended || moving {
                self.sender.machine.close(place);
            }
            let Some(shard) = self.shard_mut(place) else { continue };
            if ended {
                *shard = ShardSlot { epoch, moving, ..ShardSlot::default() };
                self.moves.forget(place);
                self.walks.forget(place);
                self.end_activations(&slots);
                self.readmit_waiting(place);
            }
            if moving {
                self.begin_move(place, if ended { Vec::new() } else { slots });
            } else if !ended {
                self.cancel_move(place, &slots);
            }
            types.insert(place.0);
        }
        for type_id in types {
            if self.types[type_id as usize].as_ref().is_some_and(|slot| !slot.offers.is_empty()) {
                self.claim_type(type_id);
            }
        }
    }

    /// The store holds another epoch of a shard than this node: everything of the shard ends here. What the view says
    /// next decides where the calls go; until then they wait.
    pub(super) fn on_shard_lost(&mut self, place: Place, stored: Epoch) {
        let Some(shard) = self.shard_mut(place) else { return };
        let epoch = shard.epoch;
        if stored < epoch {
            // Nobody else has it: the row was never written, or the store lost it. It is claimed anew.
            shard.state = ShardState::Unused;
        } else {
            // If it is the same one, another node holds it: only a higher one tells the two apart.
            shard.state = ShardState::Lost;
        }
        let Some(id) = self.shard_id(place) else { return };
        tracing::error!(shard = %id, %epoch, %stored, "the store holds another epoch");
        self.walks.forget(place);
        if stored >= epoch {
            self.moves.lost(place, stored);
            self.directory.epoch_too_low(vec![(id, stored)]);
        }
        self.sender.machine.close(place);
        let slots = self.slots_of(&BTreeSet::from([place])).remove(&place).unwrap_or_default();
        self.end_activations(&slots);
    }

    /// Ends activations whose epoch is over; their calls go back.
    fn end_activations(&mut self, slots: &[Slot]) {
        for slot in slots {
            self.step_aside(*slot, |activation, env, fx| activation.hand_back_all(env.now, fx));
            self.evict(*slot);
        }
    }

    // === the redirect exit ===

    /// An activation gives a call back: it goes where the newest catalog says.
    pub(super) fn hand_back(&mut self, slot: Slot, call: Call) {
        let Some(entry) = self.table.get(slot) else { return };
        let Some(slot_type) = self.types[entry.type_id as usize].as_ref() else {
            return;
        };
        let routed = RoutedCall {
            actor_type: Arc::clone(&slot_type.runtime),
            key: entry.key.to_string(),
            key_hash: key_hash(&entry.key),
            shard: entry.shard,
            call,
        };
        self.metrics.handed_back();
        if slot_type.standing(entry.shard) == Standing::Elsewhere {
            self.send_elsewhere(routed);
        } else {
            self.local_calls.push_back(routed);
        }
    }

    /// Sends away a call that another node has to serve. A call of another node stays in that one's custody.
    pub(super) fn send_elsewhere(&mut self, routed: RoutedCall) {
        let walked = matches!(routed.call.reply_to, ReplyTo::Walk(_));
        if walked || routed.call.reply_to.is_peer() {
            // The shard's walk goes on at its next owner, too.
            let error = not_served(&routed.call);
            self.answer(routed.call.reply_to, Err(error));
        } else {
            self.outbox.forward(routed);
        }
    }

    /// Takes up calls that waited for news about their shard.
    pub(super) fn readmit_waiting(&mut self, place: Place) {
        let waiting = self.waiting.remove(&place).unwrap_or_default();
        self.held = self.held.saturating_sub(waiting.len());
        for routed in waiting {
            self.on_call(routed);
        }
    }

    // === look-ups ===

    /// The activations of some shards, in one walk.
    pub(super) fn slots_of(&self, places: &BTreeSet<Place>) -> HashMap<Place, Vec<Slot>> {
        let mut found: HashMap<Place, Vec<Slot>> = HashMap::new();
        if places.is_empty() {
            return found;
        }
        for slot in self.table.slots() {
            let place = self.table.get(slot).map(|entry| (entry.type_id, entry.shard));
            if let Some(place) = place.filter(|place| places.contains(place)) {
                found.entry(place).or_default().push(slot);
            }
        }
        found
    }

    pub(super) fn shard_mut(&mut self, (type_id, shard): Place) -> Option<&mut ShardSlot> {
        self.types.get_mut(type_id as usize)?.as_mut()?.shards.get_mut(shard as usize)
    }

    pub(super) fn shard_id(&self, (type_id, shard): Place) -> Option<callboard_types::ShardId> {
        let slot_type = self.types.get(type_id as usize)?.as_ref()?;
        Some(slot_type.runtime.view.shard_id(shard))
    }

    pub(super) fn epoch_of(&self, (type_id, shard): Place) -> Epoch {
        let slot_type = self.types.get(type_id as usize).and_then(Option::as_ref);
        slot_type.map_or(Epoch::ZERO, |slot| slot.epoch(shard))
    }
}

/// What another node hears of a call that is not served here: it looks for the owner then. `NotOwner` would say that the
/// call was not run.
pub(super) fn not_served(call: &Call) -> CallError {
    if call.begun {
        return lease_lost();
    }
    CallError::new(
        ErrorKind::NotOwner,
        "this node does not serve the actor's shard, or not any longer. Retry the call",
    )
}
