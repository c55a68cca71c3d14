//! A TCP relay whose connections the test can break or freeze.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    sync::{broadcast, watch},
};

/// Passes connections on to a target.
#[derive(Debug)]
pub(super) struct Relay {
    address: SocketAddr,
    cut: broadcast::Sender<()>,
    frozen: watch::Sender<bool>,
    /// Bytes that peers sent to the target.
    bytes: Arc<AtomicU64>,
    _task: tokio_util::task::AbortOnDropHandle<()>,
}

impl Relay {
    pub(super) async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (cut, frozen) = (broadcast::Sender::new(1), watch::Sender::new(false));
        let (cuts, freezes) = (cut.clone(), frozen.clone());
        let bytes = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&bytes);
        let task = tokio::spawn(async move {
            while let Ok((inbound, _)) = listener.accept().await {
                let (mut cut, frozen) = (cuts.subscribe(), freezes.subscribe());
                let counted = Arc::clone(&counted);
                tokio::spawn(async move {
                    tokio::select! {
                        () = pass(inbound, target, frozen, &counted) => {}
                        _ = cut.recv() => {}
                    }
                });
            }
        });
        let task = tokio_util::task::AbortOnDropHandle::new(task);
        Self { address, cut, frozen, bytes, _task: task }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes that peers sent to the target so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// Breaks all connections.
    pub(super) fn cut(&self) {
        let _ = self.cut.send(());
    }

    /// Holds back every byte, both ways, until it is thawed.
    pub(super) fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }
}

async fn pass(
    inbound: TcpStream,
    target: SocketAddr,
    frozen: watch::Receiver<bool>,
    counted: &AtomicU64,
) {
    let Ok(outbound) = TcpStream::connect(target).await else { return };
    let _ = (inbound.set_nodelay(true), outbound.set_nodelay(true));
    let (from_peer, to_peer) = inbound.into_split();
    let (from_target, to_target) = outbound.into_split();
    let uncounted = AtomicU64::new(0);
    tokio::select! {
        () = copy(from_peer, to_target, frozen.clone(), counted) => {}
        () = copy(from_target, to_peer, frozen, &uncounted) => {}
    }
}

async fn copy(
    mut from: tcp::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    mut frozen: watch::Receiver<bool>,
    counted: &AtomicU64,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        if frozen.wait_for(|frozen| !frozen).await.is_err() {
            return;
        }
        counted.fetch_add(count as u64, Ordering::AcqRel);
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
