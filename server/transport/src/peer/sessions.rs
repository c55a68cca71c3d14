//! The sessions that other nodes opened with this one: a bounded table.
//!
//! It is full only if somebody opens sessions without using them, or connections come and go very often: those that were
//! never used go first, then those that were not used for longest. A node whose session is gone opens another.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use callboard_types::NodeId;
use parking_lot::RwLock;

use super::{PeerNode, proof::Digest};

/// The table. Written once per handshake; read once per request.
#[derive(Debug)]
pub(super) struct Sessions {
    max: usize,
    /// Counts what happens to the table; the number is the time.
    clock: AtomicU64,
    open: RwLock<HashMap<Digest, Session>>,
}

#[derive(Debug)]
struct Session {
    node: PeerNode,
    /// The connection that it belongs to.
    remote: Option<SocketAddr>,
    opened: u64,
    /// 0 if it was never used.
    used: AtomicU64,
}

impl Sessions {
    pub(super) fn new(max: usize) -> Self {
        Self { max, clock: AtomicU64::new(1), open: RwLock::default() }
    }

    pub(super) fn open(&self, token: Digest, node: NodeId, remote: Option<SocketAddr>) {
        let mut open = self.open.write();
        if open.len() >= self.max {
            let oldest = open
                .iter()
                .min_by_key(|(_, session)| (session.used.load(Ordering::Relaxed), session.opened));
            if let Some(token) = oldest.map(|(token, _)| *token) {
                open.remove(&token);
            }
        }
        let session =
            Session { node: PeerNode(node), remote, opened: self.tick(), used: AtomicU64::new(0) };
        open.insert(token, session);
    }

    pub(super) fn find(&self, token: &[u8], remote: Option<SocketAddr>) -> Option<PeerNode> {
        let open = self.open.read();
        let session = open.get(token).filter(|session| session.remote == remote)?;
        session.used.store(self.tick(), Ordering::Relaxed);
        Some(session.node)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.open.read().len()
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> Option<SocketAddr> {
        Some(SocketAddr::from(([192, 0, 2, 1], port)))
    }

    #[test]
    fn sessions_in_use_outlive_any_number_of_unused_ones() {
        let sessions = Sessions::new(4);
        sessions.open([1; 32], NodeId(1), address(1));
        sessions.open([2; 32], NodeId(2), address(2));
        assert_eq!(sessions.find(&[1; 32], address(1)), Some(PeerNode(NodeId(1))));
        assert_eq!(sessions.find(&[2; 32], address(2)), Some(PeerNode(NodeId(2))));
        for number in 100..=200 {
            sessions.open([number; 32], NodeId(9), address(9));
        }
        assert_eq!(sessions.open.read().len(), 4);
        assert_eq!(sessions.find(&[1; 32], address(1)), Some(PeerNode(NodeId(1))));
        assert_eq!(sessions.find(&[2; 32], address(2)), Some(PeerNode(NodeId(2))));
        assert_eq!(sessions.find(&[100; 32], address(9)), None, "the oldest unused one went");
    }

    #[test]
    fn a_token_opens_nothing_on_another_connection() {
        let sessions = Sessions::new(4);
        sessions.open([1; 32], NodeId(1), address(1));
        assert_eq!(sessions.find(&[1; 32], address(2)), None);
        assert_eq!(sessions.find(&[1; 32], None), None);
        assert_eq!(sessions.find(&[1; 31], address(1)), None);
    }
}
