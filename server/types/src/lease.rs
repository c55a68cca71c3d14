//! The right of a node to answer for the shards that it owns.
//!
//! The control plane extends it with every renewal that a quorum confirmed; the data plane looks at it immediately before
//! it sends replies that no commit covers. Both ends live in one process, so time is the process's own [`Tick`].

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::{
    clock::{ClusterClock, Tick},
    planted::{self, Bug},
};

/// A lease that its owner extends and everybody else reads. Cheap to clone; reading takes no lock.
///
/// While a lease has lapsed, the node's shards may go to others and come back. So each grant that ends a gap names the
/// version of the view that was known to the control plane then, and whoever has not taken up that version must not
/// serve on it: see [`holds_for`](Self::holds_for).
#[derive(Clone, Debug)]
pub struct Lease(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Until when it holds.
    end: AtomicU64,
    /// The version of the view at the last grant that ended a gap.
    version: AtomicU64,
    /// The time comes with the same renewals.
    clock: ClusterClock,
}

impl Lease {
    /// A lease that was never granted: it does not hold until it is extended.
    #[must_use]
    pub fn lapsed() -> Self {
        Self::until(0)
    }

    /// A lease that always holds, for a node that nobody can replace: it is alone by construction.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::until(u64::MAX)
    }

    fn until(end: u64) -> Self {
        Self::new(end, ClusterClock::own())
    }

    fn new(end: u64, clock: ClusterClock) -> Self {
        Self(Arc::new(Inner { end: AtomicU64::new(end), version: AtomicU64::new(0), clock }))
    }

    /// A lease like this one that comes with another clock. For who makes it: copies of this one do not follow.
    #[must_use]
    pub fn with_clock(self, clock: ClusterClock) -> Self {
        Self::new(self.ends_at().0, clock)
    }

    /// Lets it hold until a tick. Never shortens it.
    pub fn extend_to(&self, end: Tick) {
        self.0.end.fetch_max(end.0, Ordering::AcqRel);
    }

    /// Like [`extend_to`](Self::extend_to); if it has lapsed by `now`, it holds from here on only for those who have taken
    /// up this version of the view. As long as it does not lapse, nobody else got the node's shards behind its back, so
    /// unbroken extensions leave the version as it is. Not to be called by two at a time.
    pub fn grant(&self, end: Tick, now: Tick, version: u64) {
        if now.0 >= self.0.end.load(Ordering::Acquire) {
            // Before the end: whoever sees the new end sees this too.
            self.0.version.store(version, Ordering::Release);
        }
        self.extend_to(end);
    }

    /// Ends it now, for example because another life of the node has started.
    pub fn revoke(&self) {
        self.0.end.store(0, Ordering::Release);
    }

    /// True if it holds at a tick. Read the clock immediately before what depends on it. What is served from memory needs
    /// [`holds_for`](Self::holds_for).
    #[must_use]
    pub fn holds_at(&self, now: Tick) -> bool {
        now.0 < self.0.end.load(Ordering::Acquire) || planted::is(Bug::LeaseNotChecked)
    }

    /// True if it holds at a tick for somebody who has taken up this version of the view: with an older one, shards that
    /// were lost and regained in a gap would be served as they were before it.
    #[must_use]
    pub fn holds_for(&self, now: Tick, version: u64) -> bool {
        // The end first: the version that belongs to it was stored before it.
        let lasts = now.0 < self.0.end.load(Ordering::Acquire);
        lasts && version >= self.0.version.load(Ordering::Acquire)
            || planted::is(Bug::LeaseNotChecked)
    }

    /// The time of the cluster, which is set by the renewals that extend the lease.
    #[must_use]
    pub fn clock(&self) -> &ClusterClock {
        &self.0.clock
    }

    /// When it ends, as far as is known now.
    #[must_use]
    pub fn ends_at(&self) -> Tick {
        Tick(self.0.end.load(Ordering::Acquire))
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

    #[test]
    fn a_lease_that_comes_back_holds_only_for_those_who_know_what_happened_meanwhile() {
        let lease = Lease::lapsed();
        lease.grant(Tick(100), Tick(10), 5);
        assert!(lease.holds_for(Tick(50), 5) && !lease.holds_for(Tick(50), 4));
        lease.grant(Tick(200), Tick(99), 8);
        assert!(lease.holds_for(Tick(150), 5), "nothing was lost while it held");
        lease.grant(Tick(300), Tick(200), 9);
        assert!(!lease.holds_for(Tick(250), 8) && lease.holds_for(Tick(250), 9));
        assert!(lease.holds_at(Tick(250)));
        lease.revoke();
        lease.grant(Tick(300), Tick(260), 10);
        assert!(!lease.holds_for(Tick(270), 9) && lease.holds_for(Tick(270), 10));
        assert!(Lease::unlimited().holds_for(Tick::now(), 0));
    }
}
