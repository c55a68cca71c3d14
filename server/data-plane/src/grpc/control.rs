//! `callboard.control.v1`, the services about single actors and host sessions.

use std::sync::Arc;

use callboard_proto::{
    control::v1::{
        Actor, GetActorRequest, GetActorResponse, Host, ListActorsRequest, ListActorsResponse,
        ListHostsRequest, ListHostsResponse, ShardOwner, actors_service_server::ActorsService,
        hosts_service_server::HostsService,
    },
    types::v1 as pb,
};
use callboard_statestore::{ActorRecord, StateStore};
use callboard_transport::status::to_status;
use callboard_types::{CallError, ErrorKind, Kind};
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};

use super::{convert, host::SessionEntry, host::Sessions};
use crate::{
    router::{Route, Router},
    worker::{ActorStats, Message},
};

/// Actors of a page, if the caller does not say.
const PAGE_DEFAULT: usize = 100;
/// Most actors of a page.
const PAGE_MAX: usize = 1_000;

/// The two services. Cheap to clone.
#[derive(Clone)]
pub struct Actors {
    router: Router,
    store: Arc<dyn StateStore>,
    sessions: Sessions,
}

impl std::fmt::Debug for Actors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Actors").finish_non_exhaustive()
    }
}

impl Actors {
    /// The services over router, store and sessions of this node.
    #[must_use]
    pub fn new(router: Router, store: Arc<dyn StateStore>, sessions: Sessions) -> Self {
        Self { router, store, sessions }
    }

    async fn stats(&self, route: &Route, key: &str) -> ActorStats {
        let (to, stats) = oneshot::channel();
        let type_id = route.actor_type.view.id;
        let question = Message::Inspect { type_id, key: key.to_owned(), to };
        self.router.workers().send(route.worker, question).await;
        stats.await.unwrap_or_default()
    }

    async fn describe(&self, id: pb::ActorId) -> Result<Actor, CallError> {
        let catalog = Arc::clone(&self.router.catalog());
        let system = convert::system_or_default(&id.system);
        let named = catalog.require(system, &id.r#type)?.definition.kind == Kind::Named;
        let key = if named && id.key.is_empty() { id.r#type.clone() } else { id.key };
        let route = self.router.route(&catalog, system, &id.r#type, &key)?;
        let rows = self.store.load(&[route.actor_id(&key)]).await.map_err(|e| unavailable(&e))?;
        let record = rows.into_iter().next().flatten();
        let stats = self.stats(&route, &key).await;
        if record.is_none() && !stats.active {
            return Err(CallError::new(
                ErrorKind::UnknownActor,
                format!("actor {} has no stored state and is not active", route.actor_id(&key)),
            ));
        }
        Ok(actor(&route, &key, record.unwrap_or_default(), &stats))
    }

    async fn list(&self, request: ListActorsRequest) -> Result<ListActorsResponse, CallError> {
        let catalog = Arc::clone(&self.router.catalog());
        let system = convert::system_or_default(&request.system);
        catalog.require(system, &request.r#type)?;
        let limit = match request.page_size as usize {
            0 => PAGE_DEFAULT,
            size => size.min(PAGE_MAX),
        };
        let rows = self
            .store
            .list(system, &request.r#type, &request.key_prefix, &request.page_token, limit)
            .await
            .map_err(|error| unavailable(&error))?;
        let full = rows.len() == limit;
        let next = rows.last().filter(|_| full).map(|last| last.id.key.to_string());
        let mut actors = Vec::with_capacity(rows.len());
        for row in rows {
            let route = self.router.route(&catalog, system, &request.r#type, &row.id.key)?;
            let stats = self.stats(&route, &row.id.key).await;
            let mut shown = actor(&route, &row.id.key, ActorRecord::default(), &stats);
            shown.revision = row.revision.0;
            shown.state_bytes = row.state_bytes;
            shown.updated_at_ms = row.updated_at.0;
            actors.push(shown);
        }
        Ok(ListActorsResponse { actors, next_page_token: next.unwrap_or_default() })
    }
}

fn actor(route: &Route, key: &str, record: ActorRecord, stats: &ActorStats) -> Actor {
    let owner = route.actor_type.view.shards[route.shard as usize];
    Actor {
        actor: Some(convert::actor_id_to_proto(&route.actor_id(key))),
        active: stats.active,
        revision: record.revision.0,
        state_bytes: record.state.map_or(0, |state| state.data.len() as u64),
        mailbox_depth: u32::try_from(stats.depth).unwrap_or(u32::MAX),
        shard: Some(ShardOwner { shard: route.shard, node_id: owner.node.0, epoch: owner.epoch.0 }),
        updated_at_ms: record.updated_at.0,
    }
}

fn unavailable(error: &callboard_statestore::Error) -> CallError {
    CallError::new(ErrorKind::StoreUnavailable, format!("{error}. Retry the read"))
}

#[tonic::async_trait]
impl ActorsService for Actors {
    async fn list_actors(
        &self,
        request: Request<ListActorsRequest>,
    ) -> Result<Response<ListActorsResponse>, Status> {
        let page = self.list(request.into_inner()).await;
        page.map(Response::new).map_err(|error| to_status(&error))
    }

    async fn get_actor(
        &self,
        request: Request<GetActorRequest>,
    ) -> Result<Response<GetActorResponse>, Status> {
        let actor = self.describe(request.into_inner().actor.unwrap_or_default()).await;
        let actor = actor.map_err(|error| to_status(&error))?;
        Ok(Response::new(GetActorResponse { actor: Some(actor) }))
    }
}

#[tonic::async_trait]
impl HostsService for Actors {
    async fn list_hosts(
        &self,
        _: Request<ListHostsRequest>,
    ) -> Result<Response<ListHostsResponse>, Status> {
        let mut hosts: Vec<Host> = self.sessions.all().values().map(host).collect();
        hosts.sort_by_key(|host| host.session_id);
        Ok(Response::new(ListHostsResponse { hosts }))
    }
}

fn host(entry: &SessionEntry) -> Host {
    let link = &entry.link;
    let mut types: Vec<String> =
        entry.types.iter().map(|(system, name)| format!("{system}/{name}")).collect();
    types.sort();
    Host {
        session_id: link.id.0,
        instance_id: link.info.instance_id.clone(),
        sdk: link.info.sdk.clone(),
        runtime: link.info.runtime.clone(),
        types,
        in_flight: link.in_flight(),
        credits: link.credits(),
        draining: link.is_draining(),
        connected_at_ms: link.info.connected_at.0,
        remote_address: link.info.remote_address.clone(),
    }
}
