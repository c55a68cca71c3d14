//! Several data planes in one process, each with a runtime, a gateway and a listener for peers of its own, over one store
//! in memory. What the cluster agrees on is played by the test: it says which node owns what, and which node hears of it.
//!
//! Peers reach each other through relays, so that a test can break or freeze the connections to a node.

mod directory;
mod relay;
pub mod schedules;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use callboard_data_plane::plane::{DataPlane, Handle, Options};
use callboard_proto::{
    control::v1::{
        actors_service_server::ActorsServiceServer,
        dead_letters_service_server::DeadLettersServiceServer,
    },
    gateway::v1::gateway_service_server::GatewayServiceServer,
    host::v1::host_service_server::HostServiceServer,
};
use callboard_statestore::{StateStore, memory::MemoryStore};
use callboard_transport::{
    accept,
    peer::{PeerDialer, PeerGuard, PeerIdentity},
    server::configure,
};
use callboard_types::{NodeId, NodeState, NodeView, shard_of};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Server};

use crate::local::{Caller, Definition, ScriptedHost, connect};
pub use directory::Script;
use directory::ScriptedDirectory;
use relay::Relay;
use schedules::ScriptedSchedules;

const SECRET: &str = "the secret of the nodes in these tests";
const CLUSTER: &str = "mesh";

/// Nodes 1 to n.
#[derive(Debug)]
pub struct Mesh {
    store: Shared,
    script: Arc<Script>,
    nodes: Vec<MeshNode>,
}

/// The store that all nodes share.
#[derive(Clone)]
struct Shared(Arc<dyn StateStore>);

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

/// One node.
#[derive(Debug)]
struct MeshNode {
    gateway: SocketAddr,
    peers: SocketAddr,
    relay: Relay,
    handle: Handle,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

/// The two ports of a node that is about to run.
struct Ports {
    gateway: (accept::Acceptor, Vec<accept::Incoming>),
    peers: (accept::Acceptor, Vec<accept::Incoming>),
}

impl Mesh {
    /// Starts nodes that know each other. Shards of new types are dealt out in turn.
    pub async fn start(count: u64) -> Self {
        let store: Arc<dyn StateStore> = Arc::new(MemoryStore::new());
        let script = Arc::new(Script::default());
        let mut nodes = Vec::new();
        for number in 1..=count {
            let listen = || {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                accept::listen(address, accept::Options::default(), 1).expect("a free port")
            };
            let ports = Ports { gateway: listen(), peers: listen() };
            let gateway = ports.gateway.0.local_address();
            let peers = ports.peers.0.local_address();
            let relay = Relay::start(peers).await;
            script.add_node(NodeView {
                id: NodeId(number),
                address: gateway.to_string(),
                peer_address: relay.address().to_string(),
                voter: true,
                state: NodeState::Up,
            });
            let stop = CancellationToken::new();
            let (thread, handle) =
                start_node(NodeId(number), Arc::clone(&store), &script, ports, stop.clone());
            let thread = Some(thread);
            nodes.push(MeshNode { gateway, peers, relay, handle, stop, thread });
        }
        Self { store: Shared(store), script, nodes }
    }

    fn node(&self, number: u64) -> &MeshNode {
        let at = usize::try_from(number).expect("a small number") - 1;
        &self.nodes[at]
    }

    /// The store that all nodes share.
    #[must_use]
    pub fn store(&self) -> Arc<dyn StateStore> {
        Arc::clone(&self.store.0)
    }

    /// What the cluster agrees on.
    #[must_use]
    pub fn script(&self) -> &Script {
        &self.script
    }

    /// The schedules that the cluster agrees on.
    #[must_use]
    pub fn schedules(&self) -> &ScriptedSchedules {
        self.script.schedules()
    }

    /// A channel to a node's gateway.
    pub async fn channel(&self, node: u64) -> Channel {
        connect(self.node(node).gateway).await
    }

    /// A caller at a node's gateway.
    pub async fn caller(&self, node: u64) -> Caller {
        Caller::new(self.channel(node).await)
    }

    /// A host at a node, registered and ready.
    pub async fn host(&self, node: u64, definition: Definition) -> ScriptedHost {
        let mut host = ScriptedHost::connect(self.channel(node).await, 1_000).await;
        host.register("default", vec![definition]).await.expect("registered");
        host
    }

