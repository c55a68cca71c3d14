use std::collections::BTreeMap;

use callboard_types::{CallError, DueCursor, ErrorKind, Millis, limits};
use proptest::prelude::*;

use super::{
    change::{Create, Ended, Missed, Named, RACED, Resume, Triggered, Update},
    remembered::{REMEMBERED_MAX, REMEMBERED_MIN},
    requests::For,
    *,
};
use crate::machine::{
    Command, Machine,
    command::{ChangeSchedules, fixtures::machine},
    stored::Stored,
};

mod requests;

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

fn at(nominal: i64) -> Option<Next> {
    Some(Next { nominal: Millis(nominal), jitter_ms: 0 })
}

fn create(name: &str, first: i64) -> Create {
    Create {
        system: "default".into(),
        name: name.into(),
        spec: spec(When::Every(1_000)),
        first: at(first),
        paused: false,
        once: false,
        limit: 100,
    }
}

fn once(name: &str, due: i64) -> Create {
    Create { spec: spec(When::At(Millis(due))), once: true, ..create(name, due) }
}

fn of(name: &str) -> Named {
    Named { system: "default".into(), name: name.into() }
}

/// A machine with batches of one change each.
struct Cluster {
    machine: Machine,
    batch: u128,
}

impl Cluster {
    fn new() -> Self {
        Self { machine: machine(), batch: 0 }
    }

    fn change(&mut self, now: i64, change: Change) -> ChangeResult {
        self.batch += 1;
        self.again(self.batch, now, vec![change]).remove(0)
    }

    fn again(&mut self, id: u128, now: i64, changes: Vec<Change>) -> Vec<ChangeResult> {
        let command = ChangeSchedules { id, now: Millis(now), changes };
        self.machine.apply(Command::ChangeSchedules(command)).results
    }

    fn get(&self, name: &str) -> Option<Arc<Schedule>> {
        self.machine.schedules().get("default", name).cloned()
    }

    fn due(&self, until: i64) -> Vec<(i64, u64, u64)> {
        let due = self.machine.schedules().due(DueCursor::default(), Millis(until));
        let due = due.filter_map(|(at, schedule)| DueOccurrence::at(at, schedule));
        due.map(|one| (one.due.due.0, one.schedule.number(), one.due.number)).collect()
    }

    /// Has many others go, as many as are remembered whatever the time.
    fn crowd(&mut self, now: i64) {
        for other in 0..REMEMBERED_MIN as u128 {
            self.machine.schedules.gone.insert(Millis(now), other);
            self.machine.schedules.requests.insert(Millis(now), other);
        }
    }

    fn end(&mut self, now: i64, of: (u64, u64, u64), next: Option<Next>, missed: u64) {
        let (schedule, generation, number) = of;
        let (fired_at, error) = (Millis(now), String::new());
        let ended = Ended { schedule, generation, number, fired_at, error, next, missed };
        self.change(now, Change::Ended(ended)).expect("never refused");
    }
}

fn refusal(result: ChangeResult) -> CallError {
    result.expect_err("refused")
}

#[test]
fn a_schedule_is_made_once_and_another_one_under_its_name_is_refused() {
    let mut cluster = Cluster::new();
    let made = cluster.change(5, Change::Create(create("a", 100))).expect("made").expect("there");
    assert_eq!((made.number(), made.generation(), made.made()), (1, 1, Millis(5)));
    let again = cluster.change(9, Change::Create(create("a", 900))).expect("the same");
    assert_eq!(again, Some(made), "nothing moved");
    let other = Create { spec: spec(When::Every(2_000)), ..create("a", 100) };
    assert_eq!(refusal(cluster.change(9, Change::Create(other))).kind, ErrorKind::ScheduleConflict);
    let nowhere = Create { system: "nowhere".into(), ..create("a", 100) };
    assert_eq!(refusal(cluster.change(9, Change::Create(nowhere))).kind, ErrorKind::UnknownSystem);
    assert_eq!(cluster.due(99), []);
    assert_eq!(cluster.due(100), [(100, 1, 1)]);
}

