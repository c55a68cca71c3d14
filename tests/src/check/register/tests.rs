//! Histories of a real register pass, and each way to break one is noticed.

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;

const SEEDS: u64 = 50;

/// A history of a correct register with a few clients, some answers of which are lost.
fn good(seed: u64, count: u64) -> (Vec<Operation>, StdRng) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut operations = Vec::new();
    let (mut now, mut register) = (10_000, 0);
    for number in 0..count {
        now += random.random_range(50..150);
        let act = match random.random_range(0..3) {
            0 => Act::Read { seen: Some(register) },
            1 => {
                register = number + 1;
                Act::Write { value: register }
            }
            _ => {
                let expected = if random.random_bool(0.5) { register } else { 0 };
                let swapped = expected == register;
                if swapped {
                    register = number + 1;
                }
                Act::Swap { expected, value: number + 1, swapped: Some(swapped) }
            }
        };
        let answered = random.random_ratio(24, 25);
        let act = match (answered, act) {
            (false, Act::Read { .. }) => Act::Read { seen: None },
            (false, Act::Swap { expected, value, .. }) => {
                Act::Swap { expected, value, swapped: None }
            }
            (_, act) => act,
        };
        operations.push(Operation {
            number,
            invoked_ns: now - random.random_range(0..300),
            returned_ns: answered.then(|| now + random.random_range(0..300)),
            act,
        });
    }
    (operations, random)
}

#[test]
fn histories_of_a_register_pass() {
    for seed in 0..SEEDS {
        assert_eq!(check(&good(seed, 400).0, STEPS_MAX), Ok(()), "seed {seed}");
    }
    assert_eq!(check(&[], STEPS_MAX), Ok(()));
}

/// Breaks good histories of many seeds in one way, and demands that it be noticed.
fn always_found(break_it: impl Fn(&mut Vec<Operation>, &mut StdRng) -> bool) {
    let mut broken = 0;
    for seed in 0..SEEDS {
        let (mut operations, mut random) = good(seed, 80);
        if break_it(&mut operations, &mut random) {
            broken += 1;
            let found = check(&operations, STEPS_MAX);
            assert!(
                matches!(found, Err(Finding::NotLinearizable { .. })),
                "seed {seed}: {found:?}"
            );
        }
    }
    assert!(broken > SEEDS / 2, "only {broken} histories could be broken");
}

#[test]
fn a_value_from_nowhere_is_found() {
    always_found(|operations, random| {
        let at = random.random_range(0..operations.len());
        let operation = &mut operations[at];
        let answered = operation.returned_ns.is_some();
        if let (Act::Read { seen }, true) = (&mut operation.act, answered) {
            *seen = Some(999_999);
            return true;
        }
        operation.act = Act::Read { seen: Some(999_999) };
        operation.returned_ns.is_some()
    });
}

#[test]
fn a_stale_read_is_found() {
    always_found(|operations, random| {
        let at = random.random_range(operations.len() / 2..operations.len());
        let Some(written) = operations[..at / 4].iter().find_map(|old| match old.act {
            Act::Write { value } if old.returned_ns.is_some() => Some(value),
            _ => None,
        }) else {
            return false;
        };
        // Between the old write and now lie many writes that were answered, and none wrote this value again.
        let now = operations[at].invoked_ns + 400;
        let read = Operation {
            number: 7_777,
            invoked_ns: now,
            returned_ns: Some(now + 1),
            act: Act::Read { seen: Some(written) },
        };
        operations.push(read);
        true
    });
}

#[test]
fn a_lost_write_is_found() {
    always_found(|operations, _| {
        let last = operations.iter().map(|one| one.returned_ns.unwrap_or(0)).max().unwrap_or(0);
        let at = |number, time, act| Operation {
            number,
            invoked_ns: time,
            returned_ns: Some(time + 1),
            act,
        };
        operations.push(at(8_000, last + 10, Act::Write { value: 8_000 }));
        operations.push(at(8_001, last + 20, Act::Write { value: 8_001 }));
        operations.push(at(8_002, last + 30, Act::Read { seen: Some(8_000) }));
        true
    });
}

#[test]
fn two_swaps_of_the_same_value_are_found() {
    always_found(|operations, _| {
        let last = operations.iter().map(|one| one.returned_ns.unwrap_or(0)).max().unwrap_or(0);
        let swap = |number, value| Operation {
            number,
            invoked_ns: last + 20,
            returned_ns: Some(last + 40),
            act: Act::Swap { expected: 9_000, value, swapped: Some(true) },
        };
        let write = Act::Write { value: 9_000 };
        operations.push(Operation {
            number: 9_000,
            invoked_ns: last + 5,
            returned_ns: Some(last + 10),
            act: write,
        });
        operations.push(swap(9_001, 9_001));
        operations.push(swap(9_002, 9_002));
        true
    });
}

#[test]
fn a_search_that_takes_too_long_is_no_pass() {
    let (operations, _) = good(1, 100);
    assert_eq!(check(&operations, 10), Err(Finding::Undecided));
}
