//! Single activation: at no time do two owners answer for one actor.
//!
//! The actors of this test count their calls, and answer each with the epoch of their shard, the number that their life
//! drew at its first turn, and the count. Everything follows from what callers saw: a reply took effect between its call
//! and its answer, by the clock of the one process that made all calls.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

#[cfg(test)]
mod tests;

/// One answered call to an actor that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// The call's number.
    pub number: u64,
    /// When it was first sent, in nanoseconds.
    pub invoked_ns: u64,
    /// When its answer came.
    pub returned_ns: u64,
    /// The epoch under which the turn ran.
    pub epoch: u64,
    /// The life that ran it.
    pub life: u64,
    /// How many calls that life had counted, this one included.
    pub count: u64,
}

/// What a life outlives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lives {
    /// An activation is a life: the state is gone with it.
    End,
    /// A life goes on in the next activation, from the last count that was saved.
    GoOn,
}

/// A broken promise. Calls are named by their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// A call was sent after another had been answered under a later epoch, and was answered under an earlier one.
    EpochFell {
        /// The call that was answered late.
        late: u64,
        /// The call that had been answered before under a later epoch.
        before: u64,
    },
    /// Two calls were counted as the same one: there were two copies of one life.
    CountedTwice {
        /// One call.
        one: u64,
        /// The other.
        other: u64,
    },
    /// A call was answered before another was sent, and yet counted later, under the same epoch.
    CountFell {
        /// The call that was sent later.
        later: u64,
    },
    /// Two lives of one actor took turns in answering.
    LivesOverlap {
        /// A call that one of them answered.
        one: u64,
        /// A call that the other answered.
        other: u64,
    },
    /// One life, which ends with its activation, was seen under two epochs.
    LifeCrossedEpochs {
        /// A call under one of them.
        one: u64,
        /// A call under the other.
        other: u64,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EpochFell { late, before } => {
                write!(
                    f,
                    "call {late} was answered by an epoch that was over when call {before} was answered"
                )
            }
            Self::CountedTwice { one, other } => {
                write!(f, "calls {one} and {other} were counted as the same call")
            }
            Self::CountFell { later } => {
                write!(
                    f,
                    "call {later} was counted before a call that was answered before it was sent"
                )
            }
            Self::LivesOverlap { one, other } => {
                write!(f, "the lives that answered calls {one} and {other} overlap")
            }
            Self::LifeCrossedEpochs { one, other } => {
                write!(f, "calls {one} and {other} were answered by one life under two epochs")
            }
        }
    }
}

/// Every broken promise to one actor. Takes time in proportion to its calls and their sort, and to the square of its
/// lives.
#[must_use]
pub fn check(counts: &[Count], lives: Lives) -> Vec<Violation> {
    let mut violations = Vec::new();
    check_epochs(counts, &mut violations);
    let mut groups: BTreeMap<(u64, u64), Vec<Count>> = BTreeMap::new();
    for count in counts {
        groups.entry((count.epoch, count.life)).or_default().push(*count);
    }
    for group in groups.values_mut() {
        check_counts(group, &mut violations);
    }
    if lives == Lives::End {
        check_lives(&groups, &mut violations);
    }
    violations
}

/// No call that was sent after an answer of a later epoch is answered by an earlier one.
fn check_epochs(counts: &[Count], violations: &mut Vec<Violation>) {
    let mut by_answer: Vec<&Count> = counts.iter().collect();
    by_answer.sort_unstable_by_key(|count| count.returned_ns);
    let mut by_call: Vec<&Count> = counts.iter().collect();
    by_call.sort_unstable_by_key(|count| count.invoked_ns);
    let mut answered = by_answer.into_iter().peekable();
    let mut highest: Option<&Count> = None;
    for call in by_call {
        while let Some(before) = answered.next_if(|one| one.returned_ns < call.invoked_ns) {
            if highest.is_none_or(|highest| highest.epoch < before.epoch) {
                highest = Some(before);
            }
        }
        if let Some(before) = highest.filter(|highest| highest.epoch > call.epoch) {
            violations.push(Violation::EpochFell { late: call.number, before: before.number });
        }
    }
}

/// One life under one epoch counts each call once, and in the order of real time.
fn check_counts(group: &mut [Count], violations: &mut Vec<Violation>) {
    let mut seen = HashMap::new();
    for count in group.iter() {
        if let Some(other) = seen.insert(count.count, count.number) {
            violations.push(Violation::CountedTwice { one: other, other: count.number });
        }
    }
    group.sort_unstable_by_key(|count| count.count);
    let mut latest_sent = 0;
    for count in group.iter() {
        if count.returned_ns < latest_sent {
            violations.push(Violation::CountFell { later: count.number });
        }
        latest_sent = latest_sent.max(count.invoked_ns);
    }
}

/// What is known of when a life was.
struct Span {
    life: u64,
    /// It had begun when this was answered.
    first_answer: (u64, u64),
    /// It had not ended when this was sent.
    last_call: (u64, u64),
}

/// Of any two lives one can have been over before the other began, and none is seen under two epochs.
fn check_lives(groups: &BTreeMap<(u64, u64), Vec<Count>>, violations: &mut Vec<Violation>) {
    let spans: Vec<Span> = groups
        .iter()
        .map(|((_, life), counts)| {
            let answers = counts.iter().map(|count| (count.returned_ns, count.number));
            let calls = counts.iter().map(|count| (count.invoked_ns, count.number));
            Span {
                life: *life,
                first_answer: answers.min().unwrap_or_default(),
                last_call: calls.max().unwrap_or_default(),
            }
        })
        .collect();
    for (index, one) in spans.iter().enumerate() {
        for other in &spans[index + 1..] {
            let (a, b) = (one.first_answer.1, other.first_answer.1);
            if one.life == other.life {
                violations.push(Violation::LifeCrossedEpochs { one: a, other: b });
                continue;
            }
            // Each was called again after the other had answered, so neither was over when the other began.
            let both =
                one.last_call.0 > other.first_answer.0 && other.last_call.0 > one.first_answer.0;
            if both {
                violations.push(Violation::LivesOverlap { one: a, other: b });
            }
        }
    }
}
