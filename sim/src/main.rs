//! Runs seeds of the simulation: `cargo run -p callboard-sim -- --seeds 20000`.

use std::{
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

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
    /// How many seeds run side by side; as many as there are processors if not given.
    #[arg(long)]
    jobs: Option<usize>,
}

/// What the seeds of a run came to.
#[derive(Debug, Default)]
struct Sum {
    coverage: Coverage,
    events: u64,
    simulated: u64,
    operations: usize,
    /// The lowest seed that failed, as far as was run.
    failed: Option<(u64, Report)>,
}

impl Sum {
    fn add(&mut self, seed: u64, report: Report) {
        self.coverage.add(&report.coverage);
        self.events += report.events;
        self.simulated += report.simulated;
        self.operations += report.operations;
        let is_first = self.failed.as_ref().is_none_or(|(other, _)| seed < *other);
        if is_first && !report.violations.is_empty() {
            self.failed = Some((seed, report));
        }
    }
}

/// Runs seeds side by side until one fails.
fn run_all(from: u64, seeds: u64, jobs: usize, arguments: &Arguments) -> Sum {
    let (next, sum) = (AtomicU64::new(from), Mutex::new(Sum::default()));
    let work = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= from + seeds {
            return;
        }
        let report = run(seed, arguments.bug, arguments.trace);
        if !report.violations.is_empty() {
            next.store(from + seeds, Ordering::Relaxed);
        }
        sum.lock().expect("no thread panics here").add(seed, report);
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(work);
        }
    });
    sum.into_inner().expect("no thread panics here")
}

#[expect(clippy::print_stdout, reason = "a command's output")]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (from, seeds) = arguments.seed.map_or((arguments.from, arguments.seeds), |seed| (seed, 1));
    let begun = Tick::now();
    let processors = || std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = arguments.jobs.unwrap_or_else(processors).max(1);
    let sum = run_all(from, seeds, jobs, &arguments);
    let Sum { coverage, events, simulated, operations, failed } = sum;
    if let Some((seed, report)) = failed {
        print_failure(seed, &arguments, &report);
        return ExitCode::FAILURE;
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
