//! `callboard serve`: a node that is configured like a service.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use crate::{
    args::Global,
    commands::{config, node},
    failure::Failure,
    output,
};

/// How much is logged with `-q`, without flags, with `-v` and with `-vv`.
const LOG_LEVELS: [&str; 4] = ["warn", "info", "debug", "trace"];

/// The settings that have flags of their own; `--set` takes every other.
#[derive(Args)]
#[command(
    after_help = "Settings come from flags, then CALLBOARD__SECTION__KEY in the environment, then the file, \
    then defaults;\n`callboard config view --origin` shows them all."
)]
pub(crate) struct ServeArgs {
    /// The configuration file, in TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Where callers and hosts connect (listen.gateway)
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<String>,

    /// Where health and metrics are (listen.admin)
    #[arg(long, value_name = "IP:PORT")]
    admin: Option<String>,

    /// The data folder (node.data)
    #[arg(long, value_name = "DIR")]
    data: Option<String>,

    /// Listen beyond loopback although nobody is asked who they are (listen.insecure)
    #[arg(long)]
    insecure: bool,

    /// Any setting, as SECTION.KEY=VALUE; may be given many times
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if key.contains('.') => Ok((key.into(), value.into())),
        _ => Err("write it as SECTION.KEY=VALUE".into()),
    }
}

// === impl ServeArgs ===

impl ServeArgs {
    /// Runs the node.
    pub(super) fn run(self, global: &Global) -> Result<ExitCode, Failure> {
        let mut flags: Vec<(&str, String)> =
            self.set.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        let named = [
            ("listen.gateway", self.listen),
            ("listen.admin", self.admin),
            ("node.data", self.data),
        ];
        for (key, value) in named {
            flags.extend(value.map(|value| (key, value)));
        }
        if self.insecure {
            flags.push(("listen.insecure", "true".into()));
        }
        let mut loaded = config::load(self.config.as_deref(), &flags)?;
        config::set_log_filter(&mut loaded, global, LOG_LEVELS);
        let talk = global.talk();
        node::run(&loaded.config, global, &[], |ready| {
            if talk.level >= 0 {
                output::say(&format!(
                    "callboard {} serves at {}, health and metrics at http://{}",
                    env!("CARGO_PKG_VERSION"),
                    ready.address,
                    ready.admin_address
                ));
            }
        })
    }
}
