//! `callboard-crash` kills a node and its hosts under load and cuts the power of its disk, and fails if an acknowledged
//! add is lost, or any add is applied twice. `callboard-crash host` is the ledger host that it starts and kills.

use std::{fmt::Display, io::Write, path::PathBuf, process::ExitCode};

use callboard_proto::types::v1::Durability;
use callboard_tests::crash::{Error, Options, host, run};
use callboard_types::Millis;
use clap::{Parser, Subcommand};

/// Kills a node and its hosts under load, cuts the power of its disk, and looks for broken promises.
#[derive(Debug, Parser)]
#[command(name = "callboard-crash")]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// The `callboard` binary. By default the one beside this binary.
    #[arg(long, value_name = "PATH")]
    node_bin: Option<PathBuf>,
    /// Seed of everything that is drawn. By default the time.
    #[arg(long)]
    seed: Option<u64>,
    /// How often the node is killed.
    #[arg(long, default_value_t = 50)]
    kills: u32,
    /// How often a host is killed meanwhile.
    #[arg(long, default_value_t = 50)]
    host_kills: u32,
    /// How often the power of the data folder's disk is cut. Needs root, loop devices and mkfs.ext4.
    #[arg(long, default_value_t = 0)]
    power_cuts: u32,
    /// Clients, each with one call at a time.
    #[arg(long, default_value_t = 48)]
    clients: usize,
    /// Adds and reads per second, over all clients.
    #[arg(long, default_value_t = 1_200)]
    rate: u32,
    /// How many ledgers.
    #[arg(long, default_value_t = 200)]
    ledgers: u32,
    /// Of a hundred adds, how many do not wait for their end.
    #[arg(long, default_value_t = 5)]
    async_percent: u32,
    /// Test the test: make the ledgers volatile, and fail unless adds are found to be lost.
    #[arg(long)]
    sabotage: bool,
    /// Where data, logs and the history of a failed run go. By default a new temporary folder, kept if the run fails.
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs ledgers until it is killed.
    Host {
        /// The node's address.
        #[arg(long, env = "CALLBOARD_SERVER")]
        server: String,
        /// Register the ledgers as volatile.
        #[arg(long)]
        volatile: bool,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match &args.command {
        Some(Command::Host { server, volatile }) => {
            let durability = if *volatile { Durability::Volatile } else { Durability::Durable };
            host::run(server, durability).await.map(|()| true)
        }
        None => tokio::select! {
            outcome = test(&args) => outcome,
            // Processes and mounts go with the future that is dropped here.
            _ = tokio::signal::ctrl_c() => Err(Error::failed("interrupted")),
        },
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&error);
            ExitCode::FAILURE
        }
    }
}

/// Runs what the arguments ask for. False if a promise was broken.
async fn test(args: &Args) -> Result<bool, Error> {
    let exe = std::env::current_exe().map_err(Error::io("looking for this binary"))?;
    let node_bin = match &args.node_bin {
        Some(path) => path.clone(),
        None => exe.with_file_name("callboard"),
    };
    if !node_bin.is_file() {
        return Err(Error::failed(format!(
            "there is no node at {}: build it, or name it with --node-bin",
            node_bin.display()
        )));
    }
    let seed = args.seed.unwrap_or_else(|| Millis::now().0.unsigned_abs());
    let temporary = tempfile::Builder::new()
        .prefix("callboard-crash-")
        .tempdir()
        .map_err(Error::io("making a temporary folder"))?;
    let folder = args.folder.clone().unwrap_or_else(|| temporary.path().into());
    let mut options = Options {
        node_bin,
        host_bin: exe,
        folder: folder.join("kills"),
        seed,
        node_kills: args.kills,
        host_kills: args.host_kills,
        power_cuts: args.power_cuts,
        clients: args.clients,
        rate: args.rate,
        ledgers: args.ledgers,
        // Nobody waits for accepted adds that are meant to be lost.
        async_percent: if args.sabotage { 0 } else { args.async_percent },
        volatile: args.sabotage,
    };
    say(format_args!("seed {seed}"));
    let mut good = true;
    if args.kills > 0 || args.host_kills > 0 {
        let outcome = run::with_kills(&options).await;
        if args.sabotage {
            return Ok(found_sabotage(&outcome?));
        }
        good &= tell("kills", &outcome, args, seed)?;
    }
    if args.power_cuts > 0 {
        options.folder = folder.join("power-cuts");
        std::fs::create_dir_all(&options.folder).map_err(Error::io("making a folder"))?;
        match run::with_power_cuts(&options).await {
            Err(Error::NoLoopDevices(why)) => {
                say(format_args!(
                    "POWER CUTS WERE NOT TESTED: the kernel refuses loop devices: {why}"
                ));
            }
            outcome => good &= tell("power cuts", &outcome, args, seed)?,
        }
    }
    if !good && args.folder.is_none() {
        say(format_args!("data, logs and history are in {}", temporary.keep().display()));
    }
    Ok(good)
}

/// True if the loss of volatile ledgers was noticed.
fn found_sabotage(summary: &run::Summary) -> bool {
    say(format_args!("sabotage: {} acknowledged adds were found to be lost", summary.lost));
    summary.lost > 0
}

/// Prints what came of a part, and how to repeat it if it failed.
fn tell(
    part: &str,
    outcome: &Result<run::Summary, Error>,
    args: &Args,
    seed: u64,
) -> Result<bool, Error> {
    let good = match outcome {
        Ok(summary) => {
            say(format_args!("{part}: {summary}"));
            summary.findings.is_empty()
        }
        Err(error) => {
            say(format_args!("{part}: {error}"));
            false
        }
    };
    if !good {
        say(format_args!(
            "REPRODUCE WITH: cargo run -p callboard-tests --bin callboard-crash -- --seed {seed} --kills {} \
             --host-kills {} --power-cuts {} --clients {} --rate {} --ledgers {} --async-percent {}",
            args.kills,
            args.host_kills,
            args.power_cuts,
            args.clients,
            args.rate,
            args.ledgers,
            args.async_percent
        ));
    }
    Ok(good)
}

/// Prints a line. A closed standard output is no reason to stop killing.
fn say(text: impl Display) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
