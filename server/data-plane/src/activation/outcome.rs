//! What an activation remembers of the calls it has answered.
//!
//! The newest outcomes travel inside the actor's row; when they outgrow it, the older ones leave together as one pack.
//! Of those the activation keeps a hash and a creation time, so that a call that is surely new needs no look-up: a
//! retry carries the creation time of its first attempt.

use std::collections::VecDeque;

use bytes::Bytes;
use callboard_statestore::SpillPack;
use callboard_types::{ActorId, CallError, Millis, Revision, Tick, limits};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::marks::{Mark, Marks};
use crate::call::{Link, Outcome, Payload, Reply};

/// How a call ended, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredOutcome {
    /// The call's request id.
    pub request_id: String,
    /// [`fingerprint`] of the action and its argument.
    pub fingerprint: u64,
    /// The call's creation time.
    pub created_at: Millis,
    /// The revision after its turn.
    pub revision: u64,
    /// How it ended.
    pub end: StoredEnd,
}

/// A reply or what the action's code returned instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoredEnd {
    /// The reply as (content type, type, bytes).
    Reply(String, String, Vec<u8>),
    /// The error.
    Error(Box<CallError>),
    /// Another actor answers: its (system, type, key) and the request id of the call to it.
    Chained(Box<(String, String, String)>, String),
}

impl StoredOutcome {
    /// The outcome as a repeated call gets it.
    pub fn to_outcome(&self) -> Outcome {
        match &self.end {
            StoredEnd::Reply(content_type, type_url, data) => Ok(Reply {
                payload: Payload {
                    content_type: content_type.clone(),
                    type_url: type_url.clone(),
                    data: Bytes::copy_from_slice(data),
                },
                revision: Revision(self.revision),
                durable: true,
                next: None,
            }),
            StoredEnd::Error(error) => Err(error.as_ref().clone()),
            StoredEnd::Chained(actor, request_id) => {
                let (system, actor_type, key) = actor.as_ref();
                let actor = ActorId {
                    system: system.as_str().into(),
                    actor_type: actor_type.as_str().into(),
                    key: key.as_str().into(),
                };
                let link = Link { actor, request_id: request_id.clone() };
                Ok(Reply {
                    payload: Payload::default(),
                    revision: Revision(self.revision),
                    durable: true,
                    next: Some(Box::new(link)),
                })
            }
        }
    }

    /// What is known of a delivery of which only its mark is left: that it ran.
    #[must_use]
    pub fn of_mark(request_id: &str, mark: Mark) -> Self {
        Self {
            request_id: request_id.to_owned(),
            fingerprint: mark.fingerprint,
            created_at: mark.created_at,
            revision: 0,
            end: StoredEnd::Reply(String::new(), String::new(), Vec::new()),
        }
    }

    /// About how many bytes the outcome takes when encoded.
    fn size(&self) -> usize {
        let end = match &self.end {
            StoredEnd::Reply(content_type, type_url, data) => {
                content_type.len() + type_url.len() + data.len()
            }
            StoredEnd::Error(error) => error.message.len() + 64,
            StoredEnd::Chained(actor, request_id) => {
                actor.0.len() + actor.1.len() + actor.2.len() + request_id.len()
            }
        };
        self.request_id.len() + end + 24
    }
}

/// Tells two calls with one request id apart: XXH3-64 over action and argument.
#[must_use]
pub fn fingerprint(action: &str, argument: &Payload) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(action.as_bytes());
    hash.update(&[0]);
    hash.update(argument.content_type.as_bytes());
    hash.update(&[0]);
    hash.update(&argument.data);
    hash.digest()
}

/// Hashes a request id for comparisons that a full comparison confirms.
#[must_use]
pub fn id_hash(request_id: &str) -> u64 {
    xxh3_64(request_id.as_bytes())
}

/// Decodes outcomes as a row or a pack holds them. An unreadable row is a defect or damage, never "no outcomes".
///
/// # Errors
/// The decoder's words.
pub fn decode(bytes: &[u8]) -> Result<Vec<StoredOutcome>, String> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    postcard::from_bytes(bytes).map_err(|error| error.to_string())
}

fn encode<'a>(outcomes: impl ExactSizeIterator<Item = &'a StoredOutcome>) -> Bytes {
    if outcomes.len() == 0 {
        return Bytes::new();
    }
    let outcomes: Vec<&StoredOutcome> = outcomes.collect();
    postcard::to_stdvec(&outcomes).expect("plain data always encodes").into()
}

