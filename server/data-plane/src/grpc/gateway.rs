//! `callboard.gateway.v1`: how callers reach actors.
//!
//! The request path of a call, in order: shape → name → argument → limits → worker. Everything that depends on the actor
//! itself is decided by the worker that owns it.

mod later;
mod stream;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use callboard_proto::{
    gateway::v1::{
        GetStateRequest, GetStateResponse, InvokeMode, InvokeRequest, InvokeResponse,
        InvokeStreamRequest, PublishRequest, PublishResponse, SpawnRequest, SpawnResponse,
        SpawnResult, SubscribeRequest, gateway_service_server::GatewayService,
        invoke_request::Argument, invoke_response,
    },
    types::v1 as pb,
};
use callboard_statestore::StateStore;
use callboard_transport::status::to_status;
use callboard_types::{CallError, Durability, ErrorKind, Millis, Tick, limits};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{
    channels::{Channels, Hearing},
    convert,
};
use crate::{
    call::{Call, Outcome, Payload, Reply, ReplyTo},
    catalog::{Catalog, TypeRuntime},
    forward::Looker,
    ports::Schedules,
    router::{Asks, Route, Router},
    transcode,
    worker::RoutedCall,
};

pub use stream::Replies;

/// How long before the deadline of gRPC itself a call is answered at the latest.
const ANSWER_AHEAD: Duration = Duration::from_millis(15);

/// The gateway of one node. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    router: Router,
    store: Arc<dyn StateStore>,
    looker: Looker,
    schedules: Arc<dyn Schedules>,
    channels: Channels,
    /// Numbers the streams of this process.
    sinks: Arc<AtomicU64>,
    /// True once streams take no more calls.
    refuses: Arc<AtomicBool>,
    /// Cancelled a moment later, so that they end.
    closing: CancellationToken,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").finish_non_exhaustive()
    }
}

impl Gateway {
    /// A gateway over the router. What is in the store is read there, whoever owns it; `looker` reads the rest. Calls that
    /// are to be made later become `schedules`. `sinks` numbers streams, uniquely in the process.
    #[must_use]
    pub fn new(
        router: Router,
        store: Arc<dyn StateStore>,
        looker: Looker,
        schedules: Arc<dyn Schedules>,
        channels: Channels,
        sinks: Arc<AtomicU64>,
    ) -> Self {
        Self {
            router,
            store,
            looker,
            schedules,
            channels,
            sinks,
            refuses: Arc::default(),
            closing: CancellationToken::new(),
        }
    }

    /// The node is about to stop: streams refuse calls from now on, and end when those that they took have been answered.
    /// Whoever serves the gateway sees to it that connections take no other requests either.
    pub fn close(&self) {
        self.refuses.store(true, Ordering::Release);
        self.closing.cancel();
    }

    fn check(
        &self,
        catalog: &Catalog,
        request: InvokeRequest,
        (tick, wall): (Tick, Millis),
    ) -> Result<Checked, CallError> {
        let Some(actor) = request.actor else {
            return Err(CallError::new(ErrorKind::InvalidArgument, "the call names no actor"));
        };
        convert::check_not_internal(&request.action)?;
        let mode = InvokeMode::try_from(request.mode).unwrap_or(InvokeMode::Unspecified);
        let asynchronous = mode == InvokeMode::Async;
        let route = self.router.route_for(Asks::Caller { asynchronous }, catalog, actor)?;
        let latest = self.router.clock().latest_at(tick);
        let due = later::due_at(request.delay_ms, request.due_at_ms, latest)?;
        let mut json_for = None;
        let argument = match request.argument {
            None => Payload::default(),
            Some(Argument::Payload(payload)) => {
                let payload = convert::payload_from_proto(Some(payload));
                transcode::check(&route.actor_type, &request.action, &payload)?;
                payload
            }
            Some(Argument::Json(value)) => {
                json_for = Some(Arc::clone(&route.actor_type));
                transcode::argument(&route.actor_type, &request.action, value)?
            }
        };
        convert::check_size(argument.data.len())?;
        convert::check_metadata(&request.metadata)?;
        let (request_id, created_at) = identity(request.request_id, request.created_at_ms, wall)?;
        let call = Call {
            action: request.action,
            argument,
            request_id,
            created_at,
            deadline: tick.plus_millis(timeout_ms(request.timeout_ms)),
            metadata: request.metadata,
            lineage: None,
            asynchronous,
            activates_only: false,
            from_json: json_for.is_some(),
            begun: false,
            delivery: false,
            hops: None,
            seat: None,
            reply_to: ReplyTo::Nobody,
        };
        let queue = self.router.queue_of(&route);
        Ok(Checked { queue, worker: route.worker, routed: route.carry(call), json_for, due })
    }

    /// The time, and the cluster's.
    pub(super) fn now(&self) -> (Tick, Millis) {
        let tick = Tick::now();
        (tick, self.router.clock().at(tick))
    }

