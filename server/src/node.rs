//! The composition root: builds the parts of a node in the order of their dependencies, and stops them in reverse.

use std::{net::SocketAddr, path::Path, sync::Arc, thread::JoinHandle, time::Duration};

use callboard_control_plane::{
    ControlPlane, Handle as ControlHandle, Options as ControlOptions,
    grpc::{
        actor_types::{Activity, ActorTypes},
        cluster::Cluster,
        systems::Systems,
    },
};
use callboard_data_plane::{
    plane::{DataPlane, Handle as DataHandle, Options as DataOptions},
    worker::Worker,
};
use callboard_proto::{
    FILE_DESCRIPTOR_SET,
    control::v1::{
        actor_types_service_server::ActorTypesServiceServer,
        actors_service_server::ActorsServiceServer, cluster_service_server::ClusterServiceServer,
        hosts_service_server::HostsServiceServer, systems_service_server::SystemsServiceServer,
    },
    gateway::v1::gateway_service_server::GatewayServiceServer,
    host::v1::host_service_server::HostServiceServer,
};
use callboard_statestore_sql::{SqlStore, SqliteOptions};
use callboard_transport::{accept, server::configure};
use callboard_types::{ClusterView, limits};
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{service::Routes, transport::Server};
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{Config, VERSION, adapters::ControlDirectory, admin, telemetry, threads};

/// How long connections may take to send their last replies when the node stops.
const LAST_REPLIES: Duration = Duration::from_secs(1);

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
    control: ControlPlane,
    control_handle: ControlHandle,
    data: DataHandle,
    store: Arc<SqlStore>,
    threads: Vec<JoinHandle<()>>,
    background: Vec<tokio::task::JoinHandle<()>>,
    health: HealthReporter,
    ready: watch::Sender<bool>,
    /// Stops taking connections and answering probes.
    stop: CancellationToken,
    failed: watch::Receiver<Option<String>>,
    drain: Duration,
}

