//! The right of a node to answer for the shards that it owns.
//!
//! The control plane extends it with every renewal that a quorum confirmed; the data plane looks at it immediately before
//! it sends replies that no commit covers. Both ends live in one process, so time is the process's own [`Tick`].

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::{
    clock::Tick,
    planted::{self, Bug},
};

/// A lease that its owner extends and everybody else reads. Cheap to clone; reading takes no lock.
#[derive(Clone, Debug)]
pub struct Lease(Arc<AtomicU64>);

impl Lease {
    /// A lease that was never granted: it does not hold until it is extended.
    #[must_use]
    pub fn lapsed() -> Self {
        Self(Arc::new(AtomicU64::new(0)))
    }

    /// A lease that always holds, for a node that nobody can replace: it is alone by construction.
    #[must_use]
    pub fn unlimited() -> Self {
        Self(Arc::new(AtomicU64::new(u64::MAX)))
    }

    /// Lets it hold until a tick. Never shortens it.
    pub fn extend_to(&self, end: Tick) {
        self.0.fetch_max(end.0, Ordering::AcqRel);
    }

    /// Ends it now, for example because another life of the node has started.
    pub fn revoke(&self) {
        self.0.store(0, Ordering::Release);
    }

    /// True if it holds at a tick. Read the clock immediately before what depends on it.
    #[must_use]
    pub fn holds_at(&self, now: Tick) -> bool {
        now.0 < self.0.load(Ordering::Acquire) || planted::is(Bug::LeaseNotChecked)
    }

    /// When it ends, as far as is known now.
    #[must_use]
    pub fn ends_at(&self) -> Tick {
        Tick(self.0.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_holds_until_its_end_and_an_older_renewal_never_shortens_it() {
        let lease = Lease::lapsed();
        assert!(!lease.holds_at(Tick(0)));
        lease.extend_to(Tick(100));
        lease.extend_to(Tick(50));
        assert!(lease.holds_at(Tick(99)) && !lease.holds_at(Tick(100)));
        lease.revoke();
        assert!(!lease.holds_at(Tick(1)));
        assert!(Lease::unlimited().holds_at(Tick::now()));
    }
}
