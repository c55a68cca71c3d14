//! Channels: they come back, tell why they did not, and keep apart.

use super::*;

#[tokio::test]
async fn a_channel_comes_back_when_its_peer_does() {
    let listening = Listening::start(node(1));
    let (address, dialing) = (listening.address, node(2));
    let mut client = client(&dialing, 1, &address.to_string());
    client.renew_lease(renewal(2)).await.expect("served");
    drop(listening);
    let gone = tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            match client.renew_lease(renewal(2)).await {
                Ok(_) => tokio::task::yield_now().await,
                Err(status) => break status,
            }
        }
    });
    let status = gone.await.expect("the node is gone");
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    // Another life of the node knows no session of the one before.
    let _back = Listening::start_at(address, node(1));
    let served = tokio::time::timeout(Duration::from_secs(10), async {
        while client.renew_lease(renewal(2)).await.is_err() {
            tokio::task::yield_now().await;
        }
    });
    served.await.expect("the channel opened another session");
}

#[tokio::test]
async fn a_session_that_the_peer_forgot_costs_one_refused_call() {
    let listening = Listening::start(node(1));
    let mut client = client(&node(2), 1, &listening.address());
    client.renew_lease(renewal(2)).await.expect("served");
    for number in 0..SESSIONS_MAX as u64 {
        let mut token = [0; 32];
        token[..8].copy_from_slice(&number.to_be_bytes());
        listening.identity.0.sessions.open(token, NodeId(9), None);
        assert!(listening.identity.session(&token, None).is_some());
    }
    let status = client.renew_lease(renewal(2)).await.expect_err("the session went");
    assert_eq!(from_status(&status).kind, ErrorKind::PeerRefused);
    client.renew_lease(renewal(2)).await.expect("another session");
}

#[tokio::test]
async fn a_dead_address_fails_at_once_with_the_reason_and_calls_do_not_pile_up() {
    let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
    let address = free.local_addr().expect("bound").to_string();
    drop(free);
    let client = client(&node(2), 1, &address);
    let calls = (0..1_000).map(|_| {
        let mut client = client.clone();
        async move { client.renew_lease(renewal(2)).await }
    });
    let answers = tokio::time::timeout(Duration::from_secs(10), futures::future::join_all(calls));
    for answer in answers.await.expect("they fail fast") {
        let status = answer.expect_err("nobody is there");
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().contains("node 1 at "), "{status}");
    }
}

#[tokio::test]
async fn channels_have_connections_of_their_own_and_clones_share_one() {
    let listening = Listening::start(node(1));
    let dialer = PeerDialer::new(node(2));
    let first = dialer.channel(NodeId(1), &listening.address());
    let second = dialer.channel(NodeId(1), &listening.address());
    for channel in [first.clone(), first.clone(), first, second] {
        MembershipServiceClient::new(channel).renew_lease(renewal(2)).await.expect("served");
    }
    assert_eq!(listening.identity.0.sessions.len(), 2);
}

#[tokio::test]
async fn a_call_that_is_given_up_does_not_give_up_the_connection() {
    // A listener that accepts when told to: connecting takes longer than the first call waits.
    let socket = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bind");
    let address = socket.local_addr().expect("bound");
    let mut impatient = client(&node(2), 1, &address.to_string());
    let given_up =
        tokio::time::timeout(Duration::from_millis(50), impatient.renew_lease(renewal(2)));
    given_up.await.expect_err("nobody answers the handshake yet");
    let identity = node(1);
    let server = configure(Server::builder())
        .layer(PeerGuard::new(identity.clone()))
        .add_service(identity.handshake_service())
        .add_service(MembershipServiceServer::new(Members::default()));
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(socket);
    tokio::spawn(server.serve_with_incoming(incoming));
    impatient.renew_lease(renewal(2)).await.expect("served");
    assert_eq!(identity.0.sessions.len(), 1, "the first attempt went on");
}
