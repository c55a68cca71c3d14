//! Goal: nobody gets past the guard without the secret, the right cluster and the right number; everybody learns why.
//! Method: real listeners and channels on loopback, and raw HTTP/2 where a client of ours would not misbehave.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use callboard_proto::peer::v1::{
    GreetRequest, GreetResponse, HandOverRequest, HandOverResponse, JoinRequest, JoinResponse,
    ListLeasesRequest, ListLeasesResponse, OpenRequest, RenewLeaseRequest, RenewLeaseResponse,
    handshake_service_client::HandshakeServiceClient,
    membership_service_client::MembershipServiceClient,
    membership_service_server::{MembershipService, MembershipServiceServer},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Request, Response, Status,
    transport::{Channel, Endpoint, Server},
};

use super::*;
use crate::{
    accept::{self, listen},
    server::configure,
    status::from_status,
};

mod attacks;
mod channel;

const SECRET: &str = "the secret of these tests";

/// Answers with the number of the session that a request came on.
#[derive(Clone, Default)]
struct Members(Arc<AtomicUsize>);

#[tonic::async_trait]
impl MembershipService for Members {
    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        self.0.fetch_add(1, Ordering::SeqCst);
        let PeerNode(peer) = *request.extensions().get().expect("the guard puts it there");
        Ok(Response::new(JoinResponse { node_id: peer.0, ..JoinResponse::default() }))
    }

    async fn renew_lease(
        &self,
        request: Request<RenewLeaseRequest>,
    ) -> Result<Response<RenewLeaseResponse>, Status> {
        self.0.fetch_add(1, Ordering::SeqCst);
        let peer: PeerNode = *request.extensions().get().expect("the guard puts it there");
        let claimed = request.into_inner().envelope.unwrap_or_default().from_node;
        peer.check(NodeId(claimed)).map_err(|error| crate::status::to_status(&error))?;
        let answer = RenewLeaseResponse { leader_id: peer.0.0, ..RenewLeaseResponse::default() };
        Ok(Response::new(answer))
    }

    async fn greet(
        &self,
        request: Request<GreetRequest>,
    ) -> Result<Response<GreetResponse>, Status> {
        self.0.fetch_add(1, Ordering::SeqCst);
        let PeerNode(peer) = *request.extensions().get().expect("the guard puts it there");
        Ok(Response::new(GreetResponse { node_id: peer.0, ..GreetResponse::default() }))
    }

    async fn list_leases(
        &self,
        _request: Request<ListLeasesRequest>,
    ) -> Result<Response<ListLeasesResponse>, Status> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(Response::new(ListLeasesResponse::default()))
    }

    async fn hand_over(
        &self,
        _request: Request<HandOverRequest>,
    ) -> Result<Response<HandOverResponse>, Status> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(Response::new(HandOverResponse::default()))
    }
}

/// A node's listener for nodes.
struct Listening {
    address: SocketAddr,
    identity: PeerIdentity,
    members: Members,
    /// A process of its own, as far as connections are concerned: they break with it.
    runtime: Option<tokio::runtime::Runtime>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        let runtime = self.runtime.take().expect("dropped once");
        // A runtime may end only where none runs; its port is free when this returns.
        let _ = std::thread::spawn(move || drop(runtime)).join();
    }
}

impl Listening {
    fn start(identity: PeerIdentity) -> Self {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), identity)
    }

    fn start_at(address: SocketAddr, identity: PeerIdentity) -> Self {
        let (acceptor, mut lanes) = listen(address, accept::Options::default(), 1).expect("bind");
        let address = acceptor.local_address();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.spawn(acceptor.run(CancellationToken::new()));
        let members = Members::default();
        let server = configure(Server::builder())
            .layer(PeerGuard::new(identity.clone()))
            .add_service(identity.handshake_service())
            .add_service(MembershipServiceServer::new(members.clone()));
        runtime.spawn(server.serve_with_incoming(lanes.pop().expect("one lane")));
        Self { address, identity, members, runtime: Some(runtime) }
    }

    fn address(&self) -> String {
        self.address.to_string()
    }

    fn served(&self) -> usize {
        self.members.0.load(Ordering::SeqCst)
    }
}

