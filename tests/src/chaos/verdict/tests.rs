//! A history that is good passes, and what each checker looks for reaches the verdict.

use super::*;
use crate::chaos::history::Told;

fn call(at_ns: u64, call: u64, actor: &str, act: Act) -> Entry {
    let request = format!("r{call}");
    let actor = actor.to_owned();
    let event = Event::Call { call, client: 0, actor, act, asynchronous: false, request };
    Entry { at_ns, event }
}

fn answer(at_ns: u64, call: u64, reply: Reply) -> Entry {
    Entry { at_ns, event: Event::Answer { call, node: 1, attempts: 1, reply } }
}

fn ledger(entries: &[(u64, u32)]) -> Entry {
    let total = entries.iter().map(|(_, amount)| u64::from(*amount)).sum();
    let event = Event::Ledger { key: "a".into(), total, entries: entries.to_vec() };
    Entry { at_ns: 1_000, event }
}

fn good() -> Vec<Entry> {
    let receipt = |count, total| Reply::Receipt { count, total };
    vec![
        call(10, 1, "ChaosLedger/a", Act::Add { amount: 5 }),
        call(12, 2, "ChaosRegister/a", Act::Write { value: 7 }),
        answer(20, 1, receipt(1, 5)),
        answer(22, 2, Reply::Written),
        call(30, 3, "ChaosLedger/a", Act::Total),
        call(31, 4, "ChaosRegister/a", Act::Get),
        call(32, 5, "ChaosCounter/a", Act::Count),
        answer(40, 3, receipt(1, 5)),
        answer(41, 4, Reply::Value { value: 7 }),
        answer(42, 5, Reply::Counted { epoch: 3, life: 9, count: 1 }),
        answer(43, 1, receipt(1, 5)),
        call(50, 6, "ChaosRegister/a", Act::Swap { expected: 7, value: 8 }),
        call(51, 7, "ChaosLedger/a", Act::Add { amount: 1 }),
        answer(60, 7, Reply::Refused { reason: "TURN_CRASHED_HOST".into() }),
        Entry { at_ns: 61, event: Event::GaveUp { call: 6, last: "UNAVAILABLE".into() } },
        ledger(&[(1, 5)]),
    ]
}

#[test]
fn a_good_history_passes_and_is_counted() {
    let verdict = judge(&good());
    assert_eq!(verdict.findings, Vec::<String>::new());
    assert_eq!((verdict.calls, verdict.answered, verdict.unknown), (7, 5, 1));
    assert_eq!(verdict.refused["TURN_CRASHED_HOST"], 1);
}

fn finds(change: impl Fn(&mut Vec<Entry>), words: &str) {
    let mut entries = good();
    change(&mut entries);
    let verdict = judge(&entries);
    let found = verdict.findings.iter().any(|finding| finding.contains(words));
    assert!(found, "{words:?} is not in {:?}", verdict.findings);
}

/// Call 20 told b, 21 was relayed from a to b, 22 was heard by all; schedule 23 fired twice, and was deleted before its
/// third time.
fn talk() -> Vec<Entry> {
    let entry = |at_ns, event| Entry { at_ns, event };
    let to = vec![Told { key: "b".into(), delay_ms: 2 }];
    let relay = Act::Relay { amount: 1, route: vec!["a".into(), "b".into()], pipe: true };
    let receipt = Reply::Receipt { count: 1, total: 1 };
    let alarm = Event::Alarm { alarm: 23, starts_ms: 100, interval_ms: 10, firings: 3, now_ms: 50 };
    let mut entries = vec![
        entry(0, alarm),
        entry(1, Event::AlarmMade { alarm: 23 }),
        call(10, 20, "ChaosTeller/a", Act::Tell { amount: 1, to }),
        call(11, 21, "ChaosTeller/a", relay),
        call(12, 22, "ChaosTeller/a", Act::Say { amount: 1 }),
        answer(20, 20, receipt.clone()),
        answer(21, 21, Reply::Relayed { at: "b".into(), count: 2 }),
        answer(22, 22, receipt),
        entry(60, Event::AlarmDeleting { alarm: 23 }),
        entry(65, Event::AlarmDeleted { alarm: 23, now_ms: 115 }),
        marks("ChaosTeller/a", &[(20, 0, 51), (21, 0, 51), (22, 0, 51)]),
        marks("ChaosTeller/b", &[(20, 0, 53), (21, 0, 52)]),
        marks("ChaosAlarm/a23", &[(23, 1, 100), (23, 2, 110)]),
    ];
    entries.extend(["one", "two", "three", "four"].map(|key| heard(key, &[(22, 0, 60)])));
    entries
}

