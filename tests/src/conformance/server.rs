//! The fake server: a real gRPC server on a free loopback port, with nothing behind it but the scenario.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, BufMut, Bytes};
use callboard_proto::{
    gateway::v1::gateway_service_server::GatewayServiceServer,
    host::v1::{ConnectRequest, ConnectResponse},
};
use prost::Message;
use tokio::{net::TcpListener, runtime::Runtime, sync::mpsc, time::timeout};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::{Grpc, NamedService, StreamingService},
};

use super::{
    check::Failure,
    gateway::{Event, FakeGateway},
    session::Session,
    tools::{FakeActors, FakeDeadLetters, FakeSchedules},
};

/// How many sessions or events may wait for the scenario.
const WAITING_MAX: usize = 4096;

/// A server message: frames, or bytes as they are.
#[derive(Debug)]
pub enum Outgoing {
    /// A proper message.
    Frames(ConnectResponse),
    /// Whatever the scenario wants to see the SDK survive.
    Raw(Bytes),
}

/// A running fake server. Killed, connections and all, when dropped.
#[derive(Debug)]
pub struct FakeServer {
    // Connections live in a runtime of their own, so that killing the server closes their sockets without ceremony.
    runtime: Option<Runtime>,
    address: SocketAddr,
    sessions: mpsc::Receiver<Session>,
    /// Dropped to let a frozen server go on, which it needs to end.
    frozen: Option<std::sync::mpsc::Sender<()>>,
    /// What the gateway half sees.
    pub events: mpsc::Receiver<Event>,
}

impl FakeServer {
    /// Starts on `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// If the port cannot be bound.
    pub async fn start(address: SocketAddr) -> Result<Self, Failure> {
        let (send_session, sessions) = mpsc::channel(WAITING_MAX);
        let (send_event, events) = mpsc::channel(WAITING_MAX);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| Failure::of("a runtime for the fake server", error))?;
        let bound = runtime
            .spawn(async move {
                let listener = TcpListener::bind(address).await?;
                let address = listener.local_addr()?;
                let gateway = FakeGateway::new(send_event.clone());
                let server = tonic::transport::Server::builder()
                    .tcp_nodelay(true)
                    .add_service(FakeHostService { sessions: send_session, opened: Arc::default() })
                    .add_service(GatewayServiceServer::new(gateway))
                    .add_service(FakeSchedules::new(send_event.clone()))
                    .add_service(FakeActors::new(send_event.clone()))
                    .add_service(FakeDeadLetters::new(send_event))
                    .serve_with_incoming(TcpListenerStream::new(listener));
                tokio::spawn(server);
                Ok::<_, io::Error>(address)
            })
            .await
            .map_err(io::Error::other)
            .and_then(|bound| bound);
        // From here on the runtime ends in the background: it must not be dropped inside another one.
        let mut server =
            FakeServer { runtime: Some(runtime), address, sessions, frozen: None, events };
        server.address = bound.map_err(|error| Failure::of("a port for the fake server", error))?;
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next host session.
    ///
    /// # Errors
    /// If no host connects within `patience`.
    pub async fn session(&mut self, patience: Duration) -> Result<Session, Failure> {
        match timeout(patience, self.sessions.recv()).await {
            Ok(Some(session)) => Ok(session),
            _ => Err(Failure(format!("no host connected within {patience:?}"))),
        }
    }

    /// True if a host opened a session that the scenario has not taken.
    pub fn has_session(&self) -> bool {
        !self.sessions.is_empty()
    }

    /// Stops doing anything while all connections stay open, as a process does that is stopped by a signal.
    pub fn freeze(&mut self) {
        let (frozen, thaw) = std::sync::mpsc::channel::<()>();
        if let Some(runtime) = &self.runtime {
            // The runtime has one thread, so blocking that stops everything, answers to HTTP/2 pings included.
            runtime.spawn(async move {
                // An error is the sender being dropped, which ends the pause.
                let _ = thaw.recv();
            });
        }
        self.frozen = Some(frozen);
    }

    /// Closes the port and every connection at once, as a crash does.
    pub fn kill(&mut self) {
        self.frozen = None;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Starts again on the same port after [`FakeServer::kill`].
    ///
    /// # Errors
    /// If the port cannot be bound.
    pub async fn restart(&mut self) -> Result<(), Failure> {
        self.kill();
        // The old runtime closes the listener in the background.
        for _ in 0..200 {
            if let Ok(server) = FakeServer::start(self.address).await {
                *self = server;
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(Failure(format!("{} cannot be bound again", self.address)))
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// HostService by hand instead of generated, because only then can it send what the protocol does not allow.
#[derive(Clone)]
struct FakeHostService {
    sessions: mpsc::Sender<Session>,
    opened: Arc<AtomicUsize>,
}

impl NamedService for FakeHostService {
    const NAME: &'static str = "callboard.host.v1.HostService";
}

impl tonic::codegen::Service<http::Request<Body>> for FakeHostService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            if request.uri().path() != "/callboard.host.v1.HostService/Connect" {
                return Ok(Status::unimplemented("no such method").into_http());
            }
            Ok(Grpc::new(HostCodec).streaming(service, request).await)
        })
    }
}

impl StreamingService<ConnectRequest> for FakeHostService {
    type Response = Outgoing;
    type ResponseStream = ReceiverStream<Result<Outgoing, Status>>;
    type Future =
        Pin<Box<dyn Future<Output = Result<Response<Self::ResponseStream>, Status>> + Send>>;

    fn call(&mut self, request: Request<Streaming<ConnectRequest>>) -> Self::Future {
        let (send, receive) = mpsc::channel(WAITING_MAX);
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let session = Session::new(number, request.into_inner(), send);
        let taken = self.sessions.try_send(session);
        Box::pin(async move {
            taken.map_err(|_| Status::unavailable("the scenario is over"))?;
            Ok(Response::new(ReceiverStream::new(receive)))
        })
    }
}

#[derive(Debug, Clone, Copy)]
struct HostCodec;

impl Codec for HostCodec {
    type Encode = Outgoing;
    type Decode = ConnectRequest;
    type Encoder = HostCodec;
    type Decoder = HostCodec;

    fn encoder(&mut self) -> HostCodec {
        HostCodec
    }

    fn decoder(&mut self) -> HostCodec {
        HostCodec
    }
}

impl Encoder for HostCodec {
    type Item = Outgoing;
    type Error = Status;

    fn encode(&mut self, item: Outgoing, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        match item {
            Outgoing::Raw(bytes) => buffer.put(bytes),
            Outgoing::Frames(message) => {
                message.encode(buffer).map_err(|error| Status::internal(error.to_string()))?;
            }
        }
        Ok(())
    }
}

impl Decoder for HostCodec {
    type Item = ConnectRequest;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<ConnectRequest>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        ConnectRequest::decode(bytes)
            .map(Some)
            .map_err(|error| Status::invalid_argument(format!("not a ConnectRequest: {error}")))
    }
}
