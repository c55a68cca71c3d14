//! The composition root: builds the parts of a node in the order of their dependencies, and stops them in reverse.
//!
//! The order is: store, ports, control plane (which may have to join a cluster first), data plane, service. `membership`
//! says how a node becomes part of its cluster, `peers` and `gateway` what its ports serve, `keeper` when it is ready.

mod gateway;
mod keeper;
mod membership;
mod peers;

use std::{net::SocketAddr, sync::Arc, thread::JoinHandle, time::Duration};

use callboard_control_plane::{ControlPlane, Handle as ControlHandle};
use callboard_data_plane::plane::{DataPlane, Handle as DataHandle, Options as DataOptions};
use callboard_statestore_sql::SqlStore;
use callboard_transport::{
    accept,
    peer::{PeerDialer, PeerIdentity},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{Config, VERSION, adapters::ControlDirectory, admin, telemetry, threads};
pub(crate) use membership::{open_store, timings};

use gateway::Alarm;
use keeper::Keeper;
use peers::LateForwarding;

/// Why a node did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state store.
    #[error("{0}")]
    Store(#[from] callboard_statestore::Error),
    /// The control plane.
    #[error("{0}")]
    Control(#[from] callboard_control_plane::Error),
    /// An address cannot be bound.
    #[error(
        "{address} cannot be listened on: {error}. Is another node running there? Name another port"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// The node and its cluster do not fit together.
    #[error("{0}")]
    Cluster(String),
    /// A thread cannot be made.
    #[error("a thread cannot be started: {0}")]
    Thread(std::io::Error),
    /// A part failed while the node ran.
    #[error("{0}")]
    Failed(String),
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    gateway_address: SocketAddr,
    admin_address: SocketAddr,
    peer_address: Option<SocketAddr>,
    control: ControlPlane,
    control_handle: ControlHandle,
    data: DataHandle,
    store: Arc<SqlStore>,
    threads: Vec<JoinHandle<()>>,
    background: Background,
    keeper: tokio::task::JoinHandle<()>,
    /// Cancelled when callers are to go elsewhere: no connection is taken any more, and those that there are take no new
    /// request.
    closing: CancellationToken,
    /// Cancelled when the node is no longer ready, long before it stops.
    leaving: CancellationToken,
    /// Stops taking connections and answering probes.
    stop: CancellationToken,
    failed: watch::Receiver<Option<String>>,
    drain: Duration,
}

/// Tasks that end with the node.
#[derive(Debug, Default)]
struct Background(Vec<tokio::task::JoinHandle<()>>);

impl Background {
    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.push(tokio::spawn(task));
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

impl Node {
    /// Builds and starts a node. When it returns, the node serves: its ports are open, and everything that was ever
    /// committed is there. A node that waits for its cluster waits here; dropping the future gives up.
    ///
    /// # Errors
    /// What keeps it from starting. Nothing is left running then.
    pub async fn start(config: &Config) -> Result<Self, Error> {
        let _ = telemetry::metrics();
        // A data folder's lock comes first: whatever follows may rely on being alone in it.
        let store = Arc::new(membership::open_store(config).await?);
        let (stop, mut background) = (CancellationToken::new(), Background::default());
        // Boxed: the future holds every part of a node, and callers keep theirs on their stacks.
        let starting = Box::pin(Self::start_over(config, &store, &stop, &mut background));
        match starting.await {
            Ok(parts) => Ok(parts.into_node(config, store, stop, background)),
            Err(error) => {
                stop.cancel();
                drop(background);
                store.close().await;
                Err(error)
            }
        }
    }

    /// Starts everything above the store.
    async fn start_over(
        config: &Config,
        store: &Arc<SqlStore>,
        stop: &CancellationToken,
        background: &mut Background,
    ) -> Result<Parts, Error> {
        // Ports come before the control plane, which tells others the real ones; nothing is accepted yet.
        let listeners = Listeners::bind(config)?;
        let addresses = listeners.addresses();
        let (ready, ready_seen) = watch::channel(false);
        // Probes are answered while the node waits for its cluster: it lives, and is not ready.
        let admin = admin::serve(listeners.admin, admin::Readiness(ready_seen), stop.clone());
        background.spawn(async move {
            if let Err(error) = admin.await {
                tracing::error!(%error, "the admin listener failed");
            }
        });
        let (alarm, failed) = watch::channel(None);
        let identity = identity_of(config)?;
        let (gateway, peer) = addresses.advertised(config);
        let options =
            membership::control_options(config, gateway, peer, identity.as_ref(), store).await?;
        let opened = ControlPlane::open(options).await?;
        let forwarding = LateForwarding::default();
        if let (Some((acceptor, incoming)), Some(identity)) = (listeners.peer, &identity) {
            let serving =
                peers::serve(incoming, identity, &opened, forwarding.clone(), stop.clone());
            background.spawn(serving);
            background.spawn(gateway::accept_until(acceptor, stop.clone(), alarm.clone()));
        }
        let (control, control_handle) = opened.start().await?;
        let bound =
            membership::bind_store(store, control.cluster_id(), control_handle.node()).await;
        if let Err(error) = bound {
            control.shutdown().await;
            return Err(error);
        }

        let data_options = DataOptions {
            workers: config.worker_count(),
            host_ping: Duration::from_millis(config.node.host_ping_ms),
            version: VERSION,
            peers: identity.map(PeerDialer::new),
        };
        let directory = Arc::new(ControlDirectory(control_handle.clone()));
        let plane =
            DataPlane::new(&data_options, control_handle.node(), Arc::clone(store) as _, directory);
        let data = plane.handle;
        background.spawn(plane.catalog);
        forwarding.open(data.forward_service());

        let (health, routes) = gateway::routes(&data, &control_handle).await;
        // The store's tasks go beside the first worker.
        let mut store_tasks = plane.store_tasks;
        let closing = stop.child_token();
        let threads = plane.workers.into_iter().zip(listeners.gateway.1).enumerate();
        let threads = threads.map(|(number, (worker, incoming))| {
            let alarm = Alarm(alarm.clone());
            let beside = std::mem::take(&mut store_tasks);
            let ends = gateway::Ends { closing: closing.clone(), stop: stop.clone() };
            let serving = gateway::serve(worker, beside, incoming, routes.clone(), ends, alarm);
            threads::spawn(format!("worker-{number}"), move || serving)
        });
        let threads = threads.collect::<Result<_, _>>().map_err(Error::Thread)?;
        background.spawn(gateway::accept_until(listeners.gateway.0, closing.clone(), alarm));

        let leaving = CancellationToken::new();
        let keeper = Keeper {
            data: data.clone(),
            view: control_handle.view(),
            lease: control_handle.lease(),
            health,
            ready,
            leaving: leaving.clone(),
        };
        keeper.look().await;
        let keeper = tokio::spawn(keeper.run());
        Ok(Parts {
            addresses,
            control,
            control_handle,
            data,
            threads,
            keeper,
            leaving,
            closing,
            failed,
        })
    }

    /// Where callers and hosts connect.
    #[must_use]
    pub fn gateway_address(&self) -> SocketAddr {
        self.gateway_address
    }

    /// Where health and metrics are.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Where other nodes connect. None on a node that is alone.
    #[must_use]
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.peer_address
    }

    /// The node's number in its cluster.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.control_handle.node().0
    }

    /// Waits until a part failed that the node cannot go on without, or another life of the node has begun. The process
    /// must exit then, without draining: what is in memory can no longer be made durable.
    pub async fn failed(&mut self) -> Error {
        let mut data = self.data.clone();
        let why = tokio::select! {
            biased;
            fatal = self.control_handle.fatal() => fatal.to_string(),
            why = data.fatal() => why,
            failed = self.failed.wait_for(Option::is_some) => match failed {
                Ok(why) => why.clone().unwrap_or_default(),
                Err(_) => "the workers have ended".to_owned(),
            },
        };
        Error::Failed(why)
    }

    /// Stops in order: shards go to other nodes while calls are still taken, then no new calls, running ones end,
    /// everything is saved, then the parts. True if every call ended in time.
    pub async fn stop(self) -> bool {
        let patience = self.drain;
        self.stop_within(patience).await
    }

    /// Stops like [`stop`](Self::stop), but waits only this long for moves and running calls together.
    pub async fn stop_within(self, patience: Duration) -> bool {
        let begun = tokio::time::Instant::now();
        self.leaving.cancel();
        let _ = self.keeper.await;
        self.data.start_draining();
        // Half of the time is left for what cannot move.
        if !self.control_handle.drain_self(patience / 2).await {
            tracing::info!("some shards stay with this node until others take them over");
        }
        // Callers go to other nodes, or a busy gateway would never be idle.
        self.closing.cancel();
        let drained = self.data.drain(patience.saturating_sub(begun.elapsed())).await;
        drop(self.data);
        self.control.shutdown().await;
        self.stop.cancel();
        self.store.close().await;
        drop(self.background);
        let threads = self.threads;
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                let _ = thread.join();
            }
        });
        let _ = joined.await;
        drained
    }
}

