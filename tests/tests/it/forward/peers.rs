//! What a node takes from a peer, and what it does not.

use callboard_proto::{
    peer::v1::{
        ForwardRequest, ForwardResponse, ForwardedCall, ReadStateRequest,
        forward_service_client::ForwardServiceClient, forwarded_reply::Outcome,
        read_state_response,
    },
    types::v1::Durability,
};
use callboard_tests::{
    local::{
        caller::{actor, call, json},
        connect,
    },
    mesh::Mesh,
};
use callboard_transport::{peer::PeerChannel, status::from_status};
use callboard_types::{CallError, ErrorKind, NodeId, limits};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::counters;

/// A peer that says every field of its calls.
struct ScriptedPeer {
    client: ForwardServiceClient<PeerChannel>,
    calls: mpsc::Sender<ForwardRequest>,
    ends: Streaming<ForwardResponse>,
}

impl ScriptedPeer {
    /// Opens a stream to a node in the name of another one, and takes the credits.
    async fn open(mesh: &Mesh, name: u64, to: u64) -> Self {
        let address = mesh.peer_address(to).to_string();
        let mut client = ForwardServiceClient::new(mesh.dialer(name).channel(NodeId(to), &address));
        let (calls, requests) = mpsc::channel(8);
        let ends = client.forward(ReceiverStream::new(requests)).await.expect("the stream opens");
        let mut ends = ends.into_inner();
        let first = ends.message().await.expect("goes on").expect("the credits");
        assert!(first.credits > 0 && first.replies.is_empty());
        Self { client, calls, ends }
    }

    async fn send(&self, calls: Vec<ForwardedCall>) {
        let request = ForwardRequest { calls, cancelled: vec![] };
        self.calls.send(request).await.expect("the stream is open");
    }

    async fn end(&mut self) -> (u64, Outcome) {
        let message = self.ends.message().await.expect("goes on").expect("an end");
        let [reply] = &message.replies[..] else { panic!("expected one end: {message:?}") };
        (reply.forward_id, reply.outcome.clone().expect("an outcome"))
    }

    async fn refusal(&mut self) -> CallError {
        from_status(&self.ends.message().await.expect_err("the stream ends with an error"))
    }
}

fn forwarded(forward_id: u64, key: &str) -> ForwardedCall {
    let call = call("Counter", key, "add", "1");
    ForwardedCall {
        forward_id,
        actor: Some(actor("Counter", key)),
        action: call.action,
        payload: Some(json("1")),
        request_id: call.request_id,
        created_at_ms: call.created_at_ms,
        timeout_ms: 5_000,
        ..ForwardedCall::default()
    }
}

#[tokio::test]
async fn a_node_that_does_not_own_a_shard_says_who_does_and_never_forwards() {
    let mesh = Mesh::start(3).await;
    counters(&mesh, 3, Durability::Durable).await;
    let mut peer = ScriptedPeer::open(&mesh, 1, 2).await;
    let elsewhere = mesh.key_on("Counter", 3, 0);
    peer.send(vec![forwarded(41, &elsewhere)]).await;
    let (id, outcome) = peer.end().await;
    let Outcome::Redirect(redirect) = outcome else { panic!("expected a redirect: {outcome:?}") };
    assert_eq!((id, redirect.node_id, redirect.epoch), (41, 3, 1));
    let request = ReadStateRequest { actor: Some(actor("Counter", &elsewhere)), view_version: 0 };
    let read = peer.client.read_state(request).await.expect("answered").into_inner().outcome;
    let Some(read_state_response::Outcome::Redirect(redirect)) = read else {
        panic!("expected a redirect: {read:?}");
    };
    assert_eq!(redirect.node_id, 3);
}

#[tokio::test]
async fn a_call_by_a_view_from_the_future_is_not_run() {
    let mesh = Mesh::start(2).await;
    counters(&mesh, 2, Durability::Durable).await;
    let mut peer = ScriptedPeer::open(&mesh, 1, 2).await;
    let key = mesh.key_on("Counter", 2, 0);
    peer.send(vec![ForwardedCall { view_version: 1_000_000, ..forwarded(1, &key) }]).await;
    let (_, outcome) = peer.end().await;
    let Outcome::Error(error) = outcome else { panic!("expected an error: {outcome:?}") };
    assert_eq!(error.reason, ErrorKind::NotOwner.reason());
    peer.send(vec![forwarded(2, &key)]).await;
    assert!(matches!(peer.end().await, (2, Outcome::Reply(_))), "the stream goes on");
}

