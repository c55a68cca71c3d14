//! Which faults a run makes, and when: drawn once from the seed, so that the same seed makes the same plan. Whom a fault
//! meets is decided when its time comes, because that depends on who leads and who owns what.

use std::{fmt, str::FromStr};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

/// How many faults go on at a time.
pub const LANES: usize = 2;

/// A round lasts this long at most; then everything is healed, and must serve before the next one.
const ROUND_MS: u64 = 40_000;

/// Undisturbed time in a lane before each fault, in milliseconds.
const CALM_MS: std::ops::Range<u64> = 300..2_500;

macro_rules! kinds {
    ($($name:ident $text:literal $needs:literal $low:literal..$high:literal,)*) => {
        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $(#[doc = $text] $name,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name, as it stands in histories and on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// How many nodes a cluster must have for it.
            const fn nodes_min(self) -> u8 {
                match self { $(Self::$name => $needs,)* }
            }

            /// How long it lasts, in milliseconds.
            const fn lasts(self) -> std::ops::Range<u64> {
                match self { $(Self::$name => $low..$high,)* }
            }
        }
    };
}

kinds! {
    PairPartition "pair-partition" 2 1_000..8_000,
    OneWayPartition "one-way-partition" 2 1_000..8_000,
    Minority "minority-partition" 3 1_000..9_000,
    IsolateLeader "isolate-leader" 3 1_000..8_000,
    IsolateOwner "isolate-owner" 3 1_000..8_000,
    IsolateDatabase "isolate-database" 2 500..5_000,
    Reset "reset" 1 200..3_000,
    Loss "loss" 1 1_000..6_000,
    Delay "delay" 1 1_000..6_000,
    KillNode "kill-node" 1 100..4_000,
    PauseNode "pause-node" 1 2_500..6_000,
    ClockJump "clock-jump" 1 1_000..6_000,
    DiskFull "disk-full" 1 1_000..5_000,
    StopInCommit "stop-in-commit" 2 1_500..6_000,
    RollingNodes "rolling-nodes" 2 100..500,
    KillHost "kill-host" 1 100..2_000,
    RollingHosts "rolling-hosts" 1 100..500,
    DrainNode "drain-node" 3 500..4_000,
    ReplaceNode "replace-node" 3 500..3_000,
    KillDatabase "kill-database" 2 100..2_000,
    RestartDatabase "restart-database" 2 100..1_000,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.iter().copied().find(|kind| kind.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|kind| kind.name()).collect();
            format!("there is no such fault; there are {}", names.join(", "))
        })
    }
}

/// A fault to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Its number in the run.
    pub number: u64,
    /// What kind.
    pub kind: Kind,
    /// How long after the lane's last fault it begins, in milliseconds.
    pub after_ms: u64,
    /// How long it lasts, in milliseconds.
    pub lasts_ms: u64,
    /// Seed of what is decided when its time comes.
    pub seed: u64,
}

/// Faults that overlap, until all are healed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Round {
    /// In each lane one fault follows the other.
    pub lanes: [Vec<Planned>; LANES],
}

/// The kinds of faults that a cluster of so many nodes can meet.
#[must_use]
pub fn possible(nodes: u8, chosen: &[Kind]) -> Vec<Kind> {
    let fits =
        |kind: &&Kind| kind.nodes_min() <= nodes && (chosen.is_empty() || chosen.contains(kind));
    Kind::ALL.iter().filter(fits).copied().collect()
}

/// Draws rounds without end. Every kind comes once before any comes again.
pub struct Plan {
    random: StdRng,
    kinds: Vec<Kind>,
    bag: Vec<Kind>,
    numbers: u64,
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn new(seed: u64, kinds: Vec<Kind>) -> Self {
        Self { random: StdRng::seed_from_u64(seed), kinds, bag: Vec::new(), numbers: 0 }
    }

    /// The next round, no longer than so many milliseconds.
    pub fn round(&mut self, longest_ms: u64) -> Round {
        let mut round = Round::default();
        let longest = longest_ms.min(ROUND_MS);
        let mut used = [0; LANES];
        loop {
            let lane = (0..LANES).min_by_key(|lane| used[*lane]).unwrap_or(0);
            let Some(kind) = self.draw() else {
                return round;
            };
            let after_ms = self.random.random_range(CALM_MS);
            let lasts_ms = self.random.random_range(kind.lasts());
            if used[lane] > 0 && used[lane] + after_ms + lasts_ms > longest {
                // It comes first in the next round.
                self.bag.push(kind);
                return round;
            }
            used[lane] += after_ms + lasts_ms;
            self.numbers += 1;
            let (number, seed) = (self.numbers, self.random.random());
            round.lanes[lane].push(Planned { number, kind, after_ms, lasts_ms, seed });
        }
    }

    fn draw(&mut self) -> Option<Kind> {
        if self.bag.is_empty() {
            self.bag.clone_from(&self.kinds);
            self.bag.shuffle(&mut self.random);
        }
        self.bag.pop()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn rounds(seed: u64, count: usize) -> Vec<Round> {
        let mut plan = Plan::new(seed, possible(3, &[]));
        (0..count).map(|_| plan.round(600_000)).collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_plan() {
        assert_eq!(rounds(7, 10), rounds(7, 10));
        assert_ne!(rounds(7, 10), rounds(8, 10));
    }

    #[test]
    fn every_kind_comes_before_any_comes_a_third_time() {
        let mut seen: BTreeMap<Kind, usize> = BTreeMap::new();
        let mut plan = Plan::new(1, possible(3, &[]));
        while seen.len() < Kind::ALL.len() {
            for fault in plan.round(600_000).lanes.iter().flatten() {
                *seen.entry(fault.kind).or_default() += 1;
            }
        }
        assert!(seen.values().all(|count| *count <= 3), "{seen:?}");
    }

    #[test]
    fn a_round_ends_in_time_and_a_short_one_still_has_faults() {
        for round in rounds(3, 20) {
            for lane in &round.lanes {
                let long: u64 = lane.iter().map(|fault| fault.after_ms + fault.lasts_ms).sum();
                assert!(long <= ROUND_MS, "{long}");
            }
        }
        let short = Plan::new(1, possible(3, &[])).round(1_000);
        assert!(short.lanes.iter().any(|lane| !lane.is_empty()));
    }

    #[test]
    fn one_node_meets_only_what_one_node_can() {
        let kinds = possible(1, &[]);
        assert!(kinds.contains(&Kind::KillNode) && !kinds.contains(&Kind::Minority));
        assert_eq!(possible(3, &[Kind::Reset]), [Kind::Reset]);
        assert_eq!("reset".parse(), Ok(Kind::Reset));
        assert!("rest".parse::<Kind>().is_err());
    }
}
