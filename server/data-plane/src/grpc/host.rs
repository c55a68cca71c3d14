//! `callboard.host.v1`: the session of a host.
//!
//! One task reads the stream; frames to the host are queued by workers and leave in batches. A session ends when the
//! host closes its half, breaks the protocol, leaves a Ping unanswered, or its link is closed by a worker.

mod reader;

use std::{
    collections::HashMap,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use arc_swap::ArcSwap;
use callboard_proto::{
    host::v1::{
        ConnectRequest, ConnectResponse, Draining, Hello, HostFrame, Limits, NodeFrame, Topology,
        Welcome, host_frame, host_service_server::HostService, node_frame::Frame, turn_call_result,
        turn_run,
    },
    types::v1::NodeAddress,
};
use callboard_transport::status::to_status;
use callboard_types::{CallError, ClusterView, ErrorKind, Millis, NodeState, SessionId, limits};
use futures::{Future, Stream};
use prost::Message as _;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    catalog::CatalogReader,
    metrics,
    ports::Directory,
    router::Router,
    session::{HostInfo, SessionLink},
};

/// The protocol that this node speaks.
const PROTOCOL: (u32, u32) = (1, 0);
/// How long a host may take to say Hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of frames in one stream message before the next one is begun.
const MESSAGE_SOFT_BYTES: usize = 512 * 1024;
/// Batches that one message takes at most.
const MESSAGE_BATCHES: usize = 64;

/// A session and the types that it offers, for people who ask.
#[derive(Clone, Debug)]
pub struct SessionEntry {
    /// The session.
    pub link: Arc<SessionLink>,
    /// What it offers, as (system, type).
    pub types: Vec<(String, String)>,
}

/// The sessions of a node. Read without locks; changed when a host comes, registers or goes.
#[derive(Clone, Debug, Default)]
pub struct Sessions(Arc<ArcSwap<HashMap<u64, SessionEntry>>>);

impl Sessions {
    /// All sessions.
    #[must_use]
    pub fn all(&self) -> Arc<HashMap<u64, SessionEntry>> {
        self.0.load_full()
    }

    fn change(&self, change: impl Fn(&mut HashMap<u64, SessionEntry>)) {
        self.0.rcu(|sessions| {
            let mut next = HashMap::clone(sessions);
            change(&mut next);
            next
        });
    }

    /// Tells every host that the node is about to leave, and stops giving it turns.
    pub fn announce_draining(&self, grace: Duration) {
        let grace_ms = u32::try_from(grace.as_millis()).unwrap_or(u32::MAX);
        for entry in self.all().values() {
            let frame = NodeFrame { frame: Some(Frame::Draining(Draining { grace_ms })) };
            entry.link.send(vec![frame]);
        }
    }

    /// Tells every host which nodes there are, whenever that changes. Runs until it is dropped.
    pub(crate) async fn announce_nodes(self, mut catalog: CatalogReader) {
        let mut known = addresses(&catalog.load().view);
        loop {
            catalog.changed().await;
            let view = Arc::clone(&catalog.load().view);
            let nodes = addresses(&view);
            if nodes != known {
                known = nodes;
                for entry in self.all().values() {
                    entry.link.send(vec![topology(&view)]);
                }
            }
        }
    }

    /// Ends every session.
    pub fn close_all(&self) {
        for entry in self.all().values() {
            entry.link.close();
            // Wakes the stream, which sees that it is over.
            entry.link.send(Vec::new());
        }
    }

    /// How many sessions offer a type.
    #[must_use]
    pub fn hosts_of(&self, system: &str, actor_type: &str) -> u32 {
        let offers =
            |entry: &&SessionEntry| entry.types.iter().any(|(s, t)| s == system && t == actor_type);
        let count = self.all().values().filter(offers).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}

/// The host service of one node. Cheap to clone.
#[derive(Clone)]
pub struct Hosts {
    router: Router,
    directory: Arc<dyn Directory>,
    sessions: Sessions,
    ids: Arc<AtomicU64>,
    /// How often a host is asked for a sign of life.
    ping: Duration,
    /// How this node names itself to hosts.
    version: &'static str,
}

impl std::fmt::Debug for Hosts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hosts").finish_non_exhaustive()
    }
}

