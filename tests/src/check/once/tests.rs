//! A good story passes, and each way to break one is found.

use super::*;

fn place(actor: &str, number: u64, not_before_ms: i64) -> Place {
    Place { actor: actor.into(), amount: 5, number, not_before_ms, may_miss: false }
}

fn mark(cause: u64, number: u64, at_ms: i64) -> Mark {
    Mark { cause, amount: 5, number, at_ms }
}

fn marks(marks: &[Mark]) -> Marks {
    let total = marks.iter().map(|mark| u64::from(mark.amount)).sum();
    Marks { total, marks: marks.to_vec() }
}

/// 1 told another actor; nobody knows of 2, which happened, and of 3, which did not; 4 fired twice.
fn good() -> Story {
    let cause = |known, places: &[Place]| Cause { known, places: places.to_vec() };
    let told = [place("a", 0, 0), place("b", 0, 100)];
    Story {
        causes: BTreeMap::from([
            (1, cause(Known::Happened, &told)),
            (2, cause(Known::AsTheFirst, &told)),
            (3, cause(Known::AsTheFirst, &told)),
            (4, cause(Known::Happened, &[place("c", 1, 10), place("c", 2, 20)])),
            (5, cause(Known::Never, &told)),
        ]),
        actors: BTreeMap::from([
            ("a".into(), marks(&[mark(1, 0, 90), mark(2, 0, 91)])),
            ("b".into(), marks(&[mark(2, 0, 100), mark(1, 0, 120)])),
            ("c".into(), marks(&[mark(4, 1, 10), mark(4, 2, 25)])),
        ]),
    }
}

fn found_after(change: impl FnOnce(&mut Story)) -> Vec<Violation> {
    let mut story = good();
    change(&mut story);
    check(&story)
}

fn set(story: &mut Story, actor: &str, of: &[Mark]) {
    story.actors.insert(actor.into(), marks(of));
}

#[test]
fn a_good_story_passes() {
    assert_eq!(check(&good()), []);
}

#[test]
fn what_was_set_going_and_did_not_run_is_found() {
    let missing = |cause, actor: &str, number| {
        vec![Violation::Missing { cause, actor: actor.into(), number }]
    };
    assert_eq!(found_after(|story| set(story, "b", &[mark(2, 0, 100)])), missing(1, "b", 0));
    assert_eq!(found_after(|story| set(story, "b", &[mark(1, 0, 100)])), missing(2, "b", 0));
    assert_eq!(found_after(|story| set(story, "c", &[mark(4, 2, 25)])), missing(4, "c", 1));
    let lost_source = found_after(|story| set(story, "a", &[mark(2, 0, 91)]));
    assert_eq!(lost_source, missing(1, "a", 0));
}

#[test]
fn what_ran_twice_is_found() {
    let twice = [mark(2, 0, 100), mark(1, 0, 120), mark(1, 0, 130)];
    let found = found_after(|story| set(story, "b", &twice));
    let doubled = Violation::Doubled { cause: 1, actor: "b".into(), number: 0, times: 2 };
    assert_eq!(found, [doubled]);
}

#[test]
fn what_ran_without_a_cause_is_found() {
    let unasked =
        |cause, actor: &str| vec![Violation::Unasked { cause, actor: actor.into(), number: 0 }];
    let b = [mark(2, 0, 100), mark(1, 0, 120)];
    // Its turn did not commit.
    let found = found_after(|story| set(story, "b", &[&b[..], &[mark(3, 0, 110)]].concat()));
    assert_eq!(found, unasked(3, "b"));
    // It was refused.
    let found = found_after(|story| set(story, "b", &[&b[..], &[mark(5, 0, 110)]].concat()));
    assert_eq!(found, unasked(5, "b"));
    // Nobody ever asked for it.
    let found = found_after(|story| set(story, "d", &[mark(9, 0, 110)]));
    assert_eq!(found, unasked(9, "d"));
}

#[test]
fn what_ran_before_its_time_is_found() {
    let found = found_after(|story| set(story, "c", &[mark(4, 1, 7), mark(4, 2, 25)]));
    assert_eq!(found, [Violation::Early { cause: 4, actor: "c".into(), by_ms: 3 }]);
}

#[test]
fn a_total_or_an_amount_that_is_wrong_is_found() {
    let found = found_after(|story| story.actors.get_mut("a").expect("it is there").total = 11);
    assert_eq!(found, [Violation::Total { actor: "a".into(), total: 11, sum: 10 }]);
    let other = Mark { amount: 4, ..mark(1, 0, 90) };
    let found = found_after(|story| set(story, "a", &[other, mark(2, 0, 91)]));
    assert_eq!(found, [Violation::Amount { cause: 1, actor: "a".into() }]);
}

#[test]
fn of_what_nobody_knows_each_mark_may_be_there_or_not_but_once() {
    let unknown = |story: &mut Story| {
        story.causes.get_mut(&1).expect("it is there").known = Known::Nothing;
    };
    let found = found_after(|story| {
        unknown(story);
        set(story, "a", &[mark(2, 0, 91)]);
    });
    assert_eq!(found, []);
    let found = found_after(|story| {
        unknown(story);
        set(story, "a", &[mark(1, 0, 90), mark(1, 0, 91), mark(2, 0, 91)]);
    });
    assert_eq!(found.len(), 1);
}
