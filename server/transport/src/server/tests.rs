//! Goal: one hostile connection cannot take the server's memory or its time. Method: raw HTTP/2 against a real server.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use callboard_types::limits::MESSAGE_BYTES_MAX;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic_health::{
    pb::{HealthCheckRequest, health_client::HealthClient, health_server},
    server::HealthReporter,
};

use super::*;
use crate::accept::{self, listen};

/// Starts a server whose one service answers Check at once and holds Watch open.
fn start() -> (SocketAddr, CancellationToken) {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (acceptor, mut lanes) = listen(any_port, accept::Options::default(), 1).expect("bind");
    let (address, shutdown) = (acceptor.local_address(), CancellationToken::new());
    tokio::spawn(acceptor.run(shutdown.clone()));
    let health = tonic_health::server::HealthService::from_health_reporter(HealthReporter::new());
    let service =
        health_server::HealthServer::new(health).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let lane = lanes.pop().expect("one lane");
    tokio::spawn(configure(Server::builder()).add_service(service).serve_with_incoming(lane));
    (address, shutdown)
}

async fn is_served(address: SocketAddr) {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}"));
    let channel = endpoint.expect("an address").connect().await.expect("connect");
    let answer = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
    answer.expect("the server answers calls");
}

fn watch_request(address: SocketAddr) -> http::Request<()> {
    http::Request::post(format!("http://{address}/grpc.health.v1.Health/Watch"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("a request")
}

#[tokio::test]
async fn ten_thousand_streams_on_one_connection_are_bounded() {
    let (address, shutdown) = start();
    let stream = TcpStream::connect(address).await.expect("connect");
    let (mut sending, connection) = h2::client::handshake(stream).await.expect("handshake");
    tokio::spawn(connection);
    let mut open = Vec::new();
    for _ in 0..10_000 {
        // A stream beyond the limit stays pending on this side: the server never hears of it.
        let Some(Ok(mut ready)) = futures::FutureExt::now_or_never(sending.clone().ready()) else {
            break;
        };
        let (answer, body) = ready.send_request(watch_request(address), false).expect("send");
        open.push((answer, body));
        tokio::task::yield_now().await;
        sending = ready;
        if sending.current_max_send_streams() != usize::MAX
            && open.len() > sending.current_max_send_streams()
        {
            break;
        }
    }
    assert_eq!(sending.current_max_send_streams(), STREAMS_MAX as usize, "the server says so");
    assert!(open.len() <= STREAMS_MAX as usize + 1, "{} streams", open.len());
    is_served(address).await;
    shutdown.cancel();
}

#[tokio::test]
async fn an_oversized_frame_ends_its_connection_only() {
    let (address, shutdown) = start();
    let mut stream = TcpStream::connect(address).await.expect("connect");
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("send");
    // An empty SETTINGS frame, then a DATA frame that claims 16 MiB - 1.
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.expect("send");
    stream.write_all(&[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]).await.expect("send");
    let mut rest = Vec::new();
    let reading = stream.read_to_end(&mut rest);
    let _ = tokio::time::timeout(Duration::from_secs(10), reading).await.expect("it is closed");
    is_served(address).await;
    shutdown.cancel();
}

#[tokio::test]
async fn a_message_that_claims_four_gigabytes_is_refused_before_anything_is_read() {
    let (address, shutdown) = start();
    let stream = TcpStream::connect(address).await.expect("connect");
    let (sending, connection) = h2::client::handshake(stream).await.expect("handshake");
    tokio::spawn(connection);
    let mut sending = sending.ready().await.expect("ready");
    let (answer, mut body) = sending.send_request(watch_request(address), false).expect("send");
    body.send_data(Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff]), false).expect("send");
    let response = answer.await.expect("an answer");
    let status = response.headers().get("grpc-status").expect("refused at once");
    assert_eq!(status, &(Code::OutOfRange as i32).to_string());
    is_served(address).await;
    shutdown.cancel();
}

#[tokio::test]
async fn headers_over_the_limit_are_refused_and_the_connection_goes_on() {
    let (address, shutdown) = start();
    let stream = TcpStream::connect(address).await.expect("connect");
    let (sending, connection) = h2::client::handshake(stream).await.expect("handshake");
    tokio::spawn(connection);
    let mut request = watch_request(address);
    let long = "x".repeat(HEADER_LIST_BYTES_MAX as usize);
    request.headers_mut().insert("long", long.parse().expect("a header"));
    let mut sending = sending.ready().await.expect("ready");
    if let Ok((answer, _body)) = sending.send_request(request, true) {
        let refused = answer.await;
        assert!(refused.map_or(true, |response| !response.status().is_success()));
    }
    is_served(address).await;
    shutdown.cancel();
}

#[tokio::test]
async fn rapid_resets_end_their_connection_only() {
    let (address, shutdown) = start();
    let stream = TcpStream::connect(address).await.expect("connect");
    let (mut sending, connection) = h2::client::handshake(stream).await.expect("handshake");
    let connection = tokio::spawn(connection);
    for _ in 0..100_000 {
        let Ok(mut ready) = sending.clone().ready().await else {
            break;
        };
        let Ok((_answer, mut body)) = ready.send_request(watch_request(address), false) else {
            break;
        };
        body.send_reset(h2::Reason::CANCEL);
        sending = ready;
        if connection.is_finished() {
            break;
        }
    }
    is_served(address).await;
    shutdown.cancel();
}
