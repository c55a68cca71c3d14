//! `callboard.peer.v1.ForwardService`: takes the calls of other nodes' callers to the actors of this node.
//!
//! Served behind [`callboard_transport::peer::PeerGuard`] only. A forwarded call is never forwarded again: if the shard is
//! not here, the sender hears where it is, as far as this node knows.

use std::{
    collections::{HashMap, HashSet},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use callboard_proto::peer::v1::{
    BroadcastRequest, BroadcastResponse, ForwardRequest, ForwardResponse, ForwardedCall,
    ReadStateRequest, ReadStateResponse, forward_service_server::ForwardService,
    read_state_response::Outcome as Read,
};
use callboard_transport::{peer::PeerNode, status::to_status};
use callboard_types::{CallError, ErrorKind, NodeId, Tick, limits};
use futures::Stream;
use tokio::sync::{mpsc, oneshot};
use tonic::{Request, Response, Status, Streaming};

use super::{channels::Channels, convert};
use crate::{
    call::{ReplyTo, StreamAnswer, StreamExtras, StreamSink},
    catalog::{Catalog, CatalogReader},
    forward::{Looker, wire},
    router::{Asks, Router},
    worker::{Message, RoutedCall},
};

/// How long a call waits until this node's view is as new as its sender's.
const VIEW_WAIT: Duration = Duration::from_millis(500);
/// Ends of one message, in bytes, before the next one is begun.
const MESSAGE_SOFT_BYTES: usize = 256 * 1024;
/// Batches that one message takes at most.
const MESSAGE_BATCHES: usize = 64;

/// The service of one node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Forwarding {
    router: Router,
    looker: Looker,
    channels: Channels,
    /// Numbers the streams of this process.
    sinks: Arc<AtomicU64>,
    streams: Streams,
}

/// How many streams each peer has open. Looked at when one comes or goes, never per call.
type Streams = Arc<Mutex<HashMap<NodeId, usize>>>;

/// One open stream of a peer.
#[derive(Debug)]
struct OpenStream {
    peer: NodeId,
    streams: Streams,
}

impl OpenStream {
    fn count(peer: NodeId, streams: &Streams) -> Result<Self, CallError> {
        let mut open = streams.lock().expect("counting does not panic");
        let count = open.entry(peer).or_default();
        if *count >= limits::FORWARD_STREAMS_MAX {
            let text = "the peer has as many streams open as it may; close one, or wait until broken \
                        ones are noticed";
            let error = CallError::new(ErrorKind::MailboxFull, text).retry_after(500);
            return Err(error.with("limit", limits::FORWARD_STREAMS_MAX));
        }
        *count += 1;
        Ok(Self { peer, streams: Arc::clone(streams) })
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut open = self.streams.lock().expect("counting does not panic");
        if let Some(count) = open.get_mut(&self.peer) {
            *count -= 1;
        }
    }
}

impl Forwarding {
    /// A service over the router. `sinks` numbers streams, uniquely in the process.
    #[must_use]
    pub fn new(router: Router, looker: Looker, channels: Channels, sinks: Arc<AtomicU64>) -> Self {
        Self { router, looker, channels, sinks, streams: Streams::default() }
    }

    async fn read(&self, request: ReadStateRequest) -> Result<Read, CallError> {
        let catalog = self.router.catalog_reader();
        if !has_view(catalog, request.view_version, &mut 0).await {
            return Err(behind());
        }
        let catalog = Arc::clone(&self.router.catalog());
        let actor = request.actor.unwrap_or_default();
        let route = self.router.route_for(Asks::Node, &catalog, actor)?;
        if route.owner().node != self.router.node() {
            return Ok(Read::Redirect(wire::redirect(&catalog, &route.actor_type, route.shard)));
        }
        Ok(Read::State(self.looker.look_here(&route).await?))
    }
}

/// Refuses requests that did not come through the guard.
fn sender<T>(request: &Request<T>) -> Result<NodeId, Status> {
    let peer = request.extensions().get::<PeerNode>();
    peer.map(|peer| peer.0).ok_or_else(|| {
        let text = "calls are taken from nodes of this cluster only, after a handshake";
        to_status(&CallError::new(ErrorKind::PeerRefused, text))
    })
}

/// Waits for a version of the view. `missed` remembers a version that did not come, so that only its first call waits.
async fn has_view(mut catalog: CatalogReader, version: u64, missed: &mut u64) -> bool {
    if catalog.load().view.version >= version {
        return true;
    }
    if version <= *missed {
        return false;
    }
    let seen = tokio::time::timeout(VIEW_WAIT, catalog.wait_for(version)).await.is_ok();
    if !seen {
        *missed = version;
    }
    seen
}

fn behind() -> CallError {
    CallError::new(
        ErrorKind::NotOwner,
        "the node does not know yet what the sender knows of the cluster; the call was not run. Retry it",
    )
    .retry_after(50)
}

#[tonic::async_trait]
impl ForwardService for Forwarding {
    type ForwardStream = Ends;