fn marks(actor: &str, marks: &[(u64, u64, i64)]) -> Entry {
    let amount = |cause| if cause == 23 { 3 } else { 1 };
    let marks = marks.iter().map(|(cause, number, at)| (*cause, amount(*cause), *number, *at));
    let marks: Vec<_> = marks.collect();
    let total = marks.iter().map(|(_, amount, ..)| u64::from(*amount)).sum();
    Entry { at_ns: 100, event: Event::Marks { actor: actor.into(), total, marks } }
}

fn heard(key: &str, all: &[(u64, u64, i64)]) -> Entry {
    marks(&format!("ChaosHearer/{key}"), all)
}

#[test]
fn actors_that_talk_pass_when_each_heard_everything_once() {
    let verdict = judge(&talk());
    assert_eq!(verdict.findings, Vec::<String>::new());
    let Talk { effects, chains, broadcasts, firings, deleted } = verdict.talk;
    assert_eq!((effects, chains, broadcasts, firings, deleted), (1, 1, 1, 2, 1));
}

#[test]
fn what_goes_wrong_between_actors_reaches_the_verdict() {
    let finds = |entry: Entry, words: &str| {
        let mut entries = talk();
        entries.push(entry);
        let verdict = judge(&entries);
        let found = verdict.findings.iter().any(|finding| finding.contains(words));
        assert!(found, "{words:?} is not in {:?}", verdict.findings);
    };
    let b = "ChaosTeller/b";
    finds(marks(b, &[(21, 0, 52)]), "20 set going is lost at ChaosTeller/b");
    finds(marks(b, &[(20, 0, 53)]), "21 set going is lost at ChaosTeller/b");
    finds(marks(b, &[(20, 0, 53), (20, 0, 54), (21, 0, 52)]), "20 set going ran 2 times");
    finds(marks(b, &[(20, 0, 51), (21, 0, 52)]), "20 set going ran 1 ms before its time");
    finds(heard("two", &[]), "22 set going is lost at ChaosHearer/two");
    let alarm = "ChaosAlarm/a23";
    finds(marks(alarm, &[(23, 1, 100), (23, 2, 110), (23, 3, 120)]), "which nothing set going");
    finds(marks(alarm, &[(23, 1, 90)]), "23 set going ran 10 ms before its time");
    let elsewhere = Reply::Relayed { at: "a".into(), count: 1 };
    finds(answer(30, 21, elsewhere), "twice, and differently");
    let mut entries = talk();
    entries[6] = answer(21, 21, Reply::Unknown { reason: "OUTCOME_NOT_KEPT".into() });
    assert!(judge(&entries).findings[0].contains("too old or too new: OUTCOME_NOT_KEPT"));
}

#[test]
fn an_interval_that_nobody_deleted_must_fire_to_its_end() {
    let mut entries = talk();
    entries.retain(|entry| {
        !matches!(entry.event, Event::AlarmDeleting { .. } | Event::AlarmDeleted { .. })
    });
    let verdict = judge(&entries);
    assert_eq!(verdict.findings, ["talk: what 23 set going (firing 3) is lost at ChaosAlarm/a23"]);
}

#[test]
fn what_each_checker_finds_reaches_the_verdict() {
    finds(|entries| *entries.last_mut().expect("there are some") = ledger(&[]), "is lost");
    let expired = Reply::Unknown { reason: "REQUEST_EXPIRED".into() };
    finds(|entries| entries[14] = answer(61, 6, expired.clone()), "too old or too new");
    finds(
        |entries| {
            *entries.last_mut().expect("there are some") = ledger(&[(1, 5), (7, 1)]);
        },
        "refused",
    );
    finds(|entries| entries[8] = answer(41, 4, Reply::Value { value: 0 }), "not linearizable");
    finds(
        |entries| entries[10] = answer(43, 1, Reply::Receipt { count: 2, total: 6 }),
        "twice, and differently",
    );
    finds(
        |entries| {
            entries.push(call(70, 8, "ChaosCounter/a", Act::Count));
            entries.push(answer(80, 8, Reply::Counted { epoch: 2, life: 8, count: 1 }));
        },
        "ChaosCounter/a: call 8",
    );
}
