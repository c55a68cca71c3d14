//! Checks what a crash test saw: unique adds to ledgers, each of which keeps the list of all adds that it took.
//!
//! With the list at hand no search is needed: every promise is a property that one pass over the list decides, however
//! many calls ended without an answer. Times come from the one monotonic clock of the process that made the calls.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

pub mod activation;
pub mod once;
pub mod register;

#[cfg(test)]
mod tests;

/// One unique add, however often it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Add {
    /// Which ledger it was sent to.
    pub ledger: String,
    /// How much it adds.
    pub amount: u32,
    /// When it was first sent, in nanoseconds.
    pub invoked_ns: u64,
    /// Every answer that came, in the order in which they came. Attempts without an answer leave nothing.
    pub answers: Vec<Answer>,
}

/// The answer to one attempt of an add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// When it came, in nanoseconds.
    pub returned_ns: u64,
    /// What it said.
    pub outcome: Outcome,
}

/// What an answer said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The add is in the list.
    Applied(Receipt),
    /// The add will be in the list, whatever happens: an asynchronous call was accepted.
    Accepted,
    /// The add will never be applied, for this reason.
    Refused(String),
}

/// A ledger as one reply shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// How many adds the ledger held; for the reply to an add, it included.
    pub count: u64,
    /// Their sum.
    pub total: u64,
}

/// One read of a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Which ledger.
    pub ledger: String,
    /// When it was sent, in nanoseconds.
    pub invoked_ns: u64,
    /// When the answer came, in nanoseconds.
    pub returned_ns: u64,
    /// What it showed.
    pub seen: Receipt,
}

/// An add as a ledger holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The add's number.
    pub add: u64,
    /// Its amount.
    pub amount: u32,
}

/// A ledger at the end of the test.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    /// The adds in the order in which they were applied.
    pub entries: Vec<Entry>,
    /// The sum that the ledger kept beside them.
    pub total: u64,
}

/// Everything that a test saw.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Adds by their number.
    pub adds: BTreeMap<u64, Add>,
    /// Reads while the test ran.
    pub reads: Vec<Read>,
    /// The ledgers at the end, by name. A ledger that is missing holds nothing.
    pub ledgers: BTreeMap<String, Ledger>,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// An acknowledged add is not in its ledger.
    Lost {
        /// The add.
        add: u64,
    },
    /// A ledger holds an add that nobody sent to it, or with another amount.
    Invented {
        /// The ledger.
        ledger: String,
        /// The add.
        add: u64,
    },
    /// An add is in its ledger more than once.
    Doubled {
        /// The add.
        add: u64,
    },
    /// An add that was refused for good is in its ledger.
    RefusedButApplied {
        /// The add.
        add: u64,
        /// The refusal.
        reason: String,
    },
    /// Two attempts of an add were answered differently.
    AnswersDiffer {
        /// The add.
        add: u64,
    },
    /// The reply to an add does not fit its place in the ledger.
    WrongReceipt {
        /// The add.
        add: u64,
        /// What the reply said.
        said: Receipt,
        /// What the ledger says.
        is: Receipt,
    },
    /// A ledger's total is not the sum of its adds.
    WrongTotal {
        /// The ledger.
        ledger: String,
    },
    /// An add was acknowledged before another was sent, and yet stands behind it.
    OutOfOrder {
        /// The add that stands too late.
        add: u64,
    },
    /// A read missed an add that was acknowledged before the read was sent, or saw one that was not yet sent, or a
    /// total that the ledger never had.
    BadRead {
        /// The ledger.
        ledger: String,
        /// What the read showed.
        seen: Receipt,
        /// Why that cannot be.
        why: &'static str,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { add } => write!(f, "add {add} was acknowledged and is lost"),
            Self::Invented { ledger, add } => {
                write!(f, "{ledger} holds add {add}, which nobody sent to it")
            }
            Self::Doubled { add } => write!(f, "add {add} was applied more than once"),
            Self::RefusedButApplied { add, reason } => {
                write!(f, "add {add} was refused ({reason}) and yet applied")
            }
            Self::AnswersDiffer { add } => write!(f, "attempts of add {add} got different answers"),
            Self::WrongReceipt { add, said, is } => {
                write!(f, "add {add} was answered {said:?}, but its place is {is:?}")
            }
            Self::WrongTotal { ledger } => write!(f, "the total of {ledger} is not its sum"),
            Self::OutOfOrder { add } => {
                write!(f, "add {add} was acknowledged before an add that stands before it was sent")
            }
            Self::BadRead { ledger, seen, why } => {
                write!(f, "a read of {ledger} showed {seen:?}: {why}")
            }
        }
    }
}

/// Every broken promise of a history. Takes time in proportion to its length, and its sort.
#[must_use]
pub fn check(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut places = HashMap::new();
    let nothing = Ledger::default();
    for (name, ledger) in &history.ledgers {
        check_entries(history, name, ledger, &mut places, &mut violations);
        check_order(history, ledger, &mut violations);
    }
    for (number, add) in &history.adds {
        check_answers(*number, add, places.get(number).copied(), &mut violations);
    }
    let timelines = Timelines::of(history);
    for read in &history.reads {
        let ledger = history.ledgers.get(&read.ledger).unwrap_or(&nothing);
        if let Some(why) = timelines.refute(read, ledger) {
            violations.push(Violation::BadRead {
                ledger: read.ledger.clone(),
                seen: read.seen,
                why,
            });
        }
    }
    violations
}

