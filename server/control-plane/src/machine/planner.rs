//! Which shards are to leave nodes that are alive: a pure function from what was agreed to the moves that are due.
//!
//! The leader asks again and again and proposes what it is told, so a plan only has to be a step in the right direction.
//! Every move improves the first of these that it touches and worsens none before it, so plans come to an end and no
//! shard goes back and forth:
//!
//! 1. Shards leave nodes that drain, or that have no host of the type while others do.
//! 2. The shards of a type spread within one over the nodes that have a host of it.
//! 3. All shards of all types spread over the nodes, so that types with one shard do not meet on one of them.

use std::collections::BTreeSet;

use callboard_types::{NodeId, NodeState, TypeView};

use super::{Machine, TypeRecord, command::Move};

/// The next moves, so many that at most `budget` shards are on their way at a time, those that are already included.
#[must_use]
pub fn plan(machine: &Machine, budget: usize) -> Vec<Move> {
    let mut planner = Planner::new(machine, budget);
    planner.evacuate();
    planner.level_types();
    planner.level_nodes();
    planner.moves
}

struct Planner<'a> {
    /// All members in order. Everywhere else a node is a place in this list.
    nodes: Vec<Place>,
    /// In the order of their ids, those without shards left out.
    types: Vec<Spread<'a>>,
    /// How many more moves may begin.
    left: usize,
    moves: Vec<Move>,
}

struct Place {
    id: NodeId,
    state: NodeState,
    draining: bool,
    /// The shards that it has or gets.
    total: usize,
}

/// Where the shards of one type are or will be. A cluster may have a million shards, so this only counts them.
struct Spread<'a> {
    view: &'a TypeView,
    /// The nodes among which they belong: those that take shards and have a host.
    homes: Vec<usize>,
    /// How many each node has or gets.
    load: Vec<usize>,
    /// How many of them each node owns that do not move, and were not planned now.
    settled: Vec<usize>,
    /// The shards that were planned now.
    planned: BTreeSet<u32>,
}

// === impl Planner ===

