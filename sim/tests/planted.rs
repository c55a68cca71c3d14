//! The simulation finds what it is there to find: with any one safeguard taken out, it fails soon.

use callboard_sim::{bugs::Bug, run};

/// Seeds within which each planted bug must be found; `make sim` runs many times as many.
const SEEDS: u64 = 2_000;

#[test]
fn every_planted_bug_is_found() {
    let found =
        |bug: Bug| (0..SEEDS).find(|seed| !run(*seed, Some(bug), false).violations.is_empty());
    let missed: Vec<&str> =
        Bug::ALL.iter().filter(|bug| found(**bug).is_none()).map(|bug| bug.name()).collect();
    assert!(missed.is_empty(), "not found within {SEEDS} seeds: {}", missed.join(", "));
}
