//! What a node remembers of one channel, for those who listen from outside. Pure.
//!
//! Every listener has a place of its own in the ring; nothing is copied for it. The oldest messages go when there are too
//! many, and a listener whose place was among them learns how many it missed.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use callboard_types::{Millis, limits};

use super::message::Said;

/// A message in a ring.
#[derive(Debug)]
pub struct Heard {
    /// Its number among all messages that the node heard.
    pub sequence: u64,
    /// When it came, by this node's clock.
    pub at: Millis,
    /// The message.
    pub said: Arc<Said>,
    /// Shards whose active actors got it, as (type, number).
    pushed: HashSet<(u32, u32)>,
    bytes: usize,
}

/// The newest messages of a channel.
#[derive(Debug, Default)]
pub struct Ring {
    heard: VecDeque<Heard>,
    /// The sequences of those that are there, by their ids.
    ids: HashMap<String, u64>,
    bytes: usize,
    /// How many have gone.
    gone: u64,
    /// The sequence and the time of the last one that has gone.
    gone_until: (u64, Millis),
}

/// What a listener gets next.
#[derive(Debug)]
pub enum Next<'a> {
    /// Nothing yet.
    Nothing,
    /// So many messages have gone before the listener came to them.
    Missed(u64),
    /// This one.
    Message(&'a Heard),
}

// === impl Ring ===

impl Ring {
    /// A ring of a channel of which nothing is there; what came up to this message, if anything did, has gone.
    #[must_use]
    pub fn new(gone_until: (u64, Millis)) -> Self {
        Self { gone_until, ..Self::default() }
    }

    /// Takes a message, and lets go of the oldest if there are too many. Returns by how many bytes it has grown; `None` if
    /// it has the message already.
    pub fn hear(&mut self, said: &Arc<Said>, sequence: u64, at: Millis) -> Option<isize> {
        if self.ids.contains_key(&said.id) {
            return None;
        }
        let before = self.bytes;
        let bytes = said.size();
        self.bytes += bytes;
        self.ids.insert(said.id.clone(), sequence);
        let said = Arc::clone(said);
        self.heard.push_back(Heard { sequence, at, said, pushed: HashSet::new(), bytes });
        while self.heard.len() > limits::CHANNEL_RING_MESSAGES_MAX
            || self.bytes > limits::CHANNEL_RING_BYTES_MAX
        {
            self.drop_first();
        }
        Some(self.bytes.cast_signed() - before.cast_signed())
    }

    /// Lets go of the oldest message. Returns its size.
    pub fn drop_first(&mut self) -> usize {
        let Some(first) = self.heard.pop_front() else { return 0 };
        self.ids.remove(&first.said.id);
        self.gone += 1;
        self.gone_until = (first.sequence, first.at);
        self.bytes -= first.bytes;
        first.bytes
    }

    /// Which of these shards did not get the message yet. They count as having it from now on; so do all if the ring does
    /// not know the message any more.
    pub fn push(&mut self, id: &str, shards: &[(u32, u32)]) -> Vec<(u32, u32)> {
        let Some(sequence) = self.ids.get(id) else { return Vec::new() };
        let Ok(at) = self.heard.binary_search_by_key(sequence, |heard| heard.sequence) else {
            return Vec::new();
        };
        let pushed = &mut self.heard[at].pushed;
        shards.iter().copied().filter(|shard| pushed.insert(*shard)).collect()
    }

    /// The message of this id, if it is there.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&Arc<Said>> {
        let sequence = self.ids.get(id)?;
        let at = self.heard.binary_search_by_key(sequence, |heard| heard.sequence).ok()?;
        Some(&self.heard[at].said)
    }

    /// The oldest message that is there.
    #[must_use]
    pub fn first(&self) -> Option<&Heard> {
        self.heard.front()
    }

    /// The sequence and the time of the last message that has gone; zeros if none has.
    #[must_use]
    pub fn gone_until(&self) -> (u64, Millis) {
        self.gone_until
    }

    /// Where somebody listens who wants to hear what comes from now on.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.gone + self.heard.len() as u64
    }

    /// Where somebody listens who has everything up to a sequence.
    #[must_use]
    pub fn after(&self, sequence: u64) -> u64 {
        self.gone + self.heard.partition_point(|heard| heard.sequence <= sequence) as u64
    }

    /// Where somebody listens who wants what came since a time.
    #[must_use]
    pub fn since(&self, at: Millis) -> u64 {
        self.gone + self.heard.partition_point(|heard| heard.at < at) as u64
    }

    /// What a listener at this place gets next. With a message it goes on to the next place; with a loss, to
    /// [`begin`](Self::begin).
    #[must_use]
    pub fn next(&self, place: u64) -> Next<'_> {
        if place < self.gone {
            return Next::Missed(self.gone - place);
        }
        let at = usize::try_from(place - self.gone).unwrap_or(usize::MAX);
        self.heard.get(at).map_or(Next::Nothing, Next::Message)
    }

    /// The place of the oldest message that is there.
    #[must_use]
    pub fn begin(&self) -> u64 {
        self.gone
    }

    /// The sizes of the messages that are there.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> impl Iterator<Item = usize> + '_ {
        self.heard.iter().map(|heard| heard.bytes)
    }

    /// True if nothing is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heard.is_empty()
    }
}
