//! The checker is only worth something if it rejects what it should: each test breaks a good history in one way, at
//! many random places.

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;

const LEDGERS: u64 = 4;
const ADDS: u64 = 400;
const SEEDS: u64 = 50;

/// A history as a correct node produces it: calls overlap, some answers are lost, some calls are asked again.
fn good(seed: u64) -> (History, StdRng) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut history = History::default();
    let mut now = 0;
    for number in 0..ADDS {
        now += random.random_range(1..100);
        let name = format!("ledger-{}", random.random_range(0..LEDGERS));
        let amount = random.random_range(1..10);
        let ledger = history.ledgers.entry(name.clone()).or_default();
        ledger.entries.push(Entry { add: number, amount });
        ledger.total += u64::from(amount);
        let receipt = Receipt { count: ledger.entries.len() as u64, total: ledger.total };
        let invoked_ns = now - random.random_range(0..now.min(500));
        let mut answers = Vec::new();
        for _ in 0..random.random_range(0..3) {
            answers.push(Answer {
                returned_ns: now + random.random_range(1..500),
                outcome: Outcome::Applied(receipt),
            });
        }
        answers.sort_by_key(|answer| answer.returned_ns);
        history.adds.insert(number, Add { ledger: name.clone(), amount, invoked_ns, answers });
        if random.random_ratio(1, 4) {
            // The read takes effect now, between being sent and being answered.
            history.reads.push(Read {
                ledger: name,
                invoked_ns: now,
                returned_ns: now + random.random_range(1..50),
                seen: receipt,
            });
        }
    }
    (history, random)
}

/// Breaks good histories of many seeds in one way, and demands the violation each time.
fn always_found(break_it: impl Fn(&mut History, &mut StdRng), is_it: impl Fn(&Violation) -> bool) {
    for seed in 0..SEEDS {
        let (mut history, mut random) = good(seed);
        break_it(&mut history, &mut random);
        let violations = check(&history);
        assert!(violations.iter().any(&is_it), "seed {seed}: {violations:?}");
    }
}

/// A random add that was acknowledged, and where it stands.
fn acknowledged(history: &History, random: &mut StdRng) -> (u64, String, usize) {
    loop {
        let number = random.random_range(0..ADDS);
        let add = &history.adds[&number];
        if !add.answers.is_empty() {
            let entries = &history.ledgers[&add.ledger].entries;
            let place = entries.iter().position(|entry| entry.add == number);
            return (number, add.ledger.clone(), place.expect("a good history applies all"));
        }
    }
}

fn ledger<'a>(history: &'a mut History, name: &str) -> &'a mut Ledger {
    history.ledgers.get_mut(name).expect("the ledger exists")
}

#[test]
fn good_histories_pass() {
    for seed in 0..SEEDS {
        let (history, _) = good(seed);
        assert_eq!(check(&history), [], "seed {seed}");
    }
}

#[test]
fn an_add_that_was_sent_and_never_answered_may_be_missing() {
    let (mut history, _) = good(1);
    let unanswered =
        Add { ledger: "ledger-0".into(), amount: 5, invoked_ns: 1, answers: Vec::new() };
    history.adds.insert(ADDS, unanswered);
    assert_eq!(check(&history), []);
}

#[test]
fn an_accepted_add_may_come_late_but_must_come() {
    let (mut history, _) = good(1);
    let accepted = Add {
        ledger: "ledger-0".into(),
        amount: 5,
        invoked_ns: 1,
        answers: vec![Answer { returned_ns: 2, outcome: Outcome::Accepted }],
    };
    history.adds.insert(ADDS, accepted);
    assert_eq!(check(&history), [Violation::Lost { add: ADDS }]);

    let ledger = ledger(&mut history, "ledger-0");
    ledger.entries.push(Entry { add: ADDS, amount: 5 });
    ledger.total += 5;
    assert_eq!(check(&history), []);
}

#[test]
fn a_dropped_add_is_found() {
    always_found(
        |history, random| {
            let (_, name, place) = acknowledged(history, random);
            let ledger = ledger(history, &name);
            let entry = ledger.entries.remove(place);
            ledger.total -= u64::from(entry.amount);
        },
        |violation| matches!(violation, Violation::Lost { .. }),
    );
}

#[test]
fn a_lost_tail_is_found() {
    always_found(
        |history, random| {
            let (_, name, place) = acknowledged(history, random);
            let ledger = ledger(history, &name);
            ledger.entries.truncate(place);
            ledger.total = ledger.entries.iter().map(|entry| u64::from(entry.amount)).sum();
        },
        |violation| matches!(violation, Violation::Lost { .. }),
    );
}