#[test]
fn a_firing_ends_once_and_the_next_takes_its_place() {
    let mut cluster = Cluster::new();
    cluster.change(0, Change::Create(create("a", 100))).expect("made");
    cluster.end(150, (1, 1, 1), at(1_100), 0);
    assert_eq!(cluster.due(9_999), [(1_100, 1, 2)]);
    cluster.end(160, (1, 1, 1), at(5_000), 7);
    cluster.end(160, (1, 2, 2), at(5_000), 7);
    cluster.end(160, (9, 1, 1), at(5_000), 7);
    assert_eq!(cluster.due(9_999), [(1_100, 1, 2)], "known ends and other generations do nothing");
    let known = cluster.get("a").expect("there");
    assert_eq!(known.counters(), Counters { fired: 1, missed: 0, failed: 0 });
    assert_eq!(known.last(), (Some(Millis(150)), "".into()));
    let failed = Ended {
        schedule: 1,
        generation: 1,
        number: 2,
        fired_at: Millis(1_100),
        error: "NO_HOST: none".into(),
        next: None,
        missed: 3,
    };
    cluster.change(1_200, Change::Ended(failed)).expect("taken");
    let known = cluster.get("a").expect("an ended one stays");
    assert_eq!(known.counters(), Counters { fired: 2, missed: 3, failed: 1 });
    assert_eq!((known.next(), &*known.last().1), (None, "NO_HOST: none"));
}

#[test]
fn a_delayed_call_goes_when_it_is_made_and_is_known_for_the_outcome_window() {
    let mut cluster = Cluster::new();
    cluster.change(0, Change::Create(once("call", 100))).expect("made");
    let later = cluster.change(0, Change::Create(once("call", 200))).expect("the same call");
    assert_eq!(later.expect("there").next().map(|next| next.due()), Some(Millis(100)));
    let mut other = once("call", 100);
    other.spec.action = "Remove".into();
    assert_eq!(refusal(cluster.change(0, Change::Create(other))).kind, ErrorKind::ScheduleConflict);
    cluster.end(100, (1, 1, 1), None, 0);
    assert!(cluster.machine.schedules().is_empty());
    assert_eq!(cluster.change(101, Change::Create(once("call", 300))), Ok(None), "made already");
    assert!(cluster.machine.schedules().is_empty());
    // One clock that is ahead does not empty the memory; many others that go later do.
    let later = limits::OUTCOME_WINDOW_MS + 200;
    cluster.change(later, Change::Create(once("other", later))).expect("made");
    cluster.end(later, (2, 1, 1), None, 0);
    assert_eq!(cluster.change(later, Change::Create(once("call", later))), Ok(None), "known");
    cluster.crowd(later);
    cluster.change(later, Change::Create(once("call", later))).expect("made");
    assert_eq!(cluster.machine.schedules().len(), 1);
}

#[test]
fn a_batch_that_is_proposed_again_is_answered_and_not_applied() {
    let mut cluster = Cluster::new();
    let named = Create { spec: spec(When::At(Millis(100))), ..create("named", 100) };
    let full = Create { limit: 1, ..create("full", 100) };
    let batch = vec![Change::Create(named), Change::Create(full)];
    let first = cluster.again(77, 0, batch.clone());
    assert_eq!(first[1].as_ref().expect_err("full").kind, ErrorKind::QuotaExceeded);
    cluster.end(100, (1, 1, 1), None, 0);
    let second = cluster.again(77, 200, batch);
    assert_eq!(second[0], Ok(None), "it has fired and is not made again");
    assert_eq!(second[1], first[1]);
    assert!(cluster.machine.schedules().is_empty());
}

#[test]
fn refusals_are_remembered_up_to_a_bound_and_the_newest_batch_in_any_case() {
    let mut cluster = Cluster::new();
    let refused = |count| vec![Change::Pause(of("nobody")); count];
    cluster.again(1, 0, refused(1));
    let first = cluster.again(2, 0, refused(REFUSALS_KNOWN - 1));
    let known = |cluster: &Cluster| {
        let all = cluster.machine.schedules();
        (all.batches.iter().map(|(id, _)| *id).collect::<Vec<_>>(), all.refusals)
    };
    assert_eq!(known(&cluster), (vec![1, 2], REFUSALS_KNOWN));
    assert_eq!(cluster.again(2, 9, refused(REFUSALS_KNOWN - 1)), first);
    cluster.again(3, 0, refused(1));
    assert_eq!(known(&cluster), (vec![2, 3], REFUSALS_KNOWN));
    cluster.again(4, 0, refused(REFUSALS_KNOWN + 1));
    assert_eq!(known(&cluster), (vec![4], REFUSALS_KNOWN + 1));
    let back = Machine::from(Stored::from(&cluster.machine));
    assert_eq!(back, cluster.machine, "a snapshot counts the same");
}

