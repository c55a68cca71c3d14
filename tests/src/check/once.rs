//! What actors set going happens once: each effect, station of a chain, heard message and firing leaves one mark at its
//! actor, and none without a cause.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

#[cfg(test)]
mod tests;

/// What an actor wrote down of one turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The cause that it names.
    pub cause: u64,
    /// How much it added.
    pub amount: u32,
    /// Tells the firings of a schedule apart: the number of the occurrence, from 1. 0 elsewhere.
    pub number: u64,
    /// When the turn ran, in milliseconds since 1970, by a clock that never jumps.
    pub at_ms: i64,
}

/// An actor's marks in the order of its turns, and the sum that it kept of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    /// The sum of all amounts.
    pub total: u64,
    /// The marks.
    pub marks: Vec<Mark>,
}

/// What is known of a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It happened: all its marks must be there.
    Happened,
    /// It did not, and never will.
    Never,
    /// It happened if its first mark is there; then all others must be there too.
    AsTheFirst,
    /// Nothing: each mark may be there or not.
    Nothing,
}

/// A mark that a cause leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Where.
    pub actor: String,
    /// How much it adds.
    pub amount: u32,
    /// The number of the occurrence; 0 if it is none.
    pub number: u64,
    /// No earlier than this, in milliseconds since 1970.
    pub not_before_ms: i64,
    /// True if it need not be there even if the others are.
    pub may_miss: bool,
}

/// Something that leaves marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// What is known of it.
    pub known: Known,
    /// Its marks; the first one is that of the turn that set the others going.
    pub places: Vec<Place>,
}

/// Everything to be judged.
#[derive(Debug, Clone, Default)]
pub struct Story {
    /// Causes by their numbers.
    pub causes: BTreeMap<u64, Cause>,
    /// What each actor had at the end.
    pub actors: BTreeMap<String, Marks>,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// A mark is not there.
    Missing {
        /// The cause.
        cause: u64,
        /// Where it should be.
        actor: String,
        /// The number of the occurrence.
        number: u64,
    },
    /// A mark is there more than once.
    Doubled {
        /// The cause.
        cause: u64,
        /// Where.
        actor: String,
        /// The number of the occurrence.
        number: u64,
        /// How often.
        times: usize,
    },
    /// A mark is there that nothing explains.
    Unasked {
        /// The cause that it names.
        cause: u64,
        /// Where.
        actor: String,
        /// The number of the occurrence.
        number: u64,
    },
    /// A turn ran before its time.
    Early {
        /// The cause.
        cause: u64,
        /// Where.
        actor: String,
        /// How much too early, in milliseconds.
        by_ms: i64,
    },
    /// A mark adds another amount than it was told to.
    Amount {
        /// The cause.
        cause: u64,
        /// Where.
        actor: String,
    },
    /// An actor's sum is not that of its marks.
    Total {
        /// The actor.
        actor: String,
        /// What it kept.
        total: u64,
        /// What its marks add up to.
        sum: u64,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let which = |number: &u64| match number {
            0 => String::new(),
            number => format!(" (firing {number})"),
        };
        match self {
            Self::Missing { cause, actor, number } => {
                write!(f, "what {cause} set going{} is lost at {actor}", which(number))
            }
            Self::Doubled { cause, actor, number, times } => {
                write!(f, "what {cause} set going{} ran {times} times at {actor}", which(number))
            }
            Self::Unasked { cause, actor, number } => {
                write!(f, "{actor} ran {cause}{}, which nothing set going", which(number))
            }
            Self::Early { cause, actor, by_ms } => {
                write!(f, "what {cause} set going ran {by_ms} ms before its time at {actor}")
            }
            Self::Amount { cause, actor } => write!(f, "{actor} added another amount for {cause}"),
            Self::Total { actor, total, sum } => {
                write!(f, "the total of {actor} is {total}, but its marks add up to {sum}")
            }
        }
    }
}

/// Judges a story.
#[must_use]
pub fn check(story: &Story) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut seen: HashMap<(u64, String, u64), Vec<&Mark>> = HashMap::new();
    for (actor, marks) in &story.actors {
        let sum = marks.marks.iter().map(|mark| u64::from(mark.amount)).sum();
        if sum != marks.total {
            found.push(Violation::Total { actor: actor.clone(), total: marks.total, sum });
        }
        for mark in &marks.marks {
            seen.entry((mark.cause, actor.clone(), mark.number)).or_default().push(mark);
        }
    }
    for (number, cause) in &story.causes {
        check_cause(*number, cause, &mut seen, &mut found);
    }
    let mut unasked: Vec<_> = seen.into_keys().collect();
    unasked.sort_unstable();
    let unasked = unasked.into_iter();
    found.extend(unasked.map(|(cause, actor, number)| Violation::Unasked { cause, actor, number }));
    found
}

/// Takes the marks of a cause out of what was seen. Those of one that never happened stay: nothing explains them.
fn check_cause(
    number: u64,
    cause: &Cause,
    seen: &mut HashMap<(u64, String, u64), Vec<&Mark>>,
    found: &mut Vec<Violation>,
) {
    let happened = match cause.known {
        Known::Happened => true,
        Known::Never => return,
        Known::AsTheFirst => cause
            .places
            .first()
            .is_some_and(|first| seen.contains_key(&(number, first.actor.clone(), first.number))),
        Known::Nothing => false,
    };
    if cause.known == Known::AsTheFirst && !happened {
        return;
    }
    for place in &cause.places {
        let actor = place.actor.clone();
        let Some(marks) = seen.remove(&(number, actor.clone(), place.number)) else {
            if happened && !place.may_miss {
                found.push(Violation::Missing { cause: number, actor, number: place.number });
            }
            continue;
        };
        if marks.len() > 1 {
            let (actor, times) = (actor.clone(), marks.len());
            let place = place.number;
            found.push(Violation::Doubled { cause: number, actor, number: place, times });
        }
        for mark in marks {
            let by_ms = place.not_before_ms - mark.at_ms;
            if by_ms > 0 {
                found.push(Violation::Early { cause: number, actor: actor.clone(), by_ms });
            }
            if mark.amount != place.amount {
                found.push(Violation::Amount { cause: number, actor: actor.clone() });
            }
        }
    }
}
