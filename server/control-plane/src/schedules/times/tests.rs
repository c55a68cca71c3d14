use proptest::prelude::*;

use super::*;
use crate::machine::{
    Command, DEFAULT_SYSTEM, Machine,
    command::{ChangeSchedules, CreateSystem},
    schedules::{Argument, Change, change::Create},
};

fn spec(when: When) -> Spec {
    Spec {
        system: String::new(),
        actor_type: "Counter".into(),
        key: "a".into(),
        action: "Add".into(),
        argument: Argument::default(),
        metadata: Vec::new(),
        when,
        jitter_ms: 0,
        overlap: Overlap::Skip,
        window_ms: 60_000,
        starts_at: None,
        ends_at: None,
        max_firings: None,
    }
}

fn cron(line: &str, zone: &str) -> Spec {
    spec(When::Cron { line: line.into(), zone: zone.into() })
}

fn utc(text: &str) -> Millis {
    Millis(DateTime::parse_from_rfc3339(text).expect("a time").timestamp_millis())
}

fn next(line: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let times = preview(&cron(line, zone), utc(after), count).expect("a cron line");
    let shown = times.iter().map(|time| {
        let time = DateTime::from_timestamp_millis(time.0).expect("a time");
        time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
    });
    shown.collect()
}

#[test]
fn a_time_that_a_change_of_clocks_skips_fires_right_after_the_gap() {
    // Berlin: 02:00 to 03:00 on 29 March 2026; New York: 8 March; Lord Howe by half an hour on 4 October.
    assert_eq!(
        next("30 2 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z", 3),
        ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
    );
    assert_eq!(
        next("15 2 * * *", "America/New_York", "2026-03-08T00:00:00Z", 2),
        ["2026-03-08T07:00:00Z", "2026-03-09T06:15:00Z"]
    );
    assert_eq!(
        next("10 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", 2),
        ["2026-10-03T15:30:00Z", "2026-10-04T15:10:00Z"]
    );
    // Many times of one gap are one instant.
    assert_eq!(
        next("*/20 2,3 * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", 3),
        ["2026-03-29T01:00:00Z", "2026-03-29T01:20:00Z", "2026-03-29T01:40:00Z"]
    );
}

