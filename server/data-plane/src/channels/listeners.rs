//! Those who listen to channels from outside, at this node.
//!
//! One lock around the rings: it is held for a message, never per call. A listener is told that something has come and
//! takes it from the ring in its own time.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use callboard_types::{CallError, ClusterClock, ErrorKind, limits};
use tokio::sync::Notify;

use super::{
    machine_ring::Next,
    machine_rings::{Channel, From, Rings, channel},
    message::Said,
    token::Token,
};

/// What the node remembers of channels, and who listens. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Listeners(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Tells this process's tokens from those of others.
    life: u64,
    clock: ClusterClock,
    state: Mutex<State>,
    ended: AtomicBool,
}

#[derive(Debug)]
struct State {
    rings: Rings,
    waiting: HashMap<Channel, Vec<(u64, Arc<Notify>)>>,
    listeners: usize,
    next_id: u64,
}

/// One who listens. Leaves when it is dropped.
#[derive(Debug)]
pub struct Listener {
    shared: Arc<Shared>,
    id: u64,
    places: Vec<(Channel, u64)>,
    /// True if messages were lost before it began, nobody knows how many.
    lost: bool,
    news: Arc<Notify>,
    token: Token,
}

/// What a listener gets.
#[derive(Debug)]
pub enum Item {
    /// So many messages were lost to it; 0 if that is not known.
    Missed(u64),
    /// A message, and where the listener is after it.
    Message(Arc<Said>, Token),
}

// === impl Listeners ===

impl Listeners {
    /// Nobody listens yet.
    #[must_use]
    pub fn new(clock: ClusterClock) -> Self {
        let state = State {
            rings: Rings::new(clock.now()),
            waiting: HashMap::new(),
            listeners: 0,
            next_id: 0,
        };
        let (_, life) = uuid::Uuid::now_v7().as_u64_pair();
        let (state, ended) = (Mutex::new(state), AtomicBool::new(false));
        Self(Arc::new(Shared { life, clock, state, ended }))
    }

    /// Takes a message. False if it is known already.
    pub fn hear(&self, said: &Arc<Said>) -> bool {
        let mut state = self.0.lock();
        let fresh = state.rings.hear(said, self.0.clock.now());
        if fresh && !state.waiting.is_empty() {
            let listening = state.waiting.get(&channel(&said.system, &said.channel));
            listening.into_iter().flatten().for_each(|(_, news)| news.notify_one());
        }
        fresh
    }

    /// Which of these shards, as (type, number), have not passed the message on to their active actors yet. They count as
    /// having done so from now on.
    pub fn push(&self, said: &Said, shards: &[(u32, u32)]) -> Vec<(u32, u32)> {
        self.0.lock().rings.push(said, shards)
    }

    /// The message of this id on a channel, if it is remembered.
    #[must_use]
    pub fn find(&self, system: &str, name: &str, id: &str) -> Option<Arc<Said>> {
        self.0.lock().rings.find(&channel(system, name), id).cloned()
    }

    /// Begins to listen: after what a token says, or from now on.
    ///
    /// # Errors
    /// `MailboxFull` if as many listen as may; `ShuttingDown` if the node is about to stop.
    pub fn listen(
        &self,
        system: &str,
        channels: &[String],
        resume: Option<Token>,
    ) -> Result<Listener, CallError> {
        let now = self.0.clock.now();
        let mut guard = self.0.lock();
        if self.0.ended.load(Ordering::Acquire) {
            return Err(stopping());
        }
        let state = &mut *guard;
        if state.listeners >= limits::SUBSCRIBERS_MAX {
            let text = "as many streams listen at this node as may. Try another node, or later";
            let error = CallError::new(ErrorKind::MailboxFull, text).retry_after(1_000);
            return Err(error.with("limit", limits::SUBSCRIBERS_MAX));
        }
        let from = match resume {
            None => From::Now,
            Some(token) if token.life == self.0.life => From::Sequence(token.sequence),
            Some(token) => From::Time(token.at),
        };
        state.listeners += 1;
        state.next_id += 1;
        let id = state.next_id;
        let news = Arc::new(Notify::new());
        let (mut places, mut lost) = (Vec::with_capacity(channels.len()), false);
        for name in channels {
            let key = channel(system, name);
            if places.iter().any(|(known, _)| *known == key) {
                continue;
            }
            let (place, missing) = state.rings.listen(&key, from, now);
            lost |= missing;
            state.waiting.entry(Arc::clone(&key)).or_default().push((id, Arc::clone(&news)));
            places.push((key, place));
        }
        // Whoever breaks off before anything came goes on from the same place.
        let now = Token { life: self.0.life, sequence: state.rings.sequence(), at: now };
        let token = resume.unwrap_or(now);
        Ok(Listener { shared: Arc::clone(&self.0), id, places, lost, news, token })
    }

    /// The node is about to stop: every stream ends.
    pub fn end(&self) {
        self.0.ended.store(true, Ordering::Release);
        let state = self.0.lock();
        state.waiting.values().flatten().for_each(|(_, news)| news.notify_one());
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it looks at rings")
    }
}