impl Node {
    /// Builds and starts a node. When it returns, the node serves: its ports are open, and everything that was ever
    /// committed is there.
    ///
    /// # Errors
    /// What keeps it from starting. Nothing is left running then.
    pub async fn start(config: &Config) -> Result<Self, Error> {
        let _ = telemetry::metrics();
        // The folder's lock comes first: whatever follows may rely on being alone in it.
        let store = Arc::new(SqlStore::open_sqlite(store_options(config)?).await?);
        // Ports come before the control plane, which tells others the real one; nothing is accepted yet.
        let listeners = Listeners::bind(config)?;
        let advertised = match config.listen.advertise.as_str() {
            "" => listeners.gateway_address.to_string(),
            given => given.to_owned(),
        };
        let options = ControlOptions::new(&config.node.data, advertised);
        let (control, control_handle) = ControlPlane::start(options).await?;

        let data_options = DataOptions {
            workers: config.worker_count(),
            host_ping: Duration::from_millis(config.node.host_ping_ms),
            version: VERSION,
            peers: None,
        };
        let directory = Arc::new(ControlDirectory(control_handle.clone()));
        let plane = DataPlane::new(
            &data_options,
            control_handle.node(),
            Arc::clone(&store) as _,
            directory,
        );
        let data = plane.handle;
        let mut background = vec![tokio::spawn(plane.catalog)];

        let (health, routes) = routes(&data, &control_handle).await;
        let (failed_sender, failed) = watch::channel(None);
        let stop = CancellationToken::new();
        // The store's tasks go beside the first worker.
        let mut store_tasks = plane.store_tasks;
        let threads = plane.workers.into_iter().zip(listeners.incoming).enumerate();
        let threads = threads.map(|(number, (worker, incoming))| {
            let alarm = Alarm(failed_sender.clone());
            let beside = std::mem::take(&mut store_tasks);
            let serving = serve(worker, beside, incoming, routes.clone(), stop.clone(), alarm);
            threads::spawn(format!("worker-{number}"), move || serving)
        });
        let threads = threads.collect::<Result<_, _>>().map_err(Error::Thread)?;
        background.push(tokio::spawn(accept_until(
            listeners.acceptor,
            stop.clone(),
            failed_sender,
        )));

        let (ready, ready_seen) = watch::channel(false);
        let keeper = Keeper {
            data: data.clone(),
            view: control_handle.view(),
            health: health.clone(),
            ready: ready.clone(),
        };
        keeper.look().await;
        background.push(tokio::spawn(keeper.run(stop.clone())));
        let admin = admin::serve(listeners.admin, admin::Readiness(ready_seen), stop.clone());
        background.push(tokio::spawn(async move {
            if let Err(error) = admin.await {
                tracing::error!(%error, "the admin listener failed");
            }
        }));
        Ok(Self {
            gateway_address: listeners.gateway_address,
            admin_address: listeners.admin_address,
            control,
            control_handle,
            data,
            store,
            threads,
            background,
            health,
            ready,
            stop,
            failed,
            drain: Duration::from_millis(config.node.drain_ms),
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

    /// Waits until a part failed that the node cannot go on without. The process must exit then, without draining: what
    /// is in memory can no longer be made durable.
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

    /// Stops in order: no new calls, running ones end, everything saved, then the parts. True if every call ended in
    /// time.
    pub async fn stop(self) -> bool {
        let patience = self.drain;
        self.stop_within(patience).await
    }

    /// Stops like [`stop`](Self::stop), but waits only this long for running calls.
    pub async fn stop_within(self, patience: Duration) -> bool {
        self.data.start_draining();
        self.ready.send_replace(false);
        self.health.set_service_status("readiness", ServingStatus::NotServing).await;
        self.health.set_service_status("", ServingStatus::NotServing).await;
        let drained = self.data.drain(patience).await;
        self.stop.cancel();
        drop(self.data);
        self.control.shutdown().await;
        self.store.close().await;
        for task in self.background {
            task.abort();
        }
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

/// How often readiness is looked at, and metrics are put in order.
const KEEPER_INTERVAL: Duration = Duration::from_millis(500);

/// Keeps readiness honest: the node is ready while commits work and it knows who leads.
struct Keeper {
    data: DataHandle,
    view: watch::Receiver<Arc<ClusterView>>,
    health: HealthReporter,
    ready: watch::Sender<bool>,
}

impl Keeper {
    async fn run(self, stop: CancellationToken) {
        loop {
            let pause = tokio::time::sleep(KEEPER_INTERVAL);
            if stop.run_until_cancelled(pause).await.is_none() || self.data.is_draining() {
                return;
            }
            self.look().await;
            // Histograms keep every sample until somebody puts them into buckets, whether or not anybody scrapes.
            telemetry::metrics().run_upkeep();
        }
    }

    async fn look(&self) {
        let ready = self.data.store_is_up() && self.view.borrow().leader.is_some();
        if self.ready.send_replace(ready) != ready {
            let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
            self.health.set_service_status("readiness", status).await;
            self.health.set_service_status("", status).await;
        }
    }
}

/// Tells the node that a worker's thread ended without being asked.
struct Alarm(watch::Sender<Option<String>>);

impl Alarm {
    fn disarm(self) {
        std::mem::forget(self);
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.0.send_replace(Some(
            "a shard worker or the commit writer ended; see the log".to_owned(),
        ));
    }
}

/// The bound ports of a node.
struct Listeners {
    acceptor: accept::Acceptor,
    incoming: Vec<accept::Incoming>,
    admin: std::net::TcpListener,
    gateway_address: SocketAddr,
    admin_address: SocketAddr,
}

impl Listeners {
    fn bind(config: &Config) -> Result<Self, Error> {
        let limits = accept::Options {
            connections_max: config.listen.connections_max,
            connections_per_ip_max: config.listen.connections_per_ip_max,
            ..accept::Options::default()
        };
        let wrong = |address| move |error| Error::Listen { address, error };
        let gateway = config.listen.gateway;
        let (acceptor, incoming) =
            accept::listen(gateway, limits, config.worker_count()).map_err(wrong(gateway))?;
        let admin = admin::bind(config.listen.admin).map_err(wrong(config.listen.admin))?;
        let admin_address = admin.local_addr().map_err(wrong(config.listen.admin))?;
        let gateway_address = acceptor.local_address();
        Ok(Self { acceptor, incoming, admin, gateway_address, admin_address })
    }
}

/// What a worker's thread does: runs the worker with what goes beside it, and serves its share of the connections.
async fn serve(
    worker: Worker,
    beside: Vec<BoxFuture<'static, ()>>,
    incoming: accept::Incoming,
    routes: Routes,
    stop: CancellationToken,
    alarm: Alarm,
) {
    let server = configure(Server::builder()).add_routes(routes);
    let serving = server.serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
    let serving = tokio::task::spawn_local(serving);
    for task in beside {
        // Its end, or its panic, ends the node: nobody else writes and reads.
        let alarm = Alarm(alarm.0.clone());
        tokio::task::spawn_local(async move {
            task.await;
            drop(alarm);
        });
    }
    tokio::select! {
        () = worker.run() => {}
        () = stop.cancelled() => {
            // Last replies leave; streams that their callers keep open are cut off.
            let _ = tokio::time::timeout(LAST_REPLIES, serving).await;
            alarm.disarm();
        }
    }
}

async fn accept_until(
    acceptor: accept::Acceptor,
    stop: CancellationToken,
    failed: watch::Sender<Option<String>>,
) {
    if let Err(error) = acceptor.run(stop).await {
        failed.send_replace(Some(format!("the listener failed: {error}")));
    }
}

fn store_options(config: &Config) -> Result<SqliteOptions, Error> {
    let data: &Path = &config.node.data;
    Ok(match config.store.url.as_str() {
        "" => SqliteOptions::new(data),
        url => SqliteOptions::from_url(url)?,
    })
}

/// Every service of the gateway's port.
async fn routes(data: &DataHandle, control: &ControlHandle) -> (HealthReporter, Routes) {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status("liveness", ServingStatus::Serving).await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .include_reflection_service(true)
    };
    let v1 = reflection().build_v1().expect("the protocol's own descriptors are sound");
    let v1alpha = reflection().build_v1alpha().expect("the protocol's own descriptors are sound");
    let view = control.view();
    let activity = {
        let data = data.clone();
        move |system: &str, name: &str| Activity {
            hosts: data.hosts_of(system, name),
            active: data.active_of(system, name),
        }
    };
    let most = limits::MESSAGE_BYTES_MAX;
    let routes = Routes::new(health)
        .add_service(v1)
        .add_service(v1alpha)
        .add_service(
            GatewayServiceServer::new(data.gateway.clone()).max_decoding_message_size(most),
        )
        .add_service(HostServiceServer::new(data.hosts.clone()).max_decoding_message_size(most))
        .add_service(ActorsServiceServer::new(data.actors.clone()))
        .add_service(HostsServiceServer::new(data.actors.clone()))
        .add_service(SystemsServiceServer::new(Systems::new(view.clone())))
        .add_service(ActorTypesServiceServer::new(ActorTypes::new(view, Arc::new(activity))))
        .add_service(ClusterServiceServer::new(Cluster::new(control.clone())));
    (reporter, routes)
}
