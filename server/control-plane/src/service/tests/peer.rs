//! Goal: whoever reaches the peer port without belonging to the cluster changes nothing.

use bytes::Bytes;
use callboard_proto::peer::v1::{
    AppendEntriesRequest, Envelope, InstallSnapshotRequest, ProposeRequest, VoteRequest,
    raft_service_client::RaftServiceClient,
};
use callboard_transport::{
    peer::{PeerChannel, PeerDialer, PeerIdentity},
    status::from_status,
};
use callboard_types::{ErrorKind, NodeId};
use openraft::{impls::leader_id_adv::LeaderId, raft};
use tonic::Status;

use super::fixture::{Node, SECRET};
use crate::raft::{
    codec,
    types::{SnapshotMeta, TypeConfig, Vote},
};

type Client = RaftServiceClient<PeerChannel>;

/// A client in the name of node 9, which knows the secret.
fn client(node: &Node) -> Client {
    let identity = PeerIdentity::new(SECRET);
    identity.settle(node.handle.view().borrow().cluster_id.clone(), NodeId(9));
    let channel = PeerDialer::new(identity).channel(node.id(), &node.peer_address.to_string());
    RaftServiceClient::new(channel).max_encoding_message_size(usize::MAX)
}

/// What a node of the cluster would write.
fn envelope(node: &Node) -> Envelope {
    Envelope {
        cluster_id: node.handle.view().borrow().cluster_id.clone(),
        group: "control".into(),
        from_node: 9,
        to_node: 1,
        format: codec::FORMAT.into(),
    }
}

/// A vote of the highest term there is.
fn highest_vote() -> Vote {
    Vote { leader_id: LeaderId { term: u64::MAX, node_id: 9 }, committed: true }
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Status>) -> ErrorKind {
    from_status(&answer.expect_err("refused")).kind
}

#[test]
fn a_foreign_cluster_group_node_or_format_is_refused_and_the_term_stays() {
    let node = Node::bootstrap(|_| {});
    let term = node.handle.view().borrow().term;
    let right = envelope(&node);
    let wrong = [
        (None, ErrorKind::InvalidArgument),
        (Some(Envelope { cluster_id: "another".into(), ..right.clone() }), ErrorKind::PeerRefused),
        (Some(Envelope { group: "control-2".into(), ..right.clone() }), ErrorKind::PeerRefused),
        (Some(Envelope { to_node: 2, ..right.clone() }), ErrorKind::PeerRefused),
        (Some(Envelope { from_node: 8, ..right.clone() }), ErrorKind::PeerRefused),
        (Some(Envelope { format: 2, ..right }), ErrorKind::ProtocolVersion),
    ];
    node.run(async {
        let mut client = client(&node);
        for (envelope, kind) in wrong {
            let ballot = raft::VoteRequest::<TypeConfig>::new(highest_vote(), None);
            let body = Bytes::from(codec::encode(&ballot));
            let vote = VoteRequest { envelope: envelope.clone(), body, pre_vote: false };
            assert_eq!(refused(client.vote(vote).await), kind);
            let entries = raft::AppendEntriesRequest::<TypeConfig> {
                vote: highest_vote(),
                prev_log_id: None,
                entries: vec![],
                leader_commit: None,
            };
            let body = Bytes::from(codec::encode(&entries));
            let append = AppendEntriesRequest { envelope: envelope.clone(), body };
            assert_eq!(refused(client.append_entries(append).await), kind);
            let propose = ProposeRequest { envelope: envelope.clone(), body: Bytes::new() };
            assert_eq!(refused(client.propose(propose).await), kind);
            let piece = InstallSnapshotRequest { envelope, ..Default::default() };
            let pieces = futures::stream::iter([piece]);
            assert_eq!(refused(client.install_snapshot(pieces).await), kind);
        }
        node.handle.create_system("still-here").await.expect("the node serves on");
    });
    assert_eq!(node.handle.view().borrow().term, term);
}

#[test]
fn garbage_and_damaged_snapshots_are_refused_and_nothing_is_lost() {
    let node = Node::bootstrap(|_| {});
    let envelope = Some(envelope(&node));
    let garbage = Bytes::from_static(&[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let header = |length: usize| -> Bytes {
        let meta = SnapshotMeta { last_log_id: None, last_membership: Default::default() };
        codec::encode(&(highest_vote(), meta, length)).into()
    };
    node.run(async {
        let mut client = client(&node);
        let body = garbage.clone();
        let vote = VoteRequest { envelope: envelope.clone(), body: body.clone(), pre_vote: true };
        assert_eq!(refused(client.vote(vote).await), ErrorKind::InvalidArgument);
        let append = AppendEntriesRequest { envelope: envelope.clone(), body: body.clone() };
        assert_eq!(refused(client.append_entries(append).await), ErrorKind::InvalidArgument);
        let propose = ProposeRequest { envelope: envelope.clone(), body };
        assert_eq!(refused(client.propose(propose).await), ErrorKind::InvalidArgument);
        let cases = [
            (garbage.clone(), Bytes::new()),
            (header(100 << 30), Bytes::new()),
            (header(10), Bytes::from_static(&[0; 10])),
            (header(10), Bytes::from_static(&[0; 9])),
            (header(10), Bytes::from_static(&[0; 11])),
        ];
        for (header, chunk) in cases {
            let first =
                InstallSnapshotRequest { envelope: envelope.clone(), header, ..Default::default() };
            let rest = InstallSnapshotRequest { chunk, ..Default::default() };
            let answer = client.install_snapshot(futures::stream::iter([first, rest])).await;
            assert_eq!(refused(answer), ErrorKind::InvalidArgument);
        }
        node.handle.create_system("still-here").await.expect("the node serves on");
    });
    assert!(node.handle.view().borrow().has_system("default"));
}

#[test]
fn a_term_that_no_election_can_have_reached_is_refused_and_the_node_serves_on() {
    let node = Node::bootstrap(|_| {});
    let term = node.handle.view().borrow().term;
    node.run(async {
        let mut client = client(&node);
        let ballot = raft::VoteRequest::<TypeConfig>::new(highest_vote(), None);
        let body = Bytes::from(codec::encode(&ballot));
        for pre_vote in [false, true] {
            let vote =
                VoteRequest { envelope: Some(envelope(&node)), body: body.clone(), pre_vote };
            let error = from_status(&client.vote(vote).await.expect_err("refused"));
            assert_eq!(error.kind, ErrorKind::InvalidArgument);
            assert!(error.message.contains("empty its data folder"), "{error}");
        }
        node.handle.create_system("still-here").await.expect("the node serves on");
    });
    assert_eq!(node.handle.view().borrow().term, term);
}
