//! What a node remembers of all channels: rings within a common limit, and where listeners stand in them. Pure.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use callboard_types::{Millis, limits};

use super::{
    machine_ring::{Heard, Next, Ring},
    message::Said,
};

/// How far back a listener is served that comes from another node, beyond what it says it has, in milliseconds: nodes hear
/// a message at different times, by different clocks. What it has already is said again.
const OVERLAP_MS: i64 = 10_000;
/// Places in the order of all messages beyond twice those that are there, before it is put in order.
const ORDER_SLACK: usize = 1_024;

/// A channel of a system.
pub type Channel = Arc<(Arc<str>, Arc<str>)>;

/// Names a channel.
#[must_use]
pub fn channel(system: &str, channel: &str) -> Channel {
    Arc::new((system.into(), channel.into()))
}

/// Where somebody begins to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// At what is said from now on.
    Now,
    /// After a message that it got from this node, by the node's sequence.
    Sequence(u64),
    /// After a message that it got from another node, at a time by that node's clock.
    Time(Millis),
}

#[derive(Debug)]
struct Kept {
    ring: Ring,
    listeners: usize,
    /// When something was heard, or a listener left.
    used_at: Millis,
}

/// Everything that a node remembers.
#[derive(Debug)]
pub struct Rings {
    kept: HashMap<Channel, Kept>,
    /// Every message in the order in which it came; those that have gone since are passed over.
    order: VecDeque<(u64, Millis, Channel)>,
    messages: usize,
    bytes: usize,
    /// The sequence of the newest message.
    sequence: u64,
    /// Since when the node hears anything; 0 until it is known what time it is.
    since: Millis,
    /// The last message that has gone of all channels that were forgotten, and its time.
    forgotten: (u64, Millis),
}

// === impl Rings ===

impl Rings {
    /// Remembers nothing yet.
    #[must_use]
    pub fn new(now: Millis) -> Self {
        Self {
            kept: HashMap::new(),
            order: VecDeque::new(),
            messages: 0,
            bytes: 0,
            sequence: 0,
            since: now,
            forgotten: (0, Millis(0)),
        }
    }

    /// The sequence of the newest message.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Takes a message. False if it is known already.
    pub fn hear(&mut self, said: &Arc<Said>, now: Millis) -> bool {
        self.know_time(now);
        let channel = channel(&said.system, &said.channel);
        self.make_room(&channel);
        let sequence = self.sequence + 1;
        let kept = self.keep(&channel);
        let before = kept.ring.end() - kept.ring.begin();
        let Some(grown) = kept.ring.hear(said, sequence, now) else { return false };
        kept.used_at = now;
        let after = kept.ring.end() - kept.ring.begin();
        self.sequence = sequence;
        self.messages = self.messages + to_usize(after) - to_usize(before);
        self.bytes = self.bytes.saturating_add_signed(grown);
        self.order.push_back((sequence, now, channel));
        self.let_go(now);
        true
    }

    /// Which of these shards are to get a message that has been heard; see [`Ring::push`].
    pub fn push(&mut self, said: &Said, shards: &[(u32, u32)]) -> Vec<(u32, u32)> {
        let channel = channel(&said.system, &said.channel);
        self.kept.get_mut(&channel).map_or_else(Vec::new, |kept| kept.ring.push(&said.id, shards))
    }

    /// The message of this id on a channel, if it is remembered.
    #[must_use]
    pub fn find(&self, channel: &Channel, id: &str) -> Option<&Arc<Said>> {
        self.kept.get(channel)?.ring.find(id)
    }

    /// Begins to listen. Returns the listener's place, and whether it has missed messages of which nobody knows how many.
    pub fn listen(&mut self, channel: &Channel, from: From, now: Millis) -> (u64, bool) {
        self.know_time(now);
        self.make_room(channel);
        let since = self.since;
        let kept = self.keep(channel);
        kept.listeners += 1;
        kept.used_at = now;
        let ring = &kept.ring;
        let (gone, gone_at) = ring.gone_until();
        match from {
            From::Now => (ring.end(), false),
            From::Sequence(sequence) => (ring.after(sequence), gone > sequence),
            From::Time(at) => {
                (ring.since(at.plus(-OVERLAP_MS)), at < since || at < gone_at || since == Millis(0))
            }
        }
    }

    /// What came before the time was known is older than any time that a listener can name.
    fn know_time(&mut self, now: Millis) {
        if self.since == Millis(0) {
            self.since = now;
        }
    }

