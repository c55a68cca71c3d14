//! A history that is good passes, and what each checker looks for reaches the verdict.

use super::*;

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
        answer(61, 6, Reply::Unknown { reason: "REQUEST_EXPIRED".into() }),
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

#[test]
fn what_each_checker_finds_reaches_the_verdict() {
    finds(|entries| *entries.last_mut().expect("there are some") = ledger(&[]), "is lost");
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
