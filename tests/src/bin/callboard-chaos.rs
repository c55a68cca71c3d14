//! `callboard-chaos` runs a cluster in a network of its own, makes faults that overlap, and fails if a promise is broken.
//!
//! It needs root, or a kernel that grants user namespaces; `ip` and `mount`; PostgreSQL for more than one node; and the C
//! compiler that Rust links with. Nothing of it is left when it ends, however it ends, but the folder of a failed run.

use std::{fmt::Display, io::Write, path::PathBuf, process::ExitCode, time::Duration};

use callboard_tests::{
    chaos::{Error, HostCommand, Options, host, hunt, plan::Kind, rolling, run, self_test},
    net,
};
use callboard_types::{Millis, planted::Bug};
use clap::{Args, Parser, Subcommand};

/// Runs a cluster in a network of its own, makes faults that overlap, and looks for broken promises.
#[derive(Debug, Parser)]
#[command(name = "callboard-chaos")]
struct Program {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    cluster: Cluster,
    /// How long faults are made, in minutes.
    #[arg(long, default_value_t = 10.0, global = true)]
    minutes: f64,
    /// Only these faults.
    #[arg(long, value_delimiter = ',')]
    faults: Vec<Kind>,
}

#[derive(Debug, Clone, Args)]
struct Cluster {
    /// The `callboard` binary. By default the one beside this binary.
    #[arg(long, value_name = "PATH", global = true)]
    node_bin: Option<PathBuf>,
    /// Seed of everything that is drawn. By default the time.
    #[arg(long, global = true)]
    seed: Option<u64>,
    /// Nodes at the start. One node means SQLite.
    #[arg(long, default_value_t = 3, global = true)]
    nodes: u8,
    /// Clients, each with one call at a time.
    #[arg(long, default_value_t = 32, global = true)]
    clients: u32,
    /// Calls per second, over all clients.
    #[arg(long, default_value_t = 400, global = true)]
    rate: u32,
    /// Of a hundred calls, how many set something going at other actors.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=100), global = true)]
    talk: u32,
    /// Hosts in Rust.
    #[arg(long, default_value_t = 1, global = true)]
    rust_hosts: u8,
    /// Another host, as NAME:FOLDER:COMMAND. It finds the nodes' addresses in CALLBOARD_SERVER.
    #[arg(long, value_name = "HOST", value_parser = host_command, global = true)]
    host: Vec<HostCommand>,
    /// Where logs and the history go. By default a new temporary folder, kept if the run fails.
    #[arg(long, value_name = "DIR", global = true)]
    folder: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Restarts every node and host in turn under load: no call may fail.
    Rolling {
        /// An older binary that the nodes begin with, so that the restart is an upgrade.
        #[arg(long, value_name = "PATH")]
        old_binary: Option<PathBuf>,
    },
    /// Looks for a bug that was planted in the nodes, which must be built with the feature `planted`; fails if none of
    /// the runs finds it.
    Hunt {
        /// The bug.
        #[arg(value_parser = bug)]
        bug: Bug,
    },
    /// Judges a history that was written before.
    Check {
        /// The file.
        history: PathBuf,
    },
    /// Tests the tools of this test.
    SelfTest,
    /// Runs the actors of this test until SIGTERM.
    Host {
        /// The nodes' addresses, separated by commas.
        #[arg(long, env = "CALLBOARD_SERVER")]
        server: String,
    },
}

fn host_command(text: &str) -> Result<HostCommand, String> {
    let mut parts = text.splitn(3, ':');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(name), Some(folder), Some(command)) => Ok(HostCommand {
            name: name.into(),
            folder: folder.into(),
            command: command.split_whitespace().map(str::to_owned).collect(),
        }),
        _ => Err("write it as NAME:FOLDER:COMMAND".into()),
    }
}

fn bug(text: &str) -> Result<Bug, String> {
    Bug::ALL.iter().copied().find(|bug| bug.name() == text).ok_or_else(|| {
        let names: Vec<_> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        format!("there are {}", names.join(", "))
    })
}

fn main() -> ExitCode {
    let program = Program::parse();
    match start(&program) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&error);
            ExitCode::FAILURE
        }
    }
}

fn start(program: &Program) -> Result<bool, Error> {
    let needs_network =
        !matches!(program.command, Some(Command::Check { .. } | Command::Host { .. }));
    if needs_network {
        // Before there is any other thread: namespaces are a property of threads.
        net::enter()?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Error::io("starting the runtime"))?;
    runtime.block_on(async {
        tokio::select! {
            outcome = command(program) => outcome,
            // Processes go with the future that is dropped here, and namespaces and mounts with this process.
            _ = tokio::signal::ctrl_c() => Err(Error::failed("interrupted")),
        }
    })
}

