//! Goal: connections that only cost us something are closed, and everybody else is served on. Method: raw sockets
//! against a real tonic server on two lanes.

use std::net::Ipv4Addr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};
use tonic::transport::Server;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::*;

/// A health server behind an acceptor with the given limits.
struct Fixture {
    address: SocketAddr,
    shutdown: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Fixture {
    fn start(options: Options) -> Self {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (acceptor, lanes) = listen(any_port, options, 2).expect("bind");
        let (address, shutdown) = (acceptor.local_address(), CancellationToken::new());
        let accepting = acceptor.run(shutdown.clone());
        let mut tasks = vec![tokio::spawn(async move { accepting.await.expect("accepting") })];
        for lane in lanes {
            let (_, service) = tonic_health::server::health_reporter();
            let serving = crate::server::configure(Server::builder())
                .add_service(service)
                .serve_with_incoming(lane);
            tasks.push(tokio::spawn(async move { serving.await.expect("serving") }));
        }
        Self { address, shutdown, tasks }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("connect")
    }

    /// Makes a call on a connection of its own.
    async fn is_served(&self) {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", self.address))
            .expect("an address");
        let channel = endpoint.connect().await.expect("the server accepts connections");
        HealthClient::new(channel)
            .check(HealthCheckRequest::default())
            .await
            .expect("the server answers calls");
    }

    async fn stop(self) {
        self.shutdown.cancel();
        for task in self.tasks {
            task.await.expect("ends when the acceptor does");
        }
    }
}

/// Waits until the server closes the connection.
async fn closed(mut stream: TcpStream) {
    let mut rest = Vec::new();
    let reading = stream.read_to_end(&mut rest);
    // A reset is as good as an orderly end.
    let _ = tokio::time::timeout(Duration::from_secs(10), reading)
        .await
        .expect("the server closes the connection");
}

fn hasty() -> Options {
    Options { preface_timeout: Duration::from_millis(200), ..Options::default() }
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let server = Fixture::start(hasty());
    let silent: Vec<TcpStream> = futures::future::join_all((0..50).map(|_| server.connect())).await;
    server.is_served().await;
    for stream in silent {
        closed(stream).await;
    }
    server.is_served().await;
    server.stop().await;
}

#[tokio::test]
async fn a_preface_that_drips_in_byte_by_byte_does_not_prolong_the_deadline() {
    let server = Fixture::start(hasty());
    let (mut reading, mut writing) = server.connect().await.into_split();
    let mut every = tokio::time::interval(Duration::from_millis(50));
    let dripping = async {
        for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r" {
            every.tick().await;
            if writing.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
        panic!("the server listened to a whole minute of dripping");
    };
    let mut rest = Vec::new();
    tokio::select! {
        () = dripping => {}
        _ = reading.read_to_end(&mut rest) => {}
    }
    server.is_served().await;
    server.stop().await;
}

#[tokio::test]
async fn garbage_tls_and_http1_are_closed_at_once() {
    let patient = Options { preface_timeout: Duration::from_secs(3_600), ..Options::default() };
    let server = Fixture::start(patient);
    let openings: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
        &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01],
        &[0xff; 4_096],
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    ];
    for opening in openings {
        let mut stream = server.connect().await;
        stream.write_all(opening).await.expect("send");
        closed(stream).await;
    }
    server.is_served().await;
    server.stop().await;
}

#[tokio::test]
async fn more_connections_than_allowed_are_closed_and_the_first_ones_keep_working() {
    let server = Fixture::start(Options { connections_per_ip_max: 3, ..Options::default() });
    let held = [server.connect().await, server.connect().await, server.connect().await];
    closed(server.connect().await).await;
    drop(held);
    // Room comes back when the server notices that the others are gone.
    let mut attempts = 0;
    while tonic::transport::Endpoint::from_shared(format!("http://{}", server.address))
        .expect("an address")
        .connect()
        .await
        .is_err()
    {
        attempts += 1;
        assert!(attempts < 1_000, "closed connections never made room");
        tokio::task::yield_now().await;
    }
    server.stop().await;
}

#[tokio::test]
async fn lanes_take_connections_in_turn() {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (acceptor, mut lanes) = listen(any_port, Options::default(), 3).expect("bind");
    let (address, shutdown) = (acceptor.local_address(), CancellationToken::new());
    let accepting = tokio::spawn(acceptor.run(shutdown.clone()));
    let mut clients = Vec::new();
    for _ in 0..2 {
        for lane in &mut lanes {
            let client = TcpStream::connect(address).await.expect("connect");
            let connection = futures::StreamExt::next(lane).await.expect("open").expect("fine");
            assert_eq!(connection.remote_address(), client.local_addr().expect("bound"));
            clients.push(client);
        }
    }
    shutdown.cancel();
    accepting.await.expect("no panic").expect("ends quietly");
    for lane in &mut lanes {
        assert!(futures::StreamExt::next(lane).await.is_none(), "a lane ends with the acceptor");
    }
}
