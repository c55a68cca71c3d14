//! The driver: measures rows one after the other, each with processes of its own, and prints them as a table.

mod cluster;
mod counted;
#[path = "../../tests/src/postgres.rs"]
#[allow(dead_code, unreachable_pub, reason = "the file serves several crates, each a part of it")]
mod postgres;
mod probe;
mod process;
mod rows;
mod sdk_hosts;
mod table;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    cli::RunArgs,
    driver::{
        process::{Node, Peer},
        rows::GROUPS,
        table::Table,
    },
    error::Error,
    measure::{self, Event, Report},
};

/// Calls of a counted load for each second of a timed one.
const CALLS_PER_SECOND: u64 = 10_000;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct Scale {
    /// Seconds before the measured time of each load.
    warmup: u64,
    /// Seconds of each throughput row.
    seconds: u64,
    /// Seconds of each baseline.
    baseline: u64,
    /// Seconds of the durable throughput row. The full measurement goes past one outcome window of ten minutes, so
    /// that expiry runs at its full rate for as long again as the window's tail needs.
    durable: u64,
    /// Seconds of the paced row.
    paced: u64,
    /// Actors of the rows about cold and idle ones.
    actors: u64,
    /// Pending schedules.
    pending: u64,
}

impl Scale {
    /// Calls of a load that is counted instead of timed.
    fn calls(&self) -> u64 {
        self.seconds.max(1) * CALLS_PER_SECOND
    }

    fn of(args: &RunArgs) -> Self {
        let mut scale = if args.quick {
            Self {
                warmup: 1,
                seconds: 3,
                baseline: 2,
                durable: 5,
                paced: 5,
                actors: 50_000,
                pending: 100_000,
            }
        } else {
            Self {
                warmup: 3,
                seconds: 15,
                baseline: 5,
                durable: 660,
                paced: 30,
                actors: 1_000_000,
                pending: 1_000_000,
            }
        };
        if let Some(seconds) = args.seconds {
            scale.seconds = seconds;
            scale.durable = seconds;
        }
        if let Some(actors) = args.actors {
            scale.actors = actors.max(500 * scale.paced);
            scale.pending = actors;
        }
        scale
    }
}

/// What every row needs: where the binaries are, where data may go, and how long to measure.
struct Bench {
    exe: PathBuf,
    node_bin: PathBuf,
    hosts: PathBuf,
    folder: TempDir,
    scale: Scale,
}

/// A load with what the node spent on it.
struct Measured {
    report: Report,
    /// CPU time of the node in microseconds per call of the measured time.
    node_us: Option<f64>,
}

