//! The connection of one command to one node: where it is, how long it may take, which system is meant.

use std::{future::Future, time::Duration};

use callboard_proto::{
    control::v1::{
        actor_types_service_client::ActorTypesServiceClient,
        actors_service_client::ActorsServiceClient, cluster_service_client::ClusterServiceClient,
        dead_letters_service_client::DeadLettersServiceClient,
        hosts_service_client::HostsServiceClient, schedules_service_client::SchedulesServiceClient,
        systems_service_client::SystemsServiceClient,
    },
    gateway::v1::gateway_service_client::GatewayServiceClient,
};
use tonic::{
    Response, Status,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::health_client::HealthClient;

use crate::failure::{Exit, Failure, Retry};

/// How long the connection itself may take; the server is usually next door.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How much longer this side waits than an invocation may take, so that the server's own, better explained answer to a
/// missed deadline arrives first. For the same reason no grpc-timeout is sent: tonic's client enforces it as well.
const ANSWER_GRACE: Duration = Duration::from_millis(500);

/// Replies may carry a descriptor set, which gRPC's default of 4 MiB need not hold.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// A connection to a node. Lives as long as the command.
pub(crate) struct Connection {
    channel: Channel,
    address: String,
    timeout: Duration,
}

// === impl Connection ===

impl Connection {
    /// Connects to `server` (`host:port`). Fails with exit code 4 if nobody answers there.
    pub(crate) async fn open(server: &str, timeout: Duration) -> Result<Self, Failure> {
        let address = server.strip_prefix("http://").unwrap_or(server).trim_end_matches('/');
        if address.contains("://") {
            return Err(Failure::usage(format!(
                "--server takes host:port, not {server:?}: nodes speak gRPC without TLS"
            )));
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| Failure::usage(format!("--server {server:?} is no address: {error}")))?
            .connect_timeout(timeout.min(CONNECT_TIMEOUT))
            .tcp_nodelay(true)
            .user_agent(concat!("callboard-cli/", env!("CARGO_PKG_VERSION")))
            .map_err(|error| Failure::usage(format!("--server {server:?}: {error}")))?;
        let channel = endpoint.connect().await.map_err(|error| unreachable(address, &error))?;
        Ok(Self { channel, address: address.to_owned(), timeout })
    }

    /// Where the node is, as `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Calls to actors.
    pub(crate) fn gateway(&self) -> GatewayServiceClient<Channel> {
        GatewayServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// What is stored and active.
    pub(crate) fn actors(&self) -> ActorsServiceClient<Channel> {
        ActorsServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// What could not be delivered.
    pub(crate) fn dead_letters(&self) -> DeadLettersServiceClient<Channel> {
        DeadLettersServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// What is registered.
    pub(crate) fn types(&self) -> ActorTypesServiceClient<Channel> {
        ActorTypesServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// Calls that are made by the clock.
    pub(crate) fn schedules(&self) -> SchedulesServiceClient<Channel> {
        SchedulesServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// Groups of actors.
    pub(crate) fn systems(&self) -> SystemsServiceClient<Channel> {
        SystemsServiceClient::new(self.channel.clone())
    }

    /// Connected host processes.
    pub(crate) fn hosts(&self) -> HostsServiceClient<Channel> {
        HostsServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// The cluster that the node belongs to.
    pub(crate) fn cluster(&self) -> ClusterServiceClient<Channel> {
        ClusterServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// Whether the node serves.
    pub(crate) fn health(&self) -> HealthClient<Channel> {
        HealthClient::new(self.channel.clone())
    }

    /// Waits for something that takes several messages, at most as long as the chosen timeout. `otherwise` says how
    /// things stand if that is too short.
    pub(crate) async fn within_timeout<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
        otherwise: &str,
    ) -> Result<T, Failure> {
        tokio::time::timeout(self.timeout, work).await.unwrap_or_else(|_| {
            let time = humantime::format_duration(self.timeout);
            let message = format!("it took more than {time}; {otherwise}");
            Err(Failure::new(Exit::Deadline, "DEADLINE_EXCEEDED", message)
                .retry(Retry::Safe)
                .advice("allow more time with --timeout"))
        })
    }

    /// Waits for the answer to a call, at most a little longer than the chosen timeout.
    pub(crate) async fn answer<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(self.timeout + ANSWER_GRACE, call).await {
            Ok(answer) => Ok(answer?.into_inner()),
            Err(_) => Err(Failure::new(
                Exit::Deadline,
                "DEADLINE_EXCEEDED",
                format!(
                    "{} did not answer within {}",
                    self.address,
                    humantime::format_duration(self.timeout)
                ),
            )
            .retry(Retry::SameId)
            .advice("allow more time with --timeout")),
        }
    }
}

fn unreachable(address: &str, error: &tonic::transport::Error) -> Failure {
    // The outer text is only "transport error"; the innermost cause is what a person can act on.
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let message = format!("no Callboard node answers at {address}: {cause}");
    Failure::new(Exit::Unavailable, "UNREACHABLE", message)
        .retry(Retry::Safe)
        .advice("start one with `callboard dev`, or name another with --server or CALLBOARD_SERVER")
}