#[test]
fn an_answer_counts_among_the_bytes_of_a_change() {
    let mut large = create(&"n".repeat(100), 100);
    large.spec.argument.data = vec![7; 16 * 1024];
    large.spec.metadata = vec![("m".repeat(4_096), "v".repeat(4_096))];
    large.spec.key = "k".repeat(limits::KEY_BYTES_MAX);
    let mut cluster = Cluster::new();
    let named = of(&large.name);
    let pause = Change::Pause(named.clone());
    let trigger = Change::Trigger(Triggered { of: named, request: 1 });
    for change in [Change::Create(large), pause, trigger] {
        let (asked, bytes) = (postcard::to_stdvec(&change).expect("encodes"), change.bytes());
        let answer = postcard::to_stdvec(&cluster.change(0, change)).expect("encodes");
        assert!(
            bytes >= asked.len() + answer.len(),
            "{bytes} < {} + {}",
            asked.len(),
            answer.len()
        );
    }
}

#[test]
fn an_update_raises_the_generation_and_keeps_the_counters() {
    let mut cluster = Cluster::new();
    cluster.change(0, Change::Create(create("a", 100))).expect("made");
    cluster.end(100, (1, 1, 1), at(1_100), 0);
    let update = |if_generation, every| Update {
        of: of("a"),
        spec: spec(When::Every(every)),
        first: at(5_000),
        if_generation,
    };
    let wrong = refusal(cluster.change(200, Change::Update(update(3, 5_000))));
    assert_eq!(wrong.kind, ErrorKind::ScheduleConflict);
    let updated = cluster.change(200, Change::Update(update(1, 5_000))).expect("updated");
    let updated = updated.expect("there");
    assert_eq!((updated.generation(), updated.counters().fired), (2, 1));
    assert_eq!((updated.made(), updated.since()), (Millis(0), Millis(200)));
    let again = cluster.change(900, Change::Update(update(1, 5_000))).expect("it is so already");
    assert_eq!(again, Some(updated));
    cluster.end(1_200, (1, 1, 2), at(9_000), 0);
    assert_eq!(cluster.due(9_999), [(5_000, 1, 3)], "the old occurrence is nobody's any more");
}

#[test]
fn a_pause_holds_back_what_was_not_due_and_what_passes_meanwhile_is_missed() {
    let mut cluster = Cluster::new();
    cluster.change(0, Change::Create(create("a", 100))).expect("made");
    cluster.change(50, Change::Pause(of("a"))).expect("paused");
    assert_eq!(cluster.due(9_999), []);
    let resume = |number, next, missed| {
        Change::Resume(Resume { of: of("a"), generation: 1, number, next, missed })
    };
    let raced = refusal(cluster.change(3_500, resume(7, at(4_100), 4)));
    assert!(raced.metadata.contains_key(RACED));
    cluster.change(3_500, resume(1, at(4_100), 4)).expect("resumed");
    assert_eq!(cluster.due(9_999), [(4_100, 1, 2)]);
    assert_eq!(cluster.get("a").expect("there").counters().missed, 4);
    // One that was due when the pause began is as it was.
    cluster.change(4_200, Change::Pause(of("a"))).expect("paused");
    assert_eq!(cluster.due(9_999), [(4_100, 1, 2)]);
    cluster.change(6_000, resume(2, at(6_100), 2)).expect("resumed");
    assert_eq!(cluster.due(9_999), [(4_100, 1, 2)]);
    cluster.end(6_050, (1, 1, 2), at(6_100), 1);
    let counters = cluster.get("a").expect("there").counters();
    assert_eq!(counters, Counters { fired: 1, missed: 5, failed: 0 });
}

#[test]
fn a_trigger_fires_a_paused_schedule_once_per_request_id() {
    let mut cluster = Cluster::new();
    let paused = Create { paused: true, ..create("a", 100) };
    cluster.change(0, Change::Create(paused)).expect("made");
    let trigger = |request| Change::Trigger(Triggered { of: of("a"), request });
    for _ in 0..3 {
        cluster.change(500, trigger(1)).expect("triggered");
    }
    assert_eq!(cluster.due(9_999), [(500, 1, 2)]);
    cluster.end(600, (1, 1, 2), at(7_777), 9);
    cluster.change(700, trigger(1)).expect("known");
    let known = cluster.get("a").expect("there");
    assert_eq!(known.counters(), Counters { fired: 1, missed: 0, failed: 0 });
    assert_eq!(known.next().map(|next| (next.number, next.due())), Some((1, Millis(100))));
    for request in 10..10 + record::TRIGGERS_MAX as u128 {
        cluster.change(800, trigger(request)).expect("triggered");
    }
    let error = refusal(cluster.change(800, trigger(99)));
    assert_eq!(error.kind, ErrorKind::QuotaExceeded);
    // Of several at one instant one after the other is handed out.
    let mut fired = Vec::new();
    while let Some((_, schedule, number)) = cluster.due(9_999).first().copied() {
        fired.push(number);
        cluster.end(900, (schedule, 1, number), None, 0);
    }
    assert_eq!(fired, (3..3 + record::TRIGGERS_MAX as u64).collect::<Vec<_>>());
}

