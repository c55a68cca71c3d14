//! The tasks that read. Each has its own connection, so reading never waits for a commit.

use std::sync::Arc;

use bytes::Bytes;
use callboard_statestore::{ActorRecord, ActorSummary, Error, InboxRow};
use callboard_types::{ActorId, Epoch, Millis, ShardId, shard::key_hash};
use sqlx::postgres::PgRow;
use tokio::sync::mpsc;

use super::{
    classify::Failure,
    commit::keys,
    link::Link,
    rows::Parameters,
    sql::{self, SpillTexts},
};
use crate::{
    columns::{self, Columns},
    counter::{signed, unsigned},
    health::Health,
    jobs::{Listing, Question, Reply},
    ring,
};

mod workflow;

/// A reading connection.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) link: Link,
    pub(crate) texts: Arc<SpillTexts>,
    pub(crate) health: Arc<Health>,
}

/// Asks, and asks once more on a new connection if the old one was dead: the server may have restarted since it was
/// last used.
macro_rules! ask {
    ($reader:ident, $reply:ident, $question:expr) => {{
        let answer = match $reader.link.ready().await {
            Ok(used) => match $question.await {
                Err(Failure::Lost(_)) if used => match $reader.link.ready().await {
                    Ok(_) => $question.await,
                    Err(failure) => Err(failure),
                },
                answer => answer,
            },
            Err(failure) => Err(failure),
        };
        $reader.answer($reply, answer.map_err(Failure::into_error));
    }};
}

impl Reader {
    /// Answers until nobody can ask any more or the store is closed.
    pub(crate) async fn run(mut self, mut questions: mpsc::Receiver<Question>) {
        while let Some(question) = questions.recv().await {
            match question {
                Question::Load(ids, reply) => ask!(self, reply, self.load(&ids)),
                Question::Spilled(queries, reply) => ask!(self, reply, self.spilled(&queries)),
                Question::Inbox(shard, after, limit, reply) => {
                    ask!(self, reply, self.inbox(&shard, after, limit));
                }
                Question::List(listing, reply) => ask!(self, reply, self.list(&listing)),
                Question::Outbox(asked, reply) => ask!(self, reply, self.outbox(&asked)),
                Question::OutboxEnds(shard, after, reply) => {
                    ask!(self, reply, self.outbox_ends(&shard, after));
                }
                Question::Broadcasts(shard, after, limit, reply) => {
                    ask!(self, reply, self.broadcasts(&shard, after, limit));
                }
                Question::Keys(shard, after, limit, reply) => {
                    ask!(self, reply, self.keys(&shard, &after, limit));
                }
                Question::History(id, at, limit, reply) => {
                    ask!(self, reply, self.history(&id, at, limit));
                }
                Question::DeadLetters(asked, reply) => {
                    ask!(self, reply, self.dead_letters(&asked));
                }
                Question::DeadLetter(id, reply) => ask!(self, reply, self.dead_letter(&id)),
                Question::Cluster(reply) => ask!(self, reply, self.cluster()),
                Question::Epochs(reply) => ask!(self, reply, self.epochs()),
                Question::Close => break,
            }
        }
        self.link.close().await;
    }

    fn answer<T>(&self, reply: Reply<T>, answer: Result<T, Error>) {
        if let Err(error) = &answer {
            self.health.note(error);
        }
        let _gone = reply.send(answer);
    }

    async fn load(&mut self, ids: &[ActorId]) -> Result<Vec<Option<ActorRecord>>, Failure> {
        let mut found = vec![None; ids.len()];
        if ids.is_empty() {
            return Ok(found);
        }
        let ids: Vec<&ActorId> = ids.iter().collect();
        for row in self.link.rows(sql::LOAD, keys(&ids).0).await? {
            if let Some(place) = found.get_mut(row.place(0)?.wrapping_sub(1)) {
                *place = Some(columns::actor(&row)?);
            }
        }
        Ok(found)
    }