    async fn invoke_once(&self, request: InvokeRequest) -> Result<InvokeResponse, CallError> {
        let (to, outcome) = oneshot::channel();
        let now = self.now();
        let catalog = self.router.catalog();
        let checked = self.check(&catalog, request, now)?;
        drop(catalog);
        if let Some(due) = checked.due {
            let request_id = checked.routed.call.request_id.clone();
            let (schedule, reply) = self.make_later(checked, due).await?;
            return Ok(InvokeResponse { schedule, ..respond(reply, request_id, None)? });
        }
        let Checked { queue, worker, mut routed, json_for, .. } = checked;
        routed.call.reply_to = ReplyTo::Unary(to);
        let request_id = routed.call.request_id.clone();
        let guard = CallGuard { router: &self.router, worker, waiting: true };
        self.router.send(queue, vec![routed]).await;
        let outcome = outcome.await;
        guard.answered();
        let reply = outcome.map_err(|_| stopped())??;
        respond(reply, request_id, json_for.as_deref())
    }
}

/// A call that may be run, and where it goes.
struct Checked {
    /// See [`Router::send`].
    queue: usize,
    /// The worker that has the call while this node owns the shard.
    worker: usize,
    routed: RoutedCall,
    /// Set if the reply is to be JSON.
    json_for: Option<Arc<TypeRuntime>>,
    /// Set if the call is to be made later.
    due: Option<Millis>,
}

/// Tells the worker when a unary caller goes away before it is answered.
struct CallGuard<'a> {
    router: &'a Router,
    worker: usize,
    waiting: bool,
}

impl CallGuard<'_> {
    fn answered(mut self) {
        self.waiting = false;
    }
}

impl Drop for CallGuard<'_> {
    fn drop(&mut self) {
        if self.waiting {
            self.router.callers_gone(self.worker);
        }
    }
}

#[tonic::async_trait]
impl GatewayService for Gateway {
    type InvokeStreamStream = Replies;

    async fn invoke(
        &self,
        request: Request<InvokeRequest>,
    ) -> Result<Response<InvokeResponse>, Status> {
        let header = grpc_timeout(request.metadata());
        let mut request = request.into_inner();
        request.timeout_ms = shorter(request.timeout_ms, header);
        let response = self.invoke_once(request).await;
        response.map(Response::new).map_err(|error| to_status(&error))
    }

    async fn invoke_stream(
        &self,
        request: Request<Streaming<InvokeStreamRequest>>,
    ) -> Result<Response<Replies>, Status> {
        let id = self.sinks.fetch_add(1, Ordering::Relaxed);
        Ok(Response::new(stream::open(self.clone(), id, request.into_inner())))
    }

    async fn spawn(
        &self,
        request: Request<SpawnRequest>,
    ) -> Result<Response<SpawnResponse>, Status> {
        let actors = request.into_inner().actors;
        if actors.len() > limits::SPAWN_ACTORS_MAX {
            let error = CallError::new(ErrorKind::InvalidArgument, "too many actors in one Spawn");
            return Err(to_status(&error.with("limit", limits::SPAWN_ACTORS_MAX)));
        }
        let mut waiting = Vec::with_capacity(actors.len());
        for actor in actors {
            waiting.push((actor.clone(), self.activate(actor).await));
        }
        let mut results = Vec::with_capacity(waiting.len());
        for (actor, outcome) in waiting {
            let outcome = match outcome {
                Ok(outcome) => outcome.await.unwrap_or_else(|_| Err(stopped())),
                Err(error) => Err(error),
            };
            let (error, revision) = match outcome {
                Ok(reply) => (None, reply.revision.0),
                Err(error) => (Some(convert::error_to_proto(&error)), 0),
            };
            results.push(SpawnResult { actor: Some(actor), error, revision });
        }
        Ok(Response::new(SpawnResponse { results }))
    }

    type SubscribeStream = Hearing;

    async fn publish(
        &self,
        request: Request<PublishRequest>,
    ) -> Result<Response<PublishResponse>, Status> {
        let header = grpc_timeout(request.metadata());
        let mut request = request.into_inner();
        request.timeout_ms = shorter(request.timeout_ms, header);
        let response = self.channels.publish(request).await;
        response.map(Response::new).map_err(|error| to_status(&error))
    }

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Hearing>, Status> {
        let hearing = self.channels.subscribe(request.get_ref());
        hearing.map(Response::new).map_err(|error| to_status(&error))
    }

    async fn get_state(
        &self,
        request: Request<GetStateRequest>,
    ) -> Result<Response<GetStateResponse>, Status> {
        let request = request.into_inner();
        let state = self.read_state(request).await;
        state.map(Response::new).map_err(|error| to_status(&error))
    }
}

impl Gateway {
    async fn activate(&self, actor: pb::ActorId) -> Result<oneshot::Receiver<Outcome>, CallError> {
        let (to, outcome) = oneshot::channel();
        let catalog = self.router.catalog();
        let route = self.router.route(&catalog, actor)?;
        drop(catalog);
        let queue = self.router.queue_of(&route);
        let routed = route.carry(Call::activation(ReplyTo::Unary(to), Tick::now()));
        self.router.send(queue, vec![routed]).await;
        Ok(outcome)
    }

