//! The tasks that read. Each has its own connection, so reading never waits for a commit.

use std::sync::Arc;

use bytes::Bytes;
use callboard_statestore::{ActorRecord, ActorSummary, Error, InboxRow, StateBlob};
use callboard_types::{ActorId, Epoch, Millis, Revision, ShardId, shard::key_hash};
use sqlx::postgres::PgRow;
use tokio::sync::mpsc;

use super::{
    classify::Failure,
    commit::keys,
    link::Link,
    rows::{Columns, Parameters},
    sql,
};
use crate::{
    counter::{signed, unsigned},
    health::Health,
    jobs::{Listing, Question, Reply},
    ring,
};

/// Spill tables that one statement searches.
const TABLES_MAX: usize = 16;

/// A reading connection.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) link: Link,
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
                *place = Some(record(&row)?);
            }
        }
        Ok(found)
    }

    async fn spilled(&mut self, queries: &[(ActorId, Millis)]) -> Result<Vec<Vec<Bytes>>, Failure> {
        let mut found = vec![vec![]; queries.len()];
        let Some(earliest) = queries.iter().map(|(_, created)| created.0).min() else {
            return Ok(found);
        };
        // What tables hold is looked up each time: other nodes fill and empty them too.
        let mut tables = vec![];
        for row in self.link.rows(sql::SLOTS, Parameters::default().0).await? {
            let table = (row.place(0)?, row.number(1)?);
            if table.1 > earliest {
                tables.push(table);
            }
        }
        let known = |created: &Millis| created.0 != 0;
        let number = |of: &dyn Fn(&Millis) -> i64| -> Vec<i64> {
            queries.iter().map(|(_, created)| of(created)).collect()
        };
        let hash = |id: &ActorId| key_hash(&id.key).cast_signed();
        for part in tables.chunks(TABLES_MAX) {
            let parameters = Parameters::default()
                .and(queries.iter().map(|(id, _)| hash(id)).collect::<Vec<i64>>())
                .and(number(&|created| created.0))
                .and(number(&|created| match known(created) {
                    true => ring::narrow_end(*created),
                    false => i64::MAX,
                }))
                .and(number(&|created| if known(created) { created.0 } else { i64::MAX }))
                .and(queries.iter().map(|(id, _)| &*id.system).collect::<Vec<&str>>())
                .and(queries.iter().map(|(id, _)| &*id.actor_type).collect::<Vec<&str>>())
                .and(queries.iter().map(|(id, _)| &*id.key).collect::<Vec<&str>>());
            for row in self.link.once(sql::spilled(part), parameters.0).await? {
                if let Some(packs) = found.get_mut(row.place(0)?.wrapping_sub(1)) {
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
        let row = |row: &PgRow| {
            Ok(InboxRow {
                id: ActorId {
                    system: Arc::clone(&shard.system),
                    actor_type: Arc::clone(&shard.actor_type),
                    key: row.text(1)?.into(),
                },
                sequence: unsigned(row.number(0)?),
                call: row.bytes(2)?,
            })
        };
        rows.iter().map(row).collect()
    }

    async fn list(&mut self, listing: &Listing) -> Result<Vec<ActorSummary>, Failure> {
        let after_is_excluded = listing.after >= listing.prefix;
        let (text, start) = match after_is_excluded {
            true => (sql::LIST_AFTER, &listing.after),
            false => (sql::LIST_FROM, &listing.prefix),
        };
        let parameters = Parameters::default()
            .and(&*listing.system)
            .and(&*listing.actor_type)
            .and(start.as_str())
            .and(signed(listing.limit as u64));
        let mut summaries = vec![];
        for row in self.link.rows(text, parameters.0).await? {
            let key = row.text(0)?;
            // Keys with the prefix stand together: the first one without it ends the listing.
            if !key.starts_with(&listing.prefix) {
                break;
            }
            summaries.push(ActorSummary {
                id: ActorId {
                    system: Arc::clone(&listing.system),
                    actor_type: Arc::clone(&listing.actor_type),
                    key: key.into(),
                },
                revision: Revision(unsigned(row.number(1)?)),
                state_bytes: unsigned(row.number_if_any(3)?.unwrap_or(0)),
                updated_at: Millis(row.number(2)?),
            });
        }
        Ok(summaries)
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

fn record(row: &PgRow) -> Result<ActorRecord, Error> {
    let text = |index| row.bytes(index).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let state = match row.bytes_if_any(4)? {
        Some(content_type) => Some(StateBlob {
            content_type: String::from_utf8_lossy(&content_type).into_owned(),
            type_url: text(5)?,
            data: row.bytes(8)?,
        }),
        None => None,
    };
    Ok(ActorRecord {
        revision: Revision(unsigned(row.number(1)?)),
        state,
        tags: row.bytes(6)?,
        outcomes: row.bytes(7)?,
        spilled_until: Millis(row.number(3)?),
        updated_at: Millis(row.number(2)?),
    })
}
