//! One run: everybody up, clients on, rounds of faults, clients off, ledgers read, history judged.

use std::{
    fmt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::{
    Error, Options, alarms,
    cast::{self, Cast},
    client::{self, Shared},
    history::{self, Recorder},
    ledgers, letters, marks,
    nemesis::Nemesis,
    plan::{self, Plan},
    verdict::{self, Verdict},
};

/// Of a hundred calls, how many must be answered: a run in which hardly anything worked shows nothing.
const ANSWERED_PERCENT_MIN: usize = 50;

/// Findings that are printed.
const FINDINGS_SHOWN: usize = 20;

/// The name of the history in the run's folder.
pub const HISTORY: &str = "history.jsonl";

/// Calm before the first fault, so that every actor has been called once.
const WARM_UP: Duration = Duration::from_secs(2);

/// How long a finding with logs may be when it is printed, in lines.
const FINDING_LINES: usize = 40;

/// What a run showed.
#[derive(Debug, Default)]
pub struct Summary {
    verdict: Verdict,
    recoveries: Vec<Duration>,
    frames: Frames,
    retried: usize,
    took: Duration,
    /// What must not be, in words. Empty if every promise was kept.
    pub findings: Vec<String>,
}

/// What the switch did.
#[derive(Debug, Default)]
struct Frames {
    passed: u64,
    cut: u64,
    reset: u64,
    lost: u64,
    delayed: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verdict, frames, .. } = self;
        let refused: usize = verdict.refused.values().sum();
        writeln!(
            f,
            "{} calls in {:.0} s: {} answered, {refused} refused, {} without an answer; ownership moved {} times",
            verdict.calls,
            self.took.as_secs_f64(),
            verdict.answered,
            verdict.unknown,
            verdict.moves,
        )?;
        let verdict::Talk { effects, chains, broadcasts, firings, deleted } = &verdict.talk;
        writeln!(
            f,
            "{effects} effects, {chains} chains, {broadcasts} broadcasts, {firings} firings; {deleted} schedules deleted; \
             {} dead letters retried",
            self.retried
        )?;
        writeln!(
            f,
            "frames: {} passed, {} cut, {} reset, {} lost, {} delayed",
            frames.passed, frames.cut, frames.reset, frames.lost, frames.delayed
        )?;
        let faults: usize = verdict.faults.values().sum();
        writeln!(f, "{faults} faults of {} kinds:", verdict.faults.len())?;
        for (kind, count) in &verdict.faults {
            writeln!(f, "  {kind:<20} {count}")?;
        }
        let mut recoveries = self.recoveries.clone();
        recoveries.sort_unstable();
        if let (Some(median), Some(worst)) =
            (recoveries.get(recoveries.len() / 2), recoveries.last())
        {
            writeln!(
                f,
                "everything served again after healing: median {} ms, worst {} ms",
                median.as_millis(),
                worst.as_millis()
            )?;
        }
        if self.findings.is_empty() {
            return write!(f, "every promise was kept");
        }
        write!(f, "{} findings:", self.findings.len())?;
        for finding in self.findings.iter().take(FINDINGS_SHOWN) {
            let lines: Vec<_> = finding.lines().take(FINDING_LINES).collect();
            write!(f, "\n  {}", lines.join("\n    "))?;
        }
        Ok(())
    }
}

impl Summary {
    /// What the checkers found, without what else was wrong with the run.
    #[must_use]
    pub fn broken_promises(&self) -> &[String] {
        &self.verdict.findings
    }
}

