//! Reading what only an actor's owner knows: whether it is in memory, and the state of actors that live nowhere else.

use std::{sync::Arc, time::Duration};

use callboard_proto::{
    peer::v1::{ActorState, ReadStateRequest, read_state_response::Outcome},
    types::v1 as pb,
};
use callboard_statestore::StateStore;
use callboard_transport::status;
use callboard_types::{CallError, Durability, ErrorKind, NodeId, Tick};
use tokio::sync::oneshot;

use super::peers::Peers;
use crate::{
    grpc::convert,
    router::{Route, Router},
    worker::{ActorStats, Message, lease_lost},
};

/// How long a read looks for an owner that answers, in milliseconds.
const LOOK_TIMEOUT_MS: u64 = 5_000;
/// How long it waits before it asks again, unless the view changes first.
const PAUSE: Duration = Duration::from_millis(100);

/// Reads actors at their owners. Cheap to clone.
#[derive(Clone)]
pub struct Looker {
    router: Router,
    store: Arc<dyn StateStore>,
    peers: Peers,
}

impl std::fmt::Debug for Looker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Looker").finish_non_exhaustive()
    }
}

impl Looker {
    pub(crate) fn new(router: Router, store: Arc<dyn StateStore>, peers: Peers) -> Self {
        Self { router, store, peers }
    }

    /// What an actor's owner knows of it, wherever that is.
    ///
    /// # Errors
    /// `NotOwner` if no owner answers in time; `StoreUnavailable` if the owner cannot read the actor's row.
    pub async fn look(&self, route: &Route) -> Result<ActorState, CallError> {
        let until = Tick::now().plus_millis(LOOK_TIMEOUT_MS);
        let mut catalog = self.router.catalog_reader();
        let view = &route.actor_type.view;
        loop {
            let newest = catalog.load_full();
            let runtime = newest.type_of(&view.system, &view.name);
            let owner = runtime.and_then(|found| found.view.shards.get(route.shard as usize));
            let owner = owner.map_or(NodeId::ZERO, |owner| owner.node);
            if owner == self.router.node() {
                return self.look_here(route).await;
            }
            let left = until.duration_after(Tick::now());
            if let Some((_, mut client)) = self.peers.client(&newest.view, owner) {
                let actor = Some(convert::actor_id_to_proto(&route.actor_id()));
                let request = ReadStateRequest { actor, view_version: newest.view.version };
                let asked = tokio::time::timeout(left, client.read_state(request)).await;
                // Whatever else comes of it: the owner moved, or cannot be reached, and reads may be repeated.
                if let Ok(Ok(response)) = asked {
                    match response.into_inner().outcome {
                        Some(Outcome::State(state)) => return Ok(state),
                        Some(Outcome::Error(error)) => match status::from_proto(error) {
                            // Its view is older than ours.
                            error if error.kind == ErrorKind::NotOwner => {}
                            error => return Err(error),
                        },
                        Some(Outcome::Redirect(_)) | None => {}
                    }
                }
            }
            if Tick::now() >= until {
                return Err(CallError::new(
                    ErrorKind::NotOwner,
                    "no node that owns the actor's shard answered in time. Retry the read",
                ));
            }
            tokio::select! {
                () = catalog.changed() => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// What this node knows of an actor of a shard that it owns.
    ///
    /// # Errors
    /// `StoreUnavailable` if the actor's row cannot be read; `LeaseLost` if the actor is in memory only and this node may
    /// have been replaced.
    pub(crate) async fn look_here(&self, route: &Route) -> Result<ActorState, CallError> {
        let volatile = route.actor_type.definition.durability == Durability::Volatile;
        let record = if volatile {
            None
        } else {
            let rows = self.store.load(&[route.actor_id()]).await.map_err(|error| {
                CallError::new(ErrorKind::StoreUnavailable, format!("{error}. Retry the read"))
            })?;
            rows.into_iter().next().flatten().filter(|row| !row.deleted)
        };
        let (to, stats) = oneshot::channel();
        let type_id = route.actor_type.view.id;
        let question = Message::Inspect { type_id, key: route.key.clone(), to };
        self.router.workers().send(route.worker, question).await;
        let stats = match stats.await {
            Ok(stats) => stats,
            // What a volatile actor holds is nowhere else.
            Err(_) if volatile => return Err(lease_lost()),
            Err(_) => ActorStats::default(),
        };
        let unknown = record.is_none() && !stats.active;
        let (state, tags, revision, updated_at_ms) = match record {
            Some(record) => (record.state, record.tags, record.revision.0, record.updated_at.0),
            None if volatile => (stats.state, stats.tags, stats.revision.0, 0),
            None => Default::default(),
        };
        Ok(ActorState {
            active: stats.active,
            state: state.map(|state| pb::Payload {
                content_type: state.content_type,
                type_url: state.type_url,
                data: state.data,
            }),
            revision,
            mailbox_depth: u32::try_from(stats.depth).unwrap_or(u32::MAX),
            tags: convert::tags_to_proto(&tags),
            updated_at_ms,
            unknown,
        })
    }
}
