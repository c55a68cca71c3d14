//! Linearizability of a register that is read, written and swapped: is there one order of all operations, each between
//! its call and its answer, in which a plain variable would have answered the same?
//!
//! The search is Wing and Gong's with Lowe's memory: an operation is tried as the next one of the order, taken back if
//! that leads nowhere, and no set of done operations with the same value is looked at twice.

use std::collections::HashSet;

#[cfg(test)]
mod tests;

/// Steps of the search after which it is given up. A history of a few calls at a time needs a few steps for each.
pub const STEPS_MAX: u64 = 20_000_000;

/// One operation as its caller saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// Its number, for people.
    pub number: u64,
    /// When it was first sent, in nanoseconds.
    pub invoked_ns: u64,
    /// When its answer came; `None` if none did, so that it may have happened at any later time, or never.
    pub returned_ns: Option<u64>,
    /// What it did.
    pub act: Act,
}

/// What an operation did. 0 is the value of a register that was never written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// It read the value.
    Read {
        /// What it saw; `None` if no answer came.
        seen: Option<u64>,
    },
    /// It set the value.
    Write {
        /// The value.
        value: u64,
    },
    /// It set the value if the register had the expected one.
    Swap {
        /// The expected value.
        expected: u64,
        /// The new value.
        value: u64,
        /// Whether it did; `None` if no answer came.
        swapped: Option<bool>,
    },
}

impl Act {
    /// The value after it, if it can come next.
    fn apply(self, value: u64) -> Option<u64> {
        match self {
            Self::Read { seen } => seen.is_none_or(|seen| seen == value).then_some(value),
            Self::Write { value } => Some(value),
            Self::Swap { expected, value: new, swapped } => {
                let swaps = expected == value;
                let fits = swapped.is_none_or(|swapped| swapped == swaps);
                fits.then_some(if swaps { new } else { value })
            }
        }
    }
}

/// Why a history is no good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// There is no such order. The search got furthest before this operation, which fits nowhere.
    NotLinearizable {
        /// The operation.
        operation: u64,
    },
    /// The search was given up: nobody knows.
    Undecided,
}

/// Looks for an order. Time grows with the number of operations that overlap, to the power of it at worst.
///
/// # Errors
/// Why there is none, or that the search took more than `steps`.
pub fn check(operations: &[Operation], steps: u64) -> Result<(), Finding> {
    Search::new(operations).run(steps)
}

/// The calls and answers of a history in the order of their times, as a list from which operations can be taken out and
/// put back in.
struct Search<'a> {
    operations: &'a [Operation],
    /// (operation, true for its call).
    marks: Vec<(usize, bool)>,
    /// Per mark, and one more for the head: the next one in the list.
    next: Vec<usize>,
    previous: Vec<usize>,
    /// Per operation, where its call and its answer stand.
    places: Vec<(usize, usize)>,
    done: Vec<u64>,
    value: u64,
    /// Answered operations that are not yet in the order.
    answered_left: usize,
    seen: HashSet<(Box<[u64]>, u64)>,
    /// Values that some operation is known to have met.
    met: HashSet<u64>,
    /// Values that some operation is known not to have met.
    missed: HashSet<u64>,
}

/// One step of the order: what can come next, and what was tried.
struct Step {
    /// Operations that can come next, last one first.
    candidates: Vec<usize>,
    /// The one that is tried now, and the value before it.
    tried: Option<(usize, u64)>,
}

impl<'a> Search<'a> {
    fn new(operations: &'a [Operation]) -> Self {
        let mut times: Vec<(u64, bool, usize)> = Vec::with_capacity(operations.len() * 2);
        let (mut met, mut missed) = (HashSet::new(), HashSet::new());
        for (index, operation) in operations.iter().enumerate() {
            times.push((operation.invoked_ns, true, index));
            times.push((operation.returned_ns.unwrap_or(u64::MAX), false, index));
            match operation.act {
                Act::Read { seen: Some(seen) } => drop(met.insert(seen)),
                Act::Swap { expected, swapped: Some(false), .. } => drop(missed.insert(expected)),
                // A swap without an answer may have met it.
                Act::Swap { expected, .. } => drop(met.insert(expected)),
                _ => {}
            }
        }
        // At the same time calls come first: what may overlap is taken to do so.
        times.sort_unstable_by_key(|(time, call, index)| (*time, !call, *index));
        let marks: Vec<(usize, bool)> =
            times.into_iter().map(|(_, call, index)| (index, call)).collect();
        let mut places = vec![(0, 0); operations.len()];
        for (place, (index, call)) in marks.iter().enumerate() {
            match call {
                true => places[*index].0 = place,
                false => places[*index].1 = place,
            }
        }
        let head = marks.len();
        Self {
            operations,
            next: (1..=head).chain([0]).collect(),
            previous: [head].into_iter().chain(0..head).collect(),
            marks,
            places,
            done: vec![0; operations.len().div_ceil(64)],
            value: 0,
            answered_left: operations.iter().filter(|one| one.returned_ns.is_some()).count(),
            seen: HashSet::new(),
            met,
            missed,
        }
    }

