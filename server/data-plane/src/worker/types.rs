//! What a worker knows about each type: its shards and the sessions that run it.

use std::{collections::VecDeque, sync::Arc};

use callboard_types::{Durability, Epoch, Kind, Millis, SessionId, Tick, TypeDefinition};

use super::Slot;
use crate::{activation::machine::Env, catalog::TypeRuntime, session::SessionLink};

/// A shard, as (type id, shard number).
pub(super) type Place = (u32, u32);

/// What the clocks showed when the round began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// The monotonic one.
    pub(super) now: Tick,
    /// The cluster's.
    pub(super) wall: Millis,
    /// The latest that this can be.
    pub(super) latest: Millis,
}

/// A type at a worker.
#[derive(Debug)]
pub(super) struct TypeSlot {
    pub(super) runtime: Arc<TypeRuntime>,
    pub(super) shards: Vec<ShardSlot>,
    pub(super) offers: Vec<Offer>,
    /// Activations with turns that no session had credit for.
    pub(super) waiting: VecDeque<Slot>,
    /// True if the waiting ones should be tried again at the end of the round.
    pub(super) retry: bool,
}

/// A session that runs a type.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) link: Arc<SessionLink>,
    /// The definition that its host has.
    pub(super) definition: Arc<TypeDefinition>,
    /// True if its actions are not those of the registered definition.
    pub(super) differs: bool,
}

/// Credits of a session.
#[derive(Debug)]
pub(super) struct Reserved {
    pub(super) link: Arc<SessionLink>,
    pub(super) credits: u32,
    /// Set if the host has only some of the type's actions: these.
    pub(super) only: Option<Arc<TypeDefinition>>,
}

/// A shard at a worker.
#[derive(Debug, Default)]
pub(super) struct ShardSlot {
    /// The epoch in which this node owns the shard; zero if it does not.
    pub(super) epoch: Epoch,
    pub(super) state: ShardState,
    /// The number of the last claim. An answer to an earlier one says nothing of what was accepted since.
    pub(super) claim: u64,
    /// True if the node is to release it: no new turn begins.
    pub(super) moving: bool,
    /// Calls created before this time are refused; as the fence row has it, or higher.
    pub(super) low_water: Millis,
    /// The next place among the accepted calls of the shard. Only rises within an epoch, so that no place is used twice.
    pub(super) next_sequence: u64,
    /// The next place among the rows of the shard's outbox. Only rises within an epoch.
    pub(super) next_row: u64,
    /// Messages that the shard was given to record in this epoch.
    pub(super) messages: u32,
}

/// How far this node is with a shard that it owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ShardState {
    /// Nothing of it has been used in this epoch.
    #[default]
    Unused,
    /// The fence row is being written.
    Claiming,
    /// It is served.
    Held,
    /// Its fence row holds a later epoch than this node's.
    Lost,
}

/// What this node can do with a call to a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Serve it.
    Serves,
    /// Serve it once the shard is claimed.
    Claims,
    /// Nothing: another node owns the shard, or is about to.
    Elsewhere,
}

impl TypeSlot {
    pub(super) fn new(runtime: Arc<TypeRuntime>) -> Self {
        let shards = (0..runtime.view.shards.len()).map(|_| ShardSlot::default()).collect();
        Self { runtime, shards, offers: Vec::new(), waiting: VecDeque::new(), retry: false }
    }

    /// What the machine of an actor in a shard needs to know.
    pub(super) fn env<'a>(&'a self, times: Times, shard: u32, key: &'a str) -> Env<'a> {
        let slot = &self.shards[shard as usize];
        let Times { now, wall, latest } = times;
        Env {
            now,
            wall,
            latest,
            definition: &self.runtime.definition,
            epoch: slot.epoch,
            low_water: slot.low_water,
            hosted: !self.offers.is_empty(),
            kept: shard < self.kept(),
            quiet: slot.moving,
            system: &self.runtime.view.system,
            key,
            outbox_full: false,
        }
    }

    /// In how many shards, from the first, an actor is kept in memory unasked: that of a NAMED type, a pool's minimum.
    pub(super) fn kept(&self) -> u32 {
        match self.runtime.definition.kind {
            Kind::Named => 1,
            Kind::Unnamed => 0,
            Kind::Pooled => self.runtime.instances_kept(),
        }
    }

    /// What this node can do with a call to a shard now.
    pub(super) fn standing(&self, shard: u32) -> Standing {
        let slot = self.shards.get(shard as usize).filter(|slot| !slot.moving);
        match slot {
            Some(slot) if slot.epoch == Epoch::ZERO => Standing::Elsewhere,
            Some(slot) if slot.state == ShardState::Held => Standing::Serves,
            Some(_) if self.runtime.definition.durability == Durability::Volatile => {
                Standing::Serves
            }
            Some(_) => Standing::Claims,
            None => Standing::Elsewhere,
        }
    }

    pub(super) fn epoch(&self, shard: u32) -> Epoch {
        self.shards[shard as usize].epoch
    }

    /// A session got free: try the waiting activations again.
    pub(super) fn retry(&mut self) {
        self.retry = !self.waiting.is_empty();
    }

    /// Takes credits of the session with the fewest turns in flight that can run the action.
    ///
    /// # Errors
    /// True if sessions could run it but have no credit; false if none can.
    pub(super) fn reserve(&self, action: &str, wanted: u32) -> Result<Reserved, bool> {
        let able = self
            .offers
            .iter()
            .filter(|offer| !offer.differs || offer.definition.actions.contains_key(action));
        let mut offers: Vec<&Offer> = able.collect();
        if offers.len() > 1 {
            offers.sort_by_key(|offer| offer.link.in_flight());
        }
        let full = !offers.is_empty();
        let found = offers.into_iter().find_map(|offer| {
            let credits = offer.link.reserve(wanted);
            let only = offer.differs.then(|| Arc::clone(&offer.definition));
            (credits > 0).then(|| Reserved { link: Arc::clone(&offer.link), credits, only })
        });
        found.ok_or(full)
    }

    /// The type changed, or an offer came: compare again.
    pub(super) fn compare_offers(&mut self) {
        let registered = &self.runtime.definition.actions;
        for offer in &mut self.offers {
            offer.differs = offer.definition.actions != *registered;
        }
    }

    pub(super) fn offers_of(&self, session: SessionId) -> bool {
        self.offers.iter().any(|offer| offer.link.id == session)
    }
}