/// Makes a run in the options' folder, which must be empty. Namespaces must have been entered.
///
/// # Errors
/// If the run could not be carried out. Broken promises are in the summary.
pub async fn run(options: &Options) -> Result<Summary, Error> {
    let begun = super::now();
    let recorder = Arc::new(Recorder::create(&options.folder.join(HISTORY))?);
    let cast = Cast::start(options, Arc::clone(&recorder)).await?;
    let shared =
        Arc::new(Shared::new(options, &cast::node_ports(options.nodes), Arc::clone(&recorder))?);
    let nemesis = Nemesis::new(&cast, &shared);
    let first = nemesis.serves().await?;
    recorder.say(format!("everything serves {} ms after the start", first.as_millis()));
    marks::join_hearers(options, &shared).await?;
    let mut clients = Clients::start(options, &shared);
    let alarms = tokio::spawn(alarms::run(Arc::clone(&shared), options.seed));
    tokio::time::sleep(WARM_UP).await;
    let made = make_rounds(options, &nemesis, begun).await;
    shared.stopping.store(true, Ordering::Relaxed);
    let mut findings = Vec::new();
    if let Err(error) = made {
        findings.push(error.to_string());
    }
    clients.join().await?;
    alarms.await.map_err(|error| Error::failed(format!("the alarms: {error}")))??;
    let mut entries = recorder.finish()?;
    let reading = async {
        findings.extend(ledgers::read(&shared, &recorder, &entries).await);
        if let Err(error) = marks::read(&shared, &recorder, &entries).await {
            findings.push(error.to_string());
        }
    };
    let letters = letters::retry_until(reading, options, &shared, &recorder).await;
    findings.extend(letters.findings);
    entries.extend(recorder.finish()?);
    let (found, recoveries) = nemesis.report().await;
    findings.extend(found);
    let verdict = verdict::judge(&entries);
    judge_coverage(options, &verdict, &mut findings);
    findings.extend(verdict.findings.iter().cloned());
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let counters = cast.switch.counters();
    let frames = Frames {
        passed: load(&counters.passed),
        cut: load(&counters.cut),
        reset: load(&counters.reset),
        lost: load(&counters.lost),
        delayed: load(&counters.delayed),
    };
    let retried = letters.retried;
    Ok(Summary { verdict, recoveries, frames, retried, took: begun.elapsed(), findings })
}

/// Judges a history that was written by an earlier run.
///
/// # Errors
/// If it cannot be read.
pub fn judge_again(path: &Path) -> Result<Summary, Error> {
    let entries = history::read(path)?;
    let verdict = verdict::judge(&entries);
    let took = Duration::from_nanos(entries.last().map_or(0, |entry| entry.at_ns));
    let findings = verdict.findings.clone();
    Ok(Summary { verdict, took, findings, ..Summary::default() })
}

async fn make_rounds(
    options: &Options,
    nemesis: &Nemesis<'_>,
    begun: Instant,
) -> Result<(), Error> {
    let mut plan = Plan::new(options.seed, plan::possible(options.nodes, &options.kinds));
    loop {
        let left = options.duration.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return Ok(());
        }
        let longest = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        nemesis.round(&plan.round(longest)).await?;
    }
}

/// The clients of a run.
pub struct Clients(JoinSet<()>);

impl Clients {
    /// Lets them begin.
    #[must_use]
    pub fn start(options: &Options, shared: &Arc<Shared>) -> Self {
        let mut clients = JoinSet::new();
        for number in 0..options.clients {
            let seed = options.seed.wrapping_mul(1_000_003).wrapping_add(u64::from(number));
            clients.spawn(client::run(Arc::clone(shared), number, seed));
        }
        Self(clients)
    }

    /// Waits for their last calls, once they were told to stop.
    ///
    /// # Errors
    /// If one panicked.
    pub async fn join(&mut self) -> Result<(), Error> {
        while let Some(client) = self.0.join_next().await {
            client.map_err(|error| Error::failed(format!("a client: {error}")))?;
        }
        Ok(())
    }
}

/// A run that was not disturbed, or answered hardly anything, shows nothing.
fn judge_coverage(options: &Options, verdict: &Verdict, findings: &mut Vec<String>) {
    if verdict.answered * 100 < verdict.calls * ANSWERED_PERCENT_MIN || verdict.answered == 0 {
        findings.push(format!(
            "only {} of {} calls were answered: the run shows nothing",
            verdict.answered, verdict.calls
        ));
    }
    for (reason, count) in &verdict.refused {
        // A turn whose host died three times is given up for good. Nothing else may end a call.
        if !reason.starts_with("TURN_CRASHED_HOST") {
            findings.push(format!("{count} calls were refused for good: {reason}"));
        }
    }
    let talk = &verdict.talk;
    for (what, count) in [
        ("effect", talk.effects),
        ("chain", talk.chains),
        ("broadcast", talk.broadcasts),
        ("firing", talk.firings),
        ("deleted schedule", talk.deleted),
    ] {
        if count == 0 {
            findings.push(format!("there was no {what}: the run shows nothing of that"));
        }
    }
    let missed: Vec<&str> = plan::possible(options.nodes, &options.kinds)
        .into_iter()
        .map(plan::Kind::name)
        .filter(|kind| !verdict.faults.contains_key(*kind))
        .collect();
    if !missed.is_empty() {
        findings.push(format!(
            "the run was too short, or its luck too bad, for these faults: {}",
            missed.join(", ")
        ));
    }
}
