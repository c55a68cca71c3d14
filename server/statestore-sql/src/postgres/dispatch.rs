//! Gives jobs to writers: those of one shard in the order in which they came, those of different lanes at the same time.
//!
//! Every shard belongs to a lane. A job takes the lanes of all of its shards and runs on the connection of the first; it
//! waits while an earlier one has or wants one of them. So commits of one shard never wait for each other inside the
//! database, and callers that keep lanes apart (`StateStore::lane`) get as many transactions at a time as there are
//! lanes.

use std::{collections::VecDeque, sync::Arc};

use callboard_statestore::Error;
use callboard_types::{ActorId, ShardId, shard::key_hash};
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
};

use super::lane::Lane;
use crate::{WAITING_MAX, health::Health, jobs::Job};

/// The lane of a shard: neighbours of a type go to different lanes.
pub(crate) fn lane_of(shard: &ShardId, lanes: usize) -> usize {
    place(&shard.actor_type, shard.number, lanes)
}

fn place(actor_type: &str, number: u32, lanes: usize) -> usize {
    let at = key_hash(actor_type).wrapping_add(u64::from(number));
    usize::try_from(at % lanes as u64).unwrap_or(0)
}

/// The writers and what they have to do.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    idle: Vec<Option<Lane>>,
    /// Lanes that running jobs have taken, one bit each.
    taken: u64,
    waiting: VecDeque<(u64, Job)>,
    running: JoinSet<(u64, usize, Lane)>,
    health: Arc<Health>,
}

impl Dispatcher {
    /// A dispatcher over at least one and at most 64 lanes.
    pub(crate) fn new(lanes: Vec<Lane>, health: Arc<Health>) -> Self {
        Self {
            idle: lanes.into_iter().map(Some).collect(),
            taken: 0,
            waiting: VecDeque::new(),
            running: JoinSet::new(),
            health,
        }
    }

    /// Runs until nobody can send any more or the store is closed, and everything that was accepted is done.
    pub(crate) async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut open = true;
        loop {
            self.begin();
            tokio::select! {
                Some(ended) = self.running.join_next() => self.end(ended),
                job = jobs.recv(), if open && self.waiting.len() < WAITING_MAX => match job {
                    Some(Job::Close) | None => open = false,
                    Some(job) => self.waiting.push_back((self.lanes(&job), job)),
                },
                else => break,
            }
        }
        for lane in self.idle.into_iter().flatten() {
            lane.close().await;
        }
    }

    /// Starts every waiting job whose lanes nobody has or wants.
    fn begin(&mut self) {
        let mut wanted = self.taken;
        for (lanes, job) in std::mem::take(&mut self.waiting) {
            let at = lanes.trailing_zeros() as usize;
            let free = wanted & lanes == 0;
            wanted |= lanes;
            match self.idle.get_mut(at).filter(|_| free).and_then(Option::take) {
                Some(mut lane) => {
                    self.taken |= lanes;
                    self.running.spawn(async move {
                        lane.run(job).await;
                        (lanes, at, lane)
                    });
                }
                None => self.waiting.push_back((lanes, job)),
            }
        }
    }

    fn end(&mut self, ended: Result<(u64, usize, Lane), JoinError>) {
        match ended {
            Ok((lanes, at, lane)) => {
                self.taken &= !lanes;
                self.idle[at] = Some(lane);
            }
            // Its lanes stay taken: nobody knows how far it got.
            Err(error) => {
                self.health.note(&Error::Fatal(format!("a writer of the store failed: {error}")));
                // Whoever waits is told instead of left waiting.
                self.waiting.clear();
            }
        }
    }

    fn lanes(&self, job: &Job) -> u64 {
        let count = self.idle.len();
        let shard = |shard: &ShardId| 1 << lane_of(shard, count);
        let item = |id: &ActorId, number: u32| 1 << place(&id.actor_type, number, count);
        let lanes = match job {
            Job::Claim(claims, _) | Job::RaiseLowWater(claims, _, _) => {
                claims.iter().fold(0, |lanes, claim| lanes | shard(&claim.shard))
            }
            Job::Commit(batch, _) => {
                let actors = batch.actors.iter().map(|one| item(&one.id, one.shard));
                let inbox = batch.inbox.iter().map(|one| item(&one.id, one.shard));
                let done = batch.outbox_done.iter().map(|one| shard(&one.shard));
                let broadcasts = batch.broadcasts.iter().map(|one| shard(&one.shard));
                let all = actors.chain(inbox).chain(done).chain(broadcasts);
                all.fold(0, |lanes, lane| lanes | lane)
            }
            Job::Expire(_)
            | Job::BindCluster(..)
            | Job::DropDeadLetter(..)
            | Job::FinishCheckpoint(_)
            | Job::Close => 0,
        };
        // What concerns no shard goes to the last lane.
        if lanes == 0 { 1 << (count - 1) } else { lanes }
    }
}
