//! `callboard.control.v1.ActorTypesService`.

use std::{fmt, sync::Arc};

use callboard_proto::{
    control::v1::{
        ActorType, GetActorTypeRequest, GetActorTypeResponse, ListActorTypesRequest,
        ListActorTypesResponse, ShardOwner, actor_types_service_server::ActorTypesService,
    },
    types::v1::{self as pb, ActionDefinition, ActorTypeDefinition},
};
use callboard_transport::status::to_status;
use callboard_types::{
    CallError, ClusterView, Durability, ErrorKind, Kind, TypeDefinition, TypeView,
    settings::{Deliver, Subscription, Timer},
};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::current;
use crate::machine::DEFAULT_SYSTEM;

/// What only whoever runs the actors knows about a type, on this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Sessions that offer it.
    pub hosts: u32,
    /// Actors of it in memory.
    pub active: u64,
}

/// Answers for (system, type). The node's composition passes it in: the planes do not know each other.
pub type ActivityOf = dyn Fn(&str, &str) -> Activity + Send + Sync;

/// Behaviours that hosts registered.
#[derive(Clone)]
pub struct ActorTypes {
    view: watch::Receiver<Arc<ClusterView>>,
    activity: Arc<ActivityOf>,
}

impl fmt::Debug for ActorTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActorTypes").finish_non_exhaustive()
    }
}

impl ActorTypes {
    /// Answers from this view, and from `activity` for what is not in it.
    #[must_use]
    pub fn new(view: watch::Receiver<Arc<ClusterView>>, activity: Arc<ActivityOf>) -> Self {
        Self { view, activity }
    }

    fn list(&self, view: &ClusterView, system: &str) -> Result<ListActorTypesResponse, CallError> {
        if !system.is_empty() && !view.has_system(system) {
            return Err(unknown_system(system));
        }
        let wanted = |view: &&Arc<TypeView>| system.is_empty() || *view.system == *system;
        let types = view.types.iter().filter(wanted).map(|view| self.encode(view));
        Ok(ListActorTypesResponse { types: types.collect() })
    }

    fn get(
        &self,
        view: &ClusterView,
        request: &GetActorTypeRequest,
    ) -> Result<GetActorTypeResponse, CallError> {
        let system = match request.system.as_str() {
            "" => DEFAULT_SYSTEM,
            system => system,
        };
        if !view.has_system(system) {
            return Err(unknown_system(system));
        }
        let view = view.type_of(system, &request.r#type).ok_or_else(|| {
            let text = format!(
                "no host ever registered type \"{}\" in system {system}; start a host that offers it",
                request.r#type.escape_debug()
            );
            CallError::new(ErrorKind::UnknownType, text)
        })?;
        let shards = (0_u32..).zip(view.shards.iter()).map(|(shard, owner)| ShardOwner {
            shard,
            node_id: owner.node.0,
            epoch: owner.epoch.0,
        });
        Ok(GetActorTypeResponse {
            r#type: Some(self.encode(view)),
            descriptor_set: view.descriptor_set.to_vec().into(),
            shards: shards.collect(),
        })
    }

    fn encode(&self, view: &TypeView) -> ActorType {
        let activity = (self.activity)(&view.system, &view.name);
        ActorType {
            system: view.system.to_string(),
            definition: Some(encode_definition(&view.definition)),
            descriptor_hash: view.descriptor_hash.to_string(),
            hosts: activity.hosts,
            active: activity.active,
        }
    }
}

/// A definition as it travels, with every default filled in.
#[must_use]
pub fn encode_definition(definition: &TypeDefinition) -> ActorTypeDefinition {
    let kind = match definition.kind {
        Kind::Named => pb::Kind::Named,
        Kind::Unnamed => pb::Kind::Unnamed,
        Kind::Pooled => pb::Kind::Pooled,
    };
    let durability = match definition.durability {
        Durability::Durable => pb::Durability::Durable,
        Durability::Snapshot => pb::Durability::Snapshot,
        Durability::Volatile => pb::Durability::Volatile,
    };
    let actions = definition.actions.iter().map(|(name, action)| ActionDefinition {
        name: name.clone(),
        input_type: action.input_type.clone(),
        output_type: action.output_type.clone(),
        read_only: action.read_only,
        speculation_off: action.speculation_off,
    });
    ActorTypeDefinition {
        name: definition.name.clone(),
        kind: kind.into(),
        durability: durability.into(),
        actions: actions.collect(),
        state_type: definition.state_type.clone(),
        service: definition.service.clone(),
        idle_timeout_ms: definition.idle_timeout_ms,
        snapshot_interval_ms: definition.snapshot_interval_ms,
        turn_timeout_ms: definition.turn_timeout_ms,
        mailbox_limit: definition.mailbox_limit,
        shards: definition.shards,
        speculation_off: definition.speculation_off,
        timers: definition.settings.timers.iter().map(encode_timer).collect(),
        subscriptions: definition.settings.subscriptions.iter().map(encode_subscription).collect(),
        pool_min: definition.settings.pool.map_or(0, |pool| pool.min),
        pool_max: definition.settings.pool.map_or(0, |pool| pool.max),
        history_revisions: definition.settings.history.revisions,
        history_age_ms: definition.settings.history.age_ms,
    }
}

fn encode_timer(timer: &Timer) -> pb::TimerDefinition {
    pb::TimerDefinition { action: timer.action.clone(), interval_ms: timer.interval_ms }
}

fn encode_subscription(subscription: &Subscription) -> pb::ChannelSubscription {
    let deliver = match subscription.deliver {
        Deliver::Active => pb::Deliver::Active,
        Deliver::Every => pb::Deliver::Every,
    };
    pb::ChannelSubscription {
        channel: subscription.channel.clone(),
        action: subscription.action.clone(),
        deliver: deliver.into(),
    }
}

fn unknown_system(system: &str) -> CallError {
    let text = format!("there is no system \"{}\"", system.escape_debug());
    CallError::new(ErrorKind::UnknownSystem, text)
}

#[tonic::async_trait]
impl ActorTypesService for ActorTypes {
    async fn list_actor_types(
        &self,
        request: Request<ListActorTypesRequest>,
    ) -> Result<Response<ListActorTypesResponse>, Status> {
        let answer = self.list(&current(&self.view), &request.get_ref().system);
        answer.map(Response::new).map_err(|error| to_status(&error))
    }

    async fn get_actor_type(
        &self,
        request: Request<GetActorTypeRequest>,
    ) -> Result<Response<GetActorTypeResponse>, Status> {
        let answer = self.get(&current(&self.view), request.get_ref());
        answer.map(Response::new).map_err(|error| to_status(&error))
    }
}
