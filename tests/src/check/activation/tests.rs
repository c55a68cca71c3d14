//! Histories of one owner at a time pass, and each way to break one is noticed.

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;

const SEEDS: u64 = 50;

/// Calls that overlap, to an actor that is woken and moved now and then.
fn good(seed: u64) -> (Vec<Count>, StdRng) {
    let mut random = StdRng::seed_from_u64(seed);
    let (mut now, mut epoch, mut life, mut count) = (10_000, 1, 100, 0);
    let mut counts = Vec::new();
    for number in 0..400 {
        now += random.random_range(1..100);
        if random.random_ratio(1, 40) {
            (life, count) = (life + 1, 0);
            if random.random_bool(0.5) {
                epoch += random.random_range(1..3);
            }
        }
        count += 1;
        counts.push(Count {
            number,
            invoked_ns: now - random.random_range(0..500),
            returned_ns: now + random.random_range(1..500),
            epoch,
            life,
            count,
        });
    }
    (counts, random)
}

fn always_found(
    break_it: impl Fn(&mut Vec<Count>, &mut StdRng),
    is_it: impl Fn(&Violation) -> bool,
) {
    for seed in 0..SEEDS {
        let (mut counts, mut random) = good(seed);
        break_it(&mut counts, &mut random);
        let violations = check(&counts, Lives::End);
        assert!(violations.iter().any(&is_it), "seed {seed}: {violations:?}");
    }
}

#[test]
fn histories_of_one_owner_at_a_time_pass() {
    for seed in 0..SEEDS {
        let (counts, _) = good(seed);
        assert_eq!(check(&counts, Lives::End), [], "seed {seed}");
        assert_eq!(check(&counts, Lives::GoOn), [], "seed {seed}");
    }
}

#[test]
fn an_owner_that_answers_after_its_successor_did_is_found() {
    always_found(
        |counts, random| {
            let mut late = counts[random.random_range(0..100)];
            let last = counts[399];
            late.number = 1_000;
            late.epoch = last.epoch - 1;
            late.invoked_ns = last.returned_ns + 600;
            late.returned_ns = last.returned_ns + 700;
            late.count = 9_999;
            counts.push(late);
        },
        |violation| matches!(violation, Violation::EpochFell { late: 1_000, .. }),
    );
}

#[test]
fn two_copies_of_one_life_are_found() {
    always_found(
        |counts, random| {
            let mut twin = counts[random.random_range(0..counts.len())];
            twin.number = 1_000;
            counts.push(twin);
        },
        |violation| matches!(violation, Violation::CountedTwice { other: 1_000, .. }),
    );
}

#[test]
fn a_count_that_falls_is_found() {
    always_found(
        |counts, _| {
            let last = counts[counts.len() - 1];
            let later = last.returned_ns + 600;
            counts.push(Count {
                number: 1_000,
                invoked_ns: later,
                returned_ns: later + 5,
                count: last.count + 2,
                ..last
            });
            counts.push(Count {
                number: 1_001,
                invoked_ns: later + 10,
                returned_ns: later + 15,
                count: last.count + 1,
                ..last
            });
        },
        |violation| matches!(violation, Violation::CountFell { later: 1_000 | 1_001 }),
    );
}

#[test]
fn lives_that_take_turns_are_found() {
    always_found(
        |counts, _| {
            let last = counts[counts.len() - 1];
            for step in 0..4 {
                counts.push(Count {
                    number: 1_000 + step,
                    invoked_ns: last.returned_ns + 600 + step * 10,
                    returned_ns: last.returned_ns + 605 + step * 10,
                    life: 5_000 + step % 2,
                    count: step / 2 + 1,
                    ..last
                });
            }
        },
        |violation| matches!(violation, Violation::LivesOverlap { .. }),
    );
}

#[test]
fn a_life_that_outlives_its_epoch_is_found() {
    always_found(
        |counts, _| {
            let last = counts[counts.len() - 1];
            counts.push(Count {
                number: 1_000,
                invoked_ns: last.returned_ns + 600,
                returned_ns: last.returned_ns + 605,
                epoch: last.epoch + 1,
                count: last.count + 1,
                ..last
            });
        },
        |violation| matches!(violation, Violation::LifeCrossedEpochs { .. }),
    );
}
