//! `callboard systems list`.

use callboard_proto::control::v1::{self as control, ListSystemsRequest};
use serde::Serialize;

use crate::{args::Global, failure::Failure, output::Noun};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct System {
    name: String,
    types: u32,
}

impl From<control::System> for System {
    fn from(system: control::System) -> Self {
        Self { name: system.name, types: system.types }
    }
}

impl Noun for System {
    const KIND: &'static str = "System";
    const COLUMNS: &'static [&'static str] = &["SYSTEM", "TYPES"];

    fn cells(&self) -> Vec<String> {
        vec![self.name.clone(), self.types.to_string()]
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

/// Lists the systems.
pub(super) async fn run(global: &Global) -> Result<(), Failure> {
    let connection = global.connect().await?;
    let request = ListSystemsRequest {};
    let answer = connection.answer(connection.systems().list_systems(request)).await?;
    let systems: Vec<System> = answer.systems.into_iter().map(System::from).collect();
    Ok(global.printer().list(&systems, false)?)
}
