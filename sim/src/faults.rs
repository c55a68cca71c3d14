//! What goes wrong in a simulation, and when: drawn from the seed before it begins.

use crate::{coverage::Seen, rng::Rng};

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// When it begins, in microseconds of true time.
    pub(crate) begins: u64,
    /// When it is over.
    pub(crate) ends: u64,
    /// What it is; one of the kinds that are called faults.
    pub(crate) kind: Seen,
    /// The node that it strikes, unless that is found when it begins.
    pub(crate) node: usize,
    /// The other node of a pair.
    pub(crate) other: usize,
}

/// The kinds with how often they are drawn and how long they last, in milliseconds.
const KINDS: [(Seen, u64, u64, u64); 21] = [
    (Seen::PartitionPair, 3, 300, 4_000),
    (Seen::PartitionOneWay, 3, 300, 4_000),
    (Seen::PartitionGroups, 3, 500, 5_000),
    (Seen::IsolateLeader, 4, 500, 5_000),
    (Seen::IsolateNode, 3, 500, 5_000),
    (Seen::Zombie, 6, 3_000, 5_000),
    (Seen::Lag, 4, 2_500, 5_000),
    (Seen::StoreCut, 3, 300, 3_000),
    (Seen::StoreDown, 1, 300, 2_000),
    (Seen::LostVerdicts, 3, 300, 2_000),
    (Seen::LateCommits, 3, 500, 3_000),
    (Seen::Loss, 3, 500, 3_000),
    (Seen::Delay, 3, 500, 3_000),
    (Seen::PauseShort, 3, 50, 1_500),
    (Seen::PauseLong, 4, 2_500, 5_000),
    (Seen::Crash, 4, 100, 4_000),
    (Seen::CrashAll, 1, 100, 1_000),
    (Seen::HostCrash, 4, 1, 2),
    (Seen::HostsLeave, 2, 200, 3_000),
    (Seen::ClockStep, 4, 1, 2),
    (Seen::Drain, 3, 1_000, 3_000),
];

/// Draws what goes wrong between two times.
pub(crate) fn draw(rng: &mut Rng, nodes: usize, from: u64, to: u64) -> Vec<Fault> {
    let count = rng.between(3, 10);
    let weights: u64 = KINDS.iter().map(|(_, weight, ..)| weight).sum();
    let mut faults: Vec<Fault> = (0..count)
        .map(|_| {
            let mut drawn = rng.below(usize::try_from(weights).expect("few")) as u64;
            let kind = KINDS.iter().find(|(_, weight, ..)| {
                let found = drawn < *weight;
                drawn = drawn.wrapping_sub(*weight);
                found
            });
            let (kind, _, shortest, longest) = *kind.expect("weights add up");
            let begins = rng.between(from, to);
            let ends = (begins + rng.between(shortest, longest) * 1_000).min(to);
            let node = rng.below(nodes);
            let other = (node + 1 + rng.below(nodes - 1)) % nodes;
            Fault { begins, ends, kind, node, other }
        })
        .collect();
    faults.sort_by_key(|fault| fault.begins);
    faults
}
