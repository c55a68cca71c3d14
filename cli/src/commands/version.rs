//! `callboard version`.

use serde::Serialize;

use crate::{args::Global, failure::Failure, output::Noun};

/// What this binary is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    version: &'static str,
    protocol: &'static str,
}

impl Noun for Version {
    const KIND: &'static str = "Version";
    const COLUMNS: &'static [&'static str] = &["CALLBOARD", "PROTOCOL"];

    fn cells(&self) -> Vec<String> {
        vec![self.version.into(), self.protocol.into()]
    }

    fn name(&self) -> String {
        self.version.into()
    }
}

/// Prints the versions.
pub(super) fn run(global: &Global) -> Result<(), Failure> {
    let version = Version { version: env!("CARGO_PKG_VERSION"), protocol: "1.0" };
    Ok(global.printer().one(&version)?)
}
