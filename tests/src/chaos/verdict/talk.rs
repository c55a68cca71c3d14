//! From a history to what its calls and schedules set going.
//!
//! Delays and schedules go by the wall clock of whichever node is in charge. What a jump of a clock may have moved is
//! held to less: it may come early or late, but never twice.

use std::collections::{BTreeMap, HashMap};

use super::{Entry, Event, Reply, Verdict};
use crate::{
    chaos::{
        alarms,
        client::NOT_KEPT,
        history::Act,
        plan::Kind,
        talk::{ALARM, HEARER, HEARERS, TELLER},
    },
    check::once::{self, Cause, Known, Mark, Marks, Place, Story},
};

/// How long before and after a jump of a clock times do not count, in nanoseconds.
const AROUND_JUMP_NS: u64 = 2_000_000_000;

/// A schedule as the history tells of it.
#[derive(Debug)]
struct Alarm {
    at_ns: u64,
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
    answers: HashMap<u64, (u64, &'a Reply)>,
    alarms: BTreeMap<u64, Alarm>,
    jumps: Vec<(u64, u64)>,
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
        let cause = told.cause(call, told.answers.get(number));
        causes.extend(cause.map(|cause| (*number, cause)));
    }
    for (number, alarm) in &told.alarms {
        causes.insert(*number, told.alarm(*number, alarm));
    }
    Story { causes, actors: told.actors }
}

/// Judges what was set going, and counts it.
pub fn check(entries: &[Entry], verdict: &mut Verdict) {
    let story = story(entries);
    let told = Told::read(entries);
    for (number, call) in &told.calls {
        let reply = told.answers.get(number).map(|(_, reply)| *reply);
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
            (Act::Relay { .. }, Some(Reply::Unknown { reason })) if reason == NOT_KEPT => {
                let until_ns = told.answers.get(number).map_or(0, |(at_ns, _)| *at_ns);
                if !told.jumps(call.at_ns, until_ns) {
                    verdict.findings.push(format!(
                        "the end of relay {number} was not kept, although no clock had jumped"
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
        let mut jumping: HashMap<u64, u64> = HashMap::new();
        for Entry { at_ns, event } in entries {
            match event {
                Event::Call { call, actor, act, .. } => {
                    told.calls.insert(*call, Call { at_ns: *at_ns, actor, act });
                }
                Event::Answer { call, reply, .. } => {
                    told.answers.entry(*call).or_insert((*at_ns, reply));
                }
                Event::Fault { fault, kind, .. } if kind == Kind::ClockJump.name() => {
                    jumping.insert(*fault, *at_ns);
                }
                Event::Healed { fault, .. } => {
                    let begun = jumping.remove(fault);
                    told.jumps.extend(begun.map(|begun| (begun, *at_ns)));
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
        // A jump that never ended lasted until the end.
        told.jumps.extend(jumping.into_values().map(|begun| (begun, u64::MAX / 2)));
        told
    }

    fn read_alarm(&mut self, at_ns: u64, event: &Event) {
        match event {
            Event::Alarm { alarm, starts_ms, interval_ms, firings, now_ms } => {
                self.begun_ms.get_or_insert(now_ms - (at_ns / 1_000_000) as i64);
                let (starts_ms, interval_ms) = (*starts_ms, *interval_ms as i64);
                let (firings, made, deleting, deleted_ms) = (*firings, false, false, None);
                let new =
                    Alarm { at_ns, starts_ms, interval_ms, firings, made, deleting, deleted_ms };
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

    /// True if a clock may have been wrong at some time between these.
    fn jumps(&self, from_ns: u64, until_ns: u64) -> bool {
        self.jumps.iter().any(|(begun, ended)| {
            begun.saturating_sub(AROUND_JUMP_NS) <= until_ns
                && ended.saturating_add(AROUND_JUMP_NS) >= from_ns
        })
    }

    fn cause(&self, call: &Call<'_>, reply: Option<&(u64, &Reply)>) -> Option<Cause> {
        let (at_ns, act) = (call.at_ns, call.act);
        let known = match reply.map(|(_, reply)| *reply) {
            // A later station may have been refused, and earlier ones not.
            Some(Reply::Refused { .. }) if matches!(act, Act::Relay { .. }) => Known::Nothing,
            Some(Reply::Refused { .. }) => Known::Never,
            None | Some(Reply::Unknown { .. }) => Known::AsTheFirst,
            Some(_) => Known::Happened,
        };
        let own = |amount| Place { actor: call.actor.to_owned(), ..place("", "", amount) };
        let places: Vec<Place> = match act {
            Act::Tell { amount, to } => {
                let until_ns = reply.map_or(u64::MAX / 2, |(until_ns, _)| *until_ns);
                let others = to.iter().map(|told| {
                    let delay_ms = told.delay_ms as i64;
                    let skewed = delay_ms > 0
                        && self.jumps(at_ns, until_ns.saturating_add(told.delay_ms * 1_000_000));
                    let since_ms = self.begun_ms.map(|ms| ms + (at_ns / 1_000_000) as i64);
                    Place {
                        not_before_ms: match since_ms {
                            Some(since_ms) if delay_ms > 0 && !skewed => since_ms + delay_ms,
                            _ => 0,
                        },
                        may_miss: skewed,
                        ..place(TELLER, &told.key, *amount)
                    }
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
    fn alarm(&self, number: u64, alarm: &Alarm) -> Cause {
        let known = if alarm.made { Known::Happened } else { Known::Nothing };
        let lasts_ms = alarm.starts_ms + alarm.interval_ms * i64::from(alarm.firings);
        let begun_ms = self.begun_ms.unwrap_or_default();
        let until_ns = u64::try_from(lasts_ms - begun_ms).unwrap_or(0) * 1_000_000;
        let skewed = self.jumps(alarm.at_ns, until_ns);
        let firings = (1..=alarm.firings).map(|firing| {
            let due_ms = alarm.starts_ms + alarm.interval_ms * i64::from(firing - 1);
            // What was not yet due when it was gone must never come.
            let gone = alarm.deleted_ms.is_some_and(|deleted_ms| due_ms > deleted_ms);
            (!gone || skewed).then(|| Place {
                actor: format!("{ALARM}/{}", alarms::name(number)),
                amount: alarms::AMOUNT,
                number: u64::from(firing),
                not_before_ms: if skewed { 0 } else { due_ms },
                may_miss: alarm.deleting || (skewed && alarm.interval_ms > 0),
            })
        });
        Cause { known, places: firings.flatten().collect() }
    }
}

fn place(kind: &str, key: &str, amount: u32) -> Place {
    Place { actor: format!("{kind}/{key}"), amount, number: 0, not_before_ms: 0, may_miss: false }
}