    fn keep(&mut self, channel: &Channel) -> &mut Kept {
        let forgotten = self.forgotten;
        self.kept.entry(Arc::clone(channel)).or_insert_with(|| Kept {
            ring: Ring::new(forgotten),
            listeners: 0,
            used_at: Millis(0),
        })
    }

    /// A listener has left.
    pub fn leave(&mut self, channel: &Channel, now: Millis) {
        if let Some(kept) = self.kept.get_mut(channel) {
            kept.listeners -= 1;
            kept.used_at = now;
        }
    }

    /// What a listener gets next on a channel; see [`Ring::next`].
    #[must_use]
    pub fn next(&self, channel: &Channel, place: u64) -> Next<'_> {
        self.kept.get(channel).map_or(Next::Nothing, |kept| kept.ring.next(place))
    }

    /// The place of the oldest message on a channel.
    #[must_use]
    pub fn begin(&self, channel: &Channel) -> u64 {
        self.kept.get(channel).map_or(0, |kept| kept.ring.begin())
    }

    /// Forgets what is too old or too much.
    pub fn let_go(&mut self, now: Millis) {
        let oldest = now.plus(-limits::CHANNEL_RING_AGE_MS);
        while let Some((sequence, at, channel)) = self.order.front()
            && (*at < oldest || self.bytes > limits::CHANNEL_RINGS_BYTES_MAX)
        {
            if let Some(kept) = self.kept.get_mut(channel)
                && kept.ring.first().is_some_and(|first| first.sequence == *sequence)
            {
                self.bytes -= kept.ring.drop_first();
                self.messages -= 1;
            }
            self.order.pop_front();
        }
        if self.order.len() > 2 * self.messages + ORDER_SLACK {
            let kept = &self.kept;
            self.order.retain(|(sequence, _, channel)| {
                let first = kept.get(channel).and_then(|kept| kept.ring.first());
                first.is_some_and(|first: &Heard| first.sequence <= *sequence)
            });
            let forgotten = &mut self.forgotten;
            self.kept.retain(|_, kept| {
                let stays = kept.listeners > 0 || !kept.ring.is_empty() || kept.used_at >= oldest;
                if !stays {
                    *forgotten = kept.ring.gone_until().max(*forgotten);
                }
                stays
            });
        }
    }

    /// Forgets channels that nobody used for longest if there is no room for another one.
    fn make_room(&mut self, channel: &Channel) {
        if self.kept.len() < limits::CHANNEL_RINGS_MAX || self.kept.contains_key(channel) {
            return;
        }
        let mut unused: Vec<(Millis, Channel)> = (self.kept.iter())
            .filter(|(_, kept)| kept.listeners == 0)
            .map(|(channel, kept)| (kept.used_at, Arc::clone(channel)))
            .collect();
        unused.sort_by_key(|(used_at, _)| *used_at);
        // Some at once, so that this is not done for each new channel.
        unused.truncate(limits::CHANNEL_RINGS_MAX / 10);
        for (_, channel) in unused {
            let Some(mut kept) = self.kept.remove(&channel) else { continue };
            while !kept.ring.is_empty() {
                self.bytes -= kept.ring.drop_first();
                self.messages -= 1;
            }
            self.forgotten = self.forgotten.max(kept.ring.gone_until());
        }
    }
}