#[test]
fn a_schedule_ends_after_its_last_firing() {
    let mut cluster = Cluster::new();
    let mut two = create("a", 100);
    two.spec.max_firings = Some(2);
    cluster.change(0, Change::Create(two)).expect("made");
    cluster.end(100, (1, 1, 1), at(1_100), 0);
    cluster.end(1_100, (1, 1, 2), at(2_100), 0);
    assert_eq!(cluster.due(99_999), []);
    assert_eq!(cluster.get("a").expect("listed").next(), None);
}

#[test]
fn a_system_has_as_many_schedules_as_it_may_and_others_are_not_in_its_way() {
    let mut cluster = Cluster::new();
    let system = crate::machine::command::CreateSystem { name: "shop".into() };
    cluster.machine.apply(Command::CreateSystem(system));
    let few = |name: &str| Create { limit: 2, ..create(name, 100) };
    for name in ["a", "b"] {
        cluster.change(0, Change::Create(few(name))).expect("made");
    }
    let error = refusal(cluster.change(0, Change::Create(few("c"))));
    assert_eq!((error.kind, error.metadata["limit"].as_str()), (ErrorKind::QuotaExceeded, "2"));
    cluster.change(0, Change::Create(few("a"))).expect("it is there");
    let shop = Create { system: "shop".into(), ..few("c") };
    cluster.change(0, Change::Create(shop)).expect("another system");
    cluster.change(0, Change::Delete(of("a"))).expect("deleted");
    cluster.change(0, Change::Create(few("c"))).expect("there is room again");
}

#[test]
fn bytes_of_all_schedules_are_bounded() {
    let mut cluster = Cluster::new();
    let large = |number: usize| {
        let mut create = Create { limit: u64::MAX, ..create(&format!("s{number}"), 100) };
        create.spec.argument.data = vec![0; 8 * 1024 * 1024];
        Change::Create(create)
    };
    let fit = SCHEDULES_BYTES_MAX / (8 * 1024 * 1024) - 1;
    for number in 0..fit {
        cluster.change(0, large(number)).expect("fits");
    }
    assert_eq!(refusal(cluster.change(0, large(fit))).kind, ErrorKind::QuotaExceeded);
    let grow = |more: usize| {
        let mut spec = spec(When::Every(1_000));
        spec.argument.data = vec![1; 8 * 1024 * 1024 + more];
        Change::Update(Update { of: of("s1"), spec, first: at(5_000), if_generation: 0 })
    };
    let before = cluster.get("s1");
    let error = refusal(cluster.change(0, grow(8 * 1024 * 1024)));
    assert_eq!((error.kind, cluster.get("s1")), (ErrorKind::QuotaExceeded, before));
    cluster.change(0, grow(1)).expect("there is room for as much");
    cluster.change(0, Change::Delete(of("s0"))).expect("deleted");
    cluster.change(0, large(fit)).expect("fits again");
}

