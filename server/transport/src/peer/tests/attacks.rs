//! What a stranger on the network may try.

use super::*;

/// The paths of everything that nodes call, from the protocol itself, so that new methods are covered.
fn paths() -> Vec<String> {
    let set: prost_types::FileDescriptorSet =
        prost::Message::decode(callboard_proto::FILE_DESCRIPTOR_SET).expect("descriptors");
    let files = set.file.iter().filter(|file| file.package() == "callboard.peer.v1");
    files
        .flat_map(|file| file.service.iter().map(move |service| (file.package(), service)))
        .flat_map(|(package, service)| {
            let name = format!("/{package}.{}", service.name());
            service.method.iter().map(move |method| format!("{name}/{}", method.name()))
        })
        .collect()
}

#[tokio::test]
async fn nothing_but_a_handshake_is_heard_without_a_session_and_no_body_is_read() {
    let listening = Listening::start(node(1));
    let paths = paths();
    assert!(paths.len() >= 8, "{paths:?}");
    let stream = TcpStream::connect(listening.address).await.expect("connect");
    let (mut sending, connection) = h2::client::handshake(stream).await.expect("handshake");
    tokio::spawn(connection);
    for path in paths.iter().filter(|path| !path.ends_with("HandshakeService/Open")) {
        for token in ["", "00", &"ab".repeat(32)] {
            let mut request = http::Request::post(format!("http://{}{path}", listening.address))
                .header("content-type", "application/grpc");
            if !token.is_empty() {
                request = request.header(SESSION_KEY, token);
            }
            let request = request.body(()).expect("a request");
            sending = sending.ready().await.expect("ready");
            // The body never comes, and the answer does not wait for it.
            let (answer, _body) = sending.send_request(request, false).expect("send");
            let response = answer.await.expect("an answer");
            let status = Status::from_header_map(response.headers()).expect("a status");
            assert_eq!(from_status(&status).kind, ErrorKind::PeerRefused, "{path} {token}");
        }
    }
    assert_eq!(listening.served(), 0);
}

#[tokio::test]
async fn a_token_from_another_connection_and_two_tokens_at_once_open_nothing() {
    let listening = Listening::start(node(1));
    let token = [7; 32];
    let elsewhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    listening.identity.0.sessions.open(token, NodeId(2), Some(elsewhere));
    let mut client = MembershipServiceClient::new(plain(&listening).await);
    let value = "07".repeat(32);
    for times in [1, 2] {
        let mut request = Request::new(renewal(2));
        for _ in 0..times {
            request.metadata_mut().append(SESSION_KEY, value.parse().expect("metadata"));
        }
        let status = client.renew_lease(request).await.expect_err("refused");
        assert_eq!(from_status(&status).kind, ErrorKind::PeerRefused, "{times} tokens");
    }
    assert_eq!(listening.served(), 0);
}

#[tokio::test]
async fn a_handshake_played_back_opens_nothing_for_who_only_listened() {
    let listening = Listening::start(node(1));
    let (secret, nonce) = (Secret::new(SECRET.as_bytes()), [5; 32]);
    let offer = proof::Offer {
        protocol: 1,
        cluster_id: "cluster-a",
        from_node: 2,
        to_node: 1,
        nonce: &nonce,
    };
    let overheard = OpenRequest {
        protocol: 1,
        cluster_id: "cluster-a".into(),
        from_node: 2,
        to_node: 1,
        nonce: nonce.to_vec().into(),
        proof: secret.prove_offer(&offer).to_vec().into(),
    };
    let channel = plain(&listening).await;
    let mut handshake = HandshakeServiceClient::new(channel.clone());
    let first = handshake.open(overheard.clone()).await.expect("sound").into_inner();
    let second = handshake.open(overheard.clone()).await.expect("sound").into_inner();
    assert_ne!(first.nonce, second.nonce, "each answer is fresh");
    // All that the listener saw is tried as a token.
    let mut client = MembershipServiceClient::new(channel);
    for seen in [&overheard.proof, &overheard.nonce, &second.proof, &second.nonce] {
        let text: String = seen.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut request = Request::new(renewal(2));
        request.metadata_mut().insert(SESSION_KEY, text.parse().expect("metadata"));
        client.renew_lease(request).await.expect_err("refused");
    }
    assert_eq!(listening.served(), 0);
}

#[tokio::test]
async fn handshakes_that_were_tampered_with_are_refused() {
    let listening = Listening::start(node(1));
    let mut client = HandshakeServiceClient::new(plain(&listening).await);
    let bodies = [
        OpenRequest::default(),
        OpenRequest { protocol: 1, ..OpenRequest::default() },
        OpenRequest { protocol: u32::MAX, nonce: vec![1; 32].into(), ..OpenRequest::default() },
        OpenRequest {
            protocol: 1,
            from_node: u64::MAX,
            nonce: vec![1; 32].into(),
            proof: vec![0; 32].into(),
            ..OpenRequest::default()
        },
        OpenRequest {
            protocol: 1,
            nonce: vec![1; 32].into(),
            proof: vec![0; 64].into(),
            ..OpenRequest::default()
        },
    ];
    for body in bodies {
        let status = client.open(body.clone()).await.expect_err("refused");
        let kind = from_status(&status).kind;
        assert!([ErrorKind::PeerRefused, ErrorKind::ProtocolVersion].contains(&kind), "{status}");
    }
    let long = OpenRequest { cluster_id: "x".repeat(10_000), ..OpenRequest::default() };
    let status = client.open(long).await.expect_err("refused");
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
}

#[tokio::test]
async fn junk_on_the_port_hurts_nobody() {
    let listening = Listening::start(node(1));
    let junk: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        &[0xff; 4096],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\x00\x00\x00\x00\x00\x01junk",
    ];
    for bytes in junk {
        let mut stream = TcpStream::connect(listening.address).await.expect("connect");
        // The other side may have closed already.
        let _ = stream.write_all(bytes).await;
        let mut rest = Vec::new();
        let closing = stream.read_to_end(&mut rest);
        let closed = tokio::time::timeout(Duration::from_secs(10), closing).await;
        let _ = closed.expect("it is closed");
    }
    let mut client = client(&node(2), 1, &listening.address());
    client.renew_lease(renewal(2)).await.expect("nodes are served");
}
