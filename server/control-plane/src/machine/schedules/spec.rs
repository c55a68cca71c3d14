//! What a schedule is told to do. Part of commands and snapshots: changing a field needs a new command version.

use callboard_types::Millis;
use serde::{Deserialize, Serialize};

/// When, whom and how a schedule calls. Checked by whoever proposes it; the machine only keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The target's system; empty stands for the schedule's own.
    pub system: String,
    /// The target's type.
    pub actor_type: String,
    /// The target's key.
    pub key: String,
    /// The action that is called.
    pub action: String,
    /// The argument.
    pub argument: Argument,
    /// Metadata of the call, sorted by name.
    pub metadata: Vec<(String, String)>,
    /// The times.
    pub when: When,
    /// How far an occurrence may be put off, in milliseconds.
    pub jitter_ms: u32,
    /// What happens to an occurrence that is due while the one before it runs.
    pub overlap: Overlap,
    /// Occurrences that are later than this are missed, in milliseconds.
    pub window_ms: u64,
    /// No occurrence before.
    pub starts_at: Option<Millis>,
    /// No occurrence after.
    pub ends_at: Option<Millis>,
    /// Ends after so many firings.
    pub max_firings: Option<u64>,
}

/// The argument of a scheduled call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Argument {
    /// The media type; empty if there is no argument.
    pub content_type: String,
    /// The message's full name, if it is one.
    pub type_url: String,
    /// The bytes.
    pub data: Vec<u8>,
}

/// The times of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum When {
    /// Once, at this time.
    At(Millis),
    /// Once, so many milliseconds after it was made.
    After(u64),
    /// Every so many milliseconds.
    Every(u64),
    /// By a cron line in a time zone.
    Cron {
        /// Five or six fields, or a nickname.
        line: String,
        /// The zone's name.
        zone: String,
    },
}

/// What happens to an occurrence that is due while the one before it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Overlap {
    /// It is missed.
    Skip,
    /// It waits; of several that wait, one is made up for.
    Queue,
    /// It is handed to its actor at once.
    Allow,
}

impl Spec {
    /// True if it has one time only.
    #[must_use]
    pub fn is_one_shot(&self) -> bool {
        matches!(self.when, When::At(_) | When::After(_))
    }

    /// True if both ask for the same call, whenever that is to be.
    #[must_use]
    pub fn is_same_call(&self, other: &Self) -> bool {
        let other = Self { when: self.when.clone(), ..other.clone() };
        *self == other
    }

    /// What its texts and its argument take.
    pub(super) fn bytes(&self) -> usize {
        let metadata = self.metadata.iter().map(|(name, value)| name.len() + value.len());
        let argument = &self.argument;
        let argument = argument.content_type.len() + argument.type_url.len() + argument.data.len();
        let target = self.system.len() + self.actor_type.len() + self.key.len() + self.action.len();
        let line = match &self.when {
            When::Cron { line, zone } => line.len() + zone.len(),
            When::At(_) | When::After(_) | When::Every(_) => 0,
        };
        metadata.sum::<usize>() + argument + target + line
    }

    /// The stored form. Machines that hold a million schedules keep them so.
    pub(super) fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("values in memory always encode")
    }

    pub(super) fn decode(bytes: &[u8]) -> Self {
        postcard::from_bytes(bytes).expect("the machine encoded it itself")
    }
}