#[test]
fn a_time_that_a_change_of_clocks_repeats_fires_the_first_time_only() {
    assert_eq!(
        next("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2),
        ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
    );
    assert_eq!(
        next("30 1 * * *", "America/New_York", "2026-11-01T05:30:00Z", 1),
        ["2026-11-02T06:30:00Z"],
        "from within the first of the two hours"
    );
    assert_eq!(
        next("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", 2),
        ["2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"]
    );
    // From within the second of the two hours.
    assert_eq!(
        next("*/30 * * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", 2),
        ["2026-10-25T02:00:00Z", "2026-10-25T02:30:00Z"]
    );
}

#[test]
fn a_whole_day_that_an_island_skipped_is_one_gap() {
    assert_eq!(
        next("0 12 * * *", "Pacific/Apia", "2011-12-29T21:00:00Z", 3),
        ["2011-12-29T22:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T22:00:00Z"]
    );
}

#[test]
fn lines_nicknames_and_seconds_mean_what_they_say() {
    assert_eq!(next("@daily", "", "2026-01-01T00:00:00Z", 1), ["2026-01-02T00:00:00Z"]);
    assert_eq!(next("*/10 * * * * *", "", "2026-01-01T00:00:00Z", 1), ["2026-01-01T00:00:10Z"]);
    assert_eq!(next("0 9 * * MON-FRI", "UTC", "2026-01-02T10:00:00Z", 1), ["2026-01-05T09:00:00Z"]);
    assert_eq!(next("0 0 29 2 *", "", "2026-01-01T00:00:00Z", 1), ["2028-02-29T00:00:00Z"]);
    for line in ["", "* * * *", "* * * * * * *", "61 * * * *", "@reboot", "@every 5m", "tomorrow"] {
        let error = Times::of("", "", &cron(line, ""), Millis(0)).expect_err(line);
        assert_eq!(error.kind, ErrorKind::InvalidArgument);
    }
    let error = Times::of("", "", &cron("@daily", "Mars/Base"), Millis(0)).expect_err("no zone");
    assert!(error.message.contains("Mars/Base"), "{error}");
}

#[test]
fn a_line_that_never_matches_has_no_time() {
    assert_eq!(next("0 0 30 2 *", "", "2026-01-01T00:00:00Z", 1), [""; 0]);
    assert_eq!(next("0 0 31 4 *", "Europe/Berlin", "2026-01-01T00:00:00Z", 1), [""; 0]);
}

#[test]
fn intervals_are_counted_from_their_start() {
    let since = Millis(1_000_050);
    let times = Times::of("", "", &spec(When::Every(100)), since).expect("fine");
    assert_eq!(times.first(since).map(|next| next.nominal), Some(Millis(1_000_150)));
    let started = Spec { starts_at: Some(Millis(2_000_000)), ..spec(When::Every(100)) };
    let times = Times::of("", "", &started, since).expect("fine");
    assert_eq!(times.first(since).map(|next| next.nominal), Some(Millis(2_000_000)));
    assert_eq!(times.after(Millis(2_000_000)), Some(Millis(2_000_100)));
    let ended = Spec { ends_at: Some(Millis(1_000_200)), ..spec(When::Every(100)) };
    let times = Times::of("", "", &ended, since).expect("fine");
    assert_eq!(times.after(Millis(1_000_150)), None);
}

#[test]
fn what_came_due_meanwhile_is_missed_queued_or_allowed() {
    let times = Times::of("", "", &spec(When::Every(1_000)), Millis(0)).expect("fine");
    let end = |overlap, now| times.after_end(overlap, Millis(1_000), Millis(now));
    let step = |nominal, missed| Step {
        next: Some(Next { nominal: Millis(nominal), jitter_ms: 0 }),
        missed,
    };
    assert_eq!(end(Overlap::Skip, 1_500), step(2_000, 0));
    assert_eq!(end(Overlap::Skip, 4_500), step(5_000, 3));
    assert_eq!(end(Overlap::Queue, 1_500), step(2_000, 0));
    assert_eq!(end(Overlap::Queue, 4_500), step(4_000, 2));
    assert_eq!(end(Overlap::Allow, 4_500), step(2_000, 0));
    assert_eq!(end(Overlap::Skip, 500), step(2_000, 0), "a clock that went back");

    let late = |overlap, window_ms, now| {
        let spec = Spec { overlap, window_ms, ..spec(When::Every(1_000)) };
        times.after_miss(&spec, Millis(1_000), Millis(now))
    };
    assert_eq!(late(Overlap::Queue, 2_500, 9_700), step(9_000, 8), "one is made up for");
    assert_eq!(late(Overlap::Allow, 2_500, 9_700), step(8_000, 7), "all in the window are");
    assert_eq!(late(Overlap::Skip, 100, 9_700), step(10_000, 9), "none is");
    assert_eq!(times.after_pause(Millis(1_000), Millis(3_500)), step(4_000, 3));
    assert_eq!(times.after_pause(Millis(1_000), Millis(500)), step(1_000, 0));
}

#[test]
fn a_cron_line_that_was_down_for_years_is_caught_up_with_at_once() {
    let times = Times::of("", "", &cron("* * * * * *", ""), Millis(0)).expect("fine");
    let now = utc("2026-01-01T00:00:00Z").plus(500);
    let step = times.after_end(Overlap::Skip, utc("2020-01-01T00:00:00Z"), now);
    assert_eq!(step.next.map(|next| next.nominal), Some(utc("2026-01-01T00:00:01Z")));
    assert!(step.missed >= COUNTED_MAX);
}

proptest! {
    #[test]
    fn jitter_is_within_its_bound_spread_and_the_same_each_time(
        name in "[a-z]{1,8}", jitter_ms in 1_u32..5_000, nominal in 0_i64..1_000_000_000,
    ) {
        let jittery = Spec { jitter_ms, ..spec(When::Every(1_000)) };
        let times = Times::of("s", &name, &jittery, Millis(0)).expect("fine");
        let again = Times::of("s", &name, &jittery, Millis(77)).expect("fine");
        let put_off = times.put_off(Millis(nominal));
        prop_assert!(put_off.jitter_ms <= jitter_ms);
        prop_assert_eq!(put_off, again.put_off(Millis(nominal)));
        let drawn: std::collections::BTreeSet<u32> =
            (0..64).map(|at| times.put_off(Millis(nominal + at)).jitter_ms * 4 / (jitter_ms + 1)).collect();
        prop_assert!(drawn.len() >= 2 || jitter_ms < 4);
    }

    #[test]
    fn counting_intervals_is_the_same_as_walking_them(
        interval in 100_u64..5_000, jitter_ms in 0_u32..3_000, past in 0_i64..200_000, skip: bool,
    ) {
        let jittery = Spec { jitter_ms, ..spec(When::Every(interval)) };
        let times = Times::of("s", "n", &jittery, Millis(0)).expect("fine");
        let nominal = times.first(Millis(0)).expect("one").nominal;
        let now = nominal.plus(past);
        let overlap = if skip { Overlap::Skip } else { Overlap::Queue };
        let step = times.after_end(overlap, nominal, now);
        let mut walked = Vec::new();
        let mut at = nominal;
        while let Some(next) = times.after(at).map(|next| times.put_off(next)) {
            if due(next) > now { walked.push(next); break; }
            at = next.nominal;
            walked.push(next);
        }
        let first_later = walked.pop();
        let missed = walked.len() as u64;
        match walked.pop().filter(|_| !skip) {
            Some(latest) => {
                prop_assert_eq!(step, Step { next: Some(latest), missed: missed - 1 });
            }
            None => prop_assert_eq!(step, Step { next: first_later, missed }),
        }
    }

    #[test]
    fn times_rise_and_a_step_is_never_before_its_time(
        minute in 0_u8..60, hour in 0_u8..24, after in 1_500_000_000_000_i64..1_900_000_000_000,
        zone in prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", ""]),
    ) {
        let spec = cron(&format!("{minute} {hour} * * *"), zone);
        let found = preview(&spec, Millis(after), 5).expect("fine");
        prop_assert_eq!(found.len(), 5);
        prop_assert!(found[0] > Millis(after));
        prop_assert!(found.windows(2).all(|pair| pair[0] < pair[1]));
    }
}

#[test]
fn what_was_agreed_on_later_than_its_times_were_computed_still_fires_each_of_them_once() {
    let schedule = |when| {
        let mut machine = Machine::default();
        let create = Create {
            system: DEFAULT_SYSTEM.into(),
            name: "a".into(),
            spec: spec(when),
            first: Some(Next { nominal: Millis(1_000), jitter_ms: 0 }),
            paused: false,
            once: false,
            limit: 1,
        };
        machine.apply(Command::CreateSystem(CreateSystem { name: DEFAULT_SYSTEM.into() }));
        let changes = vec![Change::Create(create)];
        let command = ChangeSchedules { id: 1, now: Millis(3), changes };
        let made = machine.apply(Command::ChangeSchedules(command)).results.remove(0);
        made.expect("made").expect("there")
    };
    let every = schedule(When::Every(1_000));
    let next = Next { nominal: Millis(2_000), jitter_ms: 0 };
    let step = Step { next: Some(next), missed: 0 };
    assert_eq!(after_end(&every, 1, Millis(1_010)), step);
    assert_eq!(after_end(&every, 1, Millis(1_001)), step);
    let (_, single) = Times::of_schedule(&schedule(When::After(1_000))).expect("times");
    let step = Step { next: None, missed: 1 };
    assert_eq!(single.after_pause(Millis(1_000), Millis(1_001)), step);
}

#[test]
fn a_preview_after_a_time_that_no_calendar_reaches_is_refused() {
    let preview =
        |after| crate::schedules::Schedules::preview(&cron("@daily", "Asia/Tokyo"), after, 2);
    for after in [i64::MIN, -1, LAST.0 + 1, i64::MAX] {
        let error = preview(Millis(after)).expect_err("out of range");
        assert_eq!(error.kind, ErrorKind::InvalidArgument, "{error}");
    }
    assert_eq!(preview(LAST).expect("in range"), []);
    assert_eq!(preview(Millis(0)).expect("in range").len(), 2);
}
