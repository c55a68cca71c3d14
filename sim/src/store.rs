//! The store that all nodes share: fence rows, actor rows, and commits that check both.
//!
//! Each request takes effect at one point in time, which may be long after it was sent. A node's requests travel on a
//! session; when the outcome of a commit is not known, the node takes the fence row by a newer session, which shuts the
//! older one out, and only then asks.

use std::collections::{BTreeMap, BTreeSet};

use callboard_data_plane::activation::outcome::{self, StoredOutcome};
use callboard_statestore::{ActorCommit, ActorRecord, SpillPack};
use callboard_types::Epoch;

use crate::{
    bugs::Bug,
    coverage::{Coverage, Seen},
    history::{Actor, Commit, History, Shard},
    state,
};

/// What a node asks.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    /// Write the fence row.
    Claim { epoch: Epoch },
    /// Read a row.
    Load { key: u32 },
    /// Find a spilled outcome.
    LookUp { key: u32, request_id: String, created_at: i64 },
    /// Commit one actor's turns.
    Commit { number: u64, key: u32, commit: Box<ActorCommit> },
    /// Shut out every session of this life below the request's own, then say what became of a commit.
    Resolve { number: u64 },
}

/// What the store answers.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// The fence row holds the epoch, or a higher one.
    Claimed { epoch: Epoch, stored: Epoch },
    /// The row.
    Loaded { key: u32, record: Option<Box<ActorRecord>> },
    /// The outcome.
    LookedUp { key: u32, request_id: String, found: Option<Box<StoredOutcome>> },
    /// What became of a commit.
    Committed { number: u64, verdict: Verdict },
    /// What had become of it. The fence row holds `stored`.
    Resolved { number: u64, committed: bool, stored: Epoch },
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is durable.
    Done,
    /// Another epoch holds the shard.
    FenceLost,
    /// The row is at another revision.
    Mismatch,
}

/// A request on its way.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    /// The life of the node; no two nodes have the same.
    pub(crate) life: u64,
    /// Its session; newer ones have higher numbers.
    pub(crate) session: u64,
    /// The shard that the request is about.
    pub(crate) shard: Shard,
    /// The request.
    pub(crate) request: Request,
}

/// The store.
#[derive(Debug, Default)]
pub(crate) struct Store {
    fences: BTreeMap<Shard, Epoch>,
    rows: BTreeMap<Actor, ActorRecord>,
    spilled: BTreeMap<Actor, Vec<SpillPack>>,
    /// (life, number) of what was committed.
    committed: BTreeSet<(u64, u64)>,
    /// The lowest session of each life and shard that may still commit.
    shut_out: BTreeMap<(u64, Shard), u64>,
}

impl Store {
    /// Carries out a request. `None` if its session was shut out: there is nobody left to answer.
    pub(crate) fn handle(
        &mut self,
        now: u64,
        envelope: Envelope,
        bug: Option<Bug>,
        (history, coverage): (&mut History, &mut Coverage),
    ) -> Option<Answer> {
        let Envelope { life, session, shard, .. } = envelope;
        match envelope.request {
            Request::Claim { epoch } => {
                let stored = self.fences.entry(shard).or_default();
                *stored = epoch.max(*stored);
                if *stored > epoch {
                    coverage.saw(Seen::ClaimLost);
                }
                Some(Answer::Claimed { epoch, stored: *stored })
            }
            Request::Load { key } => {
                let record = self.rows.get(&(shard.0, key)).cloned().map(Box::new);
                Some(Answer::Loaded { key, record })
            }
            Request::LookUp { key, request_id, created_at } => {
                coverage.saw(Seen::LookedUp);
                let found = self.look_up((shard.0, key), &request_id, created_at);
                Some(Answer::LookedUp { key, request_id, found: found.map(Box::new) })
            }
            Request::Commit { number, key, commit } => {
                if session < self.shut_out.get(&(life, shard)).copied().unwrap_or_default() {
                    return None;
                }
                let verdict = self.commit(shard, (shard.0, key), &commit, bug);
                match verdict {
                    Verdict::FenceLost => coverage.saw(Seen::Fenced),
                    Verdict::Mismatch => {}
                    Verdict::Done => {
                        self.committed.insert((life, number));
                        let adds = state::adds(commit.record.state.as_ref());
                        let (epoch, actor) = (commit.epoch, (shard.0, key));
                        history.commits.push(Commit { at: now, epoch, shard, actor, adds });
                    }
                }
                Some(Answer::Committed { number, verdict })
            }
            Request::Resolve { number } => {
                coverage.saw(Seen::UnknownCommit);
                let lowest = self.shut_out.entry((life, shard)).or_default();
                *lowest = session.max(*lowest);
                let committed = self.committed.contains(&(life, number));
                let stored = self.fences.get(&shard).copied().unwrap_or_default();
                Some(Answer::Resolved { number, committed, stored })
            }
        }
    }

    fn commit(
        &mut self,
        shard: Shard,
        actor: Actor,
        commit: &ActorCommit,
        bug: Option<Bug>,
    ) -> Verdict {
        let stored = self.fences.get(&shard).copied().unwrap_or_default();
        let is_fenced = match bug {
            Some(Bug::SkipFenceCheck) => false,
            // Its own row may come later.
            Some(Bug::ServeBeforeFence) => stored > commit.epoch,
            _ => stored != commit.epoch,
        };
        if is_fenced {
            return Verdict::FenceLost;
        }
        let known = self.rows.get(&actor).map(|row| row.revision).unwrap_or_default();
        if known != commit.previous {
            return Verdict::Mismatch;
        }
        let mut record = commit.record.clone();
        if bug == Some(Bug::NoStoredOutcome) {
            record.outcomes = Default::default();
        } else {
            self.spilled.entry(actor).or_default().extend(commit.spill.iter().cloned());
        }
        self.rows.insert(actor, record);
        Verdict::Done
    }

    fn look_up(&self, actor: Actor, request_id: &str, created_at: i64) -> Option<StoredOutcome> {
        let packs = self.spilled.get(&actor)?;
        let near =
            packs.iter().filter(|pack| pack.from.0 <= created_at && created_at <= pack.until.0);
        near.flat_map(|pack| outcome::decode(&pack.data).expect("it was written by an activation"))
            .find(|stored| stored.request_id == request_id)
    }
}
