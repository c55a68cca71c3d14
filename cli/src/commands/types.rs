//! `callboard types …`.

mod actor_type;
mod describe;
mod list;

use callboard_proto::control::v1::GetActorTypeRequest;
use clap::Subcommand;

use crate::{args::Global, connection::Connection, failure::Failure};

/// What can be asked about actor types.
#[derive(Subcommand)]
pub(crate) enum TypesCommand {
    /// List the types of the system by name
    List(list::ListArgs),
    /// Show a type's settings, actions and shard owners
    Describe(describe::DescribeArgs),
}

// === impl TypesCommand ===

impl TypesCommand {
    /// Runs the verb.
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::List(args) => args.run(global).await,
            Self::Describe(args) => args.run(global).await,
        }
    }
}

/// The descriptors that a type was registered with, as a serialised `FileDescriptorSet`; empty if it has none.
pub(super) async fn descriptor_set(
    connection: &Connection,
    system: &str,
    actor_type: &str,
) -> Result<Vec<u8>, Failure> {
    let request = GetActorTypeRequest { system: system.to_owned(), r#type: actor_type.to_owned() };
    let answer = connection.answer(connection.types().get_actor_type(request)).await?;
    Ok(answer.descriptor_set.into())
}
