//! The schedules of a mesh, as the test says them. Every node has the same copy, at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::{Mutex, MutexGuard},
};

use async_trait::async_trait;
use bytes::Bytes;
use callboard_data_plane::ports::Schedules;
use callboard_types::{
    ActorId, CallError, DueCursor, ErrorKind, Millis, Occurrence, OccurrenceEnd,
};
use tokio::sync::watch;

/// What is due, and what was said of it.
#[derive(Debug)]
pub struct ScriptedSchedules {
    agreed: Mutex<Agreed>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Agreed {
    due: BTreeMap<DueCursor, Occurrence>,
    /// Where each schedule stands in there.
    at: BTreeMap<u64, DueCursor>,
    ends: Vec<OccurrenceEnd>,
    once: BTreeSet<String>,
    /// True while no end can be agreed on.
    leaderless: bool,
}

impl Default for ScriptedSchedules {
    fn default() -> Self {
        Self { agreed: Mutex::default(), changes: watch::Sender::new(0) }
    }
}

/// The first occurrence of a schedule, which calls `default/TYPE/KEY`.
#[must_use]
pub fn occurrence(
    schedule: u64,
    due: i64,
    (actor_type, key, action): (&str, &str, &str),
) -> Occurrence {
    Occurrence {
        at: DueCursor { due: Millis(due), schedule },
        generation: 1,
        number: 1,
        name: format!("schedule {schedule}").into(),
        target: ActorId::parse("default", actor_type, key).expect("a valid name"),
        action: action.into(),
        argument: ("application/json".into(), String::new(), Bytes::from_static(b"1")),
        metadata: vec![("note".into(), "from the test".into())],
        accept_only: false,
    }
}

impl Agreed {
    fn add(&mut self, one: Occurrence) {
        self.at.insert(one.at.schedule, one.at);
        self.due.insert(one.at, one);
    }
}

impl ScriptedSchedules {
    fn agreed(&self) -> MutexGuard<'_, Agreed> {
        self.agreed.lock().expect("no test panics in here")
    }

    fn changed(&self) {
        self.changes.send_modify(|version| *version += 1);
    }

    /// The cluster agrees on occurrences.
    pub fn add(&self, occurrences: impl IntoIterator<Item = Occurrence>) {
        let mut agreed = self.agreed();
        occurrences.into_iter().for_each(|one| agreed.add(one));
        drop(agreed);
        self.changed();
    }

    /// From now on there is no leader that takes ends, or there is one again.
    pub fn set_leaderless(&self, leaderless: bool) {
        self.agreed().leaderless = leaderless;
    }

    /// How firings ended, once so many have.
    pub async fn ends(&self, count: usize) -> Vec<OccurrenceEnd> {
        let mut changes = self.changes.subscribe();
        loop {
            changes.borrow_and_update();
            let ends = self.agreed().ends.clone();
            if ends.len() >= count {
                return ends;
            }
            changes.changed().await.expect("the script lives as long as the mesh");
        }
    }
}

#[async_trait]
impl Schedules for ScriptedSchedules {
    fn changed(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn due(&self, after: DueCursor, until: Millis, limit: usize) -> Vec<Occurrence> {
        let agreed = self.agreed();
        let above = agreed.due.range((Bound::Excluded(after), Bound::Unbounded));
        let due = above.take_while(|(at, _)| at.due <= until).take(limit);
        due.map(|(_, one)| one.clone()).collect()
    }

    fn next_due(&self, after: Millis) -> Option<Millis> {
        let above = DueCursor { due: after, schedule: u64::MAX };
        let agreed = self.agreed();
        let next = agreed.due.range((Bound::Excluded(above), Bound::Unbounded)).next();
        next.map(|(at, _)| at.due)
    }

    async fn ended(&self, ends: Vec<OccurrenceEnd>) -> Result<(), CallError> {
        let mut agreed = self.agreed();
        if agreed.leaderless {
            let error = CallError::new(ErrorKind::NotOwner, "there is no leader");
            return Err(error);
        }
        for end in ends {
            let Some(at) = agreed.at.get(&end.schedule).copied() else { continue };
            let one = &agreed.due[&at];
            if (one.generation, one.number) == (end.generation, end.number) {
                agreed.due.remove(&at);
                agreed.at.remove(&end.schedule);
                agreed.ends.push(end);
            }
        }
        drop(agreed);
        self.changed();
        Ok(())
    }

    async fn once(&self, request_id: String, call: Occurrence) -> Result<String, CallError> {
        let name = format!("once-{request_id}");
        let mut agreed = self.agreed();
        if agreed.once.insert(request_id) {
            let schedule = 1_000_000 + agreed.once.len() as u64;
            let at = DueCursor { schedule, ..call.at };
            let name = name.as_str().into();
            agreed.add(Occurrence { at, name, generation: 1, number: 1, ..call });
        }
        drop(agreed);
        self.changed();
        Ok(name)
    }
}