/// What the activation knows about a request id.
#[derive(Debug, PartialEq)]
pub enum Known<'a> {
    /// It has not been answered.
    New,
    /// It has, and this is how.
    Here(&'a StoredOutcome),
    /// It may have been answered: the store must be asked.
    AskStore,
    /// It is a delivery that ran; if its outcome is kept at all, the store has it.
    Marked(Mark),
}

/// How long an actor that is to leave memory waits for confirmations, in milliseconds: its outcome goes back to the sender,
/// the sender's row goes, and the confirmation waits for others.
const CONFIRMED_WITHIN_MS: u64 = 250;

/// Whether the row has lost the marks that were confirmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Confirmed {
    #[default]
    Saved,
    Unsaved,
    /// It loses them with the next commit, which is made for that if need be.
    Due,
}

/// The outcomes of one activation.
#[derive(Debug, Default)]
pub struct Outcomes {
    /// Newest last; what the row carries.
    inline: VecDeque<StoredOutcome>,
    inline_bytes: usize,
    /// (hash, creation time) of spilled outcomes of this activation, oldest first.
    older: VecDeque<(u64, Millis)>,
    /// The latest creation time among outcomes that are neither `inline` nor in `older`.
    forgotten_until: Millis,
    /// The latest creation time among spilled outcomes; what the row carries.
    spilled_until: Millis,
    /// Outcomes that leave the row with the next commit.
    leaving: Vec<StoredOutcome>,
    /// Outcomes that leave the row with commits that are not durable yet, by the commit's number. The store does not
    /// have them before, so they must be found here.
    on_their_way: VecDeque<(u64, Vec<StoredOutcome>)>,
    /// Deliveries that ran.
    marks: Marks,
    /// When the newest of them was made.
    marked_at: Tick,
    /// What the row still says of marks that have gone since.
    confirmed: Confirmed,
}

impl Outcomes {
    /// Takes up what a loaded row holds.
    ///
    /// # Errors
    /// The decoder's words if the row cannot be read.
    pub fn load(row: &[u8], spilled_until: Millis) -> Result<Self, String> {
        let (inline, marks): (Vec<StoredOutcome>, &[u8]) = if row.is_empty() {
            (Vec::new(), row)
        } else {
            postcard::take_from_bytes(row).map_err(|error| error.to_string())?
        };
        let marks = Marks::load(marks)?;
        let inline: VecDeque<_> = inline.into();
        let inline_bytes = inline.iter().map(StoredOutcome::size).sum();
        Ok(Self {
            inline,
            inline_bytes,
            spilled_until,
            forgotten_until: spilled_until,
            marks,
            ..Self::default()
        })
    }