    /// A host at a node that has registered nothing yet.
    pub async fn host_unready(&self, node: u64) -> ScriptedHost {
        ScriptedHost::connect(self.channel(node).await, 1_000).await
    }

    /// Where a node listens for peers, without the relay.
    #[must_use]
    pub fn peer_address(&self, node: u64) -> SocketAddr {
        self.node(node).peers
    }

    /// A dialer in the name of a node.
    #[must_use]
    pub fn dialer(&self, name: u64) -> PeerDialer {
        PeerDialer::new(identity(NodeId(name)))
    }

    /// Breaks every connection from peers to a node. New ones are taken at once.
    pub fn cut(&self, node: u64) {
        self.node(node).relay.cut();
    }

    /// Holds everything that peers send to a node and get from it, until it is thawed.
    pub fn freeze(&self, node: u64, frozen: bool) {
        self.node(node).relay.freeze(frozen);
    }

    /// Bytes that peers have sent to a node.
    #[must_use]
    pub fn bytes_to(&self, node: u64) -> u64 {
        self.node(node).relay.bytes()
    }

    /// A key of a type with 64 shards that lies in a shard of the node now: the `nth` one.
    #[must_use]
    pub fn key_on(&self, actor_type: &str, node: u64, nth: usize) -> String {
        let keys = (0..).map(|number| format!("key-{number}"));
        let mut keys = keys
            .filter(|key| self.script.owner(actor_type, shard_of(key, 64)).node == NodeId(node));
        keys.nth(nth).expect("keys do not end")
    }

    /// Stops a node in order. True if all its calls ended in time.
    pub async fn drain(&self, node: u64) -> bool {
        let node = self.node(node);
        node.handle.start_draining();
        node.handle.drain(Duration::from_secs(10)).await
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            node.stop.cancel();
            if let Some(thread) = node.thread.take() {
                let _ = thread.join();
            }
        }
    }
}

fn identity(node: NodeId) -> PeerIdentity {
    let identity = PeerIdentity::new(SECRET);
    identity.settle(CLUSTER, node);
    identity
}

/// Runs a node on a thread of its own, with two workers beside each other.
fn start_node(
    node: NodeId,
    store: Arc<dyn StateStore>,
    script: &Arc<Script>,
    ports: Ports,
    stop: CancellationToken,
) -> (JoinHandle<()>, Handle) {
    let identity = identity(node);
    let options = Options {
        workers: 2,
        host_ping: Duration::from_secs(5),
        version: "test",
        peers: Some(PeerDialer::new(identity.clone())),
    };
    let directory = Arc::new(ScriptedDirectory::new(node, script));
    let plane = DataPlane::new(&options, node, store, directory);
    let handle = plane.handle.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let thread = std::thread::spawn(move || {
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async move {
            let data = plane.handle;
            let (acceptor, mut lanes) = ports.gateway;
            let gateway = configure(Server::builder())
                .add_service(GatewayServiceServer::new(data.gateway.clone()))
                .add_service(HostServiceServer::new(data.hosts.clone()))
                .add_service(ActorsServiceServer::new(data.actors.clone()))
                .add_service(DeadLettersServiceServer::new(data.dead_letters.clone()))
                .serve_with_incoming(lanes.pop().expect("one lane"));
            let (peer_acceptor, mut peer_lanes) = ports.peers;
            let peers = configure(Server::builder())
                .layer(PeerGuard::new(identity.clone()))
                .add_service(identity.handshake_service())
                .add_service(data.forward_service())
                .serve_with_incoming(peer_lanes.pop().expect("one lane"));
            tokio::task::spawn_local(acceptor.run(stop.clone()));
            tokio::task::spawn_local(peer_acceptor.run(stop.clone()));
            tokio::task::spawn_local(gateway);
            tokio::task::spawn_local(peers);
            for task in plane.store_tasks.into_iter().chain([plane.catalog]) {
                tokio::task::spawn_local(task);
            }
            for worker in plane.workers {
                tokio::task::spawn_local(worker.run());
            }
            stop.cancelled().await;
        });
    });
    (thread, handle)
}
