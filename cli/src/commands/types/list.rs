//! `callboard types list`.

use callboard_proto::control::v1::ListActorTypesRequest;
use clap::Args;

use crate::{args::Global, commands::types::actor_type::ActorType, failure::Failure};

/// Which types to list.
#[derive(Args)]
pub(crate) struct ListArgs {
    /// The types of every system, not only of --system
    #[arg(long)]
    all_systems: bool,
}

// === impl ListArgs ===

impl ListArgs {
    /// Lists the types.
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let connection = global.connect().await?;
        let system = if self.all_systems { String::new() } else { global.system.clone() };
        let request = ListActorTypesRequest { system };
        let answer = connection.answer(connection.types().list_actor_types(request)).await?;
        let types: Vec<ActorType> = answer.types.into_iter().map(ActorType::from).collect();
        if types.is_empty() {
            global.talk().note("no type is registered: start a host");
        }
        Ok(global.printer().list(&types, false)?)
    }
}
