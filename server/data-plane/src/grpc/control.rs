//! `callboard.control.v1`, the services about single actors and host sessions.
//!
//! `GetActor` asks the actor's owner. `ListActors` reads the store, which all nodes share, and knows `active` and
//! `mailbox_depth` of the actors of its own node only. `ListHosts` lists the sessions of the node that is asked.

use std::sync::Arc;

use callboard_proto::{
    control::v1::{
        Actor, CheckpointActorRequest, CheckpointActorResponse, DeactivateActorRequest,
        DeactivateActorResponse, DeleteActorRequest, DeleteActorResponse, GetActorRequest,
        GetActorResponse, GetRevisionRequest, GetRevisionResponse, Host, ListActorsRequest,
        ListActorsResponse, ListHostsRequest, ListHostsResponse, ListRevisionsRequest,
        ListRevisionsResponse, RestoreActorRequest, RestoreActorResponse, ShardOwner,
        actors_service_server::ActorsService, hosts_service_server::HostsService,
    },
    types::v1 as pb,
};
use callboard_statestore::StateStore;
use callboard_transport::status::to_status;
use callboard_types::{CallError, ErrorKind};
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};

use super::{convert, host::SessionEntry, host::Sessions};
use crate::{
    activation::operate::Tool,
    call::Payload,
    forward::Looker,
    router::{Asks, Route, Router},
    worker::{ActorStats, Message},
};

/// Actors of a page, if the caller does not say.
const PAGE_DEFAULT: usize = 100;
/// Most actors of a page.
const PAGE_MAX: usize = 1_000;

/// The two services. Cheap to clone.
#[derive(Clone)]
pub struct Actors {
    pub(super) router: Router,
    pub(super) store: Arc<dyn StateStore>,
    looker: Looker,
    sessions: Sessions,
}

impl std::fmt::Debug for Actors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Actors").finish_non_exhaustive()
    }
}

impl Actors {
    /// The services over router and store, what `looker` sees of actors, and the sessions of this node.
    #[must_use]
    pub fn new(
        router: Router,
        store: Arc<dyn StateStore>,
        looker: Looker,
        sessions: Sessions,
    ) -> Self {
        Self { router, store, looker, sessions }
    }

    /// What this node's worker knows of an actor; nothing if the actor lives on another node.
    async fn stats(&self, route: &Route) -> ActorStats {
        if !route.here {
            return ActorStats::default();
        }
        let (to, stats) = oneshot::channel();
        let type_id = route.actor_type.view.id;
        let question = Message::Inspect { type_id, key: route.key.clone(), to };
        self.router.workers().send(route.worker, question).await;
        stats.await.unwrap_or_default()
    }

    async fn describe(&self, id: pb::ActorId) -> Result<Actor, CallError> {
        let catalog = Arc::clone(&self.router.catalog());
        // Operators may look at a certain instance of a pool.
        let asks =
            if id.key.is_empty() { Asks::Caller { asynchronous: false } } else { Asks::Node };
        let route = self.router.route_for(asks, &catalog, id)?;
        let seen = self.looker.look(&route).await?;
        if seen.unknown {
            return Err(CallError::new(
                ErrorKind::UnknownActor,
                format!("actor {} has no stored state and is not active", route.actor_id()),
            ));
        }
        Ok(Actor {
            active: seen.active,
            revision: seen.revision,
            state_bytes: seen.state.map_or(0, |state| state.data.len() as u64),
            mailbox_depth: seen.mailbox_depth,
            updated_at_ms: seen.updated_at_ms,
            ..actor(&route)
        })
    }

    async fn list(&self, request: ListActorsRequest) -> Result<ListActorsResponse, CallError> {
        let catalog = Arc::clone(&self.router.catalog());
        let system = convert::system_or_default(&request.system);
        catalog.require(system, &request.r#type)?;
        let limit = page_size(request.page_size);
        let rows = self
            .store
            .list(system, &request.r#type, &request.key_prefix, &request.page_token, limit)
            .await
            .map_err(|error| unavailable(&error))?;
        let full = rows.len() == limit;
        let next = rows.last().filter(|_| full).map(|last| last.id.key.to_string());
        let mut actors = Vec::with_capacity(rows.len());
        for row in rows {
            let route = self.router.route(&catalog, convert::actor_id_to_proto(&row.id))?;
            let stats = self.stats(&route).await;
            actors.push(Actor {
                active: stats.active,
                revision: row.revision.0,
                state_bytes: row.state_bytes,
                mailbox_depth: u32::try_from(stats.depth).unwrap_or(u32::MAX),
                updated_at_ms: row.updated_at.0,
                ..actor(&route)
            });
        }
        Ok(ListActorsResponse { actors, next_page_token: next.unwrap_or_default() })
    }
}

/// An actor's name and place.
fn actor(route: &Route) -> Actor {
    let owner = route.owner();
    Actor {
        actor: Some(convert::actor_id_to_proto(&route.actor_id())),
        shard: Some(ShardOwner { shard: route.shard, node_id: owner.node.0, epoch: owner.epoch.0 }),
        ..Actor::default()
    }
}

/// How many items of a list a page has.
pub(super) fn page_size(asked: u32) -> usize {
    match asked as usize {
        0 => PAGE_DEFAULT,
        size => size.min(PAGE_MAX),
    }
}

pub(super) fn unavailable(error: &callboard_statestore::Error) -> CallError {
    CallError::new(ErrorKind::StoreUnavailable, format!("{error}. Retry the read"))
}

#[tonic::async_trait]
impl ActorsService for Actors {
    async fn checkpoint_actor(
        &self,
        request: Request<CheckpointActorRequest>,
    ) -> Result<Response<CheckpointActorResponse>, Status> {
        let actor = request.into_inner().actor;
        let reply = self.use_tool(actor, Tool::Checkpoint, Payload::default()).await;
        let revision = reply.map_err(|error| to_status(&error))?.revision.0;
        Ok(Response::new(CheckpointActorResponse { revision }))
    }

    async fn deactivate_actor(
        &self,
        request: Request<DeactivateActorRequest>,
    ) -> Result<Response<DeactivateActorResponse>, Status> {
        let actor = request.into_inner().actor;
        let reply = self.use_tool(actor, Tool::Deactivate, Payload::default()).await;
        reply.map_err(|error| to_status(&error))?;
        Ok(Response::new(DeactivateActorResponse {}))
    }

    async fn delete_actor(
        &self,
        request: Request<DeleteActorRequest>,
    ) -> Result<Response<DeleteActorResponse>, Status> {
        let actor = request.into_inner().actor;
        let reply = self.use_tool(actor, Tool::Delete, Payload::default()).await;
        let revision = reply.map_err(|error| to_status(&error))?.revision.0;
        Ok(Response::new(DeleteActorResponse { revision }))
    }

    async fn list_revisions(
        &self,
        request: Request<ListRevisionsRequest>,
    ) -> Result<Response<ListRevisionsResponse>, Status> {
        let page = self.revisions(request.into_inner()).await;
        page.map(Response::new).map_err(|error| to_status(&error))
    }

    async fn get_revision(
        &self,
        request: Request<GetRevisionRequest>,
    ) -> Result<Response<GetRevisionResponse>, Status> {
        let past = self.revision(request.into_inner()).await;
        past.map(Response::new).map_err(|error| to_status(&error))
    }

    async fn restore_actor(
        &self,
        request: Request<RestoreActorRequest>,
    ) -> Result<Response<RestoreActorResponse>, Status> {
        let restored = self.restore(request.into_inner()).await;
        restored.map(Response::new).map_err(|error| to_status(&error))
    }

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
