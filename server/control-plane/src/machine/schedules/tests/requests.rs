//! Requests whose answers were lost and that come again.

use super::*;

fn make(create: Create, request: u128) -> Change {
    Change::CreateFor(For { request, change: create })
}

fn delete(name: &str, request: u128) -> Change {
    Change::DeleteFor(For { request, change: of(name) })
}

/// A schedule that fires once, a second after it is made.
fn delayed(now: i64) -> Create {
    Create { spec: spec(When::After(1_000)), ..create("a", now + 1_000) }
}

#[test]
fn a_late_repetition_does_not_bring_back_a_schedule_that_somebody_deleted() {
    let mut cluster = Cluster::new();
    let made = cluster.change(0, make(create("a", 100), 7)).expect("made");
    assert_eq!(cluster.change(10, make(create("a", 900), 7)), Ok(made), "there, and unmoved");
    cluster.change(20, Change::Delete(of("a"))).expect("deleted");
    assert_eq!(cluster.change(30, make(create("a", 900), 7)), Ok(None), "made, and gone");
    assert_eq!(cluster.due(9_999), []);
    let another = cluster.change(40, make(create("a", 900), 8)).expect("another request");
    assert_eq!(another.map(|schedule| schedule.number()), Some(2));
    let elsewhere = cluster.change(40, make(create("b", 900), 7)).expect("another name");
    assert_eq!(elsewhere.map(|schedule| schedule.number()), Some(3));
}

#[test]
fn a_delay_is_counted_once_and_a_late_repetition_does_not_fire_it_again() {
    let mut cluster = Cluster::new();
    cluster.change(0, make(delayed(0), 7)).expect("made");
    cluster.change(500, make(delayed(500), 7)).expect("known");
    assert_eq!(cluster.due(9_999), [(1_000, 1, 1)], "from the attempt that made it");
    cluster.end(1_010, (1, 1, 1), None, 0);
    assert_eq!(cluster.change(1_100, make(delayed(1_100), 7)), Ok(None), "it has fired");
    assert_eq!(cluster.due(9_999), []);
    cluster.change(1_200, make(delayed(1_200), 8)).expect("the same delay once more");
    assert_eq!(cluster.due(9_999), [(2_200, 2, 1)]);
}

#[test]
fn a_request_for_what_is_there_already_is_known_as_well() {
    let mut cluster = Cluster::new();
    cluster.change(0, Change::Create(create("a", 100))).expect("made");
    cluster.change(1, make(create("a", 100), 7)).expect("the same");
    cluster.change(2, Change::Delete(of("a"))).expect("deleted");
    assert_eq!(cluster.change(3, make(create("a", 100), 7)), Ok(None));
}

#[test]
fn a_request_that_was_refused_is_not_known() {
    let mut cluster = Cluster::new();
    let never = Create { first: None, ..create("a", 100) };
    let error = refusal(cluster.change(0, make(never.clone(), 7)));
    assert_eq!(error.kind, ErrorKind::InvalidArgument);
    let full = Create { limit: 0, ..create("a", 100) };
    assert_eq!(refusal(cluster.change(0, make(full, 7))).kind, ErrorKind::QuotaExceeded);
    let nowhere = Create { system: "nowhere".into(), ..create("a", 100) };
    assert_eq!(refusal(cluster.change(0, make(nowhere, 7))).kind, ErrorKind::UnknownSystem);
    cluster.change(1, make(create("a", 100), 7)).expect("made").expect("there");
    cluster.change(2, Change::Delete(of("a"))).expect("deleted");
    assert_eq!(cluster.change(3, make(never, 7)), Ok(None), "its time may have passed by then");
}

#[test]
fn a_late_repetition_of_a_deletion_spares_what_was_made_since() {
    let mut cluster = Cluster::new();
    cluster.change(0, make(create("a", 100), 7)).expect("made");
    cluster.change(1, delete("a", 7)).expect("an id may be used for both");
    assert_eq!(cluster.get("a"), None);
    cluster.change(2, make(create("a", 200), 8)).expect("made");
    cluster.change(3, delete("a", 7)).expect("known");
    assert!(cluster.get("a").is_some());
    cluster.change(4, delete("a", 9)).expect("deleted");
    assert_eq!(cluster.get("a"), None);
}

#[test]
fn requests_are_forgotten_after_the_outcome_window_and_beyond_their_number() {
    let mut cluster = Cluster::new();
    cluster.change(0, make(create("a", 100), 7)).expect("made");
    cluster.change(0, Change::Delete(of("a"))).expect("deleted");
    let late = limits::OUTCOME_WINDOW_MS + 1;
    cluster.change(late, make(create("b", 100), 8)).expect("made");
    assert_eq!(cluster.change(late, make(create("a", 100), 7)), Ok(None), "there is room for it");
    let all = |cluster: &Cluster| cluster.machine.schedules().requests.iter().count();
    cluster.crowd(late);
    assert_eq!(all(&cluster), REMEMBERED_MIN + 1, "the older one went");
    cluster.change(late, make(create("a", 100), 7)).expect("made").expect("by then nobody asks");
    // At one instant, so that only their number counts.
    for other in 0..REMEMBERED_MAX as u128 {
        cluster.machine.schedules.requests.insert(Millis(late), other << 64);
    }
    assert_eq!(all(&cluster), REMEMBERED_MAX);
    let back = Machine::from(Stored::from(&cluster.machine));
    assert!(back == cluster.machine, "a snapshot holds all of it");
}