// === impl Listener ===

impl Listener {
    /// Where it is before anything came.
    #[must_use]
    pub fn token(&self) -> Token {
        self.token
    }

    /// Waits for what comes next.
    ///
    /// # Errors
    /// `ShuttingDown` when the node is about to stop.
    pub async fn next(&mut self) -> Result<Item, CallError> {
        loop {
            if self.shared.ended.load(Ordering::Acquire) {
                return Err(stopping());
            }
            if let Some(item) = self.take() {
                return Ok(item);
            }
            // What came since is remembered by the wake-up.
            self.news.notified().await;
        }
    }

    /// The oldest message that it has not got, over all its channels, so that a token stands for everything before it.
    fn take(&mut self) -> Option<Item> {
        if std::mem::take(&mut self.lost) {
            return Some(Item::Missed(0));
        }
        let state = self.shared.lock();
        let mut first: Option<(usize, &super::machine_ring::Heard)> = None;
        for (at, (channel, place)) in self.places.iter_mut().enumerate() {
            match state.rings.next(channel, *place) {
                Next::Nothing => {}
                Next::Missed(count) => {
                    *place = state.rings.begin(channel);
                    return Some(Item::Missed(count));
                }
                Next::Message(heard) => {
                    if first.is_none_or(|(_, best)| heard.sequence < best.sequence) {
                        first = Some((at, heard));
                    }
                }
            }
        }
        let (at, heard) = first?;
        let token = Token { life: self.shared.life, sequence: heard.sequence, at: heard.at };
        let said = Arc::clone(&heard.said);
        drop(state);
        self.places[at].1 += 1;
        Some(Item::Message(said, token))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let now = self.shared.clock.now();
        let mut guard = self.shared.lock();
        let state = &mut *guard;
        state.listeners -= 1;
        for (channel, _) in &self.places {
            state.rings.leave(channel, now);
            if let Some(listening) = state.waiting.get_mut(channel) {
                listening.retain(|(id, _)| *id != self.id);
                if listening.is_empty() {
                    state.waiting.remove(channel);
                }
            }
        }
    }
}

fn stopping() -> CallError {
    CallError::new(
        ErrorKind::ShuttingDown,
        "the node is about to stop. Listen at another node, with the newest resume token",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{Metadata, Payload};

    fn said(on: &str, id: u64) -> Arc<Said> {
        Arc::new(Said {
            id: id.to_string(),
            system: "default".into(),
            channel: on.into(),
            payload: Payload::default(),
            metadata: Metadata::new(),
            source: None,
            published_at: callboard_types::Millis(0),
        })
    }

    async fn id(listener: &mut Listener) -> (String, Token) {
        match listener.next().await {
            Ok(Item::Message(said, token)) => (said.id.clone(), token),
            other => panic!("not a message: {other:?}"),
        }
    }

    #[tokio::test]
    async fn a_token_stands_for_everything_that_came_before_it_on_all_channels() {
        let node = Listeners::new(ClusterClock::own());
        let both = ["a".to_owned(), "b".to_owned()];
        let mut listener = node.listen("default", &both, None).expect("room");
        for number in 0..6 {
            node.hear(&said(&both[number as usize % 2], number));
        }
        let mut token = listener.token();
        for number in 0..4 {
            let (got, after) = id(&mut listener).await;
            assert_eq!(got, number.to_string());
            token = after;
        }
        drop(listener);
        let mut again = node.listen("default", &both, Some(token)).expect("room");
        assert_eq!(id(&mut again).await.0, "4");
        assert_eq!(id(&mut again).await.0, "5");
        node.hear(&said("a", 6));
        assert_eq!(id(&mut again).await.0, "6");
        drop(again);
        assert!(node.0.lock().waiting.is_empty());
    }

    #[tokio::test]
    async fn another_node_says_again_what_came_lately() {
        let (one, two) = (Listeners::new(ClusterClock::own()), Listeners::new(ClusterClock::own()));
        let news = ["news".to_owned()];
        let listener = one.listen("default", &news, None).expect("room");
        let token = listener.token();
        two.hear(&said("news", 1));
        let mut moved = two.listen("default", &news, Some(token)).expect("room");
        assert_eq!(id(&mut moved).await.0, "1");
        let old = Token { at: callboard_types::Millis(1), ..token };
        let mut late = two.listen("default", &news, Some(old)).expect("room");
        assert!(matches!(late.next().await, Ok(Item::Missed(0))));
        assert_eq!(id(&mut late).await.0, "1");
    }

    #[tokio::test]
    async fn streams_end_when_the_node_stops() {
        let node = Listeners::new(ClusterClock::own());
        let news = ["news".to_owned()];
        let mut listener = node.listen("default", &news, None).expect("room");
        let (item, ()) = tokio::join!(listener.next(), async { node.end() });
        assert_eq!(item.expect_err("it ends").kind, ErrorKind::ShuttingDown);
        assert!(node.listen("default", &news, None).is_err());
    }
}
