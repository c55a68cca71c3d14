//! `callboard actors checkpoint|deactivate|delete|restore TYPE/KEY`: what is done with one actor.

use callboard_proto::control::v1::{
    CheckpointActorRequest, DeactivateActorRequest, DeleteActorRequest, RestoreActorRequest,
    restore_actor_request::At,
};
use clap::Args;

use crate::{actor_ref::ActorRef, args::Global, failure::Failure};

/// Which actor.
#[derive(Args)]
pub(crate) struct ToolArgs {
    /// The actor, as TYPE/KEY, or TYPE alone for a NAMED actor
    #[arg(value_name = "TYPE/KEY")]
    actor: ActorRef,
}

/// Which actor is to have which past state.
#[derive(Args)]
pub(crate) struct RestoreArgs {
    /// The actor, as TYPE/KEY, or TYPE alone for a NAMED actor
    #[arg(value_name = "TYPE/KEY")]
    actor: ActorRef,
    /// When it had the state
    #[command(flatten)]
    at: AtArgs,
}

/// A past state.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct AtArgs {
    /// The revision that had it
    #[arg(long, value_name = "N")]
    pub(super) revision: Option<u64>,
    /// The newest one at or before this time, in milliseconds since 1970
    #[arg(long, value_name = "MS")]
    pub(super) time: Option<i64>,
}

// === impl ToolArgs ===

impl ToolArgs {
    /// Saves the actor.
    pub(super) async fn checkpoint(self, global: &Global) -> Result<(), Failure> {
        let connection = global.connect().await?;
        let request = CheckpointActorRequest { actor: Some(self.actor.in_system(&global.system)) };
        let saved = connection.answer(connection.actors().checkpoint_actor(request)).await?;
        global.talk().note(&format!("{} is saved at revision {}", self.actor, saved.revision));
        Ok(())
    }

    /// Takes the actor out of memory.
    pub(super) async fn deactivate(self, global: &Global) -> Result<(), Failure> {
        let connection = global.connect().await?;
        let request = DeactivateActorRequest { actor: Some(self.actor.in_system(&global.system)) };
        connection.answer(connection.actors().deactivate_actor(request)).await?;
        global.talk().note(&format!("{} is out of memory", self.actor));
        Ok(())
    }

    /// Deletes the actor.
    pub(super) async fn delete(self, global: &Global) -> Result<(), Failure> {
        let connection = global.connect().await?;
        let request = DeleteActorRequest { actor: Some(self.actor.in_system(&global.system)) };
        let gone = connection.answer(connection.actors().delete_actor(request)).await?;
        global.talk().note(&format!("{} is deleted, at revision {}", self.actor, gone.revision));
        Ok(())
    }
}

// === impl RestoreArgs ===

impl RestoreArgs {
    /// Gives the actor a past state again.
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let connection = global.connect().await?;
        let at = self.at.revision.map(At::Revision).or(self.at.time.map(At::TimeMs));
        let actor = Some(self.actor.in_system(&global.system));
        let request = RestoreActorRequest { actor, at };
        let answer = connection.answer(connection.actors().restore_actor(request)).await?;
        global.talk().note(&format!(
            "{} has the state of revision {} again, at revision {}",
            self.actor, answer.restored, answer.revision
        ));
        Ok(())
    }
}
