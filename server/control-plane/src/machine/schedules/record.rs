//! One schedule as the machine holds it: small, because there may be a million.

use std::sync::Arc;

use callboard_types::Millis;
use serde::{Deserialize, Serialize};

use super::spec::Spec;

/// Triggers of one schedule that wait or run at a time.
pub const TRIGGERS_MAX: usize = 16;
/// Triggers whose request ids a schedule remembers.
const TRIGGERS_KNOWN: usize = 64;

/// What [`More`] takes besides its lists and its error, about.
const MORE_BYTES: usize = 160;
/// What a trigger that has not ended takes.
const TRIGGER_BYTES: usize = 24;

/// A schedule as it stands. Cheap to hand out: see [`super::Schedules::get`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    pub(super) number: u64,
    pub(super) system: Arc<str>,
    pub(super) name: Arc<str>,
    /// The encoded [`Spec`].
    pub(super) spec: Arc<[u8]>,
    pub(super) generation: u64,
    /// When this generation was made.
    pub(super) since: Millis,
    /// The highest number that an occurrence has.
    pub(super) last_number: u64,
    /// The occurrence that its own times ask for next.
    pub(super) next: Option<Pending>,
    /// It goes when it has fired.
    pub(super) one_shot: bool,
    /// It stands for one delayed call, and is remembered for a while when it is gone.
    pub(super) once: bool,
    /// What most schedules have none of. Boxed to keep the others small.
    pub(super) more: Option<Box<More>>,
}

/// An occurrence that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Its number.
    pub number: u64,
    /// When it is meant to be.
    pub nominal: Millis,
    /// By how many milliseconds it is put off.
    pub jitter_ms: u32,
}

/// A time of a schedule, as whoever proposes a change computed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Next {
    /// When it is meant to be.
    pub nominal: Millis,
    /// By how many milliseconds it is put off.
    pub jitter_ms: u32,
}

/// An occurrence that somebody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Trigger {
    pub(super) number: u64,
    pub(super) generation: u64,
    pub(super) due: Millis,
}

/// What a schedule has once something happened to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct More {
    pub(super) made: Option<Millis>,
    pub(super) paused_at: Option<Millis>,
    pub(super) fired: u64,
    pub(super) missed: u64,
    pub(super) failed: u64,
    pub(super) last_fired: Option<Millis>,
    pub(super) last_error: Arc<str>,
    pub(super) triggers: Vec<Trigger>,
    pub(super) triggered: Vec<u128>,
}

/// How often a schedule did what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Firings that ended.
    pub fired: u64,
    /// Occurrences that did not fire.
    pub missed: u64,
    /// Firings that ended with an error.
    pub failed: u64,
}

/// One of a schedule's pending occurrences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// When it is due.
    pub due: Millis,
    /// Its number.
    pub number: u64,
    /// The generation that it belongs to.
    pub generation: u64,
    /// True if somebody asked for it, beside the schedule's own times.
    pub triggered: bool,
}

impl Pending {
    /// When it is due.
    #[must_use]
    pub fn due(&self) -> Millis {
        self.nominal.plus(self.jitter_ms.into())
    }
}

impl Schedule {
    /// Never used for another schedule.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Its system.
    #[must_use]
    pub fn system(&self) -> &Arc<str> {
        &self.system
    }

    /// Its name within the system.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What it is told to do.
    #[must_use]
    pub fn spec(&self) -> Spec {
        Spec::decode(&self.spec)
    }

    /// Raised with each update.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// When this generation was made.
    #[must_use]
    pub fn since(&self) -> Millis {
        self.since
    }

    /// When it was made.
    #[must_use]
    pub fn made(&self) -> Millis {
        self.more.as_ref().and_then(|more| more.made).unwrap_or(self.since)
    }

    /// What its own times ask for next; None if it has ended.
    #[must_use]
    pub fn next(&self) -> Option<Pending> {
        self.next
    }

    /// Since when it is paused, if it is.
    #[must_use]
    pub fn paused_at(&self) -> Option<Millis> {
        self.more.as_ref().and_then(|more| more.paused_at)
    }

    /// How often it did what.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.more.as_ref().map_or_else(Counters::default, |more| Counters {
            fired: more.fired,
            missed: more.missed,
            failed: more.failed,
        })
    }

    /// When its newest firing was, and why that failed if it did.
    #[must_use]
    pub fn last(&self) -> (Option<Millis>, Arc<str>) {
        let more = self.more.as_ref();
        more.map_or_else(
            || (None, "".into()),
            |more| (more.last_fired, Arc::clone(&more.last_error)),
        )
    }

    /// The occurrences that may fire once they are due. A pause holds back what was not due when it began.
    pub fn pending(&self) -> impl Iterator<Item = Due> {
        let paused_at = self.paused_at();
        let own = self.next.filter(|next| paused_at.is_none_or(|since| next.due() <= since));
        let own = own.map(|next| Due {
            due: next.due(),
            number: next.number,
            generation: self.generation,
            triggered: false,
        });
        let triggers = self.more.iter().flat_map(|more| &more.triggers);
        own.into_iter().chain(triggers.map(|trigger| Due {
            due: trigger.due,
            number: trigger.number,
            generation: trigger.generation,
            triggered: true,
        }))
    }

    /// True if the occurrence has not ended.
    #[must_use]
    pub fn has_pending(&self, generation: u64, number: u64) -> bool {
        let own = self.next.is_some_and(|next| next.number == number);
        own && self.generation == generation || self.trigger(generation, number).is_some()
    }

    pub(super) fn trigger(&self, generation: u64, number: u64) -> Option<usize> {
        let mut triggers = self.more.as_ref()?.triggers.iter();
        triggers.position(|one| one.number == number && one.generation == generation)
    }

    pub(super) fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    /// Sets what comes next, with a number of its own.
    pub(super) fn set_next(&mut self, next: Option<Next>) {
        self.next = next.map(|next| {
            self.last_number += 1;
            let Next { nominal, jitter_ms } = next;
            Pending { number: self.last_number, nominal, jitter_ms }
        });
    }

    /// Remembers a trigger. False if it is known already.
    pub(super) fn remember_trigger(&mut self, request: u128) -> bool {
        let known = &mut self.more().triggered;
        if known.contains(&request) {
            return false;
        }
        if known.len() >= TRIGGERS_KNOWN {
            known.remove(0);
        }
        known.push(request);
        true
    }
}

impl More {
    /// About what it takes in memory. The same on every node, so not by the sizes of types.
    pub(super) fn bytes(&self) -> usize {
        MORE_BYTES
            + self.last_error.len()
            + self.triggers.len() * TRIGGER_BYTES
            + self.triggered.len() * size_of::<u128>()
    }
}
