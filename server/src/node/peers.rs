//! The port for other nodes. It opens before the node is a member, because nodes that begin a cluster together ask each
//! other first; calls of other nodes are taken from the moment at which there is a data plane to run them.

use std::{
    convert::Infallible,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use callboard_control_plane::Opened;
use callboard_data_plane::grpc::forward::Forwarding;
use callboard_proto::peer::v1::forward_service_server::ForwardServiceServer;
use callboard_transport::{
    accept,
    peer::{PeerGuard, PeerIdentity},
    server::configure,
    status::to_status,
};
use callboard_types::{CallError, ErrorKind};
use futures::future::BoxFuture;
use http::{Request, Response};
use tokio_util::sync::CancellationToken;
use tonic::{body::Body, server::NamedService, transport::Server};
use tower::Service;

/// Connections from other nodes: each has a few, and strangers must not take all of them.
pub(super) const LIMITS: (usize, usize) = (1_024, 256);

/// Where the data plane's service goes once it is there. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct LateForwarding(Arc<OnceLock<ForwardServiceServer<Forwarding>>>);

// === impl LateForwarding ===

impl LateForwarding {
    /// From now on calls of other nodes are taken.
    pub(super) fn open(&self, service: ForwardServiceServer<Forwarding>) {
        self.0.get_or_init(|| service);
    }
}

impl NamedService for LateForwarding {
    const NAME: &'static str = ForwardServiceServer::<Forwarding>::NAME;
}

impl Service<Request<Body>> for LateForwarding {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if let Some(service) = self.0.get() {
            return Box::pin(service.clone().call(request));
        }
        let text = "this node takes no calls yet; the call was not run. Retry it";
        let error = CallError::new(ErrorKind::ShuttingDown, text).retry_after(100);
        Box::pin(std::future::ready(Ok(to_status(&error).into_http())))
    }
}

/// Serves other nodes until the token is cancelled. On the runtime of the control plane: connections are cheap there, and
/// a worker that is busy with actors must not hold up a heartbeat.
pub(super) fn serve(
    incoming: accept::Incoming,
    identity: &PeerIdentity,
    opened: &Opened,
    forwarding: LateForwarding,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send + use<> {
    let server = configure(Server::builder())
        .layer(PeerGuard::new(identity.clone()))
        .add_service(identity.handshake_service())
        .add_service(opened.peer_service().into_server())
        .add_service(opened.membership_service().into_server())
        .add_service(forwarding);
    async move {
        let serving = server.serve_with_incoming_shutdown(incoming, stop.cancelled_owned());
        if let Err(error) = serving.await {
            tracing::error!(%error, "the listener for nodes failed");
        }
    }
}