    async fn broadcast(
        &self,
        request: Request<BroadcastRequest>,
    ) -> Result<Response<BroadcastResponse>, Status> {
        sender(&request)?;
        let request = request.into_inner();
        // What the view does not show yet is handed over again.
        has_view(self.router.catalog_reader(), request.view_version, &mut 0).await;
        let taken = self.channels.take(request).await;
        taken.map(Response::new).map_err(|error| to_status(&error))
    }

    async fn forward(
        &self,
        request: Request<Streaming<ForwardRequest>>,
    ) -> Result<Response<Ends>, Status> {
        let peer = sender(&request)?;
        let open = OpenStream::count(peer, &self.streams).map_err(|error| to_status(&error))?;
        let id = self.sinks.fetch_add(1, Ordering::Relaxed);
        let (batches, answers) = mpsc::channel(limits::FORWARDS_IN_FLIGHT_MAX);
        let (broken, breach) = oneshot::channel();
        let in_flight = Arc::new(AtomicUsize::new(0));
        let reader = Reader {
            router: self.router.clone(),
            sink: Arc::new(StreamSink { id, peer: true, batches }),
            in_flight: Arc::clone(&in_flight),
            missed: 0,
        };
        let calls = request.into_inner();
        let task = tokio::spawn(async move {
            if let Err(error) = reader.run(calls).await {
                tracing::error!(%peer, %error, "a peer broke the protocol; its stream ends");
                let _ = broken.send(to_status(&error));
            }
        });
        Ok(Response::new(Ends {
            router: self.router.clone(),
            answers,
            in_flight,
            taken: Vec::new(),
            rest: Vec::new(),
            welcomed: false,
            breach: Some(breach),
            _open: open,
            _reader: tokio_util::task::AbortOnDropHandle::new(task),
        }))
    }

    async fn read_state(
        &self,
        request: Request<ReadStateRequest>,
    ) -> Result<Response<ReadStateResponse>, Status> {
        sender(&request)?;
        let read = self.read(request.into_inner()).await;
        let outcome = read.unwrap_or_else(|error| Read::Error(convert::error_to_proto(&error)));
        Ok(Response::new(ReadStateResponse { outcome: Some(outcome) }))
    }
}

/// The reading half of a peer's stream.
struct Reader {
    router: Router,
    sink: Arc<StreamSink>,
    in_flight: Arc<AtomicUsize>,
    /// A version of the view that did not come in time.
    missed: u64,
}

impl Reader {
    /// Reads until the peer goes away.
    ///
    /// # Errors
    /// What breaks the protocol.
    async fn run(mut self, mut calls: Streaming<ForwardRequest>) -> Result<(), CallError> {
        let mut queues: Vec<Vec<RoutedCall>> = Vec::new();
        queues.resize_with(self.router.workers().count(), Vec::new);
        while let Ok(Some(request)) = calls.message().await {
            if !request.cancelled.is_empty() {
                if request.cancelled.len() > limits::FORWARDS_IN_FLIGHT_MAX {
                    return Err(breach("the peer cancels more calls than it can have in flight"));
                }
                let calls: HashSet<(u64, u64)> =
                    request.cancelled.iter().map(|id| (self.sink.id, *id)).collect();
                self.router.workers().send_all(|| Message::Cancelled(calls.clone())).await;
            }
            self.take(request.calls, &mut queues).await?;
            for (worker, calls) in queues.iter_mut().enumerate() {
                if !calls.is_empty() {
                    let calls = Message::Calls(std::mem::take(calls));
                    self.router.workers().send(worker, calls).await;
                }
            }
        }
        // The stream of answers ends when the peer drops it; until then calls in flight go on.
        Ok(())
    }

    async fn take(
        &mut self,
        calls: Vec<ForwardedCall>,
        queues: &mut [Vec<RoutedCall>],
    ) -> Result<(), CallError> {
        let before = self.in_flight.fetch_add(calls.len(), Ordering::AcqRel);
        if before + calls.len() > limits::FORWARDS_IN_FLIGHT_MAX {
            let error = breach("the peer sent more calls than it has credits for");
            return Err(error.with("limit", limits::FORWARDS_IN_FLIGHT_MAX));
        }
        let version = calls.iter().map(|call| call.view_version).max().unwrap_or(0);
        has_view(self.router.catalog_reader(), version, &mut self.missed).await;
        let now = Tick::now();
        let catalog = self.router.catalog_reader().load_full();
        let mut refused = Vec::new();
        for call in calls {
            if call.actor.is_none() || call.redirects > wire::REDIRECTS_MAX || call.timeout_ms == 0
            {
                return Err(breach("a forwarded call names no actor, or breaks a limit"));
            }
            let stream_id = call.forward_id;
            match self.check(&catalog, call, now) {
                Ok((worker, routed)) => queues[worker].push(routed),
                Err(refusal) => {
                    let Refusal { error, extras } = *refusal;
                    refused.push(StreamAnswer { stream_id, outcome: Err(error), extras });
                }
            }
        }
        if !refused.is_empty() {
            // There is room for every call in flight; an error means that the peer has gone.
            let _ = self.sink.batches.try_send(refused);
        }
        Ok(())
    }

