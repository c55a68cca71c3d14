//! Where shards go when their owner is gone, or has let them go.
//!
//! A shard whose owner is alive moves only by a plan (see `planner`): the owner releases it first. What is here changes
//! owners at once, and therefore only for shards that nobody can be serving: their owner is down, was removed, or
//! released them. The epoch rises with every change of owner, and with every release.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use callboard_types::{NodeId, ShardOwner, TypeView};

use super::{
    CloneView, Machine, TypeRecord,
    member::{Members, is_live, takes_shards},
};

/// The shards of a type while a command changes them.
pub(super) struct Homes<'a> {
    pub(super) shards: Vec<ShardOwner>,
    pub(super) members: &'a Members,
    eligible: &'a BTreeSet<NodeId>,
    seed: u32,
}

// === impl Homes ===

impl Homes<'_> {
    /// Finds a home for every shard whose owner is not alive, and ends moves to nodes that are not. True if anything
    /// differs.
    fn settle(&mut self) -> bool {
        let (mut changed, mut homeless) = (false, Vec::new());
        for (number, shard) in self.shards.iter_mut().enumerate() {
            let to = shard.moving_to;
            if is_live(self.members, shard.node) {
                if shard.is_moving() && !is_live(self.members, to) {
                    shard.moving_to = NodeId::ZERO;
                    changed = true;
                }
            } else if takes_shards(self.members, to) {
                *shard = ShardOwner::new(to, shard.epoch.next());
                changed = true;
            } else {
                changed |= shard.is_moving();
                shard.moving_to = NodeId::ZERO;
                homeless.push(number);
            }
        }
        let mut load = self.load(&homeless);
        for number in homeless {
            if let Some(node) = self.least(&mut load) {
                self.shards[number] = ShardOwner::new(node, self.shards[number].epoch.next());
                changed = true;
            }
        }
        changed
    }

    /// Gives a shard that its owner released to whom it was promised, or to whoever has fewest. True if there is
    /// anybody.
    pub(super) fn release(&mut self, number: usize) -> bool {
        let shard = self.shards[number];
        let mut load = self.load(&[number]);
        let node = if takes_shards(self.members, shard.moving_to) {
            Some(shard.moving_to)
        } else {
            self.least(&mut load)
        };
        if let Some(node) = node {
            self.shards[number] = ShardOwner::new(node, shard.epoch.next());
        }
        node.is_some()
    }

    /// The nodes that come into question, with the shards of this type that they have or get.
    fn load(&self, without: &[usize]) -> BTreeMap<NodeId, usize> {
        let mut load: BTreeMap<NodeId, usize> =
            self.candidates().into_iter().map(|node| (node, 0)).collect();
        let mut without = without.iter().peekable();
        for (number, shard) in self.shards.iter().enumerate() {
            if without.next_if(|skipped| **skipped == number).is_some() {
                continue;
            }
            let place = if shard.is_moving() { shard.moving_to } else { shard.node };
            if let Some(shards) = load.get_mut(&place) {
                *shards += 1;
            }
        }
        load
    }

    /// The best nodes that there are: those with a host before those without, those that stay before those that drain.
    fn candidates(&self) -> Vec<NodeId> {
        let hosted = || self.eligible.iter().copied();
        let all = || self.members.keys().copied();
        let tiers: [Vec<NodeId>; 4] = [
            hosted().filter(|node| takes_shards(self.members, *node)).collect(),
            hosted().filter(|node| is_live(self.members, *node)).collect(),
            all().filter(|node| takes_shards(self.members, *node)).collect(),
            all().filter(|node| is_live(self.members, *node)).collect(),
        ];
        tiers.into_iter().find(|tier| !tier.is_empty()).unwrap_or_default()
    }

    /// The node with the fewest shards, which counts one more from now on. Among equals the seed decides, so that
    /// types with one shard spread over the nodes.
    fn least(&self, load: &mut BTreeMap<NodeId, usize>) -> Option<NodeId> {
        let count = load.len();
        let first = self.seed as usize % count.max(1);
        let (_, _, node) = load
            .iter()
            .enumerate()
            .map(|(at, (node, shards))| (*shards, (at + count - first) % count, *node))
            .min()?;
        *load.get_mut(&node)? += 1;
        Some(node)
    }
}

// === impl TypeRecord ===

impl TypeRecord {
    /// Changes the shards. The change says whether it changed anything.
    pub(super) fn edit(
        &mut self,
        members: &Members,
        change: impl FnOnce(&mut Homes<'_>) -> bool,
    ) -> bool {
        let (shards, seed) = (self.view.shards.to_vec(), self.view.id);
        let mut homes = Homes { shards, members, eligible: &self.eligible, seed };
        let changed = change(&mut homes);
        if changed {
            let mut view = TypeView::clone_of(&self.view);
            view.shards = homes.shards.into();
            self.view = Arc::new(view);
        }
        changed
    }

    /// Finds homes for shards that have lost theirs. True if anything differs.
    pub(super) fn settle(&mut self, members: &Members) -> bool {
        let lost = |shard: &ShardOwner| {
            !is_live(members, shard.node) || shard.is_moving() && !is_live(members, shard.moving_to)
        };
        self.view.shards.iter().any(lost) && self.edit(members, |homes| homes.settle())
    }
}

// === impl Machine ===

impl Machine {
    /// Finds homes for the shards of all types that have lost theirs. True if anything differs.
    pub(super) fn settle_all(&mut self) -> bool {
        let mut changed = false;
        for record in self.systems.values_mut().flat_map(BTreeMap::values_mut) {
            changed |= record.settle(&self.members);
        }
        changed
    }

    /// Changes shards of types, named by type id and shard. What is not there is passed over. True if any differs.
    pub(super) fn edit_shards<T>(
        &mut self,
        edits: impl IntoIterator<Item = (u32, u32, T)>,
        mut edit: impl FnMut(&mut Homes<'_>, usize, T) -> bool,
    ) -> bool {
        let mut by_type: BTreeMap<u32, Vec<(u32, T)>> = BTreeMap::new();
        for (type_id, shard, what) in edits {
            by_type.entry(type_id).or_default().push((shard, what));
        }
        let mut changed = false;
        for record in self.systems.values_mut().flat_map(BTreeMap::values_mut) {
            let Some(edits) = by_type.remove(&record.view.id) else {
                continue;
            };
            changed |= record.edit(&self.members, |homes| {
                let mut changed = false;
                for (shard, what) in edits {
                    let number = shard as usize;
                    if number < homes.shards.len() {
                        changed |= edit(homes, number, what);
                    }
                }
                changed
            });
        }
        changed
    }
}