fn node(number: u64) -> PeerIdentity {
    node_of("cluster-a", SECRET, number)
}

fn node_of(cluster: &str, secret: &str, number: u64) -> PeerIdentity {
    let identity = PeerIdentity::new(secret);
    identity.settle(cluster, NodeId(number));
    identity
}

fn client(identity: &PeerIdentity, to: u64, address: &str) -> MembershipServiceClient<PeerChannel> {
    let channel = PeerDialer::new(identity.clone()).channel(NodeId(to), address);
    MembershipServiceClient::new(channel)
}

fn renewal(from_node: u64) -> RenewLeaseRequest {
    let envelope = callboard_proto::peer::v1::Envelope { from_node, ..Default::default() };
    RenewLeaseRequest { envelope: Some(envelope), ..RenewLeaseRequest::default() }
}

async fn refusal(identity: PeerIdentity, to: u64, listening: &Listening) -> (Status, PeerError) {
    let from = identity.node().0;
    let answer = client(&identity, to, &listening.address()).renew_lease(renewal(from)).await;
    let status = answer.expect_err("refused");
    let source = std::error::Error::source(&status).and_then(|source| source.downcast_ref());
    let error: &PeerError = source.expect("the reason");
    (status.clone(), error.clone())
}

async fn plain(listening: &Listening) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", listening.address));
    endpoint.expect("an address").connect().await.expect("connect")
}

#[tokio::test]
async fn two_nodes_of_a_cluster_know_each_other_after_the_handshake() {
    let listening = Listening::start(node(1));
    let dialing = node(2);
    let met = PeerDialer::new(dialing.clone()).meet(&listening.address()).await.expect("met");
    assert_eq!(met, Met { cluster_id: "cluster-a".into(), node: NodeId(1) });
    let mut client = client(&dialing, 1, &listening.address());
    let answer = client.renew_lease(renewal(2)).await.expect("served").into_inner();
    assert_eq!(answer.leader_id, 2, "the session is node 2's");
}

#[tokio::test]
async fn a_session_of_one_node_cannot_speak_for_another() {
    let listening = Listening::start(node(1));
    let mut client = client(&node(3), 1, &listening.address());
    for claimed in [1, 2, 0] {
        let status = client.renew_lease(renewal(claimed)).await.expect_err("refused");
        assert_eq!(from_status(&status).kind, ErrorKind::PeerRefused);
    }
    client.renew_lease(renewal(3)).await.expect("its own name is fine");
}

#[tokio::test]
async fn a_node_without_a_number_may_join_and_nothing_else() {
    let listening = Listening::start(node(1));
    let mut client = client(&PeerIdentity::new(SECRET), 0, &listening.address());
    let joined = client.join(JoinRequest::default()).await.expect("heard").into_inner();
    assert_eq!(joined.node_id, 0, "the session has no number");
    client.greet(GreetRequest::default()).await.expect("heard");
    let status = client.renew_lease(renewal(1)).await.expect_err("refused");
    assert_eq!(from_status(&status).kind, ErrorKind::PeerRefused);
    let status = client.hand_over(HandOverRequest::default()).await.expect_err("refused");
    assert_eq!(from_status(&status).kind, ErrorKind::PeerRefused);
    assert_eq!(listening.served(), 2);
}

#[tokio::test]
async fn a_node_that_gets_its_number_speaks_in_its_name_on_the_same_channel() {
    let listening = Listening::start(node(1));
    let newcomer = PeerIdentity::new(SECRET);
    let mut client = client(&newcomer, 0, &listening.address());
    client.join(JoinRequest::default()).await.expect("heard");
    newcomer.settle("cluster-a", NodeId(2));
    client.renew_lease(renewal(2)).await.expect("a session of node 2");
}

