//! One transaction: what goes into it together, and who is told what became of it.

use std::collections::HashMap;

use callboard_statestore::{ActorCommit, CommitBatch, Forget, Verdict};
use callboard_types::ActorId;

use super::{Payload, WriteJob};
use crate::worker::{Slot, WriteVerdict, Written};

/// Whom to tell, and of what: (worker, activation, what was written).
type Told = (usize, Slot, Written);

/// One transaction and who is told about it.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) batch: CommitBatch,
    /// Per actor of the batch: everything that its row stands for.
    of_actor: Vec<Vec<Told>>,
    of_inbox: Vec<Told>,
    of_done: Vec<Told>,
    of_broadcasts: Vec<Told>,
}

impl Group {
    /// True if a job may share the row of its actor with those that are here already: it was computed on top of them.
    pub(super) fn fits(
        &self,
        worker: usize,
        job: &WriteJob,
        at_actor: &HashMap<ActorId, usize>,
    ) -> bool {
        let Payload::Actor(commit) = &job.payload else { return true };
        at_actor.get(&commit.id).is_none_or(|at| {
            let same = |(of, slot, _): &Told| (*of, *slot) == (worker, job.slot);
            let follows = commit.previous == self.batch.actors[*at].record.revision;
            follows && self.of_actor[*at].last().is_some_and(same)
        })
    }

    pub(super) fn add(
        &mut self,
        worker: usize,
        job: WriteJob,
        at_actor: &mut HashMap<ActorId, usize>,
    ) {
        let told = (worker, job.slot, job.what);
        match job.payload {
            Payload::StartedOver => {}
            Payload::Inbox(row) => {
                self.batch.inbox.push(*row);
                self.of_inbox.push(told);
            }
            Payload::Done(done) => {
                self.batch.outbox_done.push(*done);
                self.of_done.push(told);
            }
            Payload::Broadcast(change) => {
                self.batch.broadcasts.push(*change);
                self.of_broadcasts.push(told);
            }
            Payload::Actor(commit) => match at_actor.get(&commit.id) {
                Some(at) => {
                    merge(&mut self.batch.actors[*at], *commit);
                    self.of_actor[*at].push(told);
                }
                None => {
                    at_actor.insert(commit.id.clone(), self.batch.actors.len());
                    self.batch.actors.push(*commit);
                    self.of_actor.push(vec![told]);
                }
            },
        }
    }

    /// The actors that it writes to, some perhaps twice.
    pub(super) fn ids(&self) -> impl Iterator<Item = &ActorId> {
        let actors = self.batch.actors.iter().map(|commit| &commit.id);
        actors.chain(self.batch.inbox.iter().map(|row| &row.id))
    }

    /// The activations whose commits were not made.
    pub(super) fn discarded<'a>(
        &'a self,
        verdicts: &'a [Option<Verdict>],
    ) -> impl Iterator<Item = (usize, Slot)> + 'a {
        let actors = self.of_actor.iter().zip(verdicts);
        let lost = actors.filter(|(_, verdict)| **verdict != Some(Verdict::Committed));
        lost.flat_map(|(told, _)| told.iter().map(|(worker, slot, _)| (*worker, *slot)))
    }

    /// What each of `workers` workers is to be told.
    pub(super) fn news(
        &self,
        workers: usize,
        verdicts: &[Option<Verdict>],
    ) -> Vec<Vec<WriteVerdict>> {
        let mut per_worker: Vec<Vec<WriteVerdict>> = Vec::new();
        per_worker.resize_with(workers, Vec::new);
        let (actors, others) = verdicts.split_at(self.of_actor.len());
        let of_actors = self.of_actor.iter().zip(actors);
        let told = of_actors.flat_map(|(told, verdict)| told.iter().map(move |one| (one, verdict)));
        let of_others = self.of_inbox.iter().chain(&self.of_done).chain(&self.of_broadcasts);
        for ((worker, slot, what), verdict) in told.chain(of_others.zip(others)) {
            let (slot, what, verdict) = (*slot, *what, *verdict);
            per_worker[*worker].push(WriteVerdict { slot, what, verdict });
        }
        per_worker
    }
}

/// Puts a later commit of an actor on top of an earlier one: one row, and everything else of both.
fn merge(earlier: &mut ActorCommit, later: ActorCommit) {
    earlier.record = later.record;
    earlier.inbox_done.extend(later.inbox_done);
    earlier.spill.extend(later.spill);
    earlier.outbox.extend(later.outbox);
    earlier.letters.extend(later.letters);
    earlier.history.extend(later.history);
    earlier.forget = match (earlier.forget, later.forget) {
        (Some(one), Some(other)) => {
            Some(Forget { below: one.below.max(other.below), before: one.before.max(other.before) })
        }
        (one, other) => one.or(other),
    };
}
