//! From a history to what its calls and schedules set going.
//!
//! Delays and schedules go by the cluster's time, which no single clock moves: nothing comes early, whatever jumped.

use std::collections::{BTreeMap, HashMap};

use super::{Entry, Event, Reply, Verdict};
use crate::{
    chaos::{
        alarms,
        history::Act,
        talk::{ALARM, HEARER, HEARERS, TELLER},
    },
    check::once::{self, Cause, Known, Mark, Marks, Place, Story},
};

/// A schedule as the history tells of it.
#[derive(Debug)]
struct Alarm {
    starts_ms: i64,
    interval_ms: i64,
    firings: u32,
    made: bool,
    deleting: bool,
    deleted_ms: Option<i64>,
}

/// A call as the history tells of it.
#[derive(Debug)]
struct Call<'a> {
    at_ns: u64,
    actor: &'a str,
    act: &'a Act,
}

/// What a history tells of calls and schedules that set something going.
#[derive(Debug, Default)]
struct Told<'a> {
    calls: BTreeMap<u64, Call<'a>>,
    answers: HashMap<u64, &'a Reply>,
    alarms: BTreeMap<u64, Alarm>,
    /// Milliseconds since 1970 when the history began.
    begun_ms: Option<i64>,
    actors: BTreeMap<String, Marks>,
}

/// What should have happened, and what did.
#[must_use]
pub fn story(entries: &[Entry]) -> Story {
    let told = Told::read(entries);
    let mut causes = BTreeMap::new();
    for (number, call) in &told.calls {
        let cause = told.cause(call, told.answers.get(number).copied());
        causes.extend(cause.map(|cause| (*number, cause)));
    }
    for (number, alarm) in &told.alarms {
        causes.insert(*number, Told::alarm(*number, alarm));
    }
    Story { causes, actors: told.actors }
}

/// Judges what was set going, and counts it.
pub fn check(entries: &[Entry], verdict: &mut Verdict) {
    let story = story(entries);
    let told = Told::read(entries);
    for (number, call) in &told.calls {
        let reply = told.answers.get(number).copied();
        let counts = &mut verdict.talk;
        match (call.act, reply) {
            (Act::Tell { to, .. }, Some(Reply::Receipt { .. })) => counts.effects += to.len(),
            (Act::Say { .. }, Some(Reply::Receipt { .. })) => counts.broadcasts += 1,
            (Act::Relay { route, .. }, Some(Reply::Relayed { at, .. })) => {
                counts.chains += 1;
                if route.last() != Some(at) {
                    verdict.findings.push(format!(
                        "relay {number} was answered by {at}, which is not the end of its route"
                    ));
                }
            }
            _ => {}
        }
    }
    if story.actors.is_empty() {
        // A run that ended before it could read them has nothing to compare with.
        return;
    }
    let rung = story.actors.iter().filter(|(actor, _)| actor.starts_with(ALARM));
    verdict.talk.firings = rung.map(|(_, marks)| marks.marks.len()).sum();
    verdict.talk.deleted = told.alarms.values().filter(|alarm| alarm.deleted_ms.is_some()).count();
    let violations = once::check(&story);
    verdict.findings.extend(violations.iter().map(|violation| format!("talk: {violation}")));
}

impl<'a> Told<'a> {
    fn read(entries: &'a [Entry]) -> Self {
        let mut told = Self::default();
        for Entry { at_ns, event } in entries {
            match event {
                Event::Call { call, actor, act, .. } => {
                    told.calls.insert(*call, Call { at_ns: *at_ns, actor, act });
                }
                Event::Answer { call, reply, .. } => {
                    told.answers.entry(*call).or_insert(reply);
                }
                Event::Marks { actor, total, marks } => {
                    let mark = |(cause, amount, number, at_ms): &(u64, u32, u64, i64)| Mark {
                        cause: *cause,
                        amount: *amount,
                        number: *number,
                        at_ms: *at_ms,
                    };
                    let marks = Marks { total: *total, marks: marks.iter().map(mark).collect() };
                    told.actors.insert(actor.clone(), marks);
                }
                event => told.read_alarm(*at_ns, event),
            }
        }
        told
    }