    fn run(&mut self, steps: u64) -> Result<(), Finding> {
        let (mut fewest_left, mut stuck) = (usize::MAX, 0);
        let mut order = vec![self.step()];
        for _ in 0..steps {
            if self.answered_left == 0 {
                return Ok(());
            }
            let Some(step) = order.last_mut() else {
                return Err(Finding::NotLinearizable { operation: stuck });
            };
            if let Some((index, value)) = step.tried.take() {
                self.put_back(index, value);
            }
            match step.candidates.pop() {
                None => {
                    if self.answered_left < fewest_left {
                        (fewest_left, stuck) = (self.answered_left, self.first_answer());
                    }
                    order.pop();
                }
                Some(index) => {
                    let before = self.value;
                    if self.try_next(index) {
                        step.tried = Some((index, before));
                        let next = self.step();
                        order.push(next);
                    }
                }
            }
        }
        Err(Finding::Undecided)
    }

    /// What can come next: everything that was called before the first answer. What was answered is tried before what
    /// was not, because the latter need not have happened at all.
    fn step(&self) -> Step {
        let (mut answered, mut open) = (Vec::new(), Vec::new());
        let mut at = self.next[self.marks.len()];
        while let Some((index, true)) = self.marks.get(at).copied() {
            match self.operations[index].returned_ns {
                Some(_) => answered.push(index),
                None if self.can_matter(index) => open.push(index),
                None => {}
            }
            at = self.next[at];
        }
        answered.reverse();
        open.append(&mut answered);
        Step { candidates: open, tried: None }
    }

    /// False if an operation without an answer makes no difference here: nobody met its value, and nobody missed the one
    /// that it takes away.
    fn can_matter(&self, index: usize) -> bool {
        let after = self.operations[index].act.apply(self.value);
        let changes = after.filter(|after| *after != self.value);
        changes.is_some_and(|after| self.met.contains(&after) || self.missed.contains(&self.value))
    }

    /// The operation whose answer comes first among those that are left.
    fn first_answer(&self) -> u64 {
        let mut at = self.next[self.marks.len()];
        while let Some((index, call)) = self.marks.get(at) {
            if !call {
                return self.operations[*index].number;
            }
            at = self.next[at];
        }
        0
    }

    /// Makes the operation the next one of the order, unless that cannot be or was tried.
    fn try_next(&mut self, index: usize) -> bool {
        let Some(value) = self.operations[index].act.apply(self.value) else {
            return false;
        };
        self.done[index / 64] ^= 1 << (index % 64);
        if !self.seen.insert((self.done.clone().into_boxed_slice(), value)) {
            self.done[index / 64] ^= 1 << (index % 64);
            return false;
        }
        self.value = value;
        self.answered_left -= usize::from(self.operations[index].returned_ns.is_some());
        let (call, answer) = self.places[index];
        for mark in [call, answer] {
            let (before, after) = (self.previous[mark], self.next[mark]);
            self.next[before] = after;
            self.previous[after] = before;
        }
        true
    }

    /// Takes the last operation out of the order again.
    fn put_back(&mut self, index: usize, value: u64) {
        self.value = value;
        self.done[index / 64] ^= 1 << (index % 64);
        self.answered_left += usize::from(self.operations[index].returned_ns.is_some());
        let (call, answer) = self.places[index];
        for mark in [answer, call] {
            let (before, after) = (self.previous[mark], self.next[mark]);
            self.next[before] = mark;
            self.previous[after] = mark;
        }
    }
}