#[tokio::test]
async fn another_secret_is_refused_and_the_dialing_side_says_so() {
    let listening = Listening::start(node(1));
    let stranger = node_of("cluster-a", "a guess, or a cluster next door", 2);
    let (status, error) = refusal(stranger, 1, &listening).await;
    assert_eq!(from_status(&status).kind, ErrorKind::PeerRefused);
    assert!(matches!(error, PeerError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("cluster.secret"), "{error}");
    assert!(!status.message().contains(SECRET) && !status.message().contains("a guess"));
    assert_eq!(listening.served(), 0);
}

#[tokio::test]
async fn a_listener_that_does_not_know_the_secret_is_refused_by_the_dialing_side() {
    // It answers every handshake by echoing what it was sent, as somebody without the secret would.
    #[derive(Clone)]
    struct Echo;
    #[tonic::async_trait]
    impl callboard_proto::peer::v1::handshake_service_server::HandshakeService for Echo {
        async fn open(
            &self,
            request: Request<OpenRequest>,
        ) -> Result<Response<callboard_proto::peer::v1::OpenResponse>, Status> {
            let request = request.into_inner();
            Ok(Response::new(callboard_proto::peer::v1::OpenResponse {
                protocol: request.protocol,
                cluster_id: request.cluster_id,
                node_id: request.to_node,
                nonce: request.nonce,
                proof: request.proof,
            }))
        }
    }
    let socket = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bind");
    let address = socket.local_addr().expect("bound").to_string();
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(socket);
    let service = HandshakeServiceServer::new(Echo);
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
    let error = PeerDialer::new(node(2)).meet(&address).await.expect_err("refused");
    assert!(matches!(error, PeerError::WrongSecret { .. }), "{error}");
}

#[tokio::test]
async fn a_node_of_a_foreign_cluster_is_refused_although_it_knows_the_secret() {
    let listening = Listening::start(node(1));
    let (status, error) = refusal(node_of("cluster-b", SECRET, 2), 1, &listening).await;
    assert_eq!(from_status(&status).kind, ErrorKind::PeerRefused);
    let text = error.to_string();
    assert!(text.contains("cluster-a") && text.contains("cluster-b"), "{text}");
}

#[tokio::test]
async fn a_node_that_moved_away_is_not_mistaken_for_the_one_at_its_address() {
    let listening = Listening::start(node(1));
    let (_, error) = refusal(node(2), 3, &listening).await;
    assert!(error.to_string().contains("this is node 1, not node 3"), "{error}");
}

#[tokio::test]
async fn two_nodes_with_one_number_are_told_to_part() {
    let listening = Listening::start(node(1));
    let (_, error) = refusal(node(1), 0, &listening).await;
    assert!(error.to_string().contains("data folder copied"), "{error}");
}

#[tokio::test]
async fn a_node_that_calls_itself_notices() {
    let listening = Listening::start(PeerIdentity::new(SECRET));
    let dialer = PeerDialer::new(listening.identity.clone());
    let error = dialer.meet(&listening.address()).await.expect_err("refused");
    assert!(matches!(error, PeerError::Myself { .. }), "{error}");
}

#[tokio::test]
async fn nodes_with_a_common_version_speak_the_newest_one() {
    let listening = Listening::start(PeerIdentity::with_protocols(SECRET, 1..=2));
    for versions in [1..=1, 1..=2, 2..=2, 2..=9] {
        let dialer = PeerDialer::new(PeerIdentity::with_protocols(SECRET, versions));
        dialer.meet(&listening.address()).await.expect("2 or 1 is common");
    }
}

#[tokio::test]
async fn nodes_too_old_or_too_new_for_each_other_say_which_one_to_upgrade() {
    let listening = Listening::start(PeerIdentity::with_protocols(SECRET, 2..=3));
    let old = PeerDialer::new(PeerIdentity::with_protocols(SECRET, 1..=1));
    let error = old.meet(&listening.address()).await.expect_err("too old");
    let PeerError::Refused { error, .. } = error else { panic!("{error}") };
    assert_eq!(error.kind, ErrorKind::ProtocolVersion);
    assert!(error.message.contains("upgrade the other one"), "{error}");
    let new = PeerDialer::new(PeerIdentity::with_protocols(SECRET, 4..=5));
    let error = new.meet(&listening.address()).await.expect_err("too new");
    assert!(matches!(error, PeerError::Version { theirs: 3, min: 4, max: 5, .. }), "{error}");
}
