//! `callboard actors get TYPE/KEY`.

use callboard_proto::control::v1::GetActorRequest;
use clap::Args;

use crate::{
    actor_ref::ActorRef,
    args::Global,
    commands::actors::actor::Actor,
    failure::{Exit, Failure},
};

/// Which actor to show.
#[derive(Args)]
pub(crate) struct GetArgs {
    /// The actor, as TYPE/KEY, or TYPE alone for a NAMED actor
    #[arg(value_name = "TYPE/KEY")]
    actor: ActorRef,
}

// === impl GetArgs ===

impl GetArgs {
    /// Shows the actor.
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let connection = global.connect().await?;
        let request = GetActorRequest { actor: Some(self.actor.in_system(&global.system)) };
        let answer = connection.answer(connection.actors().get_actor(request)).await?;
        let actor = answer.actor.ok_or_else(|| {
            let message = format!("there is no actor {}", self.actor);
            Failure::new(Exit::NotFound, "UNKNOWN_ACTOR", message)
        })?;
        Ok(global.printer().one(&Actor::from(actor))?)
    }
}
