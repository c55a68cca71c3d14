//! How a shared database is opened.

use std::{fmt, time::Duration};

use callboard_statestore::Error;
use callboard_types::limits;

/// Writing connections by default. More share the database's log writes; four saturate one on a common disk.
const WRITERS: usize = 4;
/// Writers are told apart by the bits of one number.
const WRITERS_MAX: usize = 64;
/// Reading connections by default. Two keep a long listing from delaying activations.
const READERS: usize = 2;
const READERS_MAX: usize = 64;
/// The lease of the control plane's defaults.
const LEASE: Duration = Duration::from_millis(2_000);
/// Below this the timeouts that follow from the lease would end healthy statements.
const LEASE_MIN: Duration = Duration::from_millis(250);

/// Where a PostgreSQL store lives and how it is used. The owner of the node's configuration fills it in.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresOptions {
    /// `postgres://user:password@host:port/database`, with the parameters that libpq knows. The password never shows up
    /// in messages.
    pub url: String,
    /// Writing connections, 1 to 64. Each shard belongs to one of them.
    pub writers: usize,
    /// Reading connections, 1 to 64.
    pub readers: usize,
    /// The lease under which this node owns its shards. Whatever a stopped or parted node holds in the database is given
    /// up by the server before half of it has passed.
    pub lease: Duration,
    /// How long outcomes are kept, counted from a call's creation. Sets how much of them is dropped at a time.
    pub outcome_window: Duration,
}

impl PostgresOptions {
    /// The defaults, for a database.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        let window = u64::try_from(limits::OUTCOME_WINDOW_MS).unwrap_or(u64::MAX);
        Self {
            url: url.into(),
            writers: WRITERS,
            readers: READERS,
            lease: LEASE,
            outcome_window: Duration::from_millis(window),
        }
    }

    /// True if an address names a store of this kind.
    #[must_use]
    pub fn accepts(url: &str) -> bool {
        url.starts_with("postgres://") || url.starts_with("postgresql://")
    }

    /// How long the server lets a statement run, wait for a lock, or a transaction stay idle: below half the lease.
    pub(crate) fn patience(&self) -> Duration {
        self.lease * 2 / 5
    }

    /// Refuses what cannot work.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refused = |why: String| Err(Error::Refused(why));
        if !Self::accepts(&self.url) {
            return refused("the store's URL does not start with postgres://".to_owned());
        }
        if !(1..=WRITERS_MAX).contains(&self.writers) {
            return refused(format!("{} writers: there are 1 to {WRITERS_MAX}", self.writers));
        }
        if !(1..=READERS_MAX).contains(&self.readers) {
            return refused(format!("{} readers: there are 1 to {READERS_MAX}", self.readers));
        }
        if self.lease < LEASE_MIN {
            return refused(format!(
                "a lease of {} ms is too short: statements end before half of it, so it takes at least {} ms",
                self.lease.as_millis(),
                LEASE_MIN.as_millis()
            ));
        }
        Ok(())
    }
}

impl fmt::Debug for PostgresOptions {
    /// Everything but the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("writers", &self.writers)
            .field("readers", &self.readers)
            .field("lease", &self.lease)
            .field("outcome_window", &self.outcome_window)
            .finish_non_exhaustive()
    }
}
