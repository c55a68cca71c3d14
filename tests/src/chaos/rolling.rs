//! Rolling restarts under load: every node and every host leaves in good order and comes back, and not one call may
//! fail. With an older binary it is a rolling upgrade: the nodes begin with that, and come back with the new one.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{
    Error, Options,
    cast::{self, Cast},
    client::Shared,
    history::{Event, Recorder},
    ledgers,
    nemesis::Nemesis,
    run::{Clients, HISTORY},
    verdict,
};

/// Undisturbed time before each restart.
const CALM: Duration = Duration::from_secs(2);

/// What a rolling restart showed.
#[derive(Debug, Default)]
pub struct Summary {
    /// Calls made.
    pub calls: usize,
    /// Restarts of nodes and hosts.
    pub restarts: usize,
    /// The slowest call, from its first attempt to its answer.
    pub slowest: Duration,
    /// 99 of 100 calls were answered within this.
    pub p99: Duration,
    /// What must not be, in words.
    pub findings: Vec<String>,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} calls over {} restarts: p99 {} ms, slowest {} ms; {} findings",
            self.calls,
            self.restarts,
            self.p99.as_millis(),
            self.slowest.as_millis(),
            self.findings.len()
        )?;
        for finding in self.findings.iter().take(20) {
            write!(f, "\n  {finding}")?;
        }
        Ok(())
    }
}

/// Restarts everybody in turn. Nodes begin with `old_bin`, if there is one.
///
/// # Errors
/// If it could not be carried out.
pub async fn run(options: &Options, old_bin: Option<&Path>) -> Result<Summary, Error> {
    let recorder = Arc::new(Recorder::create(&options.folder.join(HISTORY))?);
    let mut begin = options.clone();
    begin.node_bin = old_bin.unwrap_or(&options.node_bin).into();
    let cast = Cast::start(&begin, Arc::clone(&recorder)).await?;
    let ports = cast::node_ports(options.nodes);
    let shared = Arc::new(Shared::new(options, &ports, Arc::clone(&recorder))?);
    let nemesis = Nemesis::new(&cast, &shared);
    nemesis.serves().await?;
    let mut clients = Clients::start(options, &shared);
    let mut findings = Vec::new();
    let mut restarts = 0;
    for port in 1..=options.nodes {
        tokio::time::sleep(CALM).await;
        recorder.say(format!("node {port} leaves"));
        let mut node = cast.node(port)?.lock().await;
        if !node.leave().await? {
            findings.push(format!("node {port} did not leave in good order"));
        }
        node.set_bin(&options.node_bin);
        node.start()?;
        drop(node);
        nemesis.serves().await?;
        recorder.say(format!("node {port} is back"));
        restarts += 1;
    }
    for host in &cast.hosts {
        tokio::time::sleep(CALM).await;
        let mut host = host.lock().await;
        recorder.say(format!("host {} leaves", host.name()));
        if !host.leave().await? {
            findings.push(format!("host {} did not leave in good order", host.name()));
        }
        host.start()?;
        restarts += 1;
    }
    tokio::time::sleep(CALM).await;
    shared.stopping.store(true, Ordering::Relaxed);
    clients.join().await?;
    let mut entries = recorder.finish()?;
    findings.extend(ledgers::read(&shared, &recorder, &entries).await);
    entries.extend(recorder.finish()?);
    let verdict = verdict::judge(&entries);
    findings.extend(verdict.findings);
    let refused: usize = verdict.refused.values().sum();
    if refused + verdict.unknown > 0 {
        let reasons = verdict.refused.keys().cloned().collect::<Vec<_>>().join(", ");
        findings.push(format!(
            "{refused} calls were refused ({reasons}) and {} had no answer: none may fail",
            verdict.unknown
        ));
    }
    let times = answer_times(&entries);
    Ok(Summary {
        calls: verdict.calls,
        restarts,
        slowest: times.last().copied().unwrap_or_default(),
        p99: times.get(times.len() * 99 / 100).copied().unwrap_or_default(),
        findings,
    })
}

/// How long each call took until its first answer, sorted.
fn answer_times(entries: &[super::history::Entry]) -> Vec<Duration> {
    let mut made = std::collections::HashMap::new();
    let mut times = Vec::new();
    for entry in entries {
        match &entry.event {
            Event::Call { call, .. } => {
                made.insert(*call, entry.at_ns);
            }
            Event::Answer { call, .. } => {
                let begun = made.remove(call);
                times.extend(begun.map(|begun| Duration::from_nanos(entry.at_ns - begun)));
            }
            _ => {}
        }
    }
    times.sort_unstable();
    times
}
