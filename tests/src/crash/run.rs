//! One run: processes up, clients on, faults, clients off, ledgers read, history checked.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::Write,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use callboard_proto::gateway::v1::GetStateRequest;
use serde_json::json;
use tokio::task::JoinSet;

use super::{
    Error, HOSTS, Options, QUIET_MAX,
    client::{self, Log, Shared, actor, ledger_name},
    disk::Disk,
    ledger,
    link::Link,
    nemesis::{self, Recoveries},
    process::{Host, Node},
};
use crate::check::{self, History, Ledger, Outcome, Violation};

/// Of a hundred attempts, how many must be answered: a run in which hardly anything worked shows nothing.
const ANSWERED_PERCENT_MIN: u64 = 20;

/// Violations and odd answers that are printed.
const FINDINGS_SHOWN: usize = 20;

/// What a run showed.
#[derive(Debug, Default)]
pub struct Summary {
    adds: usize,
    acknowledged: usize,
    accepted: usize,
    refused: usize,
    applied: usize,
    reads: usize,
    attempts: u64,
    retried: u64,
    node_faults: usize,
    host_kills: u32,
    recovery_median: Duration,
    recovery_worst: Duration,
    took: Duration,
    /// Acknowledged adds that are gone.
    pub lost: usize,
    /// What must not be, in words. Empty if every promise was kept.
    pub findings: Vec<String>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} faults of the node and {} kills of hosts in {:.1} s",
            self.node_faults,
            self.host_kills,
            self.took.as_secs_f64()
        )?;
        writeln!(
            f,
            "first success after a fault: median {} ms, worst {} ms",
            self.recovery_median.as_millis(),
            self.recovery_worst.as_millis()
        )?;
        writeln!(
            f,
            "{} adds: {} acknowledged, {} accepted, {} refused; {} applied; {} reads; {} attempts, {} retried",
            self.adds,
            self.acknowledged,
            self.accepted,
            self.refused,
            self.applied,
            self.reads,
            self.attempts,
            self.retried
        )?;
        if self.findings.is_empty() {
            return write!(f, "every promise was kept");
        }
        write!(f, "{} findings:", self.findings.len())?;
        for finding in self.findings.iter().take(FINDINGS_SHOWN) {
            write!(f, "\n  {finding}")?;
        }
        Ok(())
    }
}

/// Kills the node and its hosts under load, and checks what is left.
pub async fn with_kills(options: &Options) -> Result<Summary, Error> {
    let data = options.folder.join("data");
    let mut cast = Cast::start(options, &data).await?;
    let load = Load::start(options, &cast.node)?;
    nemesis::progress(&mut cast.node, &load.shared, "the start").await?;
    let (recoveries, host_kills) = tokio::try_join!(
        nemesis::kill_node(&mut cast.node, options.node_kills, options.seed, &load.shared),
        nemesis::kill_hosts(&mut cast.hosts, options.host_kills, options.seed + 1),
    )?;
    let mut summary = load.finish(options, &mut cast, &recoveries).await?;
    summary.host_kills = host_kills;
    Ok(summary)
}

/// Cuts the power of the node's disk under load, and checks what is left.
pub async fn with_power_cuts(options: &Options) -> Result<Summary, Error> {
    let mut disk = Disk::create(&options.folder).await?;
    let data = disk.path().join("data");
    let mut cast = Cast::start(options, &data).await?;
    let load = Load::start(options, &cast.node)?;
    nemesis::progress(&mut cast.node, &load.shared, "the start").await?;
    let (cuts, seed) = (options.power_cuts, options.seed);
    let recoveries =
        nemesis::cut_power(&mut cast.node, &mut disk, cuts, seed, &load.shared).await?;
    let summary = load.finish(options, &mut cast, &recoveries).await?;
    cast.node.kill().await?;
    Ok(summary)
}

/// The processes of a run.
struct Cast {
    node: Node,
    hosts: Vec<Host>,
}