#[tokio::test]
async fn junk_ends_the_stream_of_the_peer_that_sent_it_and_harms_nobody_else() {
    let mesh = Mesh::start(2).await;
    counters(&mesh, 2, Durability::Durable).await;
    let key = mesh.key_on("Counter", 2, 0);
    let nameless = ForwardedCall { actor: None, ..forwarded(1, &key) };
    let restless = ForwardedCall { redirects: 3, ..forwarded(1, &key) };
    let timeless = ForwardedCall { timeout_ms: 0, ..forwarded(1, &key) };
    for junk in [nameless, restless, timeless] {
        let mut peer = ScriptedPeer::open(&mesh, 1, 2).await;
        peer.send(vec![junk]).await;
        assert_eq!(peer.refusal().await.kind, ErrorKind::InvalidArgument);
    }
    let mut greedy = ScriptedPeer::open(&mesh, 1, 2).await;
    let many = (0..20_000).map(|id| ForwardedCall {
        request_id: String::new(),
        payload: None,
        ..forwarded(id, &key)
    });
    greedy.send(many.collect()).await;
    assert_eq!(greedy.refusal().await.kind, ErrorKind::InvalidArgument);
    let reply = mesh.caller(1).await.invoke(call("Counter", &key, "add", "1")).await;
    reply.expect("calls of others go on");
}

#[tokio::test]
async fn a_bad_call_of_a_peer_is_refused_by_itself() {
    let mesh = Mesh::start(2).await;
    counters(&mesh, 2, Durability::Durable).await;
    let key = mesh.key_on("Counter", 2, 0);
    let mut peer = ScriptedPeer::open(&mesh, 1, 2).await;
    let huge = Some(json(&"1".repeat(1024 * 1024 + 1)));
    let bad = [
        (ForwardedCall { payload: huge, ..forwarded(1, &key) }, ErrorKind::PayloadTooLarge),
        (
            ForwardedCall { actor: Some(actor("Nobody", &key)), ..forwarded(1, &key) },
            ErrorKind::UnknownType,
        ),
        (
            ForwardedCall { descriptor_hash: "another".into(), ..forwarded(1, &key) },
            ErrorKind::DescriptorChanged,
        ),
        (
            ForwardedCall { chain: vec![actor("Counter", &key); 17], ..forwarded(1, &key) },
            ErrorKind::CallCycle,
        ),
        (
            ForwardedCall { request_id: "x".repeat(4_096), ..forwarded(1, &key) },
            ErrorKind::InvalidArgument,
        ),
    ];
    for (call, kind) in bad {
        peer.send(vec![call]).await;
        let (_, outcome) = peer.end().await;
        let Outcome::Error(error) = outcome else { panic!("expected {kind:?}: {outcome:?}") };
        assert_eq!(error.reason, kind.reason());
    }
    peer.send(vec![forwarded(9, &key)]).await;
    assert!(matches!(peer.end().await, (9, Outcome::Reply(_))));
}

#[tokio::test]
async fn a_peer_has_few_streams_and_its_broken_ones_make_room() {
    let mesh = Mesh::start(2).await;
    let mut open = Vec::new();
    for _ in 0..limits::FORWARD_STREAMS_MAX {
        open.push(ScriptedPeer::open(&mesh, 1, 2).await);
    }
    let mut client = open[0].client.clone();
    let refused = client.forward(tokio_stream::empty()).await.expect_err("one too many");
    assert_eq!(from_status(&refused).kind, ErrorKind::MailboxFull);
    open.clear();
    // Another node's name has streams of its own, whatever the first one does.
    ScriptedPeer::open(&mesh, 3, 2).await;
    while let Err(refused) = client.forward(tokio_stream::empty()).await {
        assert_eq!(from_status(&refused).kind, ErrorKind::MailboxFull, "{refused}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn nobody_forwards_calls_without_a_handshake() {
    let mesh = Mesh::start(2).await;
    let channel = connect(mesh.peer_address(2)).await;
    let refused = ForwardServiceClient::new(channel).forward(tokio_stream::empty()).await;
    assert_eq!(from_status(&refused.expect_err("refused")).kind, ErrorKind::PeerRefused);
}
