//! Ports on loopback for processes that a test starts.

use std::{
    net::{Ipv4Addr, TcpListener, UdpSocket},
    sync::Mutex,
};

use rand::Rng as _;

/// Below the ports that the kernel gives to outgoing connections, so that a client of a node that is down cannot take its
/// port, or connect to itself on it.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// Attempts before giving up.
const ATTEMPTS: usize = 1_000;

/// What keeps other tests from the ports of this process: the UDP ports of the same numbers, which no node uses.
static TAKEN: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());

/// A port where nobody listens, and which no other caller of this function gets while this process lives.
///
/// # Panics
/// All of them are taken.
#[must_use]
pub fn free() -> u16 {
    for _ in 0..ATTEMPTS {
        let port = rand::rng().random_range(PORTS);
        let Ok(taken) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) else { continue };
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            TAKEN.lock().expect("nobody panics while holding it").push(taken);
            return port;
        }
    }
    panic!("no port on loopback is free among {PORTS:?}");
}