fn to_usize(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::call::{Metadata, Payload};

    fn said(on: &str, id: u64, bytes: usize) -> Arc<Said> {
        Arc::new(Said {
            id: id.to_string(),
            system: "default".into(),
            channel: on.into(),
            payload: Payload { data: vec![0; bytes].into(), ..Payload::default() },
            metadata: Metadata::new(),
            source: None,
            published_at: Millis(0),
        })
    }

    /// Everything that a listener gets from a place on, and its place then.
    fn listen(rings: &Rings, on: &Channel, mut place: u64) -> (Vec<String>, u64, u64) {
        let (mut ids, mut missed) = (Vec::new(), 0);
        loop {
            match rings.next(on, place) {
                Next::Nothing => return (ids, missed, place),
                Next::Missed(count) => {
                    missed += count;
                    place = rings.begin(on);
                }
                Next::Message(heard) => {
                    ids.push(heard.said.id.clone());
                    place += 1;
                }
            }
        }
    }

    #[test]
    fn a_slow_listener_is_told_how_many_messages_it_missed() {
        let mut rings = Rings::new(Millis(0));
        let news = channel("default", "news");
        let (place, _) = rings.listen(&news, From::Now, Millis(0));
        let most = limits::CHANNEL_RING_MESSAGES_MAX as u64;
        for id in 0..most + 10 {
            assert!(rings.hear(&said("news", id, 1), Millis(1)));
        }
        let (ids, missed, _) = listen(&rings, &news, place);
        assert_eq!((ids.len() as u64, missed, ids[0].as_str()), (most, 10, "10"));
    }

    #[test]
    fn one_who_comes_back_to_a_node_that_started_since_is_told_that_messages_may_be_lost() {
        let news = channel("default", "news");
        let mut untold = Rings::new(Millis(0));
        assert!(untold.listen(&news, From::Time(Millis(100_000)), Millis(0)).1);
        // It learns the time only after it began.
        assert!(untold.listen(&news, From::Time(Millis(100_000)), Millis(200_000)).1);
        assert!(!untold.listen(&news, From::Time(Millis(200_001)), Millis(200_002)).1);
    }

    #[test]
    fn the_same_message_is_heard_once() {
        let mut rings = Rings::new(Millis(0));
        assert!(rings.hear(&said("news", 1, 1), Millis(0)));
        assert!(!rings.hear(&said("news", 1, 1), Millis(0)));
        assert!(rings.hear(&said("sports", 1, 1), Millis(0)));
        let message = said("news", 1, 1);
        assert_eq!(rings.push(&message, &[(1, 0), (1, 1)]), [(1, 0), (1, 1)]);
        assert_eq!(rings.push(&message, &[(1, 1), (1, 2)]), [(1, 2)]);
        assert_eq!(rings.push(&said("news", 2, 1), &[(1, 1)]), []);
    }

    #[test]
    fn one_who_comes_back_hears_what_was_said_meanwhile_or_that_it_is_gone() {
        let mut rings = Rings::new(Millis(0));
        let news = channel("default", "news");
        rings.hear(&said("news", 1, 1), Millis(100_000));
        let token = (rings.sequence(), Millis(100_000));
        rings.hear(&said("news", 2, 1), Millis(200_000));
        let (place, lost) = rings.listen(&news, From::Sequence(token.0), Millis(200_000));
        assert_eq!((listen(&rings, &news, place).0, lost), (vec!["2".to_owned()], false));
        // By the time alone, as on another node, it gets a little more than it asked for.
        let (place, lost) = rings.listen(&news, From::Time(token.1), Millis(200_000));
        assert_eq!((listen(&rings, &news, place).0.len(), lost), (2, false));
        // Before the node was there.
        let mut young = Rings::new(Millis(150_000));
        assert!(young.listen(&news, From::Time(token.1), Millis(200_000)).1);
        // What is too old has gone.
        rings.let_go(Millis(200_001 + limits::CHANNEL_RING_AGE_MS));
        let now = Millis(200_001 + limits::CHANNEL_RING_AGE_MS);
        assert!(rings.listen(&news, From::Sequence(token.0), now).1);
        assert!(rings.listen(&news, From::Time(token.1), now).1);
        assert!(!rings.listen(&channel("default", "quiet"), From::Sequence(token.0), now).1);
    }

    proptest! {
        /// Whatever is said: a listener gets each message once and in order, or it is counted as missed; and the node never
        /// remembers more than it may.
        #[test]
        fn nothing_is_lost_without_a_word(
            steps in prop::collection::vec((0_u8..3, 0_usize..1_000_000, any::<bool>()), 1..150),
        ) {
            let names = ["a", "b", "c"];
            let mut rings = Rings::new(Millis(0));
            let keys = names.map(|name| channel("default", name));
            let mut places = keys.each_ref().map(|key| rings.listen(key, From::Now, Millis(0)).0);
            let mut got: [Vec<String>; 3] = Default::default();
            let (mut missed, mut said_on) = ([0; 3], [0_u64; 3]);
            for (at, (on, bytes, reads)) in steps.into_iter().enumerate() {
                let on = usize::from(on);
                let now = Millis(i64::try_from(at).expect("few") * 5_000);
                rings.hear(&said(names[on], at as u64, bytes), now);
                said_on[on] += 1;
                prop_assert!(rings.bytes <= limits::CHANNEL_RINGS_BYTES_MAX);
                if reads {
                    let (ids, lost, place) = listen(&rings, &keys[on], places[on]);
                    got[on].extend(ids);
                    missed[on] += lost;
                    places[on] = place;
                    prop_assert_eq!(got[on].len() as u64 + missed[on], said_on[on]);
                }
            }
            for ids in got {
                let numbers: Vec<u64> = ids.iter().filter_map(|id| id.parse().ok()).collect();
                prop_assert!(numbers.is_sorted_by(|a, b| a < b));
            }
            let bytes: usize = rings.kept.values().flat_map(|kept| kept.ring.sizes()).sum();
            prop_assert_eq!(rings.bytes, bytes);
        }
    }
}
