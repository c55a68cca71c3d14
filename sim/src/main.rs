//! Runs seeds of the simulation: `cargo run -p callboard-sim -- --seeds 20000`.

use std::process::ExitCode;

use callboard_sim::{
    Report,
    bugs::Bug,
    coverage::{Coverage, Seen},
    run,
};
use callboard_types::Tick;
use clap::Parser;

/// A kind of fault that did not strike in so many seeds is one that cannot.
const COVERED_WITHIN: u64 = 1_000;

/// Simulates clusters under faults and checks what must be true of them.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// This seed only.
    #[arg(long)]
    seed: Option<u64>,
    /// Print every event.
    #[arg(long)]
    trace: bool,
    /// Take a safeguard away; the run is to fail then.
    #[arg(long)]
    bug: Option<Bug>,
}

#[expect(clippy::print_stdout, reason = "a command's output")]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (from, seeds) = arguments.seed.map_or((arguments.from, arguments.seeds), |seed| (seed, 1));
    let (begun, mut coverage) = (Tick::now(), Coverage::default());
    let (mut events, mut simulated, mut operations) = (0, 0, 0);
    for seed in from..from + seeds {
        let report = run(seed, arguments.bug, arguments.trace);
        coverage.add(&report.coverage);
        events += report.events;
        simulated += report.simulated;
        operations += report.operations;
        if !report.violations.is_empty() {
            print_failure(seed, &arguments, &report);
            return ExitCode::FAILURE;
        }
    }
    println!(
        "{seeds} seeds, {events} events, {operations} operations, {:.1} hours simulated in {:.1} s: no violation",
        simulated as f64 / 3.6e9,
        Tick::now().micros_since(begun) as f64 / 1e6
    );
    for kind in Seen::ALL {
        println!("  {:>9}  {}", coverage.count(*kind), kind.name());
    }
    let missing = coverage.missing();
    if seeds >= COVERED_WITHIN && !missing.is_empty() {
        let names: Vec<&str> = missing.iter().map(|kind| kind.name()).collect();
        println!("FAILED: never happened: {}", names.join(", "));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

#[expect(clippy::print_stdout, reason = "a command's output")]
fn print_failure(seed: u64, arguments: &Arguments, report: &Report) {
    println!("FAILED: seed {seed}, after {} events", report.events);
    for (invariant, violation) in &report.violations {
        println!("  {invariant}: {violation}");
    }
    let bug = arguments.bug.map_or_else(String::new, |bug| format!(" --bug {}", bug.name()));
    println!("reproduce: cargo run -p callboard-sim -- --seed {seed}{bug} --trace");
}