    /// What is known about a request id.
    #[must_use]
    pub fn find(&self, request_id: &str, created_at: Millis) -> Known<'_> {
        let leaving = self.on_their_way.iter().flat_map(|(_, outcomes)| outcomes);
        let mut here = self.inline.iter().chain(&self.leaving).chain(leaving);
        if let Some(found) = here.find(|known| known.request_id == request_id) {
            return Known::Here(found);
        }
        if let Some(mark) = self.marks.find(request_id) {
            return Known::Marked(mark);
        }
        // A time that is not known (0) is not above anything that was forgotten.
        if self.forgotten_until.0 > 0 && created_at <= self.forgotten_until {
            return Known::AskStore;
        }
        let hash = id_hash(request_id);
        if self.older.iter().any(|(known, _)| *known == hash) {
            return Known::AskStore;
        }
        Known::New
    }

    /// Remembers how a call ended. When the row is full all but the newest leave it together, so that one pack is
    /// written per several turns.
    pub fn record(&mut self, outcome: StoredOutcome) {
        let size = outcome.size();
        if size > limits::INLINE_OUTCOME_BYTES_MAX {
            self.let_go(outcome);
            return;
        }
        let full = self.inline.len() >= limits::INLINE_OUTCOMES_MAX
            || self.inline_bytes + size > limits::INLINE_OUTCOME_BYTES_MAX;
        if full {
            for old in std::mem::take(&mut self.inline) {
                self.let_go(old);
            }
            self.inline_bytes = 0;
        }
        self.inline_bytes += size;
        self.inline.push_back(outcome);
    }

    /// Marks the outcome that was recorded last as that of a delivery: its id is known until its sender says that it makes
    /// no further attempt.
    pub fn mark(&mut self, request_id: &str, fingerprint: u64, created_at: Millis, now: Tick) {
        self.marks.add(request_id, fingerprint, created_at);
        self.marked_at = now;
    }

    /// True if a confirmation may be on its way: one that finds the actor gone is lost, and its mark stays in the row.
    #[must_use]
    pub fn awaits_confirmation(&self, now: Tick) -> bool {
        now < self.marked_at.plus_millis(CONFIRMED_WITHIN_MS) && self.marks.has_unconfirmed()
    }

    /// The sender of a delivery makes no further attempt; see [`Marks::confirm`].
    pub fn confirm_delivery(&mut self, request_id: &str, restamped: bool, wall: Millis) {
        if self.marks.confirm(request_id, restamped, wall) && self.confirmed == Confirmed::Saved {
            self.confirmed = Confirmed::Unsaved;
        }
    }

    /// The actor is about to leave memory: marks that were confirmed must leave its row, or they would come back with it,
    /// and nobody would confirm them again. True if the next commit is to be made for that.
    pub fn save_confirmed(&mut self) -> bool {
        let unsaved = self.confirmed == Confirmed::Unsaved;
        if unsaved {
            self.confirmed = Confirmed::Due;
        }
        unsaved
    }

    /// True if a commit is to be made although no turn was settled.
    #[must_use]
    pub fn is_save_due(&self) -> bool {
        self.confirmed == Confirmed::Due
    }

    /// A commit with the row as it is now is being made.
    pub fn row_taken(&mut self) {
        self.confirmed = Confirmed::Saved;
    }

    /// True if no further delivery can be marked.
    #[must_use]
    pub fn marks_are_full(&self) -> bool {
        self.marks.is_full()
    }

    fn let_go(&mut self, outcome: StoredOutcome) {
        self.older.push_back((id_hash(&outcome.request_id), outcome.created_at));
        self.spilled_until = self.spilled_until.max(outcome.created_at);
        self.leaving.push(outcome);
        while self.older.len() > limits::KNOWN_IDS_MAX {
            if let Some((_, created_at)) = self.older.pop_front() {
                self.forgotten_until = self.forgotten_until.max(created_at);
            }
        }
    }

    /// Forgets ids that are too old to be asked for. `floor` is the oldest creation time that is still accepted.
    pub fn prune(&mut self, floor: Millis, wall: Millis) {
        if !self.marks.is_empty() {
            self.marks.prune(wall);
        }
        while self.older.front().is_some_and(|(_, created_at)| *created_at < floor) {
            self.older.pop_front();
        }
        if self.older.is_empty() {
            self.older.shrink_to_fit();
        }
    }

    /// Gives back memory that an idle actor does not need.
    pub fn shrink(&mut self) {
        self.inline.shrink_to_fit();
        self.leaving.shrink_to_fit();
        self.on_their_way.shrink_to_fit();
        self.marks.shrink();
    }

    /// The outcomes for the row.
    #[must_use]
    pub fn encode_row(&self) -> Bytes {
        if self.marks.is_empty() {
            return encode(self.inline.iter());
        }
        let outcomes: Vec<&StoredOutcome> = self.inline.iter().collect();
        let mut row = postcard::to_stdvec(&outcomes).expect("plain data always encodes");
        self.marks.encode_behind(&mut row);
        row.into()
    }

    /// The latest creation time among spilled outcomes, for the row.
    #[must_use]
    pub fn spilled_until(&self) -> Millis {
        self.spilled_until
    }

    /// Everything up to the commit with this number is durable.
    pub fn confirm(&mut self, number: u64) {
        while self.on_their_way.front().is_some_and(|(commit, _)| *commit <= number) {
            self.on_their_way.pop_front();
        }
    }

    /// Takes what leaves the row with the commit that is being made, which has this number.
    pub fn take_spill(&mut self, number: u64) -> Vec<SpillPack> {
        if self.leaving.is_empty() {
            return Vec::new();
        }
        let leaving = std::mem::take(&mut self.leaving);
        let times = || leaving.iter().map(|outcome| outcome.created_at);
        let pack = SpillPack {
            from: times().min().unwrap_or_default(),
            until: times().max().unwrap_or_default(),
            data: encode(leaving.iter()),
        };
        self.on_their_way.push_back((number, leaving));
        vec![pack]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(n: i64) -> StoredOutcome {
        StoredOutcome {
            request_id: format!("request-{n}"),
            fingerprint: 7,
            created_at: Millis(n),
            revision: 1,
            end: StoredEnd::Reply(String::new(), String::new(), vec![1; 10]),
        }
    }

    #[test]
    fn the_newest_outcomes_are_answered_from_memory_and_older_ones_from_the_store() {
        let mut outcomes = Outcomes::default();
        for n in 1..=20 {
            outcomes.record(outcome(n));
            outcomes.take_spill(1);
            outcomes.confirm(1);
        }
        assert!(matches!(outcomes.find("request-20", Millis(20)), Known::Here(_)));
        assert_eq!(outcomes.find("request-1", Millis(1)), Known::AskStore);
        assert_eq!(outcomes.find("request-21", Millis(21)), Known::New);
    }

    #[test]
    fn an_outcome_whose_commit_is_not_yet_made_is_still_found() {
        let mut outcomes = Outcomes::default();
        (1..=9).for_each(|n| outcomes.record(outcome(n)));
        assert!(matches!(outcomes.find("request-3", Millis(3)), Known::Here(_)));
        assert_eq!(outcomes.take_spill(5).len(), 1);
        assert!(matches!(outcomes.find("request-3", Millis(3)), Known::Here(_)));
        outcomes.confirm(5);
        assert_eq!(outcomes.find("request-3", Millis(3)), Known::AskStore);
    }

    #[test]
    fn a_fresh_activation_asks_the_store_about_calls_as_old_as_the_spilled_ones() {
        let mut before = Outcomes::default();
        (1..=9).for_each(|n| before.record(outcome(n)));
        before.take_spill(1);
        let after = Outcomes::load(&before.encode_row(), before.spilled_until()).expect("decodes");
        assert!(matches!(after.find("request-9", Millis(9)), Known::Here(_)));
        assert_eq!(after.find("request-4", Millis(4)), Known::AskStore);
        assert_eq!(after.find("request-10", Millis(10)), Known::New);
    }

    #[test]
    fn memory_of_ids_is_bounded_and_what_is_forgotten_is_asked_for() {
        let mut outcomes = Outcomes::default();
        for n in 1..=i64::try_from(limits::KNOWN_IDS_MAX * 2).expect("small") {
            outcomes.record(outcome(n));
            outcomes.take_spill(1);
            outcomes.confirm(1);
        }
        assert!(outcomes.older.len() <= limits::KNOWN_IDS_MAX);
        assert_eq!(outcomes.find("never-seen", Millis(5)), Known::AskStore);
    }

    #[test]
    fn a_delivery_is_known_by_its_id_whatever_time_its_next_attempt_names() {
        let mut before = Outcomes::default();
        before.record(outcome(1));
        before.mark("request-1", 7, Millis(1), Tick(0));
        (2..=20).for_each(|n| before.record(outcome(n)));
        before.take_spill(1);
        let row = before.encode_row();
        let mut after = Outcomes::load(&row, before.spilled_until()).expect("decodes");
        assert!(matches!(after.find("request-1", Millis(9_000)), Known::Marked(_)));
        assert_eq!(after.find("request-2", Millis(9_000)), Known::New);
        assert!(matches!(after.find("request-20", Millis(20)), Known::Here(_)));
        after.confirm_delivery("request-1", false, Millis(9_000));
        assert_eq!(after.find("request-1", Millis(9_000)), Known::New);
        let older = decode(&row).expect("nodes that know no marks read the outcomes");
        assert!(older.iter().any(|outcome| outcome.request_id == "request-20"));
    }

    #[test]
    fn the_row_stays_within_its_bounds() {
        let mut outcomes = Outcomes::default();
        for n in 1..=100 {
            let mut big = outcome(n);
            big.end = StoredEnd::Reply(String::new(), String::new(), vec![0; 900]);
            outcomes.record(big);
            outcomes.take_spill(1);
            outcomes.confirm(1);
            assert!(outcomes.encode_row().len() <= limits::INLINE_OUTCOME_BYTES_MAX);
        }
    }

    #[test]
    fn fingerprints_tell_actions_and_arguments_apart() {
        let argument = Payload { data: Bytes::from_static(b"x"), ..Payload::default() };
        assert_ne!(fingerprint("Add", &argument), fingerprint("Sub", &argument));
        assert_ne!(fingerprint("Add", &argument), fingerprint("Add", &Payload::default()));
    }

    #[test]
    fn a_row_that_still_has_confirmed_marks_is_written_before_the_actor_leaves() {
        let mut outcomes = Outcomes::default();
        outcomes.mark("said", 1, Millis(1), Tick(0));
        outcomes.confirm_delivery("another", false, Millis(2));
        assert!(!outcomes.save_confirmed(), "nothing to save");
        outcomes.confirm_delivery("said", false, Millis(2));
        assert!(outcomes.save_confirmed() && outcomes.is_save_due());
        assert!(!outcomes.save_confirmed(), "asked for once");
        outcomes.row_taken();
        assert!(!outcomes.is_save_due() && !outcomes.save_confirmed());
    }
}