/// What a node is made of, besides what it was built on.
struct Parts {
    addresses: Addresses,
    control: ControlPlane,
    control_handle: ControlHandle,
    data: DataHandle,
    threads: Vec<JoinHandle<()>>,
    keeper: tokio::task::JoinHandle<()>,
    leaving: CancellationToken,
    closing: CancellationToken,
    failed: watch::Receiver<Option<String>>,
}

impl Parts {
    fn into_node(
        self,
        config: &Config,
        store: Arc<SqlStore>,
        stop: CancellationToken,
        background: Background,
    ) -> Node {
        Node {
            gateway_address: self.addresses.gateway,
            admin_address: self.addresses.admin,
            peer_address: self.addresses.peer,
            control: self.control,
            control_handle: self.control_handle,
            data: self.data,
            store,
            threads: self.threads,
            background,
            keeper: self.keeper,
            leaving: self.leaving,
            closing: self.closing,
            stop,
            failed: self.failed,
            drain: Duration::from_millis(config.node.drain_ms),
        }
    }
}

/// The bound ports of a node.
struct Listeners {
    gateway: (accept::Acceptor, Vec<accept::Incoming>),
    admin: std::net::TcpListener,
    admin_address: SocketAddr,
    peer: Option<(accept::Acceptor, accept::Incoming)>,
}

