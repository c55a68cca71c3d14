//! What the data plane writes for durable adds: one row per actor and transaction, with the newest outcomes in it, and
//! now and then a pack of older ones.

use std::collections::BTreeMap;

use bytes::Bytes;
use callboard_statestore::{ActorCommit, ActorRecord, CommitBatch, SpillPack, StateBlob};
use callboard_types::{ActorId, Millis, Revision, limits, shard::shard_of};

use crate::{
    error::Error,
    host::actors,
    payload::{self, Ids},
    store::{EPOCH, SYSTEM},
};

/// One encoded outcome of an add: the id (36), the reply (100) with its content type (24), creation time, fingerprint
/// and revision (18), and lengths (4).
const OUTCOME_BYTES: usize = 182;

/// Seed of the keys.
const SEED: u64 = 1;

/// The actors that are added to.
pub(crate) struct Producers {
    actors: Vec<Actor>,
    ids: Ids,
}

struct Actor {
    id: ActorId,
    shard: u32,
    revision: Revision,
    /// Outcomes in the row.
    inline: usize,
    spilled_until: Millis,
}

impl Producers {
    /// Actors that do not exist yet.
    pub(crate) fn new(keys: u64) -> Result<Self, Error> {
        let actors = (0..keys.max(1)).map(|number| {
            let key = payload::key(number);
            let id = ActorId::parse(SYSTEM, actors::DURABLE, &key)
                .map_err(|error| Error::failed(error.to_string()))?;
            Ok(Actor {
                id,
                shard: shard_of(&key, limits::SHARDS_DEFAULT),
                revision: Revision::ZERO,
                inline: 0,
                spilled_until: Millis(0),
            })
        });
        Ok(Self { actors: actors.collect::<Result<_, Error>>()?, ids: Ids::new(SEED) })
    }

    /// One add of each producer, to actors at random. Adds to one actor share its row.
    pub(crate) fn batch(&mut self, producers: usize) -> CommitBatch {
        let mut adds: BTreeMap<usize, usize> = BTreeMap::new();
        for _ in 0..producers {
            let actor = self.ids.below(self.actors.len() as u64) as usize;
            *adds.entry(actor).or_default() += 1;
        }
        let now = Millis::now();
        let actors = adds.into_iter().map(|(actor, adds)| self.actors[actor].commit(adds, now));
        CommitBatch { actors: actors.collect(), inbox: Vec::new(), ..CommitBatch::default() }
    }
}

impl Actor {
    fn commit(&mut self, adds: usize, now: Millis) -> ActorCommit {
        let previous = self.revision;
        let mut leaving = 0;
        for _ in 0..adds {
            // As the data plane does: a full row sends its outcomes away together.
            if self.inline == limits::INLINE_OUTCOMES_MAX {
                leaving += self.inline;
                self.inline = 0;
                self.spilled_until = now;
            }
            self.inline += 1;
            self.revision = self.revision.next();
        }
        let state = payload::counter(self.revision.0);
        let spill =
            (leaving > 0).then(|| SpillPack { from: now, until: now, data: outcomes(leaving) });
        ActorCommit {
            id: self.id.clone(),
            shard: self.shard,
            epoch: EPOCH,
            previous,
            record: ActorRecord {
                revision: self.revision,
                state: Some(StateBlob {
                    content_type: state.content_type,
                    type_url: state.type_url,
                    data: state.data,
                }),
                tags: Bytes::new(),
                outcomes: outcomes(self.inline),
                spilled_until: self.spilled_until,
                updated_at: now,
                deleted: false,
            },
            spill: spill.into_iter().collect(),
            inbox_done: Vec::new(),
            outbox: Vec::new(),
            letters: Vec::new(),
            history: Vec::new(),
            forget: None,
        }
    }
}

/// Room for encoded outcomes. What is in it does not matter to a store.
fn outcomes(count: usize) -> Bytes {
    vec![0x5a; count * OUTCOME_BYTES].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_add_of_a_batch_moves_its_actor_by_one_revision() {
        let mut producers = Producers::new(3).expect("the keys are valid");
        for _ in 0..100 {
            let before: u64 = producers.actors.iter().map(|actor| actor.revision.0).sum();
            let batch = producers.batch(10);
            assert!(batch.actors.len() <= 3);
            let after: u64 = producers.actors.iter().map(|actor| actor.revision.0).sum();
            assert_eq!(after - before, 10);
            for commit in &batch.actors {
                assert!(commit.record.revision > commit.previous);
                let row = commit.record.outcomes.len();
                assert!(row <= limits::INLINE_OUTCOMES_MAX * OUTCOME_BYTES);
            }
        }
    }

    #[test]
    fn outcomes_leave_the_row_in_packs_and_none_is_lost() {
        let mut producers = Producers::new(1).expect("the key is valid");
        let mut spilled = 0;
        let mut inline = 0;
        for _ in 0..50 {
            let commit = producers.batch(1).actors.remove(0);
            spilled += commit.spill.iter().map(|pack| pack.data.len()).sum::<usize>();
            inline = commit.record.outcomes.len();
        }
        assert_eq!(spilled + inline, 50 * OUTCOME_BYTES);
    }
}
