//! The command line. `run` is for people; the other subcommands are the processes that it starts, and can be started
//! by hand to look at one of them closely.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Measures Callboard's speed and memory.
#[derive(Debug, Parser)]
#[command(name = "callboard-bench", version)]
pub(crate) struct Args {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measure every row and print the table.
    Run(RunArgs),
    /// The baseline: a bare unary echo.
    EchoServer(EchoArgs),
    /// A router without actors, for scale: batched streams on both sides, nothing in between.
    Router(ListenArgs),
    /// A host that runs the bench's actor types.
    Host(HostArgs),
    /// The load generator.
    Load(LoadArgs),
    /// The state store alone, committing what the data plane commits.
    Store(StoreArgs),
}

/// Arguments of `echo-server`.
#[derive(Debug, clap::Args)]
pub(crate) struct EchoArgs {
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
    /// Serve on one thread instead of tokio's default runtime, for scale: on few cores that is faster.
    #[arg(long)]
    pub(crate) one_thread: bool,
}

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// Short times and small numbers: the whole table in about two minutes. Not for publishing.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Measure only the rows whose name contains this; may be repeated. The baselines they need are measured too.
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Vec<String>,
    /// Print the rows' names and measure nothing.
    #[arg(long)]
    pub(crate) list: bool,
    /// The `callboard` binary. By default the one beside this binary.
    #[arg(long, value_name = "PATH")]
    pub(crate) node_bin: Option<PathBuf>,
    /// Where data folders go; they are removed again. By default the system's temporary folder. It should be on the
    /// disk whose durability is to be measured.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The SDK hosts of the last rows.
    #[arg(long, value_name = "FILE", default_value = "bench/hosts.toml")]
    pub(crate) hosts: PathBuf,
    /// Also write the table as JSON here.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Seconds of each throughput row, in place of its default.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) seconds: Option<u64>,
    /// Actors of the rows about cold and idle ones, and schedules of the row about pending ones, in place of their
    /// default.
    #[arg(long, value_name = "COUNT")]
    pub(crate) actors: Option<u64>,
}

/// Arguments of the servers.
#[derive(Debug, clap::Args)]
pub(crate) struct ListenArgs {
    /// Loopback port; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// End when standard input closes.
    #[arg(long)]
    pub(crate) until_stdin_closes: bool,
}

/// Arguments of `host`.
#[derive(Debug, clap::Args)]
pub(crate) struct HostArgs {
    /// The node's address.
    #[arg(long, env = "CALLBOARD_SERVER", default_value = "127.0.0.1:7070")]
    pub(crate) server: String,
    /// How many turns the host takes at a time.
    #[arg(long, default_value_t = 8_192)]
    pub(crate) credits: u32,
    /// Idle timeout of the types in milliseconds. The default is longer than any row, so that nothing is deactivated
    /// while it is measured.
    #[arg(long, default_value_t = 3_600_000)]
    pub(crate) idle_timeout_ms: u64,
    /// End when standard input closes.
    #[arg(long)]
    pub(crate) until_stdin_closes: bool,
}

/// What the generator calls, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// The baseline's echo, unary.
    Echo,
    /// GatewayService.Invoke.
    Unary,
    /// GatewayService.InvokeStream, batched.
    Stream,
}

/// In which order the generator goes through the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyOrder {
    /// At random, uniformly.
    Random,
    /// Each once, from the first to the last; then the load ends.
    Once,
}

/// Arguments of `load`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LoadArgs {
    /// The server's address.
    #[arg(long, env = "CALLBOARD_SERVER", default_value = "127.0.0.1:7070")]
    pub(crate) server: String,
    /// What to call.
    #[arg(long, value_enum)]
    pub(crate) mode: Mode,
    /// Calls in flight, over all streams.
    #[arg(long, default_value_t = 256)]
    pub(crate) concurrency: usize,
    /// InvokeStreams that share the calls in flight.
    #[arg(long, default_value_t = 1)]
    pub(crate) streams: usize,
    /// Seconds before the measured time.
    #[arg(long, default_value_t = 2)]
    pub(crate) warmup: u64,
    /// Seconds of measured time; with `--key-order once` the longest that it may take.
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u64,
    /// Actor type.
    #[arg(long = "type", default_value = "BenchVolatile")]
    pub(crate) actor_type: String,
    /// Action.
    #[arg(long, default_value = "Echo")]
    pub(crate) action: String,
    /// How many keys.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) keys: u64,
    /// Number of the first key.
    #[arg(long, default_value_t = 0)]
    pub(crate) key_start: u64,
    /// In which order.
    #[arg(long, value_enum, default_value = "random")]
    pub(crate) key_order: KeyOrder,
    /// Calls per second, sent on schedule whatever the replies do. Without it each reply starts the next call.
    #[arg(long)]
    pub(crate) rate: Option<u64>,
    /// Over streams: end after so many calls, if the measured time is not over before.
    #[arg(long)]
    pub(crate) calls: Option<u64>,
    /// Wait only until calls are accepted, not until they have run.
    #[arg(long)]
    pub(crate) accept: bool,
    /// Register calls that are made so many milliseconds later.
    #[arg(long, conflicts_with = "due_at_ms")]
    pub(crate) delay_ms: Option<u64>,
    /// Register calls that are made at this Unix time in milliseconds.
    #[arg(long)]
    pub(crate) due_at_ms: Option<i64>,
    /// The argument as JSON text, in place of 100 bytes.
    #[arg(long)]
    pub(crate) json: Option<String>,
    /// Seed of keys and ids.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Seconds to wait for a first call to succeed before the load begins; 0 makes no such call.
    #[arg(long, default_value_t = 30)]
    pub(crate) ready_seconds: u64,
}

/// Arguments of `store`.
#[derive(Debug, clap::Args)]
pub(crate) struct StoreArgs {
    /// Folder of the database; it must be empty.
    #[arg(long)]
    pub(crate) data: PathBuf,
    /// Producers that wait for their commit.
    #[arg(long, default_value_t = 256)]
    pub(crate) concurrency: usize,
    /// Seconds before the measured time.
    #[arg(long, default_value_t = 2)]
    pub(crate) warmup: u64,
    /// Seconds of measured time.
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u64,
    /// How many actors.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) keys: u64,
}
