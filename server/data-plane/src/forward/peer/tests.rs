//! What a stream to a peer makes of calls and their ends. The test is the peer.

use std::{collections::HashSet, sync::Arc};

use callboard_proto::peer::v1::{ForwardedCall, Redirect, forwarded_reply::Outcome as Ended};
use callboard_transport::peer::{PeerDialer, PeerIdentity};
use callboard_types::{
    Action, ClusterView, Durability, Epoch, ShardOwner, TypeDefinition, TypeView, shard::key_hash,
};
use tokio::sync::{oneshot, watch};

use super::*;
use crate::{
    call::{Call, Outcome, ReplyTo},
    catalog,
    forward::{Held, Ticket},
    grpc::convert,
    worker::{RoutedCall, Workers},
};

const PEER: NodeId = NodeId(2);

/// A peer's task that the test turns by hand.
struct Stream {
    peer: Peer,
    held: Arc<Held>,
}

impl Stream {
    /// An open stream to the owner of the only shard of a type.
    async fn open(durability: Durability) -> Self {
        let mut definition = TypeDefinition::new("Counter");
        definition.durability = durability;
        definition.actions.insert("add".into(), Action::default());
        let read = Action { read_only: true, ..Action::default() };
        definition.actions.insert("read".into(), read);
        let mut view = ClusterView { version: 1, node: NodeId(1), ..ClusterView::default() };
        view.systems = vec!["default".into()];
        view.set_types(vec![Arc::new(TypeView {
            id: 0,
            system: "default".into(),
            name: "Counter".into(),
            definition,
            descriptor_hash: "".into(),
            descriptor_set: [].into(),
            shards: [ShardOwner::new(PEER, Epoch(1))].into(),
        })]);
        let (_, views) = watch::channel(Arc::new(view));
        let (catalog, follow) = catalog::follow(views, Workers::new(vec![]));
        follow.await;
        let identity = PeerIdentity::new("a secret of many letters");
        let channel = PeerDialer::new(identity).channel(PEER, "127.0.0.1:1");
        let (_, inbox) = mpsc::channel(1);
        let (custody, _) = mpsc::channel(1);
        let mut peer = Peer::new(PEER, Client::new(channel), catalog, inbox, custody);
        peer.credits = limits::FORWARDS_IN_FLIGHT_MAX;
        Self { peer, held: Arc::default() }
    }

    /// A call arrives from the custody.
    fn call(
        &mut self,
        action: &str,
        change: impl FnOnce(&mut Parcel),
    ) -> oneshot::Receiver<Outcome> {
        let (to, outcome) = oneshot::channel();
        let activation = Call::activation(ReplyTo::Unary(to), Tick::now());
        let call = Call { action: action.to_owned(), activates_only: false, ..activation };
        let catalog = self.peer.catalog.load();
        let actor_type = Arc::clone(catalog.type_of("default", "Counter").expect("registered"));
        let (key, key_hash) = ("a".to_owned(), key_hash("a"));
        let routed = RoutedCall { actor_type, key, key_hash, shard: 0, begun: false, call };
        drop(catalog);
        let ticket = Ticket::draw(&self.held);
        let not_before = Tick(0);
        let mut parcel =
            Parcel { routed, returns: 0, not_before, sent: false, refreshed: false, ticket };
        change(&mut parcel);
        self.peer.take(parcel);
        outcome
    }

    fn sent(&mut self) -> Vec<ForwardedCall> {
        self.peer.message().calls
    }

    /// The peer ends a call.
    fn end(&mut self, forward_id: u64, outcome: Ended) {
        let outcome = Some(outcome);
        let end = ForwardedReply { forward_id, outcome, ..ForwardedReply::default() };
        self.peer.on_end(end);
        self.peer.answers.flush();
    }

    fn refuse(&mut self, forward_id: u64, kind: ErrorKind) {
        let error = convert::error_to_proto(&CallError::new(kind, "said the peer"));
        self.end(forward_id, Ended::Error(error));
    }

    fn breaks(&mut self) {
        self.peer.take_back(&Status::unavailable("the connection broke"));
        self.peer.answers.flush();
    }
}

fn kind(mut outcome: oneshot::Receiver<Outcome>) -> ErrorKind {
    outcome.try_recv().expect("answered").expect_err("an error").kind
}

#[tokio::test]
async fn the_number_of_a_call_that_ended_is_never_given_to_another_one() {
    let mut stream = Stream::open(Durability::Durable).await;
    let waits = stream.call("add", |_| ());
    let first = stream.sent()[0].forward_id;
    drop(waits);
    // The caller goes away, and the call's own end crosses the cancellation.
    stream.peer.drop_unwanted(&Arc::new(HashSet::new()));
    stream.end(first, Ended::Redirect(Redirect::default()));
    let _second = stream.call("add", |_| ());
    let message = stream.peer.message();
    assert_eq!(message.cancelled, [first]);
    assert_ne!(message.calls[0].forward_id, first, "the cancellation is for the first one only");
}