/// Does what the arguments ask for. False if a promise was broken.
async fn command(program: &Program) -> Result<bool, Error> {
    match &program.command {
        Some(Command::Host { server }) => host::run(server).await.map(|()| true),
        Some(Command::Check { history }) => {
            let summary = run::judge_again(history)?;
            say(&summary);
            Ok(summary.findings.is_empty())
        }
        Some(Command::SelfTest) => {
            let folder = temporary()?;
            let works = self_test::run(folder.path()).await?;
            for tool in &works {
                say(format_args!("ok {tool}"));
            }
            say(format_args!("{} passed, 0 failed", works.len()));
            Ok(true)
        }
        Some(Command::Rolling { old_binary }) => {
            in_folder(program, async |options| {
                let summary = rolling::run(options, old_binary.as_deref()).await?;
                say(&summary);
                Ok(summary.findings.is_empty())
            })
            .await
        }
        Some(Command::Hunt { bug }) => {
            in_folder(program, async |options| {
                let found = hunt::hunt(options, *bug).await?;
                match &found {
                    Some(found) => say(format_args!(
                        "{} found in run {} after {} s: {}",
                        bug.name(),
                        found.runs,
                        found.took.as_secs(),
                        found.finding
                    )),
                    None => say(format_args!("{} was not found", bug.name())),
                }
                Ok(found.is_some())
            })
            .await
        }
        None => {
            in_folder(program, async |options| {
                let summary = run::run(options).await?;
                say(&summary);
                Ok(summary.findings.is_empty())
            })
            .await
        }
    }
}

/// Makes a run in a folder that is kept if it fails, with the command that repeats it.
async fn in_folder(
    program: &Program,
    make: impl AsyncFnOnce(&Options) -> Result<bool, Error>,
) -> Result<bool, Error> {
    let temporary = temporary()?;
    let folder = match &program.cluster.folder {
        Some(folder) => {
            std::fs::create_dir_all(folder).map_err(Error::io("making the run's folder"))?;
            std::path::absolute(folder).map_err(Error::io("looking for the run's folder"))?
        }
        None => temporary.path().into(),
    };
    let options = options(program, folder)?;
    say(format_args!("seed {}", options.seed));
    let outcome = make(&options).await;
    if !matches!(outcome, Ok(true)) {
        if let Err(error) = &outcome {
            say(error);
        }
        if program.cluster.folder.is_none() {
            // From here on nobody removes it.
            let _ = temporary.keep();
        }
        say(format_args!("history and logs are in {}", options.folder.display()));
        say(format_args!("REPRODUCE WITH: {}", reproduce(program, options.seed)));
        return Ok(false);
    }
    Ok(true)
}

fn temporary() -> Result<tempfile::TempDir, Error> {
    tempfile::Builder::new()
        .prefix("callboard-chaos-")
        .tempdir()
        .map_err(Error::io("making a temporary folder"))
}

fn options(program: &Program, folder: PathBuf) -> Result<Options, Error> {
    let cluster = &program.cluster;
    let exe = std::env::current_exe().map_err(Error::io("looking for this binary"))?;
    let node_bin = cluster.node_bin.clone().unwrap_or_else(|| exe.with_file_name("callboard"));
    if !node_bin.is_file() {
        return Err(Error::failed(format!(
            "there is no node at {}: build it, or name it with --node-bin",
            node_bin.display()
        )));
    }
    let rust = (1..=cluster.rust_hosts).map(|number| HostCommand {
        name: format!("rust-{number}"),
        command: vec![exe.to_string_lossy().into_owned(), "host".into()],
        folder: folder.clone(),
    });
    Ok(Options {
        hosts: rust.chain(cluster.host.iter().cloned()).collect(),
        node_bin: std::path::absolute(node_bin).map_err(Error::io("looking for the node"))?,
        folder,
        seed: cluster.seed.unwrap_or_else(|| Millis::now().0.unsigned_abs()),
        duration: Duration::try_from_secs_f64(program.minutes * 60.0)
            .map_err(|error| Error::failed(format!("--minutes: {error}")))?,
        nodes: cluster.nodes,
        clients: cluster.clients,
        rate: cluster.rate,
        talk: cluster.talk,
        kinds: program.faults.clone(),
        planted: None,
    })
}

/// This command line, with the seed.
fn reproduce(program: &Program, seed: u64) -> String {
    let mut words: Vec<String> = std::env::args().collect();
    if program.cluster.seed.is_none() {
        words.push(format!("--seed {seed}"));
    }
    words.join(" ")
}

/// Prints a line. A closed standard output is no reason to stop.
fn say(text: impl Display) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
