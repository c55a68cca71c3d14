//! Who is still to get a message: shards that listen and nodes that others listen at. Pure.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use callboard_types::{ClusterView, NodeId, NodeState, TypeView, limits, settings::Deliver};

/// A shard of a type of the message's system.
pub type Target = (Arc<str>, u32);

/// What one node is to get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parcel {
    /// Shards that it owns and that have not recorded the message, or are to pass it on to their active actors.
    pub shards: BTreeMap<Arc<str>, Vec<u32>>,
}

/// What is left to do for one message.
#[derive(Debug, Default)]
pub struct Plan {
    /// Shards that have recorded it.
    recorded: HashSet<Target>,
    /// Shards whose active actors it was sent to, once.
    pushed: HashSet<Target>,
    /// Nodes that have it.
    heard: BTreeSet<NodeId>,
    /// Shards that must record it and have not, as of the last round.
    missing: usize,
    /// Nodes that serve and do not have it, as of the last round.
    deaf: usize,
    /// Types that listen, as of the last round.
    types: u32,
}

/// How many types and shards listen to a channel.
#[must_use]
pub fn audience(view: &ClusterView, system: &str, channel: &str) -> (u32, usize) {
    let listening = listening(view, system, channel);
    listening.fold((0, 0), |(types, shards), (found, ..)| (types + 1, shards + found.shards.len()))
}

/// Whether a fan-out of so many shards is allowed.
#[must_use]
pub fn is_too_wide(shards: usize) -> bool {
    shards > limits::BROADCAST_SHARDS_MAX
}

/// The types that listen, with whether any of their actions hears of every message, and any of those that are active.
fn listening<'a>(
    view: &'a ClusterView,
    system: &'a str,
    channel: &'a str,
) -> impl Iterator<Item = (&'a Arc<TypeView>, bool, bool)> {
    let of_system = view.types.iter().filter(move |found| *found.system == *system);
    of_system.filter_map(move |found| {
        let all = found.definition.settings.subscriptions.iter();
        let (mut every, mut active) = (false, false);
        for one in all.filter(|one| one.channel == channel) {
            every |= one.deliver == Deliver::Every;
            active |= one.deliver == Deliver::Active;
        }
        (every || active).then_some((found, every, active))
    })
}

// === impl Plan ===

impl Plan {
    /// What each node is to get now. Every node that serves gets something until it has the message.
    pub fn round(
        &mut self,
        view: &ClusterView,
        system: &str,
        channel: &str,
    ) -> BTreeMap<NodeId, Parcel> {
        let mut parcels: BTreeMap<NodeId, Parcel> = BTreeMap::new();
        (self.missing, self.deaf, self.types) = (0, 0, 0);
        for node in &view.nodes {
            if node.state != NodeState::Down && !self.heard.contains(&node.id) {
                self.deaf += 1;
                parcels.entry(node.id).or_default();
            }
        }
        for (found, every, active) in listening(view, system, channel) {
            self.types += 1;
            for (owner, number) in found.shards.iter().zip(0_u32..) {
                let target = (Arc::clone(&found.name), number);
                let records = every && !self.recorded.contains(&target);
                self.missing += usize::from(records);
                if owner.node == NodeId::ZERO {
                    continue;
                }
                // Sent once, whatever becomes of it: a second time it might be heard twice.
                let pushes = active && self.pushed.insert(target);
                if records || pushes {
                    let parcel = parcels.entry(owner.node).or_default();
                    parcel.shards.entry(Arc::clone(&found.name)).or_default().push(number);
                }
            }
        }
        parcels
    }

    /// A node has the message, and these of its shards have recorded it.
    pub fn took(&mut self, node: NodeId, recorded: impl IntoIterator<Item = Target>) {
        self.deaf -= usize::from(self.heard.insert(node) && self.deaf > 0);
        for target in recorded {
            let fresh = self.recorded.insert(target);
            self.missing -= usize::from(fresh && self.missing > 0);
        }
    }

    /// Types that listen.
    #[must_use]
    pub fn types(&self) -> u32 {
        self.types
    }

    /// Shards that must record the message and have not.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.missing
    }

    /// Nodes that serve and do not have the message.
    #[must_use]
    pub fn deaf(&self) -> usize {
        self.deaf
    }
}
