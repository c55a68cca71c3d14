//! What the seeds of a run went through: a kind of fault that never struck, or never had an effect, proves nothing.

use std::collections::BTreeMap;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// Something that must have happened in a run.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Seen {
            $($(#[$doc])* $name,)*
        }

        impl Seen {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name in reports.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

kinds! {
    /// Two nodes could not reach each other.
    PartitionPair = "fault: partition of a pair";
    /// One node could not send to another, which could send to it.
    PartitionOneWay = "fault: one-way partition";
    /// The nodes fell into two groups.
    PartitionGroups = "fault: partition into groups";
    /// The leader was cut off from all other nodes.
    IsolateLeader = "fault: leader isolated";
    /// A node was cut off from all other nodes.
    IsolateNode = "fault: node isolated";
    /// A node was cut off from the others while its commits were on a slow way.
    Zombie = "fault: isolated node with late commits";
    /// A node was cut off from all other nodes, and learned late what they agreed on meanwhile.
    Lag = "fault: isolated node with a late log";
    /// A node could not reach the store.
    StoreCut = "fault: node without store";
    /// Nobody could reach the store.
    StoreDown = "fault: store down";
    /// Answers of the store were lost.
    LostVerdicts = "fault: lost answers of the store";
    /// Commits arrived very late.
    LateCommits = "fault: late commits";
    /// Messages between nodes were lost.
    Loss = "fault: message loss";
    /// Messages between nodes were late and out of order.
    Delay = "fault: delay and reordering";
    /// A process stood still for less than a lease.
    PauseShort = "fault: pause";
    /// A process stood still for longer than a lease.
    PauseLong = "fault: pause longer than a lease";
    /// A process was killed and started again.
    Crash = "fault: crash and restart";
    /// All processes were killed and started again.
    CrashAll = "fault: crash of all nodes";
    /// A host broke off while it ran turns.
    HostCrash = "fault: crash of a host";
    /// All hosts of a node were away for a time.
    HostsLeave = "fault: hosts leave a node";
    /// The wall clock of a node jumped.
    ClockStep = "fault: clock step";
    /// A node was drained.
    Drain = "fault: drain";
    /// A leader was elected after the first one.
    LeaderChange = "effect: change of leader";
    /// A renewal was asked of a leader that could not confirm it.
    Unconfirmed = "effect: renewal not confirmed";
    /// A lease ended while its node was running.
    LeaseLapsed = "effect: answer withheld for want of a lease";
    /// A node was declared down, and its shards went to others.
    Takeover = "effect: takeover";
    /// A node that was declared down came back in the same life.
    CameBack = "effect: return of a node that was down";
    /// A node became a member.
    Joined = "effect: join";
    /// A planned move came to its end.
    Moved = "effect: planned move";
    /// A commit of an epoch that was over reached the store and was refused.
    Fenced = "effect: commit refused by the fence";
    /// The outcome of a commit had to be found out.
    UnknownCommit = "effect: unknown commit resolved";
    /// A claim was refused because the store knew a higher epoch.
    ClaimLost = "effect: claim refused";
    /// A call was sent on by its gateway after a redirect.
    Redirected = "effect: redirect";
    /// A request that was answered already was answered again, with the same outcome.
    Repeated = "effect: repeated request";
    /// An answer of an attempt that was given up arrived.
    StaleAnswer = "effect: answer of an abandoned attempt";
    /// The store was asked for outcomes that left the row.
    LookedUp = "effect: look-up of an older outcome";
}

/// How often each kind was seen.
#[derive(Clone, Debug, Default)]
pub struct Coverage(BTreeMap<Seen, u64>);

impl Coverage {
    /// It happened.
    pub fn saw(&mut self, what: Seen) {
        *self.0.entry(what).or_default() += 1;
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(*what).or_default() += count;
        }
    }

    /// How often it happened.
    #[must_use]
    pub fn count(&self, what: Seen) -> u64 {
        self.0.get(&what).copied().unwrap_or_default()
    }

    /// What never happened.
    #[must_use]
    pub fn missing(&self) -> Vec<Seen> {
        Seen::ALL.iter().copied().filter(|what| self.count(*what) == 0).collect()
    }
}