    fn read_alarm(&mut self, at_ns: u64, event: &Event) {
        match event {
            Event::Alarm { alarm, starts_ms, interval_ms, firings, now_ms } => {
                self.begun_ms.get_or_insert(now_ms - (at_ns / 1_000_000) as i64);
                let (starts_ms, interval_ms) = (*starts_ms, *interval_ms as i64);
                let (firings, made, deleting, deleted_ms) = (*firings, false, false, None);
                let new = Alarm { starts_ms, interval_ms, firings, made, deleting, deleted_ms };
                self.alarms.insert(*alarm, new);
            }
            Event::AlarmMade { alarm } => {
                self.alarms.entry(*alarm).and_modify(|alarm| alarm.made = true);
            }
            Event::AlarmDeleting { alarm } => {
                self.alarms.entry(*alarm).and_modify(|alarm| alarm.deleting = true);
            }
            Event::AlarmDeleted { alarm, now_ms } => {
                self.alarms.entry(*alarm).and_modify(|alarm| alarm.deleted_ms = Some(*now_ms));
            }
            _ => {}
        }
    }

    fn cause(&self, call: &Call<'_>, reply: Option<&Reply>) -> Option<Cause> {
        let act = call.act;
        let known = match reply {
            // A later station may have been refused, and earlier ones not.
            Some(Reply::Refused { .. }) if matches!(act, Act::Relay { .. }) => Known::Nothing,
            Some(Reply::Refused { .. }) => Known::Never,
            None | Some(Reply::Unknown { .. }) => Known::AsTheFirst,
            Some(_) => Known::Happened,
        };
        let own = |amount| Place { actor: call.actor.to_owned(), ..place("", "", amount) };
        let places: Vec<Place> = match act {
            Act::Tell { amount, to } => {
                let since_ms = self.begun_ms.map(|ms| ms + (call.at_ns / 1_000_000) as i64);
                let others = to.iter().map(|told| Place {
                    not_before_ms: match since_ms {
                        Some(since_ms) if told.delay_ms > 0 => since_ms + told.delay_ms as i64,
                        _ => 0,
                    },
                    ..place(TELLER, &told.key, *amount)
                });
                std::iter::once(own(*amount)).chain(others).collect()
            }
            Act::Relay { amount, route, .. } => {
                route.iter().map(|key| place(TELLER, key, *amount)).collect()
            }
            Act::Say { amount } => {
                let others = HEARERS.map(|key| place(HEARER, key, *amount));
                std::iter::once(own(*amount)).chain(others).collect()
            }
            _ => return None,
        };
        Some(Cause { known, places })
    }

    /// What a schedule must have done.
    fn alarm(number: u64, alarm: &Alarm) -> Cause {
        let known = if alarm.made { Known::Happened } else { Known::Nothing };
        let firings = (1..=alarm.firings).map(|firing| {
            let due_ms = alarm.starts_ms + alarm.interval_ms * i64::from(firing - 1);
            // What was not yet due when it was gone must never come.
            let gone = alarm.deleted_ms.is_some_and(|deleted_ms| due_ms > deleted_ms);
            (!gone).then(|| Place {
                actor: format!("{ALARM}/{}", alarms::name(number)),
                amount: alarms::AMOUNT,
                number: u64::from(firing),
                not_before_ms: due_ms,
                may_miss: alarm.deleting,
            })
        });
        Cause { known, places: firings.flatten().collect() }
    }
}

fn place(kind: &str, key: &str, amount: u32) -> Place {
    Place { actor: format!("{kind}/{key}"), amount, number: 0, not_before_ms: 0, may_miss: false }
}
