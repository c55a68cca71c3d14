//! The flags that every command has.

use std::{io, time::Duration};

use clap::{ArgAction, Args};

use crate::{
    connection::Connection,
    failure::Failure,
    output::{Color, Format, Printer, Talk},
};

/// Where a node is, if neither flag nor environment says.
const DEFAULT_SERVER: &str = "127.0.0.1:7070";

/// Flags that every command takes, before or after its name.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// How data is printed on stdout
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Format,

    /// The node to talk to, as host:port
    #[arg(
        long,
        global = true,
        env = "CALLBOARD_SERVER",
        default_value = DEFAULT_SERVER,
        value_name = "HOST:PORT"
    )]
    pub(crate) server: String,

    /// The system that actors and types belong to
    #[arg(long, global = true, default_value = "default", value_name = "NAME")]
    pub(crate) system: String,

    /// How long one call may take, for example 500ms, 2s or 1m
    #[arg(
        long,
        global = true,
        default_value = "30s",
        value_parser = humantime::parse_duration,
        value_name = "TIME"
    )]
    pub(crate) timeout: Duration,

    /// Say nothing on stderr but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Say on stderr what is being done; twice for more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,

    /// When talk on stderr is coloured
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: Color,
}

// === impl Global ===

impl Global {
    /// Connects to the chosen node.
    pub(crate) async fn connect(&self) -> Result<Connection, Failure> {
        self.talk().detail(&format!("connecting to {}", self.server));
        Connection::open(&self.server, self.timeout).await
    }

    /// Prints data on stdout in the chosen format.
    pub(crate) fn printer(&self) -> Printer<io::StdoutLock<'static>> {
        Printer::new(self.output, io::stdout().lock())
    }

    /// Talks on stderr as loudly as chosen.
    pub(crate) fn talk(&self) -> Talk {
        Talk { level: if self.quiet { -1 } else { i16::from(self.verbose) } }
    }
}
