//! `callboard dev`: a whole node for one developer.

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::Args;

use crate::{
    args::Global,
    commands::{
        config,
        node::{self, Ready},
    },
    failure::Failure,
    output,
};

/// How much is logged with `-q`, without flags, with `-v` and with `-vv`.
const LOG_LEVELS: [&str; 4] = ["error", "warn,openraft=error", "info,openraft=error", "debug"];

/// Where the node listens and keeps its data.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    callboard dev\n  \
    callboard dev --ephemeral --port 0 -- node build/main.js")]
pub(crate) struct DevArgs {
    /// The gateway's port on loopback; 0 for any free one [default: 7070]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,

    /// The port of health and metrics on loopback; 0 for any free one [default: 7071]
    #[arg(long, value_name = "PORT")]
    admin_port: Option<u16>,

    /// The data folder; made if it is missing [default: callboard-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Keep the data in a temporary folder, removed at the end
    #[arg(long, conflicts_with = "data")]
    ephemeral: bool,

    /// A command to run beside the node, with CALLBOARD_SERVER set; the node ends with it
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

// === impl DevArgs ===

impl DevArgs {
    /// Runs the node.
    pub(super) fn run(self, global: &Global) -> Result<ExitCode, Failure> {
        let folder = self.ephemeral.then(tempfile::tempdir).transpose()?;
        let data = folder.as_ref().map(|folder| folder.path().to_owned()).or(self.data);
        let mut flags = Vec::new();
        if let Some(data) = &data {
            flags.push(("node.data", data.display().to_string()));
        }
        for (key, port) in [("listen.gateway", self.port), ("listen.admin", self.admin_port)] {
            flags.extend(port.map(|port| (key, format!("127.0.0.1:{port}"))));
        }
        let mut loaded = config::load(None, &flags)?;
        let listen = &loaded.config.listen;
        if ![listen.gateway, listen.admin].iter().all(|address| address.ip().is_loopback()) {
            return Err(Failure::usage("callboard dev listens on loopback only")
                .advice("use `callboard serve` for a node that others reach"));
        }
        config::set_log_filter(&mut loaded, global, LOG_LEVELS);
        let talk = global.talk();
        let ephemeral = self.ephemeral;
        node::run(&loaded.config, global, &self.command, |ready| {
            if talk.level >= 0 {
                output::say(&welcome(ready, ephemeral));
            }
        })
    }
}

/// What a developer needs to know next.
fn welcome(ready: &Ready, ephemeral: bool) -> String {
    let Ready { address, admin_address, data, started_in_ms, .. } = ready;
    let data = if ephemeral { "temporary".into() } else { data.display().to_string() };
    let default = address.port() == 7070;
    let server = if default { String::new() } else { format!("CALLBOARD_SERVER={address} ") };
    format!(
        "Callboard {version} is ready after {started_in_ms} ms

  gateway  {address}
  metrics  http://{admin_address}/metrics
  data     {data}

Start a host of your actors; it looks for a node at CALLBOARD_SERVER, else at 127.0.0.1:7070.
Then call them, and look around:

  {server}callboard invoke Incrementor/u1 Add -d '{{\"amount\": 1}}'
  {server}callboard types list

Ctrl-C stops the node. This is one node without authentication: for development, not for production.
",
        version = env!("CARGO_PKG_VERSION"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_welcome_names_an_address_that_is_not_the_default_in_its_commands() {
        let ready = |port| Ready {
            address: ([127, 0, 0, 1], port).into(),
            admin_address: ([127, 0, 0, 1], 7071).into(),
            peer_address: None,
            node_id: 1,
            data: "callboard-data".into(),
            pid: 1,
            started_in_ms: 120,
        };
        let text = welcome(&ready(5000), false);
        assert!(text.contains("CALLBOARD_SERVER=127.0.0.1:5000 callboard invoke"), "{text}");
        let text = welcome(&ready(7070), false);
        assert!(text.contains("\n  callboard invoke"), "{text}");
    }
}
