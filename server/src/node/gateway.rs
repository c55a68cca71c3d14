//! The gateway's port: which services it has, and how the workers' threads serve its connections.

use std::{sync::Arc, time::Duration};

use callboard_control_plane::{
    Handle as ControlHandle,
    grpc::{
        actor_types::{Activity, ActorTypes},
        cluster::Cluster,
        schedules::Schedules,
        systems::Systems,
    },
};
use callboard_data_plane::{plane::Handle as DataHandle, worker::Worker};
use callboard_proto::{
    FILE_DESCRIPTOR_SET,
    control::v1::{
        actor_types_service_server::ActorTypesServiceServer,
        actors_service_server::ActorsServiceServer, cluster_service_server::ClusterServiceServer,
        dead_letters_service_server::DeadLettersServiceServer,
        hosts_service_server::HostsServiceServer, schedules_service_server::SchedulesServiceServer,
        systems_service_server::SystemsServiceServer,
    },
    gateway::v1::gateway_service_server::GatewayServiceServer,
    host::v1::host_service_server::HostServiceServer,
};
use callboard_transport::{accept, server::configure};
use callboard_types::limits;
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{service::Routes, transport::Server};
use tonic_health::{ServingStatus, server::HealthReporter};

/// How long connections may take to send their last replies when the node stops.
const LAST_REPLIES: Duration = Duration::from_secs(1);

/// Tells the node that a worker's thread ended without being asked.
pub(super) struct Alarm(pub(super) watch::Sender<Option<String>>);

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

/// When connections end.
pub(super) struct Ends {
    /// They take no new request from here on; what runs on them goes on.
    pub(super) closing: CancellationToken,
    /// They are cut off.
    pub(super) stop: CancellationToken,
}

/// What a worker's thread does: runs the worker with what goes beside it, and serves its share of the connections.
pub(super) async fn serve(
    worker: Worker,
    beside: Vec<BoxFuture<'static, ()>>,
    incoming: accept::Incoming,
    routes: Routes,
    Ends { closing, stop }: Ends,
    alarm: Alarm,
) {
    let server = configure(Server::builder()).add_routes(routes);
    let serving = server.serve_with_incoming_shutdown(incoming, closing.cancelled_owned());
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

pub(super) async fn accept_until(
    acceptor: accept::Acceptor,
    stop: CancellationToken,
    failed: watch::Sender<Option<String>>,
) {
    if let Err(error) = acceptor.run(stop).await {
        failed.send_replace(Some(format!("the listener failed: {error}")));
    }
}

/// Every service of the gateway's port.
pub(super) async fn routes(data: &DataHandle, control: &ControlHandle) -> (HealthReporter, Routes) {
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
        .add_service(DeadLettersServiceServer::new(data.dead_letters.clone()))
        .add_service(SystemsServiceServer::new(Systems::new(view.clone())))
        .add_service(ActorTypesServiceServer::new(ActorTypes::new(view, Arc::new(activity))))
        .add_service(SchedulesServiceServer::new(Schedules::new(control.clone())))
        .add_service(ClusterServiceServer::new(Cluster::new(control.clone())));
    (reporter, routes)
}