/// Measures what the arguments say and prints the table. Fails if a row could not be measured or had failing calls; a
/// missed target is a result, not a failure.
pub(crate) async fn run(args: &RunArgs) -> Result<ExitCode, Error> {
    let wanted = |row: &str| {
        args.only.is_empty() || args.only.iter().any(|name| row.contains(name.as_str()))
    };
    let groups = GROUPS.iter().filter(|group| group.rows.iter().any(|row| wanted(row)));
    if args.list {
        for group in groups {
            for row in group.rows.iter().filter(|row| wanted(row)) {
                measure::print(row)?;
            }
        }
        return Ok(ExitCode::SUCCESS);
    }
    let bench = Bench::new(args)?;
    let mut table = Table::default();
    for group in groups {
        measure::complain(format_args!("measuring: {}", group.rows.join(", ")));
        let measured = tokio::select! {
            measured = group.measure(&bench, &wanted) => measured,
            _ = tokio::signal::ctrl_c() => Err(Error::failed("interrupted")),
        };
        match measured {
            Ok(rows) => table.extend(rows),
            Err(error) => {
                table.fail(group.rows[0], &error);
                if matches!(&error, Error::Failed(text) if text == "interrupted") {
                    break;
                }
            }
        }
    }
    measure::print(&table.to_text(args.quick))?;
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_vec_pretty(&table)?)?;
    }
    Ok(if table.has_failures() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Bench {
    fn new(args: &RunArgs) -> Result<Self, Error> {
        let exe = std::env::current_exe()?;
        let node_bin = match &args.node_bin {
            Some(path) => path.clone(),
            None => exe.with_file_name("callboard"),
        };
        if !node_bin.is_file() {
            return Err(Error::failed(format!(
                "there is no node at {}: build it in release mode, or name it with --node-bin",
                node_bin.display()
            )));
        }
        let mut builder = tempfile::Builder::new();
        builder.prefix("callboard-bench-");
        let folder = match &args.data {
            Some(parent) => builder.tempdir_in(parent)?,
            None => builder.tempdir()?,
        };
        Ok(Self { exe, node_bin, hosts: args.hosts.clone(), folder, scale: Scale::of(args) })
    }

    /// A folder of this run; the same name is the same folder.
    fn folder(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A node on a data folder, ready, with a registered bench host.
    async fn stage(&self, data: &Path) -> Result<Stage, Error> {
        let node = Node::start(&self.node_bin, data).await?;
        let host = self.host(node.address()).await?;
        Ok(Stage { node, host })
    }

    async fn host(&self, server: &str) -> Result<Peer, Error> {
        let mut host =
            Peer::start(&self.exe, &["host", "--until-stdin-closes", "--server", server])?;
        host.wait_for(Duration::from_secs(10), |event| match event {
            Event::Registered => Some(()),
            _ => None,
        })
        .await?;
        Ok(host)
    }

    /// One of this binary's servers, with its address.
    async fn server(&self, subcommand: &[&str]) -> Result<(Peer, String), Error> {
        let arguments = [subcommand, &["--until-stdin-closes"]].concat();
        let mut server = Peer::start(&self.exe, &arguments)?;
        let address = server
            .wait_for(Duration::from_secs(10), |event| match event {
                Event::Listening { address } => Some(address),
                _ => None,
            })
            .await?;
        Ok((server, address))
    }

    /// The baseline at a concurrency. Measured beside each row that needs it, because the machine drifts.
    async fn echo(&self, concurrency: usize) -> Result<Report, Error> {
        self.echo_by(&["echo-server"], concurrency).await
    }

    /// The same from a server on one thread, for scale.
    async fn echo_one_thread(&self, concurrency: usize) -> Result<Report, Error> {
        self.echo_by(&["echo-server", "--one-thread"], concurrency).await
    }

    async fn echo_by(&self, server: &[&str], concurrency: usize) -> Result<Report, Error> {
        let (server, address) = self.server(server).await?;
        let line = format!(
            "--mode echo --concurrency {concurrency} --warmup 1 --seconds {}",
            self.scale.baseline
        );
        let measured = self.load(&address, None, &line).await;
        server.stop().await?;
        Ok(measured?.report)
    }

    /// Runs a generator against a server, and watches a node's CPU time while it measures.
    async fn load(&self, server: &str, node: Option<&Node>, line: &str) -> Result<Measured, Error> {
        match node {
            Some(node) => self.load_with(server, Some(&|| node.cpu()), line).await,
            None => self.load_with(server, None, line).await,
        }
    }

    /// The same, with the CPU time of whatever is looked at.
    async fn load_with(
        &self,
        server: &str,
        watched: Option<&dyn Fn() -> Result<Duration, Error>>,
        line: &str,
    ) -> Result<Measured, Error> {
        let mut arguments = vec!["load", "--server", server];
        arguments.extend(line.split_whitespace());
        let mut generator = Peer::start(&self.exe, &arguments)?;
        let patience = Duration::from_secs(self.scale.durable + 600);
        let cpu = || watched.map(|cpu| cpu()).transpose();
        let before = generator
            .wait_for(patience, |event| matches!(event, Event::Measuring).then_some(()))
            .await
            .and_then(|()| cpu())?;
        let after = generator
            .wait_for(patience, |event| matches!(event, Event::Measured).then_some(()))
            .await
            .and_then(|()| cpu())?;
        let report = generator
            .wait_for(patience, |event| match event {
                Event::Done(report) => Some(*report),
                _ => None,
            })
            .await?;
        generator.stop().await?;
        if report.errors > 0 {
            return Err(Error::failed(format!(
                "{} calls of `load {line}` failed: {:?}",
                report.errors, report.error_kinds
            )));
        }
        let spent = before.zip(after).map(|(before, after)| after - before);
        let node_us = spent.map(|cpu| cpu.as_secs_f64() * 1e6 / report.calls.max(1) as f64);
        Ok(Measured { report, node_us })
    }
}

/// A node with its bench host. Both end with it.
struct Stage {
    node: Node,
    host: Peer,
}

impl Stage {
    async fn stop(self) -> Result<(), Error> {
        self.host.stop().await?;
        self.node.stop().await
    }

    async fn load(&self, bench: &Bench, line: &str) -> Result<Measured, Error> {
        bench.load(self.node.address(), Some(&self.node), line).await
    }
}