impl Hosts {
    /// A host service. A host that leaves two pings unanswered is cut off.
    #[must_use]
    pub fn new(
        router: Router,
        directory: Arc<dyn Directory>,
        sessions: Sessions,
        ping: Duration,
        version: &'static str,
    ) -> Self {
        Self { router, directory, sessions, ids: Arc::new(AtomicU64::new(1)), ping, version }
    }

    async fn hello(
        &self,
        frames: &mut Streaming<ConnectRequest>,
    ) -> Result<(Hello, Vec<HostFrame>), CallError> {
        let first = tokio::time::timeout(HELLO_TIMEOUT, frames.message()).await;
        let first = first.map_err(|_| protocol("the host did not say Hello in time"))?;
        let first = first.map_err(|status| protocol(status.message()))?;
        let mut rest = first.map(|first| first.frames).unwrap_or_default().into_iter();
        let Some(host_frame::Frame::Hello(hello)) = rest.next().and_then(|first| first.frame)
        else {
            return Err(protocol("the first frame of a host must be Hello"));
        };
        if hello.protocol_major != PROTOCOL.0 {
            return Err(CallError::new(
                ErrorKind::ProtocolVersion,
                format!(
                    "the host speaks version {}.{} of the protocol, this node {}.{}; use an SDK with \
                     major version {}",
                    hello.protocol_major, hello.protocol_minor, PROTOCOL.0, PROTOCOL.1, PROTOCOL.0
                ),
            ));
        }
        if hello.credits == 0 || hello.credits > limits::CREDITS_MAX {
            let error = protocol("Hello.credits is out of range");
            return Err(error.with("limit", limits::CREDITS_MAX));
        }
        Ok((hello, rest.collect()))
    }

    fn welcome(&self, session: SessionId, nodes: Vec<NodeAddress>) -> Welcome {
        Welcome {
            session_id: session.0,
            node_id: self.router.node().0,
            protocol_major: PROTOCOL.0,
            protocol_minor: PROTOCOL.1,
            server_version: self.version.to_owned(),
            nodes,
            limits: Some(Limits {
                message_bytes_max: bound(limits::MESSAGE_BYTES_MAX),
                payload_bytes_max: bound(limits::PAYLOAD_BYTES_MAX),
                state_bytes_max: bound(limits::STATE_BYTES_MAX),
                run_turns_max: bound(limits::RUN_TURNS_MAX),
            }),
        }
    }
}

/// The nodes that hosts connect to: those that serve or still finish what they have.
fn addresses(view: &ClusterView) -> Vec<NodeAddress> {
    let serving = view.nodes.iter().filter(|node| node.state != NodeState::Down);
    serving.map(|node| NodeAddress { node_id: node.id.0, address: node.address.clone() }).collect()
}

fn topology(view: &ClusterView) -> NodeFrame {
    let topology = Topology { nodes: addresses(view), view_version: view.version };
    NodeFrame { frame: Some(Frame::Topology(topology)) }
}

fn bound(limit: usize) -> u32 {
    u32::try_from(limit).expect("limits fit 32 bits")
}

/// A break of the protocol by the host.
fn protocol(message: impl Into<String>) -> CallError {
    CallError::new(ErrorKind::InvalidArgument, message)
}

#[tonic::async_trait]
impl HostService for Hosts {
    type ConnectStream = Frames;

    async fn connect(
        &self,
        request: Request<Streaming<ConnectRequest>>,
    ) -> Result<Response<Frames>, Status> {
        let remote = request.remote_addr();
        let mut stream = request.into_inner();
        let (hello, early) = self.hello(&mut stream).await.map_err(|error| to_status(&error))?;
        let id = SessionId(self.ids.fetch_add(1, Ordering::Relaxed));
        let (sender, batches) = mpsc::channel(limits::SESSION_OUTBOX_BATCHES);
        let link = SessionLink::new(id, host_info(&hello, remote), hello.credits, sender);
        let nodes = addresses(&self.router.catalog().view);
        let welcome = self.welcome(id, nodes.clone());
        link.send(vec![NodeFrame { frame: Some(Frame::Welcome(welcome)) }]);
        let reader = reader::Reader::new(self.clone(), Arc::clone(&link));
        // From here on the session hears of changes; one may have come since the Welcome was written.
        let view = Arc::clone(&self.router.catalog().view);
        if addresses(&view) != nodes {
            link.send(vec![topology(&view)]);
        }
        metrics::host_sessions(1.0);
        let task = tokio::spawn(reader.run(stream, early));
        Ok(Response::new(Frames {
            link,
            batches,
            taken: Vec::new(),
            rest: Vec::new(),
            reader: tokio_util::task::AbortOnDropHandle::new(task),
            ended: false,
        }))
    }
}

