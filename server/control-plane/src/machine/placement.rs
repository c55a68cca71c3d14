//! Which node owns which shard: deterministic, balanced, and with the fewest moves that this takes.

use std::collections::{BTreeMap, BTreeSet};

use callboard_types::{NodeId, ShardOwner};

/// Which shards may change their owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Movement {
    /// Only shards whose owner cannot run them.
    Orphans,
    /// As many more as an even spread takes.
    Balance,
}

/// Gives every shard an owner among the eligible nodes. The epoch rises for exactly the shards that move.
///
/// With nobody eligible everything stays: calls wait for a host where the shard is. `seed` decides who is first among
/// equals, so that types with one shard spread over the nodes.
#[must_use]
pub fn assign(
    current: &[ShardOwner],
    eligible: &BTreeSet<NodeId>,
    movement: Movement,
    seed: u32,
) -> Vec<ShardOwner> {
    let mut placed = current.to_vec();
    if eligible.is_empty() {
        return placed;
    }
    let ranks = ranks(eligible, seed);
    let mut load: BTreeMap<NodeId, usize> = eligible.iter().map(|node| (*node, 0)).collect();
    for owner in current {
        if let Some(shards) = load.get_mut(&owner.node) {
            *shards += 1;
        }
    }
    let mut room = match movement {
        Movement::Orphans => load.clone(),
        Movement::Balance => quotas(current.len(), &load, &ranks),
    };
    let mut homeless = Vec::new();
    for (shard, owner) in current.iter().enumerate() {
        match room.get_mut(&owner.node) {
            Some(left) if *left > 0 => *left -= 1,
            _ => homeless.push(shard),
        }
    }
    for shard in &homeless {
        if let Some(shards) = load.get_mut(&current[*shard].node) {
            *shards -= 1;
        }
    }
    for shard in homeless {
        let (_, _, node) = load
            .iter()
            .map(|(node, shards)| (*shards, ranks[node], *node))
            .min()
            .expect("somebody is eligible");
        *load.get_mut(&node).expect("it is eligible") += 1;
        placed[shard] = ShardOwner::new(node, current[shard].epoch.next());
    }
    placed
}

/// How many shards each node keeps at most. The nodes with most shards get the larger shares, so that fewest move.
fn quotas(
    shards: usize,
    load: &BTreeMap<NodeId, usize>,
    ranks: &BTreeMap<NodeId, usize>,
) -> BTreeMap<NodeId, usize> {
    let (share, larger) = (shards / load.len(), shards % load.len());
    let mut nodes: Vec<NodeId> = load.keys().copied().collect();
    nodes.sort_by_key(|node| (std::cmp::Reverse(load[node]), ranks[node]));
    nodes
        .into_iter()
        .enumerate()
        .map(|(at, node)| (node, share + usize::from(at < larger)))
        .collect()
}

/// The order among equals: by id, beginning at the node that the seed points to.
fn ranks(eligible: &BTreeSet<NodeId>, seed: u32) -> BTreeMap<NodeId, usize> {
    let count = eligible.len();
    let first = seed as usize % count;
    eligible.iter().enumerate().map(|(at, node)| (*node, (at + count - first) % count)).collect()
}

#[cfg(test)]
mod tests {
    use callboard_types::Epoch;
    use proptest::{
        collection::{btree_set, vec},
        prelude::*,
    };

    use super::*;

    fn node() -> impl Strategy<Value = NodeId> {
        (0_u64..9).prop_map(NodeId)
    }

    fn owners() -> impl Strategy<Value = Vec<ShardOwner>> {
        let owner =
            (node(), 0_u64..50).prop_map(|(node, epoch)| ShardOwner::new(node, Epoch(epoch)));
        vec(owner, 1..200)
    }

    fn loads(placed: &[ShardOwner], eligible: &BTreeSet<NodeId>) -> Vec<usize> {
        let count = |node: &NodeId| placed.iter().filter(|owner| owner.node == *node).count();
        eligible.iter().map(count).collect()
    }

    fn spread(loads: &[usize]) -> usize {
        loads.iter().max().expect("a node") - loads.iter().min().expect("a node")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn every_shard_ends_on_an_eligible_node_and_only_moved_shards_get_a_new_epoch(
            current in owners(), eligible in btree_set(node(), 1..6), seed: u32, balance: bool,
        ) {
            let movement = if balance { Movement::Balance } else { Movement::Orphans };
            let placed = assign(&current, &eligible, movement, seed);
            prop_assert_eq!(placed.len(), current.len());
            for (old, new) in current.iter().zip(&placed) {
                prop_assert!(eligible.contains(&new.node));
                let moved = old.node != new.node;
                let epoch = if moved { old.epoch.next() } else { old.epoch };
                prop_assert_eq!(new.epoch, epoch);
            }
            prop_assert_eq!(&placed, &assign(&current, &eligible, movement, seed));
            prop_assert_eq!(&placed, &assign(&placed, &eligible, movement, seed), "it settles");
        }

        #[test]
        fn orphans_find_a_home_and_nobody_else_moves(
            current in owners(), eligible in btree_set(node(), 1..6), seed: u32,
        ) {
            let placed = assign(&current, &eligible, Movement::Orphans, seed);
            for (old, new) in current.iter().zip(&placed) {
                prop_assert!(!eligible.contains(&old.node) || old == new);
            }
        }

        #[test]
        fn a_balanced_spread_is_even_and_moves_no_shard_more_than_it_must(
            current in owners(), eligible in btree_set(node(), 1..6), seed: u32,
        ) {
            let placed = assign(&current, &eligible, Movement::Balance, seed);
            prop_assert!(spread(&loads(&placed, &eligible)) <= 1);
            let moved = current.iter().zip(&placed).filter(|(old, new)| old.node != new.node);
            // The fewest moves: what the fullest nodes may keep of an even spread stays where it is.
            let mut held = loads(&current, &eligible);
            held.sort_unstable_by(|a, b| b.cmp(a));
            let (share, larger) = (current.len() / held.len(), current.len() % held.len());
            let kept: usize = held
                .iter()
                .enumerate()
                .map(|(at, shards)| (*shards).min(share + usize::from(at < larger)))
                .sum();
            prop_assert_eq!(moved.count(), current.len() - kept);
        }
    }

    #[test]
    fn types_with_one_shard_spread_over_the_nodes() {
        let eligible = BTreeSet::from([NodeId(1), NodeId(2), NodeId(3)]);
        let homes: Vec<u64> = (0..3)
            .map(|id| assign(&[ShardOwner::default()], &eligible, Movement::Orphans, id)[0].node.0)
            .collect();
        assert_eq!(homes, [1, 2, 3]);
    }

    #[test]
    fn with_nobody_eligible_ownership_stays() {
        let current = [ShardOwner::new(NodeId(7), Epoch(3))];
        for movement in [Movement::Orphans, Movement::Balance] {
            assert_eq!(assign(&current, &BTreeSet::new(), movement, 0), current);
        }
    }
}