#[test]
fn lists_are_by_name_within_a_prefix_and_from_where_the_last_page_ended() {
    let mut cluster = Cluster::new();
    for name in ["b1", "a2", "a1", "a3", "c"] {
        cluster.change(0, Change::Create(create(name, 100))).expect("made");
    }
    let list = |after: &str, prefix: &str| {
        let all = cluster.machine.schedules();
        all.list("default", after, prefix).map(|one| one.name().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(list("", ""), ["a1", "a2", "a3", "b1", "c"]);
    assert_eq!(list("a2", ""), ["a3", "b1", "c"]);
    assert_eq!(list("", "a"), ["a1", "a2", "a3"]);
    assert_eq!(list("a2", "a"), ["a3"]);
    assert_eq!(list("a", "a"), ["a1", "a2", "a3"]);
    assert_eq!(list("", "x"), [""; 0]);
}

/// What can happen to a few schedules.
fn changes() -> impl Strategy<Value = Vec<(i64, Change)>> {
    let name = || prop::sample::select(vec!["a", "b", "c"]);
    let next = || prop::option::of((0_i64..5_000).prop_map(|it| at(it).expect("some")));
    let change = prop_oneof![
        3 => (name(), 0_i64..5_000, any::<bool>()).prop_map(|(name, first, single)| {
            Change::Create(if single { once(name, first) } else { create(name, first) })
        }),
        1 => (name(), 1_000_u64..1_003, next()).prop_map(|(name, every, first)| {
            Change::Update(Update { of: of(name), spec: spec(When::Every(every)), first, if_generation: 0 })
        }),
        1 => name().prop_map(|name| Change::Pause(of(name))),
        1 => (name(), 1_u64..3, 1_u64..6, next(), 0_u64..3).prop_map(
            |(name, generation, number, next, missed)| {
                Change::Resume(Resume { of: of(name), generation, number, next, missed })
            }
        ),
        1 => (name(), 0_u128..8)
            .prop_map(|(name, request)| Change::Trigger(Triggered { of: of(name), request })),
        1 => name().prop_map(|name| Change::Delete(of(name))),
        2 => (name(), 0_i64..5_000, 0_u128..4).prop_map(|(name, first, request)| {
            Change::CreateFor(For { request, change: create(name, first) })
        }),
        1 => (name(), 0_u128..4)
            .prop_map(|(name, request)| Change::DeleteFor(For { request, change: of(name) })),
        8 => (1_u64..5, 1_u64..3, 1_u64..8, next(), 0_u64..3, any::<bool>()).prop_map(
            |(schedule, generation, number, next, missed, failed)| {
                let error = if failed { "X: y".to_owned() } else { String::new() };
                let fired_at = Millis(0);
                Change::Ended(Ended { schedule, generation, number, fired_at, error, next, missed })
            }
        ),
        2 => (1_u64..5, 1_u64..3, 1_u64..8, next(), 1_u64..3).prop_map(
            |(schedule, generation, number, next, missed)| {
                Change::Missed(Missed { schedule, generation, number, missed, next })
            }
        ),
    ];
    prop::collection::vec((0_i64..5_000, change), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn whatever_happens_every_occurrence_ends_once_and_the_indices_fit(changes in changes()) {
        let mut cluster = Cluster::new();
        let mut fired: BTreeMap<(u64, u64), u32> = BTreeMap::new();
        for (now, change) in changes {
            let before = cluster.machine.schedules().clone();
            if let Change::Ended(ended) = &change {
                let pending = before
                    .by_number(ended.schedule)
                    .is_some_and(|known| known.has_pending(ended.generation, ended.number));
                if pending {
                    *fired.entry((ended.schedule, ended.number)).or_default() += 1;
                }
            }
            let _ = cluster.change(now, change);
            let all = cluster.machine.schedules();
            // The index has exactly what is pending, and never before its time.
            let pending: std::collections::BTreeSet<(Millis, u64)> = all
                .by_number
                .values()
                .flat_map(|one| one.pending().map(|due| (due.due, one.number)).collect::<Vec<_>>())
                .collect();
            let indexed: std::collections::BTreeSet<_> = all.due.iter().copied().collect();
            prop_assert_eq!(pending, indexed);
            prop_assert!(cluster.due(2_500).iter().all(|(due, ..)| *due <= 2_500));
            let names: usize = all.names.values().map(imbl::OrdMap::len).sum();
            prop_assert_eq!(names, all.len());
            let bytes: usize = all.by_number.values().map(|one| one.bytes()).sum();
            prop_assert_eq!(bytes, all.bytes);
        }
        prop_assert!(fired.values().all(|times| *times == 1), "{:?}", fired);
        let back = Machine::from(Stored::from(&cluster.machine));
        prop_assert_eq!(back, cluster.machine, "a snapshot holds all of it");
    }
}

#[test]
fn a_single_time_that_has_fired_is_not_made_again_by_an_attempt_whose_answer_was_lost() {
    let mut cluster = Cluster::new();
    let once = |at| Create { spec: spec(When::At(Millis(at))), ..create("a", at) };
    cluster.change(0, Change::Create(once(100))).expect("made");
    cluster.end(150, (1, 1, 1), None, 0);
    let again = cluster.change(160, Change::Create(once(100))).expect("made").expect("as it was");
    assert_eq!((again.next(), again.counters().fired), (None, 1));
    assert!(cluster.get("a").is_none() && cluster.due(9_999).is_empty());
    // Another time is another schedule.
    cluster.change(170, Change::Create(once(200))).expect("made");
    assert_eq!(cluster.due(200), [(200, 2, 1)]);
    cluster.end(210, (2, 1, 1), None, 0);
    let late = 210 + callboard_types::limits::OUTCOME_WINDOW_MS + 1;
    cluster.change(late, Change::Create(once(300))).expect("made");
    cluster.end(late + 1, (3, 1, 1), None, 0);
    cluster.crowd(late + 1);
    cluster.change(late + 2, Change::Create(once(100))).expect("made");
    assert_eq!(cluster.due(200), [(100, 4, 1)], "by then nobody tries again");
}
