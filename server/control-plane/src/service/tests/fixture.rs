//! Nodes that talk over real sockets and can be killed.

use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use callboard_transport::{accept, server};
use callboard_types::{Action, ClusterView, NodeId, TypeDefinition};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use crate::{ControlPlane, Error, FirstStart, Handle, Options};

/// Longer than any election on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn counter() -> TypeDefinition {
    let mut definition = TypeDefinition::new("Counter");
    definition.actions.insert("Add".into(), Action::default());
    definition
}

/// One node of a cluster with its folder, which outlives the node.
pub(super) struct Node {
    pub(super) options: Options,
    pub(super) peer_address: SocketAddr,
    pub(super) handle: Handle,
    running: Option<(Runtime, ControlPlane)>,
    _folder: TempDir,
}

impl Node {
    /// Starts the first node of a cluster.
    pub(super) fn bootstrap(change: impl FnOnce(&mut Options)) -> Self {
        Self::new(FirstStart::Bootstrap, change)
    }

    /// Starts a further node. Nobody has let it in yet.
    pub(super) fn join(first: &Self, id: u64, change: impl FnOnce(&mut Options)) -> Self {
        let cluster_id = first.handle.view().borrow().cluster_id.clone();
        Self::new(FirstStart::Join { cluster_id, node_id: id }, change)
    }

    fn new(first_start: FirstStart, change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // Taken and given back: the node must be found at the same place after a restart.
        let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let peer_address = free.local_addr().expect("bound");
        drop(free);
        let mut options = Options::new(folder.path(), format!("gateway-of-{peer_address}"));
        options.first_start = first_start;
        options.peer_address = peer_address.to_string();
        change(&mut options);
        let (runtime, plane, handle) = launch(&options, peer_address);
        Self { options, peer_address, handle, running: Some((runtime, plane)), _folder: folder }
    }

    pub(super) fn id(&self) -> NodeId {
        self.handle.node()
    }

    /// Runs a future on the node's own runtime.
    pub(super) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.running.as_ref().expect("the node runs").0.block_on(future)
    }

    /// Waits for a view.
    pub(super) fn view(&self, what: &str, fits: impl FnMut(&ClusterView) -> bool) -> ClusterView {
        let mut view = self.handle.view();
        let mut fits = fits;
        let waiting = async { view.wait_for(|view| fits(view)).await.expect("alive").clone() };
        let patient = async { tokio::time::timeout(PATIENCE, waiting).await };
        let Ok(found) = self.run(patient) else {
            panic!(
                "node {} never saw: {what}; it has {:?}",
                self.id(),
                self.handle.view().borrow()
            );
        };
        ClusterView::clone(&found)
    }

    /// Ends every task of the node where it stands, without a word to anybody.
    pub(super) fn kill(&mut self) {
        if let Some((runtime, plane)) = self.running.take() {
            runtime.shutdown_timeout(PATIENCE);
            drop(plane);
        }
    }

    /// Ends the node in order.
    pub(super) fn stop(&mut self) {
        let (runtime, plane) = self.running.take().expect("the node runs");
        runtime.block_on(plane.shutdown());
        runtime.shutdown_timeout(PATIENCE);
    }

    pub(super) fn restart(&mut self) {
        assert!(self.running.is_none(), "stop it first");
        let (runtime, plane, handle) = launch(&self.options, self.peer_address);
        (self.running, self.handle) = (Some((runtime, plane)), handle);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A cluster of `count` nodes that all vote.
pub(super) fn cluster(count: u64, change: impl Fn(&mut Options)) -> Vec<Node> {
    let first = Node::bootstrap(&change);
    let mut nodes = vec![first];
    for id in 2..=count {
        let node = Node::join(&nodes[0], id, &change);
        let admitting = nodes[0].handle.admit(node.id(), &node.options.peer_address);
        nodes[0].run(admitting).expect("admitted");
        nodes.push(node);
    }
    for node in &nodes {
        node.view("every node as a voter", |view| {
            view.nodes.iter().filter(|node| node.voter).count() as u64 == count
        });
    }
    nodes
}

fn launch(options: &Options, peer_address: SocketAddr) -> (Runtime, ControlPlane, Handle) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let (plane, handle) = runtime.block_on(async {
        let (plane, handle) = loop {
            match ControlPlane::start(options.clone()).await {
                Ok(started) => break started,
                // The log's thread of the node that was killed still closes its file.
                Err(Error::InUse { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        };
        let (acceptor, mut lanes) =
            accept::listen(peer_address, accept::Options::default(), 1).expect("bind");
        tokio::spawn(acceptor.run(CancellationToken::new()));
        let lane = lanes.pop().expect("one lane");
        let serving = server::configure(Server::builder())
            .add_service(plane.peer_service().into_server())
            .serve_with_incoming(lane);
        tokio::spawn(serving);
        (plane, handle)
    });
    (runtime, plane, handle)
}
