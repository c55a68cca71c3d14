//! From a history to a verdict: splits it by actor, and lets each checker judge its part.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{
    actors::{COUNTER, LEDGER, REGISTER, TALLY},
    history::{Act, Entry, Event, Reply},
};
use crate::check::{
    self, Add, Answer, History, Ledger, Outcome, Read, Receipt,
    activation::{self, Count, Lives},
    register::{self, Finding, Operation},
};

pub mod talk;
#[cfg(test)]
mod tests;

/// What a history shows.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Calls made.
    pub calls: usize,
    /// Calls that were answered with what they asked for.
    pub answered: usize,
    /// Calls that were refused for good, by reason.
    pub refused: BTreeMap<String, usize>,
    /// Calls of which nobody knows what became.
    pub unknown: usize,
    /// Faults, by kind.
    pub faults: BTreeMap<String, usize>,
    /// Epochs above the first that counters were seen under: how often ownership moved under the clients' eyes.
    pub moves: usize,
    /// What actors set going.
    pub talk: Talk,
    /// Broken promises, in words.
    pub findings: Vec<String>,
}

/// What actors and schedules were seen to set going.
#[derive(Debug, Default)]
pub struct Talk {
    /// Effects of turns that were answered.
    pub effects: usize,
    /// Chains whose last station answered.
    pub chains: usize,
    /// Messages that were said.
    pub broadcasts: usize,
    /// Firings of schedules.
    pub firings: usize,
    /// Schedules that were deleted.
    pub deleted: usize,
}

struct Call<'a> {
    at_ns: u64,
    actor: &'a str,
    act: &'a Act,
    answers: Vec<(u64, &'a Reply)>,
}

/// Judges a history.
#[must_use]
pub fn judge(entries: &[Entry]) -> Verdict {
    let mut verdict = Verdict::default();
    let mut calls: BTreeMap<u64, Call<'_>> = BTreeMap::new();
    let mut ledgers = BTreeMap::new();
    for entry in entries {
        match &entry.event {
            Event::Call { call, actor, act, .. } => {
                let made = Call { at_ns: entry.at_ns, actor, act, answers: Vec::new() };
                calls.insert(*call, made);
            }
            Event::Answer { call, reply, .. } => {
                if let Some(call) = calls.get_mut(call) {
                    call.answers.push((entry.at_ns, reply));
                }
            }
            Event::Fault { kind, .. } => *verdict.faults.entry(kind.clone()).or_default() += 1,
            Event::Ledger { key, total, entries } => {
                let entries = entries.iter();
                let entries =
                    entries.map(|(add, amount)| check::Entry { add: *add, amount: *amount });
                let name = format!("{LEDGER}/{key}");
                ledgers.insert(name, Ledger { entries: entries.collect(), total: *total });
            }
            // The rest is for others.
            _ => {}
        }
    }
    count_calls(&calls, &mut verdict);
    check_ledgers(&calls, ledgers, &mut verdict);
    check_registers(&calls, &mut verdict);
    check_counters(&calls, &mut verdict);
    talk::check(entries, &mut verdict);
    verdict
}

fn count_calls(calls: &BTreeMap<u64, Call<'_>>, verdict: &mut Verdict) {
    verdict.calls = calls.len();
    for (number, call) in calls {
        match call.answers.first().map(|(_, reply)| *reply) {
            None => verdict.unknown += 1,
            // No client's clock is wrong, and one node's moves nothing.
            Some(Reply::Unknown { reason }) => {
                verdict.unknown += 1;
                verdict.findings.push(format!(
                    "call {number} to {} was taken for too old or too new: {reason}",
                    call.actor
                ));
            }
            Some(Reply::Refused { reason }) => {
                *verdict.refused.entry(reason.clone()).or_default() += 1;
            }
            Some(_) => verdict.answered += 1,
        }
        // What is asked again is answered as before. A refusal for its age may follow anything.
        let mut said = call.answers.iter().filter(|(_, reply)| known(reply));
        let first = said.next();
        if let Some((_, other)) = first.and_then(|first| said.find(|one| one.1 != first.1)) {
            verdict.findings.push(format!(
                "call {number} to {} was answered twice, and differently: {:?} and {other:?}",
                call.actor,
                first.map(|first| first.1),
            ));
        }
    }
}

fn known(reply: &Reply) -> bool {
    !matches!(reply, Reply::Unknown { .. })
}