impl Cast {
    async fn start(options: &Options, data: &Path) -> Result<Self, Error> {
        fs::create_dir_all(&options.folder).map_err(Error::io("making the run's folder"))?;
        let mut node = Node::new(&options.node_bin, data, &options.folder.join("node.log"))?;
        node.start()?;
        let mut hosts = Vec::new();
        for number in 0..HOSTS {
            let log = options.folder.join(format!("host-{number}.log"));
            let mut host = Host::new(&options.host_bin, &node.address(), options.volatile, &log);
            host.start()?;
            hosts.push(host);
        }
        wait_for_type(&node.address()).await?;
        Ok(Self { node, hosts })
    }
}

/// Waits until the ledgers' type is registered: before that a call is refused for good, and rightly.
async fn wait_for_type(server: &str) -> Result<(), Error> {
    let link = Link::new(server)?;
    let give_up = super::now() + super::RECOVERY_MAX;
    loop {
        let call = callboard_proto::gateway::v1::InvokeRequest {
            actor: Some(actor("probe")),
            action: ledger::READ.into(),
            timeout_ms: 1_000,
            ..Default::default()
        };
        match link.unary(call).await {
            Ok(_) => return Ok(()),
            Err(error) if super::now() > give_up => {
                return Err(Error::failed(format!(
                    "the node and its hosts never served a first call: {}: {}",
                    error.reason(),
                    error.message
                )));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// The clients of a run.
struct Load {
    shared: Arc<Shared>,
    link: Link,
    clients: JoinSet<Log>,
    begun: Instant,
}

impl Load {
    fn start(options: &Options, node: &Node) -> Result<Self, Error> {
        let link = Link::new(&node.address())?;
        let shared = Arc::new(Shared::new(options, link.clone()));
        let mut clients = JoinSet::new();
        for number in 0..options.clients as u64 {
            let seed = options.seed.wrapping_mul(1_000_003).wrapping_add(number);
            clients.spawn(client::run(Arc::clone(&shared), seed));
        }
        Ok(Self { shared, link, clients, begun: super::now() })
    }

    /// Lets the open calls end, kills the node once more, reads every ledger, and checks.
    async fn finish(
        mut self,
        options: &Options,
        cast: &mut Cast,
        recoveries: &Recoveries,
    ) -> Result<Summary, Error> {
        self.shared.stopping.store(true, Ordering::Relaxed);
        let mut logs = Vec::new();
        while let Some(log) = self.clients.join_next().await {
            logs.push(log.map_err(|error| Error::failed(format!("a client: {error}")))?);
        }
        cast.node.check_alive()?;
        cast.node.kill().await?;
        cast.node.start()?;
        let mut summary = summarize(&logs, recoveries);
        let mut history = History::default();
        for log in logs {
            history.adds.extend(log.adds);
            history.reads.extend(log.reads);
        }
        self.read_ledgers(options, &mut history).await?;
        summary.took = self.begun.elapsed();
        summary.applied = history.ledgers.values().map(|ledger| ledger.entries.len()).sum();
        let violations = check::check(&history);
        let lost = violations.iter().filter(|one| matches!(one, Violation::Lost { .. }));
        summary.lost = lost.count();
        summary.findings.extend(violations.iter().map(ToString::to_string));
        if !summary.findings.is_empty() {
            write_history(&options.folder.join("history.jsonl"), &history)
                .map_err(Error::io("writing the history"))?;
        }
        Ok(summary)
    }

    /// Reads all ledgers, until every accepted add is in them or the time is over.
    async fn read_ledgers(&self, options: &Options, history: &mut History) -> Result<(), Error> {
        let give_up = super::now() + QUIET_MAX;
        loop {
            history.ledgers = self.read_all(options, give_up).await?;
            if super::now() > give_up || all_accepted_applied(history) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn read_all(
        &self,
        options: &Options,
        give_up: Instant,
    ) -> Result<BTreeMap<String, Ledger>, Error> {
        let mut ledgers = BTreeMap::new();
        for number in 0..options.ledgers {
            let name = ledger_name(number);
            let request = GetStateRequest { actor: Some(actor(&name)), as_json: false };
            let state = loop {
                match self.link.get_state(request.clone()).await {
                    Ok(response) => break response.state.unwrap_or_default(),
                    Err(error) if super::now() > give_up => {
                        return Err(Error::failed(format!("{name} cannot be read: {error:?}")));
                    }
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            };
            let ledger = ledger::decode(&state.data)
                .ok_or_else(|| Error::failed(format!("the state of {name} is torn")))?;
            ledgers.insert(name, ledger);
        }
        Ok(ledgers)
    }
}

fn all_accepted_applied(history: &History) -> bool {
    let entries = history.ledgers.values().flat_map(|ledger| &ledger.entries);
    let applied: std::collections::HashSet<_> = entries.map(|entry| entry.add).collect();
    let accepted = history
        .adds
        .iter()
        .filter(|(_, add)| add.answers.iter().any(|answer| answer.outcome == Outcome::Accepted));
    accepted.into_iter().all(|(number, _)| applied.contains(number))
}

fn summarize(logs: &[Log], recoveries: &Recoveries) -> Summary {
    let mut summary = Summary { node_faults: recoveries.0.len(), ..Summary::default() };
    for log in logs {
        summary.adds += log.adds.len();
        summary.reads += log.reads.len();
        summary.attempts += log.attempts;
        summary.retried += log.retried;
        for (_, add) in &log.adds {
            match add.answers.first().map(|answer| &answer.outcome) {
                Some(Outcome::Applied(_)) => summary.acknowledged += 1,
                Some(Outcome::Accepted) => summary.accepted += 1,
                Some(Outcome::Refused(_)) => summary.refused += 1,
                None => {}
            }
        }
        let unanswered = log.unanswered.iter();
        summary.findings.extend(
            unanswered.map(|add| {
                format!("add {add} had no answer {QUIET_MAX:?} after it was first sent")
            }),
        );
        summary.findings.extend(log.unexpected.iter().cloned());
    }
    let answered = summary.attempts - summary.retried;
    if answered * 100 < summary.attempts * ANSWERED_PERCENT_MIN {
        summary.findings.push(format!(
            "only {answered} of {} attempts were answered: the run shows nothing",
            summary.attempts
        ));
    }
    let mut times = recoveries.0.clone();
    times.sort_unstable();
    summary.recovery_median = times.get(times.len() / 2).copied().unwrap_or_default();
    summary.recovery_worst = times.last().copied().unwrap_or_default();
    summary
}

/// Writes what was seen, one JSON object per line, for people who look for the cause.
fn write_history(path: &Path, history: &History) -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(fs::File::create(path)?);
    for (number, add) in &history.adds {
        let answers = add.answers.iter().map(|answer| match &answer.outcome {
            Outcome::Applied(receipt) => json!({
                "at_ns": answer.returned_ns, "count": receipt.count, "total": receipt.total,
            }),
            Outcome::Accepted => json!({"at_ns": answer.returned_ns, "accepted": true}),
            Outcome::Refused(reason) => json!({"at_ns": answer.returned_ns, "refused": reason}),
        });
        let line = json!({
            "add": number, "ledger": add.ledger, "amount": add.amount,
            "at_ns": add.invoked_ns, "answers": answers.collect::<Vec<_>>(),
        });
        writeln!(out, "{line}")?;
    }
    for read in &history.reads {
        let line = json!({
            "read": read.ledger, "at_ns": read.invoked_ns, "until_ns": read.returned_ns,
            "count": read.seen.count, "total": read.seen.total,
        });
        writeln!(out, "{line}")?;
    }
    for (name, ledger) in &history.ledgers {
        let entries: Vec<_> = ledger.entries.iter().map(|entry| entry.add).collect();
        writeln!(out, "{}", json!({"final": name, "total": ledger.total, "adds": entries}))?;
    }
    out.flush()
}
