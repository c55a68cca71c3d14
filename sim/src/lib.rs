//! A simulation of a cluster: many nodes, one thread, no clock, every run the same for its seed.
//!
//! What is simulated is real where the cluster's safety is decided: the control machine with its planner
//! (`callboard_control_plane::machine`), the lease machines (`callboard_control_plane::lease`) and the activations
//! (`callboard_data_plane::activation`). Around them is the least that brings them into trouble: a small consensus
//! protocol (`raft`), a network (`net`), a store with fence rows (`store`), clocks with offset and rate
//! (`clock`), hosts, gateways (`node`) and callers who repeat themselves (`callers`). `faults` decides what goes
//! wrong; `invariants` says what must be true all the same.

pub mod bugs;
mod callers;
mod clock;
pub mod coverage;
mod faults;
mod history;
mod invariants;
mod message;
mod net;
mod node;
mod raft;
mod rng;
mod state;
mod store;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use bugs::Bug;
use coverage::Coverage;
use world::World;

/// What came of a seed.
#[derive(Debug)]
pub struct Report {
    /// The invariants that are broken, with words. Empty is good.
    pub violations: Vec<(&'static str, String)>,
    /// What was seen.
    pub coverage: Coverage,
    /// How many events happened.
    pub events: u64,
    /// How much time passed inside, in microseconds.
    pub simulated: u64,
    /// Operations of callers.
    pub operations: usize,
}

/// Runs one seed.
#[must_use]
pub fn run(seed: u64, bug: Option<Bug>, trace: bool) -> Report {
    let mut world = World::new(seed, bug, trace);
    let panicked = catch_unwind(AssertUnwindSafe(|| world.run())).is_err();
    let mut violations = invariants::check_all(&world.history);
    if panicked {
        violations.insert(0, ("no_panic", "a machine met what cannot be".into()));
    }
    Report {
        violations,
        coverage: world.coverage.clone(),
        events: world.events,
        simulated: world.now(),
        operations: world.history.operations.len(),
    }
}