/// What was read at the end decides; with a ledger that was not, there is nothing to compare.
fn check_ledgers(
    calls: &BTreeMap<u64, Call<'_>>,
    ledgers: BTreeMap<String, Ledger>,
    verdict: &mut Verdict,
) {
    let mut history = History { ledgers, ..History::default() };
    for (number, call) in calls.iter().filter(|(_, call)| of(call, LEDGER)) {
        let ledger = call.actor.to_owned();
        match call.act {
            Act::Add { amount } => {
                let answers = call.answers.iter().filter_map(|(at, reply)| {
                    let outcome = match reply {
                        Reply::Receipt { count, total } => {
                            Outcome::Applied(Receipt { count: *count, total: *total })
                        }
                        Reply::Accepted => Outcome::Accepted,
                        Reply::Refused { reason } => Outcome::Refused(reason.clone()),
                        _ => return None,
                    };
                    Some(Answer { returned_ns: *at, outcome })
                });
                let answers = answers.collect();
                let add = Add { ledger, amount: *amount, invoked_ns: call.at_ns, answers };
                if history.ledgers.contains_key(call.actor) {
                    history.adds.insert(*number, add);
                }
            }
            _ => {
                if let Some((at, Reply::Receipt { count, total })) = call.answers.first()
                    && history.ledgers.contains_key(call.actor)
                {
                    let seen = Receipt { count: *count, total: *total };
                    let read = Read { ledger, invoked_ns: call.at_ns, returned_ns: *at, seen };
                    history.reads.push(read);
                }
            }
        }
    }
    let violations = check::check(&history);
    verdict.findings.extend(violations.iter().map(|violation| format!("ledgers: {violation}")));
}

fn of(call: &Call<'_>, kind: &str) -> bool {
    call.actor.split_once('/').is_some_and(|(name, _)| name == kind)
}

fn check_registers(calls: &BTreeMap<u64, Call<'_>>, verdict: &mut Verdict) {
    let mut registers: HashMap<&str, Vec<Operation>> = HashMap::new();
    for (number, call) in calls.iter().filter(|(_, call)| of(call, REGISTER)) {
        let answer = call.answers.iter().find(|(_, reply)| known(reply));
        if matches!(answer, Some((_, Reply::Refused { .. }))) {
            continue;
        }
        let act = match (call.act, answer.map(|(_, reply)| *reply)) {
            (Act::Get, Some(Reply::Value { value })) => register::Act::Read { seen: Some(*value) },
            (Act::Write { value }, _) => register::Act::Write { value: *value },
            (Act::Swap { expected, value }, reply) => register::Act::Swap {
                expected: *expected,
                value: *value,
                swapped: match reply {
                    Some(Reply::Swapped { swapped }) => Some(*swapped),
                    _ => None,
                },
            },
            // A read without an answer shows nothing.
            _ => continue,
        };
        let returned_ns = answer.map(|(at, _)| *at);
        let operation = Operation { number: *number, invoked_ns: call.at_ns, returned_ns, act };
        registers.entry(call.actor).or_default().push(operation);
    }
    for (actor, operations) in registers {
        match register::check(&operations, register::STEPS_MAX) {
            Ok(()) => {}
            Err(Finding::NotLinearizable { operation }) => verdict.findings.push(format!(
                "{actor} is not linearizable: no order explains its operations up to call {operation}"
            )),
            Err(Finding::Undecided) => verdict.findings.push(format!(
                "{actor}: no order was found for its {} operations within the budget",
                operations.len()
            )),
        }
    }
}

fn check_counters(calls: &BTreeMap<u64, Call<'_>>, verdict: &mut Verdict) {
    for (kind, lives) in [(COUNTER, Lives::End), (TALLY, Lives::GoOn)] {
        let mut counters: BTreeMap<&str, Vec<Count>> = BTreeMap::new();
        for (number, call) in calls.iter().filter(|(_, call)| of(call, kind)) {
            if let Some((at, Reply::Counted { epoch, life, count })) = call.answers.first() {
                counters.entry(call.actor).or_default().push(Count {
                    number: *number,
                    invoked_ns: call.at_ns,
                    returned_ns: *at,
                    epoch: *epoch,
                    life: *life,
                    count: *count,
                });
            }
        }
        for (actor, counts) in counters {
            let epochs: HashSet<u64> = counts.iter().map(|count| count.epoch).collect();
            verdict.moves += epochs.len().saturating_sub(1);
            let violations = activation::check(&counts, lives);
            verdict
                .findings
                .extend(violations.iter().map(|violation| format!("{actor}: {violation}")));
        }
    }
}
