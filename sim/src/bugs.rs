//! Bugs on purpose: each takes one safeguard away, and the simulation must notice.

use std::str::FromStr;

macro_rules! bugs {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// A safeguard that is missing.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Bug {
            $($(#[$doc])* $name,)*
        }

        impl Bug {
            /// Every bug.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name on the command line.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

bugs! {
    /// The store takes commits of any epoch.
    SkipFenceCheck = "skip-fence-check";
    /// A new owner loads and serves before the store holds its epoch.
    ServeBeforeFence = "serve-before-fence";
    /// The leader gives shards away without waiting until leases have ended.
    NoTakeoverWait = "no-takeover-wait";
    /// Leases are measured by a clock that may step.
    WallClockLease = "wall-clock-lease";
    /// A leader confirms renewals without asking a majority.
    RenewalWithoutQuorum = "renewal-without-quorum";
    /// Callers are told before the commit is durable.
    ReplyBeforeCommit = "reply-before-commit";
    /// The answer of an abandoned attempt is taken for the one that is awaited.
    StaleAttempt = "stale-attempt";
    /// A commit of unknown outcome is reported as failed.
    UnknownCommitAsFailure = "unknown-commit-as-failure";
    /// Reads see state that is not committed.
    ReadUncommitted = "read-uncommitted";
    /// Outcomes are not stored with the state.
    NoStoredOutcome = "no-stored-outcome";
    /// A confirmation counts although the node has not applied what the leader had.
    LeaseBeforeApplied = "lease-before-applied";
}

impl FromStr for Bug {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|bug| bug.name() == text);
        found.copied().ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|bug| bug.name()).collect();
            format!("no such bug; there are {}", names.join(", "))
        })
    }
}