#[test]
fn a_doubled_add_is_found() {
    always_found(
        |history, random| {
            let (_, name, place) = acknowledged(history, random);
            let ledger = ledger(history, &name);
            let entry = ledger.entries[place];
            ledger.entries.push(entry);
            ledger.total += u64::from(entry.amount);
        },
        |violation| matches!(violation, Violation::Doubled { .. }),
    );
}

#[test]
fn an_add_nobody_sent_is_found() {
    always_found(
        |history, random| {
            let (_, name, _) = acknowledged(history, random);
            let ledger = ledger(history, &name);
            ledger.entries.push(Entry { add: u64::MAX, amount: 1 });
            ledger.total += 1;
        },
        |violation| matches!(violation, Violation::Invented { .. }),
    );
}

#[test]
fn an_add_in_another_ledger_is_found() {
    always_found(
        |history, random| {
            let (_, name, place) = acknowledged(history, random);
            let entry = ledger(history, &name).entries.remove(place);
            let other = history.ledgers.keys().find(|other| **other != name).cloned();
            let other = other.expect("there are several ledgers");
            ledger(history, &other).entries.push(entry);
        },
        |violation| matches!(violation, Violation::Invented { .. }),
    );
}

#[test]
fn a_wrong_total_is_found() {
    always_found(
        |history, random| {
            let (_, name, _) = acknowledged(history, random);
            ledger(history, &name).total += 1;
        },
        |violation| matches!(violation, Violation::WrongTotal { .. }),
    );
}

#[test]
fn a_retry_that_ran_again_and_saw_another_state_is_found() {
    always_found(
        |history, random| {
            let (number, ..) = acknowledged(history, random);
            let add = history.adds.get_mut(&number).expect("the add exists");
            let mut again = add.answers[0].clone();
            again.returned_ns += 1_000;
            if let Outcome::Applied(receipt) = &mut again.outcome {
                receipt.count += 1;
            }
            add.answers.push(again);
        },
        |violation| matches!(violation, Violation::AnswersDiffer { .. }),
    );
}

#[test]
fn a_refused_add_that_was_applied_is_found() {
    always_found(
        |history, random| {
            let (number, ..) = acknowledged(history, random);
            let add = history.adds.get_mut(&number).expect("the add exists");
            for answer in &mut add.answers {
                answer.outcome = Outcome::Refused("TURN_CRASHED_HOST".into());
            }
        },
        |violation| matches!(violation, Violation::RefusedButApplied { .. }),
    );
}

#[test]
fn a_reply_from_a_state_that_was_thrown_away_is_found() {
    always_found(
        |history, random| {
            let (number, ..) = acknowledged(history, random);
            let add = history.adds.get_mut(&number).expect("the add exists");
            for answer in &mut add.answers {
                if let Outcome::Applied(receipt) = &mut answer.outcome {
                    receipt.total += 1;
                }
            }
        },
        |violation| matches!(violation, Violation::WrongReceipt { .. }),
    );
}

#[test]
fn an_add_that_overtook_an_acknowledged_one_is_found() {
    always_found(
        |history, random| {
            let (number, name, place) = acknowledged(history, random);
            let end = history.adds[&number].answers[0].returned_ns;
            let late =
                Add { ledger: name.clone(), amount: 1, invoked_ns: end + 1, answers: Vec::new() };
            history.adds.insert(ADDS, late);
            let ledger = ledger(history, &name);
            ledger.entries.insert(place, Entry { add: ADDS, amount: 1 });
            ledger.total += 1;
        },
        |violation| matches!(violation, Violation::OutOfOrder { .. }),
    );
}

#[test]
fn a_stale_read_is_found() {
    always_found(
        |history, random| {
            let (number, name, place) = acknowledged(history, random);
            let invoked_ns = history.adds[&number].answers[0].returned_ns + 1;
            let entries = &history.ledgers[&name].entries[..place];
            let total = entries.iter().map(|entry| u64::from(entry.amount)).sum();
            history.reads.push(Read {
                ledger: name,
                invoked_ns,
                returned_ns: invoked_ns + 10,
                seen: Receipt { count: place as u64, total },
            });
        },
        |violation| matches!(violation, Violation::BadRead { why, .. } if why.contains("stale")),
    );
}

#[test]
fn a_read_of_state_that_was_thrown_away_is_found() {
    always_found(
        |history, random| {
            let (number, name, place) = acknowledged(history, random);
            let invoked_ns = history.adds[&number].invoked_ns;
            let entries = &history.ledgers[&name].entries[..=place];
            let total: u64 = entries.iter().map(|entry| u64::from(entry.amount)).sum();
            history.reads.push(Read {
                ledger: name,
                invoked_ns,
                returned_ns: u64::MAX,
                seen: Receipt { count: place as u64 + 1, total: total + 1 },
            });
        },
        |violation| matches!(violation, Violation::BadRead { why, .. } if why.contains("total")),
    );
}
