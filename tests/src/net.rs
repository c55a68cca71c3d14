//! A network of this process's own: every party in a network namespace, and between them a switch that this process
//! runs, frame by frame. So the switch can lose, delay, cut and reset whatever it is told to, without a firewall or a
//! queueing discipline of the kernel, and all of it is gone with the process, however that ends.
//!
//! Needs no root where the kernel grants user namespaces. [`enter`] must be called first, before there are threads.

pub mod namespace;
pub mod packet;
pub mod rules;
pub mod switch;

use std::net::Ipv4Addr;

pub use namespace::{Namespace, enter};
pub use rules::{Effect, Port, Ports, Rule, Rules};
pub use switch::{Counters, Switch};

/// The network; a party's port number is the last byte of its address.
const NETWORK: [u8; 3] = [10, 203, 0];

/// The address of the party at a port.
#[must_use]
pub fn address(port: Port) -> Ipv4Addr {
    let [a, b, c] = NETWORK;
    Ipv4Addr::new(a, b, c, port)
}

/// The port of an address; `None` if it is not of this network.
#[must_use]
pub fn port(address: [u8; 4]) -> Option<Port> {
    let [a, b, c, port] = address;
    ([a, b, c] == NETWORK && usize::from(port) < rules::PORTS_MAX).then_some(port)
}

/// The hardware address of the party at a port.
#[must_use]
pub fn hardware(port: Port) -> [u8; 6] {
    [2, 0xcb, 0, 0, 0, port]
}

/// The monotonic clock.
#[expect(clippy::disallowed_methods, reason = "frames are delayed in real time")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// Why there is no network.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Neither root nor user namespaces.
    #[error(
        "this test needs network namespaces: run it as root, or where the kernel lets users have user namespaces \
         (user.max_user_namespaces above 0, and no policy against them): {0}"
    )]
    NoNamespaces(std::io::Error),
    /// A program failed.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    /// For `map_err`: an input or output error with what was tried.
    pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
