//! Settings of the driver's TCP sockets.
//!
//! The driver (sqlx 0.9.0) does not set `TCP_NODELAY` and offers no way to do it, so that a statement of several packets
//! waits for the server's delayed acknowledgement: 44 ms per commit. Its socket is an open file of this process, though.
//! See `server/decisions` for the other ways.

use std::{
    fs,
    os::fd::{BorrowedFd, OwnedFd, RawFd},
    time::Duration,
};

use socket2::{Domain, Socket, TcpKeepalive};

/// Where the process's open files are listed, on Linux and others.
const OPEN_FILES: &str = "/dev/fd";

/// Sets every TCP socket of this process that leads to a server's port to send at once, and to notice within `patience`
/// that nothing arrives any more. Called when a connection has been made.
pub(crate) fn tune(port: u16, patience: Duration) {
    for socket in leading_to(port) {
        let keepalive = TcpKeepalive::new().with_time(patience).with_interval(patience);
        let set = socket.set_tcp_nodelay(true).and_then(|()| socket.set_tcp_keepalive(&keepalive));
        #[cfg(target_os = "linux")]
        let set = set.and_then(|()| socket.set_tcp_user_timeout(Some(patience)));
        if let Err(error) = set {
            // The other end may have gone in the meantime; the next statement will say so.
            tracing::debug!(%error, "a socket of the store was not set up");
        }
    }
}

fn leading_to(port: u16) -> Vec<Socket> {
    let Ok(files) = fs::read_dir(OPEN_FILES) else {
        return vec![];
    };
    let numbers: Vec<RawFd> =
        files.flatten().filter_map(|file| file.file_name().to_str()?.parse().ok()).collect();
    let leads = |socket: &Socket| {
        let is_ip = matches!(socket.domain(), Ok(Domain::IPV4 | Domain::IPV6));
        let peer = socket.peer_addr().ok().and_then(|address| address.as_socket());
        is_ip && peer.is_some_and(|address| address.port() == port)
    };
    numbers.into_iter().filter_map(duplicate).map(Socket::from).filter(leads).collect()
}

/// A second descriptor of an open file: whatever becomes of the first one, this one stays what it is.
fn duplicate(number: RawFd) -> Option<OwnedFd> {
    #[expect(
        unsafe_code,
        reason = "the number was just listed; if its file was closed since, duplicating fails, and if it stands for \
                  another file by now, that file is looked at and left alone"
    )]
    // SAFETY: the borrow ends with this statement, and duplicating neither reads, writes nor closes the file.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    borrowed.try_clone_to_owned().ok()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn sockets_that_lead_to_the_port_send_at_once_and_others_are_left_alone() {
        let server = TcpListener::bind("127.0.0.1:0").expect("a port");
        let other = TcpListener::bind("127.0.0.1:0").expect("a port");
        let connect = |to: &TcpListener| {
            TcpStream::connect(to.local_addr().expect("bound")).expect("connect")
        };
        let (first, second, foreign) = (connect(&server), connect(&server), connect(&other));
        let port = server.local_addr().expect("bound").port();
        tune(port, Duration::from_secs(1));
        assert!(first.nodelay().expect("open") && second.nodelay().expect("open"));
        assert!(!foreign.nodelay().expect("open"));
    }
}
