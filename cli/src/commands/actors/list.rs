//! `callboard actors list [TYPE]`.

use callboard_proto::control::v1::{ListActorTypesRequest, ListActorsRequest};
use clap::Args;

use crate::{
    args::Global, commands::actors::actor::Actor, connection::Connection, failure::Failure,
};

/// The largest page that the server gives.
const PAGE_SIZE_MAX: u32 = 1_000;

/// Which actors to list.
#[derive(Args)]
pub(crate) struct ListArgs {
    /// Only actors of this type; all types of the system if left out
    #[arg(value_name = "TYPE")]
    actor_type: Option<String>,

    /// Only keys that begin with this
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    prefix: String,

    /// How many actors to list at most; 0 for all
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: usize,
}

// === impl ListArgs ===

impl ListArgs {
    /// Lists actors, page by page, until the limit.
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let connection = global.connect().await?;
        let types = match &self.actor_type {
            Some(actor_type) => vec![actor_type.clone()],
            None => type_names(&connection, &global.system).await?,
        };
        let mut actors = Vec::new();
        let mut truncated = false;
        for actor_type in types {
            truncated = self.pages(&connection, &global.system, &actor_type, &mut actors).await?;
            if truncated {
                break;
            }
        }
        if truncated {
            global.talk().note(&format!(
                "only the first {} are shown: narrow with --prefix or raise --limit",
                self.limit
            ));
        }
        Ok(global.printer().list(&actors, truncated)?)
    }

    /// Reads one type's actors into `actors`. True if the limit left some out.
    async fn pages(
        &self,
        connection: &Connection,
        system: &str,
        actor_type: &str,
        actors: &mut Vec<Actor>,
    ) -> Result<bool, Failure> {
        let mut page_token = String::new();
        loop {
            let room = if self.limit == 0 { usize::MAX } else { self.limit - actors.len() };
            // One more than fits tells whether there is more.
            let wanted = u32::try_from(room.saturating_add(1)).unwrap_or(PAGE_SIZE_MAX);
            let request = ListActorsRequest {
                system: system.to_owned(),
                r#type: actor_type.to_owned(),
                key_prefix: self.prefix.clone(),
                page_size: wanted.min(PAGE_SIZE_MAX),
                page_token,
            };
            let page = connection.answer(connection.actors().list_actors(request)).await?;
            let overflow = page.actors.len() > room;
            actors.extend(page.actors.into_iter().take(room).map(Actor::from));
            if overflow {
                return Ok(true);
            }
            if page.next_page_token.is_empty() {
                return Ok(false);
            }
            page_token = page.next_page_token;
        }
    }
}

async fn type_names(connection: &Connection, system: &str) -> Result<Vec<String>, Failure> {
    let request = ListActorTypesRequest { system: system.to_owned() };
    let answer = connection.answer(connection.types().list_actor_types(request)).await?;
    Ok(answer.types.into_iter().filter_map(|item| item.definition).map(|item| item.name).collect())
}