impl<'a> Planner<'a> {
    fn new(machine: &'a Machine, budget: usize) -> Self {
        let members = machine.members().map(|(id, member)| {
            let (state, draining) = (member.state(), member.is_draining());
            Place { id, state, draining, total: 0 }
        });
        let mut nodes: Vec<Place> = members.collect();
        let records = machine.systems.values().flat_map(|types| types.values());
        let records = records.filter(|record| !record.view.shards.is_empty());
        let (mut types, mut moving): (Vec<Spread<'_>>, usize) = (Vec::new(), 0);
        for record in records {
            let spread = Spread::of(record, &nodes, &mut moving);
            for (node, load) in nodes.iter_mut().zip(&spread.load) {
                node.total += load;
            }
            types.push(spread);
        }
        types.sort_by_key(|spread| spread.view.id);
        Self { nodes, types, left: budget.saturating_sub(moving), moves: Vec::new() }
    }

    /// Plans one move of a settled shard.
    fn begin(&mut self, at: usize, shard: u32, from: usize, to: usize) {
        let spread = &mut self.types[at];
        spread.planned.insert(shard);
        spread.settled[from] -= 1;
        spread.load[from] -= 1;
        spread.load[to] += 1;
        self.nodes[from].total -= 1;
        self.nodes[to].total += 1;
        let (type_id, epoch) = (spread.view.id, spread.view.shards[shard as usize].epoch);
        self.moves.push(Move { type_id, shard, epoch, to: self.nodes[to].id });
        self.left -= 1;
    }

    /// Shards leave nodes that drain or have no host.
    fn evacuate(&mut self) {
        let takers: Vec<usize> = self.takers().collect();
        for at in 0..self.types.len() {
            for from in 0..self.nodes.len() {
                while self.left > 0
                    && self.types[at].settled[from] > 0
                    && self.must_leave(&self.types[at], from)
                {
                    let spread = &self.types[at];
                    let targets = if spread.homes.is_empty() { &takers } else { &spread.homes };
                    let Some(to) = self.least(spread, targets) else {
                        break;
                    };
                    let shard = spread.first_of(self.nodes[from].id);
                    self.begin(at, shard, from, to);
                }
            }
        }
    }

    /// The nodes that may get shards.
    fn takers(&self) -> impl Iterator<Item = usize> {
        (0..self.nodes.len()).filter(|node| self.nodes[*node].state == NodeState::Up)
    }

    fn must_leave(&self, spread: &Spread<'_>, owner: usize) -> bool {
        if spread.homes.is_empty() {
            return self.nodes[owner].draining;
        }
        !spread.homes.contains(&owner)
    }

    /// Evens out each type by itself.
    fn level_types(&mut self) {
        for at in 0..self.types.len() {
            while self.left > 0 {
                let spread = &self.types[at];
                let Some((from, to)) = self.extremes(spread) else {
                    break;
                };
                if spread.load[from] <= spread.load[to] + 1 {
                    break;
                }
                let shard = spread.first_of(self.nodes[from].id);
                self.begin(at, shard, from, to);
            }
        }
    }

    /// Evens out the nodes by moving who has the larger share of a type.
    fn level_nodes(&mut self) {
        loop {
            let before = self.left;
            for at in 0..self.types.len() {
                let spread = &self.types[at];
                let Some((from, to)) = self.extremes(spread) else {
                    continue;
                };
                let uneven = spread.load[from] > spread.load[to];
                if self.left > 0 && uneven && self.nodes[from].total > self.nodes[to].total + 1 {
                    let shard = spread.first_of(self.nodes[from].id);
                    self.begin(at, shard, from, to);
                }
            }
            if self.left == before {
                return;
            }
        }
    }

    /// The home with most and the home with fewest shards of a type; the nodes' totals decide among equals.
    fn extremes(&self, spread: &Spread<'_>) -> Option<(usize, usize)> {
        let homes = spread.homes.iter().copied().filter(|node| spread.settled[*node] > 0);
        let from = homes.max_by_key(|node| (spread.load[*node], self.nodes[*node].total, *node))?;
        Some((from, self.least(spread, &spread.homes)?))
    }

    fn least(&self, spread: &Spread<'_>, nodes: &[usize]) -> Option<usize> {
        let nodes = nodes.iter().copied();
        nodes.min_by_key(|node| (spread.load[*node], self.nodes[*node].total, *node))
    }
}

// === impl Spread ===

impl<'a> Spread<'a> {
    fn of(record: &'a TypeRecord, nodes: &[Place], moving: &mut usize) -> Self {
        let (mut load, mut settled) = (vec![0; nodes.len()], vec![0; nodes.len()]);
        let place_of = |id: NodeId| nodes.binary_search_by_key(&id, |place| place.id);
        for shard in &*record.view.shards {
            let place = if shard.is_moving() { shard.moving_to } else { shard.node };
            *moving += usize::from(shard.is_moving());
            if let Ok(node) = place_of(place) {
                load[node] += 1;
                let stays = !shard.is_moving() && nodes[node].state != NodeState::Down;
                settled[node] += usize::from(stays);
            }
        }
        let homes = (0..nodes.len()).filter(|node| {
            nodes[*node].state == NodeState::Up && record.eligible.contains(&nodes[*node].id)
        });
        let (homes, planned) = (homes.collect(), BTreeSet::new());
        Self { view: &record.view, homes, load, settled, planned }
    }

    /// The first shard of a node that does not move and was not planned.
    fn first_of(&self, node: NodeId) -> u32 {
        let shards = (0_u32..).zip(&*self.view.shards);
        let mut settled = shards.filter(|(_, shard)| shard.node == node && !shard.is_moving());
        let free = settled.find(|(number, _)| !self.planned.contains(number));
        free.expect("only nodes with settled shards are asked").0
    }
}

#[cfg(test)]
mod tests;