/// The real addresses of the ports.
#[derive(Clone, Copy)]
struct Addresses {
    gateway: SocketAddr,
    admin: SocketAddr,
    peer: Option<SocketAddr>,
}

impl Listeners {
    fn bind(config: &Config) -> Result<Self, Error> {
        let limits = accept::Options {
            connections_max: config.listen.connections_max,
            connections_per_ip_max: config.listen.connections_per_ip_max,
            ..accept::Options::default()
        };
        let wrong = |address| move |error| Error::Listen { address, error };
        let address = config.listen.gateway;
        let gateway =
            accept::listen(address, limits, config.worker_count()).map_err(wrong(address))?;
        let admin = admin::bind(config.listen.admin).map_err(wrong(config.listen.admin))?;
        let admin_address = admin.local_addr().map_err(wrong(config.listen.admin))?;
        let mut peer = None;
        if config.is_clustered() {
            let limits = accept::Options {
                connections_max: peers::LIMITS.0,
                connections_per_ip_max: peers::LIMITS.1,
                ..accept::Options::default()
            };
            let address = config.listen.peer;
            let (acceptor, mut lanes) =
                accept::listen(address, limits, 1).map_err(wrong(address))?;
            peer = lanes.pop().map(|lane| (acceptor, lane));
        }
        Ok(Self { gateway, admin, admin_address, peer })
    }

    fn addresses(&self) -> Addresses {
        Addresses {
            gateway: self.gateway.0.local_address(),
            admin: self.admin_address,
            peer: self.peer.as_ref().map(|(acceptor, _)| acceptor.local_address()),
        }
    }
}

impl Addresses {
    /// What others are told: the gateway's address, and the one for nodes.
    fn advertised(&self, config: &Config) -> (String, String) {
        let advertised = |given: &str, bound: SocketAddr| match given {
            "" => bound.to_string(),
            given => given.to_owned(),
        };
        let gateway = advertised(&config.listen.advertise, self.gateway);
        let peer = self.peer.map(|bound| advertised(&config.listen.advertise_peer, bound));
        (gateway, peer.unwrap_or_default())
    }
}

/// What a node shows to others, if it has any.
fn identity_of(config: &Config) -> Result<Option<PeerIdentity>, Error> {
    if !config.is_clustered() {
        return Ok(None);
    }
    let secret = config.cluster.read_secret().map_err(|error| settings(&error))?;
    Ok(Some(PeerIdentity::new(secret)))
}

pub(crate) fn settings(error: &crate::config::Error) -> Error {
    Error::Cluster(error.to_string())
}
