//! What became of a commit whose answer was lost.
//!
//! On a fresh connection the batch's fence rows are taken exclusively. The old transaction holds them until it ends, one
//! way or the other, so once they are ours it has ended; and since this node still owns the shards, nobody else has
//! written their rows since. Then the rows say what happened: all of the batch is there, or none of it.

use std::{cmp::Ordering, collections::BTreeSet, time::Duration};

use callboard_statestore::{ActorCommit, CommitBatch, Error, InboxInsert, Verdict};
use callboard_types::{ActorId, Revision, ShardId};
use tokio::time::{Instant, sleep};

use super::{classify::Failure, commit::shards, fences::lock, lane::Lane, rows::Parameters, sql};
use crate::{columns::Columns, counter::signed, fences::shard_of};

/// First and longest pause between two attempts to find out.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Committed,
    RolledBack,
    /// Every shard has another owner by now, and what is stored may be theirs.
    Unknowable,
}

impl Lane {
    /// Finds out whether a batch was committed. Nothing else runs on this lane in the meantime.
    pub(super) async fn fate(
        &mut self,
        batch: &CommitBatch,
        verdicts: Vec<Verdict>,
        why: &str,
    ) -> Result<Vec<Verdict>, Error> {
        let until = Instant::now() + self.server.fate_wait();
        let mut pause = PAUSE.0;
        self.link.cut();
        let fate = loop {
            let looked = self.look(batch, &verdicts).await;
            self.link.roll_back().await;
            match looked {
                Ok(fate) => break fate,
                Err(Failure::Answered(error @ (Error::Fatal(_) | Error::Refused(_)))) => {
                    return Err(error);
                }
                Err(failure) if Instant::now() >= until => {
                    let now = failure.into_error();
                    return Err(Error::OutcomeUnknown(format!("{why}; since then: {now}")));
                }
                Err(_) => sleep(pause).await,
            }
            pause = (pause * 2).min(PAUSE.1);
        };
        tracing::info!(why, ?fate, "a commit whose answer was lost was looked up");
        metrics::counter!("callboard_store_commits_looked_up_total").increment(1);
        match fate {
            Fate::Committed => Ok(verdicts),
            Fate::RolledBack => Err(Error::Unavailable(format!("{why}; it was rolled back"))),
            Fate::Unknowable => {
                Err(Error::OutcomeUnknown(format!("{why}; its shards have another owner by now")))
            }
        }
    }

    async fn look(&mut self, batch: &CommitBatch, verdicts: &[Verdict]) -> Result<Fate, Failure> {
        self.link.begin().await?;
        let all = shards(batch);
        let all: BTreeSet<&ShardId> = all.iter().collect();
        let fences = lock(&mut self.link, sql::FENCES_EXCLUSIVE, &all).await?;
        let (of_actors, of_inbox) = verdicts.split_at(batch.actors.len());
        let written = |verdict: &Verdict| *verdict == Verdict::Committed;
        let mut actors: Vec<_> = batch.actors.iter().zip(of_actors).collect();
        actors.retain(|(_, verdict)| written(verdict));
        // Any row of a shard that is still ours speaks for the whole transaction, if it was to change: a commit that only
        // clears accepted calls leaves the revision as it was.
        actors.retain(|(item, _)| item.record.revision > item.previous);
        let is_ours =
            |item: &ActorCommit| fences.holds(&shard_of(&item.id, item.shard), item.epoch);
        let speaker = actors.iter().find(|(item, _)| is_ours(item)).or(actors.first());
        if let Some((item, _)) = speaker {
            let ids: [&ActorId; 1] = [&item.id];
            let stored = self.revisions(&ids).await?.first().copied().unwrap_or(Revision::ZERO);
            return Ok(match stored.cmp(&item.record.revision) {
                // Revisions never go down, whoever writes them.
                Ordering::Less => Fate::RolledBack,
                Ordering::Equal if is_ours(item) => Fate::Committed,
                _ => Fate::Unknowable,
            });
        }
        // A turn that left its revision as it was may still have sent something.
        let sender =
            batch.actors.iter().zip(of_actors).find(|(item, verdict)| {
                written(verdict) && !item.outbox.is_empty() && is_ours(item)
            });
        if let Some((item, _)) = sender {
            let is_sent = self.is_sent(item).await?;
            return Ok(if is_sent { Fate::Committed } else { Fate::RolledBack });
        }
        let call = batch.inbox.iter().zip(of_inbox).find(|(item, verdict)| {
            written(verdict) && fences.holds(&shard_of(&item.id, item.shard), item.epoch)
        });
        match call {
            Some((item, _)) if self.is_accepted(item).await? => Ok(Fate::Committed),
            Some(_) => Ok(Fate::RolledBack),
            // Nothing of it changed a row that can be asked. Clearing what is cleared already does no harm, nor does
            // ending a delivery or a step of a message twice, so it may be repeated; a shard in other hands is found out
            // by that.
            None if batch.inbox.is_empty() && only_clears(batch, of_actors) => Ok(Fate::RolledBack),
            None => Ok(Fate::Unknowable),
        }
    }

    async fn is_sent(&mut self, item: &ActorCommit) -> Result<bool, Failure> {
        let Some(first) = item.outbox.first() else { return Ok(false) };
        let parameters = Parameters::default()
            .and(&*item.id.system)
            .and(&*item.id.actor_type)
            .and(i64::from(item.shard))
            .and(signed(first.sequence));
        let rows = self.link.rows(sql::SENT, parameters.0).await?;
        match rows.first() {
            Some(row) => Ok(row.text(0)? == &*item.id.key && row.bytes(1)? == first.item),
            None => Ok(false),
        }
    }

    async fn is_accepted(&mut self, item: &InboxInsert) -> Result<bool, Failure> {
        let parameters = Parameters::default()
            .and(vec![&*item.id.system])
            .and(vec![&*item.id.actor_type])
            .and(vec![i64::from(item.shard)])
            .and(vec![signed(item.sequence)]);
        let rows = self.link.rows(sql::ACCEPTED, parameters.0).await?;
        match rows.first() {
            Some(row) => Ok(row.text(1)? == &*item.id.key && row.bytes(2)? == item.call),
            None => Ok(false),
        }
    }
}

/// True if nothing of what was written changes a row: only accepted calls that were answered are cleared.
fn only_clears(batch: &CommitBatch, verdicts: &[Verdict]) -> bool {
    let mut written = batch.actors.iter().zip(verdicts);
    written.all(|(item, verdict)| {
        *verdict != Verdict::Committed || item.record.revision == item.previous
    })
}
