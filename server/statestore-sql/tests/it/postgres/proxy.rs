//! A TCP proxy that knows one thing about PostgreSQL's protocol: what a COMMIT looks like.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// How a simple query that commits ends.
const COMMIT: &[u8] = b"COMMIT\0";

/// What happens to the next COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// The connection is cut before the server gets it.
    CutBefore,
    /// The server gets it, and the connection is cut at once.
    CutAtOnce,
    /// The server gets it and answers, and the connection is cut instead of passing the answer on.
    CutAfter,
    /// It is held back, with the connection open, until [`Proxy::release`].
    Hold,
}

/// A running proxy.
#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    next: AtomicU8,
    hit: AtomicUsize,
    held: watch::Sender<bool>,
    cut: watch::Sender<u64>,
}

impl Proxy {
    /// A proxy to the server of an address, and the same address by way of the proxy.
    pub(crate) async fn start(url: &str) -> (Self, String) {
        let (front, database) = url.rsplit_once('/').expect("a database");
        let (front, port) = front.rsplit_once(':').expect("a port");
        let server: u16 = port.parse().expect("a port");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let port = listener.local_addr().expect("bound").port();
        let shared = Arc::new(Shared {
            next: AtomicU8::new(Fault::None as u8),
            hit: AtomicUsize::new(0),
            held: watch::Sender::new(false),
            cut: watch::Sender::new(0),
        });
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { continue };
                tokio::spawn(carry(client, server, Arc::clone(&serving)));
            }
        });
        (Self { port, shared }, format!("{front}:{port}/{database}"))
    }

    /// What happens to the next COMMIT that comes by, once.
    pub(crate) fn next(&self, fault: Fault) {
        self.shared.next.store(fault as u8, Ordering::SeqCst);
    }

    /// How many faults came to pass.
    pub(crate) fn hits(&self) -> usize {
        self.shared.hit.load(Ordering::SeqCst)
    }

    /// Waits until a COMMIT is held back.
    pub(crate) async fn holds(&self) {
        let mut held = self.shared.held.subscribe();
        held.wait_for(|held| *held).await.expect("running");
    }

    /// Lets the held COMMIT go.
    pub(crate) fn release(&self) {
        self.shared.held.send_replace(false);
    }

    /// Cuts every connection.
    pub(crate) fn cut_all(&self) {
        self.shared.cut.send_modify(|count| *count += 1);
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

async fn carry(client: TcpStream, server: TcpStream, shared: Arc<Shared>) {
    client.set_nodelay(true).expect("open");
    server.set_nodelay(true).expect("open");
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut cut = shared.cut.subscribe();
    let swallow = AtomicBool::new(false);
    // Both ends are dropped together, whichever direction ends first.
    tokio::select! {
        () = requests(from_client, to_server, &shared, &swallow) => {}
        () = answers(from_server, to_client, &swallow) => {}
        _ = cut.changed() => {}
    }
}

async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    shared: &Shared,
    swallow: &AtomicBool,
) {
    let mut buffer = vec![0; 64 * 1_024];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        let part = &buffer[..count];
        let fault = match part.ends_with(COMMIT) {
            true => shared.next.swap(Fault::None as u8, Ordering::SeqCst),
            false => Fault::None as u8,
        };
        shared.hit.fetch_add(usize::from(fault != Fault::None as u8), Ordering::SeqCst);
        if fault == Fault::CutBefore as u8 {
            return;
        }
        if fault == Fault::Hold as u8 {
            shared.held.send_replace(true);
            let mut held = shared.held.subscribe();
            let _gone = held.wait_for(|held| !*held).await;
        }
        // From here on, the next answer ends the connection.
        swallow.store(fault == Fault::CutAfter as u8, Ordering::SeqCst);
        if to.write_all(part).await.is_err() || fault == Fault::CutAtOnce as u8 {
            return;
        }
    }
}

async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, swallow: &AtomicBool) {
    let mut buffer = vec![0; 64 * 1_024];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        if swallow.load(Ordering::SeqCst) || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
