//! Seeds that found something once find nothing now, and every seed is the same run each time.

use callboard_sim::run;

#[test]
fn no_seed_of_the_corpus_breaks_an_invariant() {
    let corpus = include_str!("../corpus.txt");
    let lines = corpus.lines().filter_map(|line| line.split('#').next());
    let seeds: Vec<u64> = lines
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.trim().parse().expect("a seed"))
        .collect();
    assert!(!seeds.is_empty());
    for seed in seeds {
        let report = run(seed, None, false);
        assert!(report.violations.is_empty(), "seed {seed}: {:?}", report.violations);
    }
}

#[test]
fn a_seed_is_the_same_run_each_time() {
    for seed in [7, 1_000_003] {
        let (first, second) = (run(seed, None, false), run(seed, None, false));
        assert_eq!(
            (first.events, first.simulated, first.operations),
            (second.events, second.simulated, second.operations)
        );
    }
}