fn host_info(hello: &Hello, remote: Option<SocketAddr>) -> HostInfo {
    let short = |text: &str| text.chars().take(128).collect::<String>();
    HostInfo {
        instance_id: short(&hello.instance_id),
        sdk: format!("{} {}", short(&hello.sdk_name), short(&hello.sdk_version)),
        runtime: short(&hello.runtime),
        remote_address: remote.map(|address| address.to_string()).unwrap_or_default(),
        connected_at: Millis::now(),
    }
}

/// The frames to a host, as its response stream. Dropping it ends the session.
#[derive(Debug)]
pub struct Frames {
    link: Arc<SessionLink>,
    batches: mpsc::Receiver<Vec<NodeFrame>>,
    taken: Vec<Vec<NodeFrame>>,
    /// Frames that did not fit into the last message.
    rest: Vec<NodeFrame>,
    reader: tokio_util::task::AbortOnDropHandle<()>,
    /// True once the reader ended: the host closed its side.
    ended: bool,
}

impl Frames {
    fn message(&mut self) -> ConnectResponse {
        let rest = std::mem::take(&mut self.rest);
        if self.taken.len() == 1 && rest.is_empty() {
            let only = self.taken.pop().expect("there is one");
            if only.iter().map(frame_bytes).sum::<usize>() < MESSAGE_SOFT_BYTES {
                return ConnectResponse { frames: only };
            }
            self.taken.push(only);
        }
        let mut waiting = rest.into_iter().chain(self.taken.drain(..).flatten());
        let (mut frames, mut bytes) = (Vec::new(), 0);
        let mut too_many = None;
        for frame in waiting.by_ref() {
            let more = frame_bytes(&frame);
            if !frames.is_empty() && bytes + more > MESSAGE_SOFT_BYTES {
                too_many = Some(frame);
                break;
            }
            bytes += more;
            frames.push(frame);
        }
        self.rest = too_many.into_iter().chain(waiting).collect();
        ConnectResponse { frames }
    }
}

/// About how many bytes a frame takes, never much less than it does. A single run can be big (a state and arguments, of
/// 3 MiB at most together), a call's result too; either goes alone then, below the limit of 4 MiB.
fn frame_bytes(frame: &NodeFrame) -> usize {
    match &frame.frame {
        Some(Frame::Run(run)) => {
            let state = match &run.state {
                Some(turn_run::State::StateFull(state)) => state.data.len(),
                _ => 0,
            };
            let text = |map: &HashMap<String, String>| {
                map.iter().map(|(name, value)| name.len() + value.len() + 8).sum::<usize>()
            };
            let turns = run.turns.iter().map(|turn| {
                let payload = turn.payload.as_ref().map_or(0, |payload| payload.data.len());
                let chain = turn.chain.iter().map(|id| id.key.len() + 300).sum::<usize>();
                400 + turn.request_id.len() + payload + chain + text(&turn.metadata)
            });
            1_000 + state + text(&run.tags) + turns.sum::<usize>()
        }
        Some(Frame::CallResult(result)) => match &result.outcome {
            Some(turn_call_result::Outcome::Reply(reply)) => 256 + reply.data.len(),
            Some(turn_call_result::Outcome::Error(error)) => error.encoded_len() + 64,
            None => 64,
        },
        _ => 64,
    }
}

impl Stream for Frames {
    type Item = Result<ConnectResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.rest.is_empty() {
            // The end of the host's side must wake this one: often nothing more is sent that would.
            this.ended = this.ended || Pin::new(&mut this.reader).poll(cx).is_ready();
            if this.ended && this.batches.is_empty() {
                return Poll::Ready(None);
            }
            let count = ready!(this.batches.poll_recv_many(cx, &mut this.taken, MESSAGE_BATCHES));
            if count == 0 {
                return Poll::Ready(None);
            }
        }
        if this.link.is_closed() {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(this.message())))
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.link.close();
    }
}
