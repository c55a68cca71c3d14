//! Bugs that are put in on purpose, so that the tests that should find them can be tested.
//!
//! They exist only with the feature `planted`, which no normal build turns on; without it every question here is answered
//! by a constant, and nothing of a bug is compiled. `CALLBOARD_PLANTED` names the one that a node is to have. Bugs that only
//! an unlikely order of events brings to light, such as leases by the wall clock, are planted in the simulation alone.

/// A bug that a node can be made to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Callers are told before the commit is durable.
    ReplyBeforeCommit,
    /// Outcomes are not stored with the state.
    NoStoredOutcome,
    /// Reads see state that is not committed.
    ReadUncommitted,
    /// A node answers whether its lease holds or not.
    LeaseNotChecked,
    /// The leader gives shards away before their owner's lease has ended.
    NoTakeoverWait,
    /// A row goes as soon as an attempt at it has ended, whether or not the target has it.
    RowGoneEarly,
    /// What a delivery came to is not stored with the target's state, so that it runs at each attempt.
    DeliveryNotKept,
    /// The outcome of a turn that another actor answers for does not say so.
    LinkNotStored,
    /// A shard writes that a message is done before its actors have it.
    WalkDoneEarly,
    /// The cluster is told that an occurrence has ended when its call is made.
    FiringEndedEarly,
}

impl Bug {
    /// Every bug.
    pub const ALL: &[Self] = &[
        Self::ReplyBeforeCommit,
        Self::NoStoredOutcome,
        Self::ReadUncommitted,
        Self::LeaseNotChecked,
        Self::NoTakeoverWait,
        Self::RowGoneEarly,
        Self::DeliveryNotKept,
        Self::LinkNotStored,
        Self::WalkDoneEarly,
        Self::FiringEndedEarly,
    ];

    /// Its name in `CALLBOARD_PLANTED`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReplyBeforeCommit => "reply-before-commit",
            Self::NoStoredOutcome => "no-stored-outcome",
            Self::ReadUncommitted => "read-uncommitted",
            Self::LeaseNotChecked => "lease-not-checked",
            Self::NoTakeoverWait => "no-takeover-wait",
            Self::RowGoneEarly => "row-gone-early",
            Self::DeliveryNotKept => "delivery-not-kept",
            Self::LinkNotStored => "link-not-stored",
            Self::WalkDoneEarly => "walk-done-early",
            Self::FiringEndedEarly => "firing-ended-early",
        }
    }
}

/// True if this process is to have the bug.
///
/// # Panics
/// If the environment names a bug that there is not: a test of a test must not pass by a misspelt name.
#[cfg(feature = "planted")]
#[must_use]
pub fn is(bug: Bug) -> bool {
    static SELECTED: std::sync::LazyLock<Option<Bug>> = std::sync::LazyLock::new(|| {
        let name = std::env::var("CALLBOARD_PLANTED").ok()?;
        let found = Bug::ALL.iter().copied().find(|bug| bug.name() == name);
        Some(found.unwrap_or_else(|| panic!("there is no planted bug {name:?}")))
    });
    *SELECTED == Some(bug)
}

/// False: this build has no planted bugs.
#[cfg(not(feature = "planted"))]
#[must_use]
pub const fn is(_: Bug) -> bool {
    false
}
