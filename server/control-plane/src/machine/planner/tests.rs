use std::collections::{BTreeMap, HashSet};

use callboard_types::{Epoch, TypeDefinition};
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::machine::{
    Command,
    command::{
        HostedChanged, PlanMoves, Release, Released, SetNodeState,
        fixtures::{allocate, cluster, counter, down, offer, start},
    },
};

/// (type id, shard)
type Shard = (u32, u32);

/// Registers a type with `shards` shards, by a host at `node`.
fn add_type(machine: &mut Machine, name: &str, shards: u32, node: u64) {
    let definition = TypeDefinition { name: name.into(), ..counter(shards) };
    machine.apply(offer(node, vec![definition]));
}

fn host(machine: &mut Machine, node: u64, name: &str, hosted: bool) {
    let types = vec![("default".into(), name.to_owned(), hosted)];
    machine.apply(Command::HostedChanged(HostedChanged { node: NodeId(node), types }));
}

fn drain(machine: &mut Machine, node: u64) {
    let command = SetNodeState { node: NodeId(node), draining: true };
    machine.apply(Command::SetNodeState(command));
}

fn shards(machine: &Machine) -> Vec<(Shard, callboard_types::ShardOwner)> {
    let types = machine.types();
    types
        .flat_map(|view| {
            (0_u32..).zip(view.shards.to_vec()).map(|(number, owner)| ((view.id, number), owner))
        })
        .collect()
}

/// Begins what is planned, and lets owners release what moves.
fn step(machine: &mut Machine, budget: usize) -> Vec<Move> {
    let moves = plan(machine, budget);
    assert_eq!(moves, plan(&machine.clone(), budget), "the same plan for the same state");
    let begun = machine.apply(Command::PlanMoves(PlanMoves { moves: moves.clone() }));
    assert_eq!(begun.changed, !moves.is_empty());
    let moving: Vec<_> =
        shards(machine).into_iter().filter(|(_, owner)| owner.is_moving()).collect();
    assert!(moving.len() <= budget, "{} shards on their way", moving.len());
    assert_eq!(moving.len(), moves.len(), "every planned move begins");
    for ((type_id, shard), owner) in moving {
        let shards = vec![Release { type_id, shard, epoch: owner.epoch }];
        let released = Command::Released(Released { node: owner.node, shards });
        assert!(machine.apply(released).changed);
    }
    moves
}

/// Plans until nothing is due. Checks on the way that no shard comes back to a node that it left, and at the end that
/// the epochs of exactly the moved shards rose. Returns the moves.
fn converge(machine: &mut Machine, budget: usize) -> Vec<Move> {
    let before = shards(machine);
    let mut left: HashSet<(Shard, NodeId)> = HashSet::new();
    let mut all = Vec::new();
    for _ in 0..10_000 {
        let owners: BTreeMap<Shard, NodeId> =
            shards(machine).into_iter().map(|(shard, owner)| (shard, owner.node)).collect();
        let moves = step(machine, budget);
        if moves.is_empty() {
            for ((shard, old), (_, new)) in before.iter().zip(shards(machine)) {
                let moves = all.iter().filter(|m: &&Move| (m.type_id, m.shard) == *shard);
                let rises = u64::try_from(moves.count()).expect("few");
                assert_eq!(new.epoch, Epoch(old.epoch.0 + rises));
            }
            return all;
        }
        for planned in &moves {
            let shard = (planned.type_id, planned.shard);
            left.insert((shard, owners[&shard]));
            assert!(!left.contains(&(shard, planned.to)), "shard {shard:?} came back");
        }
        all.extend(moves);
    }
    panic!("it never settles");
}

fn spread(loads: &BTreeMap<NodeId, usize>) -> usize {
    let (max, min) = (loads.values().max(), loads.values().min());
    max.expect("a node") - min.expect("a node")
}

fn count<'a>(
    nodes: impl IntoIterator<Item = &'a NodeId>,
    owners: impl IntoIterator<Item = NodeId>,
) -> BTreeMap<NodeId, usize> {
    let mut loads: BTreeMap<NodeId, usize> = nodes.into_iter().map(|node| (*node, 0)).collect();
    for owner in owners {
        if let Some(load) = loads.get_mut(&owner) {
            *load += 1;
        }
    }
    loads
}

/// Each type is within one over its homes, and nothing stays where it must not.
fn assert_types_are_level(machine: &Machine) {
    let planner = Planner::new(machine, 0);
    for type_spread in &planner.types {
        let homes: Vec<NodeId> =
            type_spread.homes.iter().map(|node| planner.nodes[*node].id).collect();
        let owners = || type_spread.view.shards.iter().map(|shard| shard.node);
        if !homes.is_empty() {
            assert!(spread(&count(&homes, owners())) <= 1);
        }
        let mut places = (0..planner.nodes.len()).filter(|node| type_spread.settled[*node] > 0);
        let stuck = places.any(|node| planner.must_leave(type_spread, node));
        assert!(!stuck || planner.takers().next().is_none());
    }
}

