//! `callboard gen`: the code generator behind this binary's output formats and exit codes.

use std::io::{self, Write};

use callboard_sdk_gen::{
    cli::{self, GenArgs},
    error::Error,
    output::Report,
};
use serde::Serialize;

use crate::{
    args::Global,
    failure::{Exit, Failure},
    output::Noun,
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Generation {
    written: Vec<String>,
    unchanged: Vec<String>,
    removed: Vec<String>,
}

impl Noun for Generation {
    const KIND: &'static str = "Generation";
    const COLUMNS: &'static [&'static str] = &["WRITTEN", "UNCHANGED", "REMOVED"];

    fn cells(&self) -> Vec<String> {
        let counts = [&self.written, &self.unchanged, &self.removed];
        counts.map(|files| files.len().to_string()).into()
    }

    fn name(&self) -> String {
        let files: Vec<_> = self.written.iter().chain(&self.unchanged).cloned().collect();
        files.join("\n")
    }

    /// What changed is the data; how much stayed is talk.
    fn describe(&self, out: &mut dyn Write) -> io::Result<()> {
        for file in &self.written {
            writeln!(out, "wrote {file}")?;
        }
        for file in &self.removed {
            writeln!(out, "removed {file}")?;
        }
        Ok(())
    }
}

/// Generates, or with `--check` only compares.
pub(super) fn run(args: &GenArgs, global: &Global) -> Result<(), Failure> {
    let report = cli::run(args).map_err(|error| refused(&error))?;
    global.talk().note(&report.to_string());
    let Report { written, unchanged, removed } = report;
    Ok(global.printer().one(&Generation { written, unchanged, removed })?)
}

fn refused(error: &Error) -> Failure {
    let message = error.to_string();
    match error {
        Error::Usage(_) => Failure::usage(message),
        Error::Protos(_) => Failure::new(Exit::Other, "PROTO_FAULTS", message)
            .advice("correct the proto files; nothing was written"),
        Error::Drift(_) => Failure::new(Exit::Conflict, "DRIFT", message)
            .advice("give the same command without --check, and commit what it writes"),
        Error::Descriptors(_) => Failure::new(Exit::Other, "DESCRIPTORS", message)
            .advice("make the descriptor set with all imports (protoc --include_imports)"),
        Error::Io { .. } => Failure::new(Exit::Other, "IO", message),
    }
}
