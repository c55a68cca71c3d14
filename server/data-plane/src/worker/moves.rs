//! Planned moves: letting go of shards that another node is to get, and saying so until the view shows it.
//!
//! A moving shard begins no turn. Its waiting calls leave at once, running turns may end within a limit, commits and saves
//! are waited for within a longer one. Then nothing of the shard is left here, and the control plane is told.

use std::collections::BTreeMap;

use callboard_types::{Epoch, ShardId, Tick};

use super::{
    Slot, Worker,
    types::{Place, ShardState},
};

/// How long running turns of a moving shard may take to end, in milliseconds. Then they are cancelled at their hosts, to
/// be run again by the next owner.
const TURNS_END_MS: u64 = 2_000;
/// How long commits and saves of a moving shard are waited for, in milliseconds. Without them nothing acknowledged is
/// lost: the fence excludes those that come too late, and their calls are decided by the next owner.
const WRITES_END_MS: u64 = 10_000;
/// How often activations of moving shards are looked at, in milliseconds.
const LOOK_MS: u64 = 2;
/// Activations that one round looks at, so that other shards go on being served.
const LOOKS_MAX: usize = 4_096;
/// How often the control plane is told again what it has not acted on, in milliseconds.
const TELL_AGAIN_MS: u64 = 1_000;

const _: () = assert!(TURNS_END_MS < WRITES_END_MS);

/// What a worker has to see through, or to say again, about its shards.
#[derive(Debug)]
pub(super) struct Moves {
    leaving: BTreeMap<Place, Leaving>,
    /// Shards that nothing is left of, and the epoch that was released.
    released: BTreeMap<Place, Epoch>,
    /// Shards whose fence row holds a higher epoch than the view: that epoch.
    too_low: BTreeMap<Place, Epoch>,
    next_look: Tick,
    tell_again: Tick,
}

/// A shard on its way out.
#[derive(Debug)]
struct Leaving {
    since: Tick,
    /// Activations that have not left.
    left: Vec<Slot>,
}

// === impl Moves ===

impl Moves {
    pub(super) fn new() -> Self {
        Self {
            leaving: BTreeMap::new(),
            released: BTreeMap::new(),
            too_low: BTreeMap::new(),
            next_look: Tick::NEVER,
            tell_again: Tick::default(),
        }
    }

    /// The shard's epoch is over.
    pub(super) fn forget(&mut self, place: Place) {
        self.leaving.remove(&place);
        self.released.remove(&place);
        self.too_low.remove(&place);
    }

    /// The store holds a higher epoch.
    pub(super) fn lost(&mut self, place: Place, stored: Epoch) {
        self.too_low.insert(place, stored);
    }

    /// When moving shards must be looked at; [`Tick::NEVER`] if there are none.
    pub(super) fn next_look(&self) -> Tick {
        self.next_look
    }
}

// === impl Worker ===

impl Worker {
    /// The shard is to move: its calls leave, and it is looked at until nothing is left of it.
    pub(super) fn begin_move(&mut self, place: Place, slots: Vec<Slot>) {
        if self.moves.released.contains_key(&place) {
            return;
        }
        let Some(shard) = self.shard_mut(place) else { return };
        shard.moving = true;
        if shard.state == ShardState::Claiming {
            // The answer comes too late to be of use.
            shard.state = ShardState::Unused;
        }
        self.walks.forget(place);
        self.readmit_waiting(place);
        self.moves.leaving.insert(place, Leaving { since: self.now, left: slots });
        self.moves.next_look = self.now;
    }

    /// The shard stays after all. Accepted calls that were let go are in its inbox, so it is claimed once more.
    ///
    /// If it was released already, the word given counts: its epoch is not served any more. The control plane raises it
    /// when it hears of the release, whoever gets the shard.
    pub(super) fn cancel_move(&mut self, place: Place, slots: &[Slot]) {
        if self.moves.released.contains_key(&place) {
            return;
        }
        self.moves.leaving.remove(&place);
        let Some(shard) = self.shard_mut(place) else { return };
        shard.moving = false;
        if shard.state == ShardState::Held {
            shard.state = ShardState::Unused;
        }
        for slot in slots {
            self.step(*slot, |_, _, _| ());
        }
    }

    /// Looks after moving shards, and tells the control plane of those that nothing is left of.
    pub(super) fn see_moves_through(&mut self) {
        if self.now < self.moves.next_look {
            return;
        }
        let mut looks = LOOKS_MAX;
        let mut released = Vec::new();
        let leaving = std::mem::take(&mut self.moves.leaving);
        for (place, mut shard) in leaving {
            let since = shard.since;
            let looked_at = shard.left.split_off(shard.left.len().saturating_sub(looks));
            looks -= looked_at.len();
            shard.left.extend(looked_at.into_iter().filter(|slot| !self.let_go(*slot, since)));
            if shard.left.is_empty() {
                released.extend(self.shard_released(place));
            } else {
                self.moves.leaving.insert(place, shard);
            }
        }
        self.moves.next_look = match self.moves.leaving.is_empty() {
            true => Tick::NEVER,
            false if looks == 0 => self.now,
            false => self.now.plus_millis(LOOK_MS),
        };
        if !released.is_empty() {
            self.directory.released(released);
        }
    }

    /// Brings an activation of a moving shard closer to its end. True once it is gone.
    fn let_go(&mut self, slot: Slot, since: Tick) -> bool {
        let now = self.now;
        let turns_end = since.plus_millis(TURNS_END_MS) <= now;
        self.step_aside(slot, |activation, _, fx| {
            if turns_end {
                activation.abandon_turns(now, fx);
            } else {
                activation.hand_back_waiting(now, fx);
            }
        });
        self.snapshot(slot, true);
        let Some(entry) = self.table.get(slot) else { return true };
        let gone = entry.activation.may_leave();
        let out_of_time = since.plus_millis(WRITES_END_MS) <= now;
        if out_of_time && !gone {
            tracing::warn!(actor = ?self.actor_id(slot), "released before its writes had ended");
            self.step_aside(slot, |activation, _, fx| activation.hand_back_all(now, fx));
        }
        if gone || out_of_time {
            self.evict(slot);
        }
        gone || out_of_time
    }

    fn shard_released(&mut self, place: Place) -> Option<(ShardId, Epoch)> {
        let epoch = self.epoch_of(place);
        self.moves.released.insert(place, epoch);
        self.metrics.released();
        Some((self.shard_id(place)?, epoch))
    }

    /// Says again what the control plane has not acted on.
    pub(super) fn tell_again(&mut self) {
        if self.now < self.moves.tell_again {
            return;
        }
        self.moves.tell_again = self.now.plus_millis(TELL_AGAIN_MS);
        let named = |places: &BTreeMap<Place, Epoch>| -> Vec<(ShardId, Epoch)> {
            let names = places.iter().map(|(place, epoch)| Some((self.shard_id(*place)?, *epoch)));
            names.flatten().collect()
        };
        let (released, too_low) = (named(&self.moves.released), named(&self.moves.too_low));
        if !released.is_empty() {
            self.directory.released(released);
        }
        if !too_low.is_empty() {
            self.directory.epoch_too_low(too_low);
        }
    }
}
