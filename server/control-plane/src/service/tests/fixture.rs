//! Nodes that talk over real sockets and can be killed.

use std::{
    fs,
    future::Future,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::Path,
    time::Duration,
};

use callboard_transport::{
    accept,
    peer::{PeerGuard, PeerIdentity},
    server,
};
use callboard_types::{Action, ClusterView, NodeId, NodeState, Tick, TypeDefinition};
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use crate::{ControlPlane, Error, FirstStart, Handle, Options, Seeds};

/// Longer than any election on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Shows a figure with `--nocapture`.
#[expect(clippy::print_stdout, reason = "figures are for whoever runs the test")]
pub(super) fn measured(text: &str) {
    println!("measured: {text}");
}

/// The secret of every cluster here.
pub(super) const SECRET: &str = "the secret of a cluster of tests";

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

    /// Starts a further node, and waits until it is a member.
    pub(super) fn join(member: &Self, change: impl FnOnce(&mut Options)) -> Self {
        let seeds = Seeds::fixed([member.options.peer_address.clone()]);
        Self::new(FirstStart::Join { seeds }, change)
    }

    fn new(first_start: FirstStart, change: impl FnOnce(&mut Options)) -> Self {
        let (options, peer_address, folder) = prepare(first_start, change);
        let (runtime, plane, handle) = launch(&options, peer_address);
        Self { options, peer_address, handle, running: Some((runtime, plane)), _folder: folder }
    }

    /// Starts a node on a copy of a folder.
    pub(super) fn on_copy(
        folder: TempDir,
        change: impl FnOnce(&mut Options),
    ) -> Result<Self, Error> {
        let (options, peer_address, folder) = in_folder(folder, FirstStart::Bootstrap, change);
        let (runtime, started) = try_launch(&options, peer_address);
        let (plane, handle) = started?;
        let running = Some((runtime, plane));
        Ok(Self { options, peer_address, handle, running, _folder: folder })
    }

    /// Copies the folder, which must not be in use.
    pub(super) fn copied(&self) -> TempDir {
        assert!(self.running.is_none(), "stop it first");
        let folder = tempfile::tempdir().expect("a folder");
        copy(&self.options.data_dir, folder.path());
        folder
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

    /// Waits until the node may serve, or may no longer.
    pub(super) fn until_lease(&self, holds: bool) {
        let lease = self.handle.lease();
        self.run(async {
            let waiting = async {
                while lease.holds_at(Tick::now()) != holds {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            tokio::time::timeout(PATIENCE, waiting).await.expect("the lease changes");
        });
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

    /// Gives the node another place, for its next start.
    pub(super) fn relocate(&mut self) {
        assert!(self.running.is_none(), "stop it first");
        self.peer_address = free_address();
        self.options.peer_address = self.peer_address.to_string();
        self.options.address = format!("gateway-of-{}", self.peer_address);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A cluster of `count` nodes.
pub(super) fn cluster(count: u64, change: impl Fn(&mut Options)) -> Vec<Node> {
    let first = Node::bootstrap(&change);
    let mut nodes = vec![first];
    for _ in 2..=count {
        let node = Node::join(nodes.last().expect("the first one"), &change);
        nodes.push(node);
    }
    let voters = if count.is_multiple_of(2) { count - 1 } else { count }.min(5);
    for node in &nodes {
        node.view("every node up, and its voters", |view| {
            view.nodes.iter().filter(|node| node.state == NodeState::Up).count() as u64 == count
                && view.nodes.iter().filter(|node| node.voter).count() as u64 == voters
        });
        node.until_lease(true);
    }
    nodes
}

/// The settings of a node that was not started yet, with its place and its folder.
pub(super) fn prepare(
    first_start: FirstStart,
    change: impl FnOnce(&mut Options),
) -> (Options, SocketAddr, TempDir) {
    in_folder(tempfile::tempdir().expect("a folder"), first_start, change)
}

fn in_folder(
    folder: TempDir,
    first_start: FirstStart,
    change: impl FnOnce(&mut Options),
) -> (Options, SocketAddr, TempDir) {
    let peer_address = free_address();
    let mut options = Options::new(folder.path(), format!("gateway-of-{peer_address}"));
    options.first_start = first_start;
    options.peer_address = peer_address.to_string();
    change(&mut options);
    (options, peer_address, folder)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        if entry.file_type().expect("known").is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
        }
    }
}

/// An address that no other node here gets: one must be found at the same place after a restart. Below the ports that the
/// system gives to connections; the UDP port of the same number keeps others away.
fn free_address() -> SocketAddr {
    static TAKEN: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
    loop {
        let [.., high, low] = *uuid::Uuid::now_v7().as_bytes();
        let port = 20_000 + u16::from_be_bytes([high, low]) % 12_000;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let Ok(taken) = UdpSocket::bind(address) else { continue };
        if TcpListener::bind(address).is_ok() {
            TAKEN.lock().push(taken);
            return address;
        }
    }
}

/// Starts nodes that begin a cluster together, in any order.
pub(super) fn together(prepared: Vec<(Options, SocketAddr, TempDir)>) -> Vec<Node> {
    let starting: Vec<_> = prepared
        .into_iter()
        .map(|(options, peer_address, folder)| {
            std::thread::spawn(move || {
                let (runtime, plane, handle) = launch(&options, peer_address);
                let running = Some((runtime, plane));
                Node { options, peer_address, handle, running, _folder: folder }
            })
        })
        .collect();
    starting.into_iter().map(|starting| starting.join().expect("started")).collect()
}

fn launch(options: &Options, peer_address: SocketAddr) -> (Runtime, ControlPlane, Handle) {
    let (runtime, started) = try_launch(options, peer_address);
    let (plane, handle) = started.expect("started");
    (runtime, plane, handle)
}

fn try_launch(
    options: &Options,
    peer_address: SocketAddr,
) -> (Runtime, Result<(ControlPlane, Handle), Error>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    // An identity is settled once; a process that starts has a new one.
    let options = Options { peer: PeerIdentity::new(SECRET), ..options.clone() };
    let started = runtime.block_on(async {
        let opened = loop {
            match ControlPlane::open(options.clone()).await {
                Ok(opened) => break opened,
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
            .layer(PeerGuard::new(options.peer.clone()))
            .add_service(options.peer.handshake_service())
            .add_service(opened.peer_service().into_server())
            .add_service(opened.membership_service().into_server())
            .serve_with_incoming(lane);
        tokio::spawn(serving);
        let (plane, handle) = opened.start().await?;
        tokio::spawn(release_what_moves(handle.clone()));
        Ok((plane, handle))
    });
    (runtime, started)
}

/// What a data plane without calls does: it lets go of every shard that is to move.
async fn release_what_moves(handle: Handle) {
    let mut view = handle.view();
    loop {
        let now = view.borrow_and_update().clone();
        let released = now.types.iter().flat_map(|view| {
            let own = (0..)
                .zip(view.shards.iter())
                .filter(|(_, owner)| owner.node == handle.node() && owner.is_moving());
            own.map(|(number, owner)| (view.shard_id(number), owner.epoch))
        });
        let released: Vec<_> = released.collect();
        if !released.is_empty() {
            handle.released(released);
        }
        if view.changed().await.is_err() {
            return;
        }
    }
}
