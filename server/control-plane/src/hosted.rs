//! Keeps the eligibility bits of this node true: one task compares what is so with what the machine says.
//!
//! A type that gains its first host becomes eligible at once. One that lost its last host stays eligible for the grace
//! period, because hosts restart, unless that host said that it leaves for good; bits that an earlier life of this node
//! left behind are treated the same way. Changes that come together go in one command.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use callboard_types::{NodeId, NodeState, Tick};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    machine::{Command, command::HostedChanged},
    propose::Proposer,
};

/// (system, type)
pub(crate) type Key = (Arc<str>, Arc<str>);

/// Pause after a proposal that found no leader.
const ERROR_PAUSE: Duration = Duration::from_secs(1);

/// What the sessions of this node offer now. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hosted(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    types: Mutex<Types>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Types {
    /// Types that have a host.
    here: BTreeSet<Key>,
    /// Types whose last host said that no successor is to be expected.
    left: BTreeSet<Key>,
}

/// Makes the machine agree with what is so.
pub(crate) struct Reconciler {
    pub(crate) node: NodeId,
    pub(crate) grace: Duration,
    pub(crate) hosted: Hosted,
    pub(crate) proposer: Proposer,
}

// === impl Hosted ===

impl Hosted {
    pub(crate) fn set(&self, types: impl IntoIterator<Item = Key>, hosted: bool) {
        {
            let mut all = self.0.types.lock();
            for key in types {
                all.left.remove(&key);
                if hosted {
                    all.here.insert(key);
                } else {
                    all.here.remove(&key);
                }
            }
        }
        self.0.changed.notify_one();
    }

    pub(crate) fn leave(&self, types: impl IntoIterator<Item = Key>) {
        {
            let mut all = self.0.types.lock();
            for key in types {
                all.here.remove(&key);
                all.left.insert(key);
            }
        }
        self.0.changed.notify_one();
    }
}

// === impl Reconciler ===

impl Reconciler {
    /// Runs until it is dropped.
    pub(crate) async fn run(self) -> Result<(), Infallible> {
        let mut view = self.proposer.publisher.subscribe();
        let mut missing_since = BTreeMap::new();
        loop {
            view.mark_unchanged();
            let (commands, next) = self.compare(&mut missing_since, Tick::now());
            let mut pause = next;
            for command in commands {
                if let Err(error) = self.proposer.propose(&command).await {
                    tracing::warn!(%error, command = command.name(), "not agreed on yet");
                    pause = Some(ERROR_PAUSE);
                }
            }
            let sleep = async {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.hosted.0.changed.notified() => {}
                // Fails only if the publisher is gone, and it lives in `self`.
                _ = view.changed() => {}
                () = sleep => {}
            }
        }
    }

    /// The commands that would make the machine agree, and when to look again.
    fn compare(
        &self,
        missing_since: &mut BTreeMap<Key, Tick>,
        now: Tick,
    ) -> (Vec<Command>, Option<Duration>) {
        let state = self.proposer.replicated.read();
        if !state.machine.member(self.node).is_some_and(|member| member.state() != NodeState::Down)
        {
            // Not a member yet, or taken to be gone, with everything that was known of its hosts; the view says when it
            // is a member again.
            missing_since.clear();
            return (Vec::new(), None);
        }
        let mut commands = Vec::new();
        let agreed: BTreeSet<Key> = state.machine.hosted_by(self.node).collect();
        let view = self.proposer.publisher.current();
        let so = self.hosted.0.types.lock();
        let gained = so.here.difference(&agreed).filter(|(s, t)| view.type_of(s, t).is_some());
        let mut types: Vec<_> =
            gained.map(|(system, name)| (system.to_string(), name.to_string(), true)).collect();
        missing_since.retain(|key, _| agreed.contains(key) && !so.here.contains(key));
        let mut next = None;
        for key in agreed.difference(&so.here) {
            let since = *missing_since.entry(key.clone()).or_insert(now);
            let grace = if so.left.contains(key) { 0 } else { micros(self.grace) };
            let end = Tick(since.0.saturating_add(grace));
            if end <= now {
                types.push((key.0.to_string(), key.1.to_string(), false));
            } else {
                let wait = end.duration_after(now);
                next = Some(next.map_or(wait, |next: Duration| next.min(wait)));
            }
        }
        if !types.is_empty() {
            commands.push(Command::HostedChanged(HostedChanged { node: self.node, types }));
        }
        (commands, next)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