    fn check(
        &self,
        catalog: &Catalog,
        mut call: ForwardedCall,
        now: Tick,
    ) -> Result<(usize, RoutedCall), Box<Refusal>> {
        if call.view_version > catalog.view.version {
            return Err(behind().into());
        }
        let stream_id = call.forward_id;
        let actor = call.actor.take().unwrap_or_default();
        let route = self.router.route_for(Asks::Node, catalog, actor)?;
        let forwarded = Some((Arc::clone(&route.actor_type), route.shard));
        let extras = Some(Box::new(StreamExtras { forwarded, ..StreamExtras::default() }));
        if !route.here {
            let text = "this node does not own the actor's shard; the call was not run. Retry it";
            let error = CallError::new(ErrorKind::NotOwner, text);
            return Err(Box::new(Refusal { error, extras }));
        }
        let hash = &call.descriptor_hash;
        if !hash.is_empty() && **hash != *route.actor_type.view.descriptor_hash {
            let error = CallError::new(
                ErrorKind::DescriptorChanged,
                "the type's descriptors changed while the call was on its way; it was not run. Retry it",
            );
            return Err(error.into());
        }
        let mut call = wire::from_wire(call, now)?;
        call.reply_to = ReplyTo::Stream { sink: Arc::clone(&self.sink), stream_id, extras };
        Ok((route.worker, route.carry(call)))
    }
}

/// Why a call was not run, and what its answer needs.
struct Refusal {
    error: CallError,
    extras: Option<Box<StreamExtras>>,
}

impl From<CallError> for Box<Refusal> {
    fn from(error: CallError) -> Self {
        Box::new(Refusal { error, extras: None })
    }
}

fn breach(message: &str) -> CallError {
    CallError::new(ErrorKind::InvalidArgument, message)
}

/// The ends of a peer's calls, as its response stream.
#[derive(Debug)]
pub struct Ends {
    router: Router,
    answers: mpsc::Receiver<Vec<StreamAnswer>>,
    in_flight: Arc<AtomicUsize>,
    taken: Vec<Vec<StreamAnswer>>,
    /// Answers that did not fit into the last message.
    rest: Vec<StreamAnswer>,
    /// True once the peer has its credits.
    welcomed: bool,
    /// Says how the peer broke the protocol, if it does.
    breach: Option<oneshot::Receiver<Status>>,
    _open: OpenStream,
    /// Ends the reading task when the peer is gone.
    _reader: tokio_util::task::AbortOnDropHandle<()>,
}

impl Drop for Ends {
    /// The peer has gone. It sends its calls again, here or elsewhere.
    fn drop(&mut self) {
        self.answers.close();
        for worker in 0..self.router.workers().count() {
            // A worker whose inbox is full finds out when it next looks.
            let _ = self.router.workers().try_send(worker, Message::CallersGone);
        }
    }
}

impl Ends {
    fn message(&mut self) -> ForwardResponse {
        let mut replies = Vec::with_capacity(self.taken.iter().map(Vec::len).sum());
        let mut bytes = 0;
        let rest = std::mem::take(&mut self.rest);
        let mut waiting = rest.into_iter().chain(self.taken.drain(..).flatten());
        for StreamAnswer { stream_id, outcome, extras } in waiting.by_ref() {
            bytes += 64
                + match &outcome {
                    Ok(reply) => reply.payload.data.len(),
                    Err(error) => error.size(),
                };
            let router = &self.router;
            replies.push(wire::reply(stream_id, outcome, || {
                let (actor_type, shard) = extras?.forwarded?;
                Some(wire::redirect(&router.catalog(), &actor_type, shard))
            }));
            if bytes >= MESSAGE_SOFT_BYTES {
                break;
            }
        }
        self.rest = waiting.collect();
        self.in_flight.fetch_sub(replies.len(), Ordering::AcqRel);
        ForwardResponse { replies, credits: 0 }
    }
}

impl Stream for Ends {
    type Item = Result<ForwardResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if !this.welcomed {
            this.welcomed = true;
            let credits = u32::try_from(limits::FORWARDS_IN_FLIGHT_MAX).expect("it fits");
            return Poll::Ready(Some(Ok(ForwardResponse { replies: Vec::new(), credits })));
        }
        if let Some(breach) = &mut this.breach
            && let Poll::Ready(broken) = Pin::new(breach).poll(cx)
        {
            this.breach = None;
            if let Ok(status) = broken {
                this.answers.close();
                this.rest.clear();
                return Poll::Ready(Some(Err(status)));
            }
        }
        if this.rest.is_empty() {
            let count = ready!(this.answers.poll_recv_many(cx, &mut this.taken, MESSAGE_BATCHES));
            if count == 0 {
                return Poll::Ready(None);
            }
        }
        Poll::Ready(Some(Ok(this.message())))
    }
}