    async fn read_state(&self, request: GetStateRequest) -> Result<GetStateResponse, CallError> {
        let actor = request.actor.unwrap_or_default();
        let catalog = self.router.catalog();
        let route = self.router.route(&catalog, actor)?;
        drop(catalog);
        if route.seat.is_some() {
            // Instances of a pool have no state.
            return Ok(GetStateResponse::default());
        }
        if route.actor_type.definition.durability == Durability::Volatile {
            return self.read_volatile(route, request.as_json).await;
        }
        let rows = self.store.load(&[route.actor_id()]).await.map_err(|error| {
            CallError::new(ErrorKind::StoreUnavailable, format!("{error}. Retry the read"))
        })?;
        let row = rows.into_iter().next().flatten().filter(|row| !row.deleted);
        let Some(record) = row else {
            return Ok(GetStateResponse::default());
        };
        let state = record.state.map(|state| Payload {
            content_type: state.content_type,
            type_url: state.type_url,
            data: state.data,
        });
        let tags = convert::tags_to_proto(&record.tags);
        Ok(show_state(&route, state, record.revision.0, tags, request.as_json))
    }

    /// The state of an actor that is only in memory: its owner's.
    async fn read_volatile(
        &self,
        route: Route,
        as_json: bool,
    ) -> Result<GetStateResponse, CallError> {
        let seen = self.looker.look(&route).await?;
        if !seen.active {
            return Ok(GetStateResponse::default());
        }
        let state = seen.state.map(|state| convert::payload_from_proto(Some(state)));
        Ok(show_state(&route, state, seen.revision, seen.tags, as_json))
    }
}

fn show_state(
    route: &Route,
    state: Option<Payload>,
    revision: u64,
    tags: HashMap<String, String>,
    as_json: bool,
) -> GetStateResponse {
    // A state that contradicts its own content type is still handed out as it is.
    let shown = state.as_ref().filter(|_| as_json);
    let json = shown.and_then(|state| transcode::value(&route.actor_type, state).ok().flatten());
    GetStateResponse {
        exists: true,
        state: state.and_then(convert::payload_to_proto),
        json,
        revision,
        tags,
    }
}

/// The request id and creation time of a call. An id that the gateway makes up is new by itself; for one that the
/// caller chose without saying when, the time is unknown, unless the id holds it.
pub(super) fn identity(
    given: String,
    created_at_ms: i64,
    wall: Millis,
) -> Result<(String, Millis), CallError> {
    if given.is_empty() {
        let created_at = if created_at_ms == 0 { wall } else { Millis(created_at_ms) };
        return Ok((crate::call::draw_id(wall), created_at));
    }
    convert::check_request_id(&given)?;
    if created_at_ms != 0 {
        return Ok((given, Millis(created_at_ms)));
    }
    let created_at = crate::call::drawn_at(&given);
    Ok((given, created_at))
}

/// The shorter one of a request's timeout, where 0 means none, and that of gRPC. The transport ends a call at the latter
/// without a word; ours must come before.
fn shorter(asked: u32, header: Option<Duration>) -> u32 {
    let Some(header) = header else { return asked };
    let header = header.saturating_sub((header / 10).min(ANSWER_AHEAD));
    let header = u32::try_from(header.as_millis()).unwrap_or(u32::MAX).max(1);
    if asked == 0 { header } else { asked.min(header) }
}

pub(super) fn timeout_ms(asked: u32) -> u64 {
    match asked {
        0 => limits::CALL_TIMEOUT_DEFAULT_MS,
        millis => u64::from(millis).min(limits::CALL_TIMEOUT_MAX_MS),
    }
}

fn respond(
    reply: Reply,
    request_id: String,
    json_for: Option<&TypeRuntime>,
) -> Result<InvokeResponse, CallError> {
    let json = match json_for {
        Some(actor_type) => transcode::value(actor_type, &reply.payload)?,
        None => None,
    };
    let payload = convert::payload_to_proto(reply.payload);
    Ok(InvokeResponse {
        reply: match json {
            Some(value) => Some(invoke_response::Reply::Json(value)),
            None => payload.map(invoke_response::Reply::Payload),
        },
        request_id,
        revision: reply.revision.0,
        durable: reply.durable,
        schedule: String::new(),
    })
}

fn stopped() -> CallError {
    CallError::new(
        ErrorKind::OutcomeUnknown,
        "the node stopped before it answered; the call may have been applied. Retry it with the same \
         request id",
    )
}

/// The caller's deadline as gRPC writes it: up to eight digits and a unit. Anything else counts as none.
fn grpc_timeout(metadata: &tonic::metadata::MetadataMap) -> Option<Duration> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count.saturating_mul(3_600)),
        "M" => Duration::from_secs(count.saturating_mul(60)),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}
