//! `callboard config …`, and how the commands that run a node come to its settings.

mod view;

use std::{env, path::Path};

use callboard_server::config::{self, Loaded, Origin};
use clap::Subcommand;

use crate::{args::Global, failure::Failure};

/// What can be asked about settings.
#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the settings that `callboard serve` would run with
    View(view::ViewArgs),
}

// === impl ConfigCommand ===

impl ConfigCommand {
    /// Runs the verb.
    pub(super) fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::View(args) => args.run(global),
        }
    }
}

/// Puts a node's settings together: flags over environment over file over defaults.
pub(super) fn load(file: Option<&Path>, flags: &[(&str, String)]) -> Result<Loaded, Failure> {
    // Names and values that are not text cannot be settings.
    let environment = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    config::load(file, environment, flags).map_err(|error| {
        Failure::usage(error.to_string()).advice(
            "see every setting and where it comes from with `callboard config view --origin`",
        )
    })
}

/// Sets how much is logged by `-q` and `-v`, unless somebody set it by name.
pub(super) fn set_log_filter(loaded: &mut Loaded, global: &Global, levels: [&str; 4]) {
    if loaded.origins.get("log.filter") != Some(&Origin::Default) {
        return;
    }
    let level = if global.quiet { 0 } else { 1 + usize::from(global.verbose.min(2)) };
    loaded.config.log.filter = levels[level].to_owned();
}
