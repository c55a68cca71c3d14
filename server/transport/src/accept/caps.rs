//! How many connections may be open, in all and from one address.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use parking_lot::Mutex;

use crate::metrics::CONNECTIONS_OPEN;

/// Counts open connections. Locked once when a connection opens and once when it closes.
#[derive(Debug)]
pub(super) struct Caps {
    max: usize,
    per_ip_max: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_ip: HashMap<IpAddr, usize>,
}

/// One open connection. Dropping it makes room.
#[derive(Debug)]
pub(super) struct Permit {
    caps: Arc<Caps>,
    ip: IpAddr,
}

/// Which cap is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    Total,
    Address,
}

impl Full {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Total => "limit",
            Self::Address => "address_limit",
        }
    }
}

impl Caps {
    pub(super) fn new(max: usize, per_ip_max: usize) -> Arc<Self> {
        Arc::new(Self { max, per_ip_max, open: Mutex::default() })
    }

    pub(super) fn admit(self: &Arc<Self>, ip: IpAddr) -> Result<Permit, Full> {
        // The same IPv4 peer must not count twice because it once came over a dual-stack socket.
        let ip = ip.to_canonical();
        let mut open = self.open.lock();
        if open.total >= self.max {
            return Err(Full::Total);
        }
        let here = open.by_ip.entry(ip).or_default();
        if *here >= self.per_ip_max {
            return Err(Full::Address);
        }
        *here += 1;
        open.total += 1;
        ::metrics::gauge!(CONNECTIONS_OPEN).increment(1.0);
        Ok(Permit { caps: Arc::clone(self), ip })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.caps.open.lock();
        open.total -= 1;
        if let Some(here) = open.by_ip.get_mut(&self.ip) {
            *here -= 1;
            if *here == 0 {
                open.by_ip.remove(&self.ip);
            }
        }
        ::metrics::gauge!(CONNECTIONS_OPEN).decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn closing_a_connection_makes_room_for_the_next_one() {
        let caps = Caps::new(2, 1);
        let (near, far) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST));
        let first = caps.admit(near).expect("room");
        assert_eq!(caps.admit(near).expect_err("one per address"), Full::Address);
        let _second = caps.admit(far).expect("room");
        assert_eq!(caps.admit(far).expect_err("two in all"), Full::Total);
        drop(first);
        caps.admit(near).expect("room again");
    }

    #[test]
    fn an_ipv4_peer_counts_once_however_it_came() {
        let caps = Caps::new(9, 1);
        let v4 = Ipv4Addr::new(192, 0, 2, 1);
        let _held = caps.admit(IpAddr::V4(v4)).expect("room");
        assert!(caps.admit(IpAddr::V6(v4.to_ipv6_mapped())).is_err());
    }
}