fn assert_nodes_are_level(machine: &Machine) {
    let planner = Planner::new(machine, 0);
    let takers: Vec<NodeId> = planner.takers().map(|node| planner.nodes[node].id).collect();
    let owners = shards(machine).into_iter().map(|(_, owner)| owner.node);
    assert!(spread(&count(&takers, owners)) <= 1);
}

/// Types with their numbers of shards, all with hosts at every one of `nodes` nodes, levelled.
fn level_cluster(nodes: u64, types: &[u32]) -> Machine {
    let mut machine = cluster(nodes);
    for (number, shards) in types.iter().enumerate() {
        let name = format!("T{number}");
        add_type(&mut machine, &name, *shards, 1);
        for node in 2..=nodes {
            host(&mut machine, node, &name, true);
        }
    }
    converge(&mut machine, usize::MAX);
    machine
}

fn shard_counts() -> impl Strategy<Value = Vec<u32>> {
    vec(prop_oneof![3 => 1_u32..70, 1 => Just(1_u32)], 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn whatever_hosts_come_and_nodes_drain_plans_come_to_an_end_with_every_type_level(
        nodes in 1_u64..7,
        types in shard_counts(),
        bits in vec((1_u64..7, 0_usize..12, any::<bool>()), 0..60),
        drained in vec(1_u64..7, 0..3),
        dead in proptest::option::of(1_u64..7),
        budget in prop_oneof![Just(1_usize), 2_usize..9, Just(usize::MAX)],
    ) {
        let mut machine = cluster(nodes);
        for (number, shards) in types.iter().enumerate() {
            add_type(&mut machine, &format!("T{number}"), *shards, 1 + number as u64 % nodes);
        }
        for (number, (node, kind, hosted)) in bits.into_iter().enumerate() {
            host(&mut machine, node, &format!("T{kind}"), hosted);
            if number % 7 == 0 {
                step(&mut machine, budget);
            }
        }
        for node in drained {
            drain(&mut machine, node);
        }
        converge(&mut machine, budget);
        assert_types_are_level(&machine);
        if let Some(node) = dead {
            machine.apply(down(&[(node, node)]));
            converge(&mut machine, budget);
            assert_types_are_level(&machine);
        }
    }

    #[test]
    fn with_hosts_everywhere_the_nodes_are_level_too_and_a_new_node_takes_only_its_share(
        nodes in 1_u64..7, types in shard_counts(), budget in 1_usize..40,
    ) {
        let mut machine = level_cluster(nodes, &types);
        assert_types_are_level(&machine);
        assert_nodes_are_level(&machine);

        machine.apply(allocate("another"));
        let newest = nodes + 1;
        machine.apply(start(newest, 0, 9));
        for number in 0..types.len() {
            host(&mut machine, newest, &format!("T{number}"), true);
        }
        let moves = converge(&mut machine, budget);
        assert_types_are_level(&machine);
        assert_nodes_are_level(&machine);
        let total: usize = types.iter().map(|shards| *shards as usize).sum();
        let share = total / usize::try_from(newest).expect("few");
        // Levelling the types fixes what each may give; levelling the nodes may take a few swaps more.
        prop_assert!(moves.len() <= share + types.len() + 1, "{} of {total}", moves.len());
    }

    #[test]
    fn draining_a_node_moves_its_shards_and_hardly_any_other(
        nodes in 2_u64..7, types in shard_counts(), gone in 1_u64..7, budget in 1_usize..40,
    ) {
        let gone = 1 + gone % nodes;
        let mut machine = level_cluster(nodes, &types);
        let owned = machine.shards_of(NodeId(gone));
        drain(&mut machine, gone);
        let moves = converge(&mut machine, budget);
        prop_assert_eq!(machine.shards_of(NodeId(gone)), 0);
        assert_types_are_level(&machine);
        assert_nodes_are_level(&machine);
        prop_assert!(moves.len() <= owned + types.len(), "{} for {owned}", moves.len());
    }
}

#[test]
fn types_with_one_shard_spread_over_the_nodes() {
    let machine = level_cluster(3, &[1; 9]);
    let owned: Vec<usize> = (1..=3).map(|node| machine.shards_of(NodeId(node))).collect();
    assert_eq!(owned, [3, 3, 3]);
}

#[test]
fn a_node_without_hosts_gives_nothing_away_if_nobody_else_has_any() {
    let mut machine = cluster(2);
    add_type(&mut machine, "T0", 4, 1);
    host(&mut machine, 1, "T0", false);
    assert_eq!(plan(&machine, 10), []);
    drain(&mut machine, 1);
    assert_eq!(plan(&machine, 10).len(), 4, "a drained node is to be empty all the same");
    drain(&mut machine, 2);
    assert_eq!(plan(&machine, 10), [], "there is nobody to take them");
}