    async fn spilled(&mut self, queries: &[(ActorId, Millis)]) -> Result<Vec<Vec<Bytes>>, Failure> {
        let mut found = vec![vec![]; queries.len()];
        // What tables hold is looked up each time: other nodes fill and empty them too.
        let mut tables = vec![];
        for row in self.link.rows(sql::SLOTS, Parameters::default().0).await? {
            tables.push((row.place(0)?, row.number(1)?));
        }
        for (slot, holds_until) in tables {
            let mut asked: Vec<usize> = (0..queries.len()).collect();
            asked.retain(|at| queries[*at].1.0 < holds_until);
            let Some(text) = self.texts.find(slot).filter(|_| !asked.is_empty()) else { continue };
            let parameters = lookup(asked.iter().map(|at| &queries[*at]));
            for row in self.link.made(text, parameters.0).await? {
                let at = asked.get(row.place(0)?.wrapping_sub(1)).copied();
                if let Some(packs) = at.and_then(|at| found.get_mut(at)) {
                    packs.push(row.bytes(1)?);
                }
            }
        }
        Ok(found)
    }

    async fn inbox(
        &mut self,
        shard: &ShardId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<InboxRow>, Failure> {
        let parameters = Parameters::default()
            .and(&*shard.system)
            .and(&*shard.actor_type)
            .and(i64::from(shard.number))
            .and(signed(after))
            .and(signed(limit as u64));
        let rows = self.link.rows(sql::INBOX, parameters.0).await?;
        rows.iter().map(|row| Ok(columns::call(shard, row)?)).collect()
    }

    async fn list(&mut self, listing: &Listing) -> Result<Vec<ActorSummary>, Failure> {
        let (start, after_is_excluded) = listing.start();
        let text = if after_is_excluded { sql::LIST_AFTER } else { sql::LIST_FROM };
        let parameters = Parameters::default()
            .and(&*listing.system)
            .and(&*listing.actor_type)
            .and(start.as_str())
            .and(signed(listing.limit as u64));
        Ok(columns::summaries(listing, &self.link.rows(text, parameters.0).await?)?)
    }

    async fn cluster(&mut self) -> Result<Option<String>, Failure> {
        let rows = self.link.rows(sql::CLUSTER, Parameters::default().0).await?;
        let name = rows.first().map(|row| row.text(0).map(ToOwned::to_owned));
        Ok(name.transpose()?)
    }

    async fn epochs(&mut self) -> Result<Vec<(ShardId, Epoch)>, Failure> {
        let rows = self.link.rows(sql::EPOCHS, Parameters::default().0).await?;
        let row = |row: &PgRow| {
            let shard = ShardId {
                system: row.text(0)?.into(),
                actor_type: row.text(1)?.into(),
                number: u32::try_from(row.number(2)?).unwrap_or(u32::MAX),
            };
            Ok((shard, Epoch(unsigned(row.number(3)?))))
        };
        rows.iter().map(row).collect()
    }
}

/// What the search in a spill table takes: key hash, creation time, latest end of a narrow pack, latest beginning, name.
fn lookup<'a>(queries: impl Iterator<Item = &'a (ActorId, Millis)>) -> Parameters {
    let (mut hashes, mut created, mut ends, mut latest) = (vec![], vec![], vec![], vec![]);
    let (mut systems, mut types, mut keys) = (vec![], vec![], vec![]);
    for (id, at) in queries {
        // Zero stands for a time that is not known.
        let is_known = at.0 != 0;
        hashes.push(key_hash(&id.key).cast_signed());
        created.push(at.0);
        ends.push(if is_known { ring::narrow_end(*at) } else { i64::MAX });
        latest.push(if is_known { at.0 } else { i64::MAX });
        systems.push(&*id.system);
        types.push(&*id.actor_type);
        keys.push(&*id.key);
    }
    let times = Parameters::default().and(hashes).and(created).and(ends).and(latest);
    times.and(systems).and(types).and(keys)
}
