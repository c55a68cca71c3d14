//! The activations of one worker, found by type and key or by slot.

use hashbrown::HashTable;
use slab::Slab;

use crate::activation::machine::Activation;

/// Names an activation of a worker. The generation tells apart activations that used the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// The place in the table.
    pub index: u32,
    /// Which of the activations that used the place.
    pub generation: u32,
}

impl Slot {
    /// No activation's: for writes that concern none.
    pub const NONE: Self = Self { index: u32::MAX, generation: 0 };
}

/// One activation with its name.
#[derive(Debug)]
pub(super) struct Entry {
    /// The actor's type.
    pub type_id: u32,
    /// The number of its shard.
    pub shard: u32,
    /// The actor's key.
    pub key: Box<str>,
    hash: u64,
    generation: u32,
    /// True while the slot is in the worker's list of touched slots.
    pub touched: bool,
    /// True while the slot is in the worker's list of busy slots.
    pub listed: bool,
    /// True while the slot waits for a session's credit.
    pub queued: bool,
    /// The machine.
    pub activation: Activation,
}

/// All activations of a worker.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: Slab<Entry>,
    index: HashTable<u32>,
    generations: u32,
}

fn mix(type_id: u32, key_hash: u64) -> u64 {
    // The table takes its bucket from low and high bits, so the type must reach both.
    key_hash ^ u64::from(type_id).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Table {
    /// Finds an actor.
    #[must_use]
    pub(super) fn find(&self, type_id: u32, key: &str, key_hash: u64) -> Option<Slot> {
        let hash = mix(type_id, key_hash);
        let same = |at: &u32| {
            let entry = &self.entries[*at as usize];
            entry.hash == hash && entry.type_id == type_id && *entry.key == *key
        };
        self.index.find(hash, same).map(|at| self.slot_at(*at))
    }

    /// Adds an actor that is not there.
    pub(super) fn insert(
        &mut self,
        (type_id, shard): (u32, u32),
        key: &str,
        key_hash: u64,
        activation: Activation,
    ) -> Slot {
        let hash = mix(type_id, key_hash);
        self.generations = self.generations.wrapping_add(1);
        let at = self.entries.insert(Entry {
            type_id,
            shard,
            key: key.into(),
            hash,
            generation: self.generations,
            touched: false,
            listed: false,
            queued: false,
            activation,
        });
        let at = u32::try_from(at).expect("fewer than 2^32 activations fit into memory");
        let entries = &self.entries;
        self.index.insert_unique(hash, at, |other| entries[*other as usize].hash);
        self.slot_at(at)
    }

    /// Drops an actor.
    pub(super) fn remove(&mut self, slot: Slot) -> Option<Entry> {
        self.get(slot)?;
        let entry = self.entries.remove(slot.index as usize);
        if let Ok(found) = self.index.find_entry(entry.hash, |at| *at == slot.index) {
            found.remove();
        }
        Some(entry)
    }

    /// The entry of a slot, if its activation is still there.
    #[must_use]
    pub(super) fn get(&self, slot: Slot) -> Option<&Entry> {
        let entry = self.entries.get(slot.index as usize)?;
        (entry.generation == slot.generation).then_some(entry)
    }

    /// The entry of a slot, if its activation is still there.
    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(slot.index as usize)?;
        (entry.generation == slot.generation).then_some(entry)
    }

    /// The slot at a place, whoever uses it now.
    #[must_use]
    pub(super) fn at_place(&self, index: u32) -> Option<Slot> {
        self.entries.contains(index as usize).then(|| self.slot_at(index))
    }

    /// How many activations there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// All slots.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.entries.iter().map(|(at, entry)| Slot {
            index: u32::try_from(at).expect("checked when it was inserted"),
            generation: entry.generation,
        })
    }

    fn slot_at(&self, index: u32) -> Slot {
        Slot { index, generation: self.entries[index as usize].generation }
    }
}
