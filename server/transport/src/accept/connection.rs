//! One accepted connection: a TCP stream that must begin with the HTTP/2 preface, soon.

use std::{
    future::Future,
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Sleep,
};
use tonic::transport::server::{Connected, TcpConnectInfo};

use super::{Accepted, caps::Permit, refuse};

/// What every HTTP/2 client sends first.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection that counts against the caps until it is dropped.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    remote_address: SocketAddr,
    local_address: SocketAddr,
    /// Set until the whole preface has arrived.
    waiting: Option<Waiting>,
    _permit: Permit,
}

#[derive(Debug)]
struct Waiting {
    seen: usize,
    deadline: Pin<Box<Sleep>>,
}

// === impl Connection ===

impl Connection {
    pub(super) fn new(accepted: Accepted, preface_timeout: Duration) -> io::Result<Self> {
        Ok(Self {
            stream: TcpStream::from_std(accepted.stream)?,
            remote_address: accepted.remote_address,
            local_address: accepted.local_address,
            waiting: Some(Waiting {
                seen: 0,
                deadline: Box::pin(tokio::time::sleep(preface_timeout)),
            }),
            _permit: accepted.permit,
        })
    }

    /// Who connected.
    #[must_use]
    pub fn remote_address(&self) -> SocketAddr {
        self.remote_address
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        TcpConnectInfo {
            local_addr: Some(self.local_address),
            remote_addr: Some(self.remote_address),
        }
    }
}

impl Waiting {
    /// Compares what arrived with the rest of the preface. True if it is complete.
    fn check(&mut self, arrived: &[u8]) -> io::Result<bool> {
        let rest = &PREFACE[self.seen..];
        let length = arrived.len().min(rest.len());
        if arrived[..length] != rest[..length] {
            refuse("preface_wrong");
            return Err(io::Error::new(io::ErrorKind::InvalidData, "this is not HTTP/2"));
        }
        self.seen += length;
        Ok(self.seen == PREFACE.len())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(waiting) = &mut this.waiting else {
            return Pin::new(&mut this.stream).poll_read(cx, buffer);
        };
        // The deadline stands above the data: a byte now and then does not prolong it.
        if waiting.deadline.as_mut().poll(cx).is_ready() {
            refuse("preface_timeout");
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        if waiting.check(&buffer.filled()[before..])? {
            this.waiting = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