/// Every entry was sent to this ledger, once, and the total is their sum. Notes each add's place.
fn check_entries(
    history: &History,
    name: &str,
    ledger: &Ledger,
    places: &mut HashMap<u64, Receipt>,
    violations: &mut Vec<Violation>,
) {
    let mut at = Receipt { count: 0, total: 0 };
    for entry in &ledger.entries {
        at.count += 1;
        at.total += u64::from(entry.amount);
        let sent = history
            .adds
            .get(&entry.add)
            .is_some_and(|add| add.ledger == name && add.amount == entry.amount);
        if !sent {
            violations.push(Violation::Invented { ledger: name.into(), add: entry.add });
        } else if places.insert(entry.add, at).is_some() {
            violations.push(Violation::Doubled { add: entry.add });
        }
    }
    if at.total != ledger.total {
        violations.push(Violation::WrongTotal { ledger: name.into() });
    }
}

/// An add that was acknowledged before another was sent stands before it.
fn check_order(history: &History, ledger: &Ledger, violations: &mut Vec<Violation>) {
    let mut latest_invoked = 0;
    for entry in &ledger.entries {
        let Some(add) = history.adds.get(&entry.add) else {
            continue;
        };
        // Acceptance promises that an add is applied, not that it is applied before later ones.
        let applied = |answer: &&Answer| matches!(answer.outcome, Outcome::Applied(_));
        let acknowledged =
            add.answers.iter().filter(applied).map(|answer| answer.returned_ns).min();
        if acknowledged.is_some_and(|returned| returned < latest_invoked) {
            violations.push(Violation::OutOfOrder { add: entry.add });
        }
        latest_invoked = latest_invoked.max(add.invoked_ns);
    }
}

/// All answers agree with each other and with the ledger.
fn check_answers(number: u64, add: &Add, place: Option<Receipt>, violations: &mut Vec<Violation>) {
    let Some(first) = add.answers.first() else {
        return;
    };
    if add.answers.iter().any(|answer| answer.outcome != first.outcome) {
        violations.push(Violation::AnswersDiffer { add: number });
    }
    match (&first.outcome, place) {
        (Outcome::Applied(_) | Outcome::Accepted, None) => {
            violations.push(Violation::Lost { add: number });
        }
        (Outcome::Applied(said), Some(is)) if *said != is => {
            violations.push(Violation::WrongReceipt { add: number, said: *said, is });
        }
        (Outcome::Refused(reason), Some(_)) => {
            violations.push(Violation::RefusedButApplied { add: number, reason: reason.clone() });
        }
        (Outcome::Applied(_) | Outcome::Accepted, Some(_)) | (Outcome::Refused(_), None) => {}
    }
}

/// When adds were sent and acknowledged, per ledger, sorted, to judge reads.
struct Timelines<'a> {
    /// Times at which adds were sent.
    invoked: HashMap<&'a str, Vec<u64>>,
    /// (acknowledged at, highest count acknowledged until then).
    acknowledged: HashMap<&'a str, Vec<(u64, u64)>>,
}

impl<'a> Timelines<'a> {
    fn of(history: &'a History) -> Self {
        let mut invoked: HashMap<&str, Vec<u64>> = HashMap::new();
        let mut acknowledged: HashMap<&str, Vec<(u64, u64)>> = HashMap::new();
        for add in history.adds.values() {
            invoked.entry(&add.ledger).or_default().push(add.invoked_ns);
            let receipts = add.answers.iter().filter_map(|answer| match &answer.outcome {
                Outcome::Applied(receipt) => Some((answer.returned_ns, receipt.count)),
                Outcome::Accepted | Outcome::Refused(_) => None,
            });
            acknowledged.entry(&add.ledger).or_default().extend(receipts);
        }
        // What a read showed is as binding for later reads as an acknowledgement.
        for read in &history.reads {
            let shown = (read.returned_ns, read.seen.count);
            acknowledged.entry(&read.ledger).or_default().push(shown);
        }
        for times in invoked.values_mut() {
            times.sort_unstable();
        }
        for receipts in acknowledged.values_mut() {
            receipts.sort_unstable();
            let mut highest = 0;
            for (_, count) in receipts {
                highest = highest.max(*count);
                *count = highest;
            }
        }
        Self { invoked, acknowledged }
    }

    /// Why a read cannot be right, if it cannot.
    fn refute(&self, read: &Read, ledger: &Ledger) -> Option<&'static str> {
        let name = read.ledger.as_str();
        let acknowledged = self.acknowledged.get(name).map_or(&[][..], Vec::as_slice);
        let before = acknowledged.partition_point(|(returned, _)| *returned < read.invoked_ns);
        let at_least = before.checked_sub(1).map_or(0, |last| acknowledged[last].1);
        if read.seen.count < at_least {
            return Some("it is stale: more had been acknowledged before it was sent");
        }
        let invoked = self.invoked.get(name).map_or(&[][..], Vec::as_slice);
        let sent = invoked.partition_point(|sent| *sent < read.returned_ns) as u64;
        if read.seen.count > sent {
            return Some("it shows more adds than had been sent");
        }
        let Some(prefix) = ledger.entries.get(..read.seen.count as usize) else {
            return Some("it shows adds that the ledger lost");
        };
        let total: u64 = prefix.iter().map(|entry| u64::from(entry.amount)).sum();
        (total != read.seen.total).then_some("the ledger never had that total at that count")
    }
}
