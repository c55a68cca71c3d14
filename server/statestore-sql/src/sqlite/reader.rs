//! The tasks that read. Each has its own connection, so reading never waits for a commit.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use callboard_statestore::{ActorRecord, ActorSummary, Error, InboxRow};
use callboard_types::{ActorId, Millis, ShardId, shard::key_hash};
use tokio::sync::mpsc;

use crate::{
    columns::{self, Columns},
    counter::signed,
    health::Health,
    jobs::{Listing, Question, Reply},
    ring::{self, Ring},
    sqlite::{
        fences,
        lane::{Lane, Parameters},
        sql::{Shape, Statements, padded},
        writer::cluster_id,
    },
};

mod workflow;

/// Keys of one statement.
const KEYS_MAX: usize = 256;
/// Spill lookups of one statement: a compound of that many selects, of at most 500.
const QUERIES_MAX: usize = 32;

/// A reading connection.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) lane: Lane,
    pub(crate) ring: Arc<Ring>,
    pub(crate) statements: Statements,
    pub(crate) health: Arc<Health>,
}

impl Reader {
    /// Answers until nobody can ask any more or the store is closed.
    pub(crate) async fn run(mut self, mut questions: mpsc::Receiver<Question>) -> Lane {
        while let Some(question) = questions.recv().await {
            match question {
                Question::Load(ids, reply) => {
                    let rows = self.load(&ids).await;
                    self.answer(reply, rows);
                }
                Question::Spilled(queries, reply) => {
                    let packs = self.spilled(&queries).await;
                    self.answer(reply, packs);
                }
                Question::Inbox(shard, after, limit, reply) => {
                    let rows = self.inbox(&shard, after, limit).await;
                    self.answer(reply, rows);
                }
                Question::List(listing, reply) => {
                    let rows = self.list(&listing).await;
                    self.answer(reply, rows);
                }
                Question::Outbox(deliveries, reply) => {
                    let rows = self.outbox(&deliveries).await;
                    self.answer(reply, rows);
                }
                Question::OutboxEnds(shard, after, reply) => {
                    let ends = self.outbox_ends(&shard, after).await;
                    self.answer(reply, ends);
                }
                Question::Broadcasts(shard, after, limit, reply) => {
                    let rows = self.broadcasts(&shard, after, limit).await;
                    self.answer(reply, rows);
                }
                Question::Keys(shard, after, limit, reply) => {
                    let keys = self.keys(&shard, after, limit).await;
                    self.answer(reply, keys);
                }
                Question::History(id, at, limit, reply) => {
                    let rows = self.history(&id, at, limit).await;
                    self.answer(reply, rows);
                }
                Question::DeadLetters(letters, reply) => {
                    let rows = self.dead_letters(letters).await;
                    self.answer(reply, rows);
                }
                Question::DeadLetter(id, reply) => {
                    let row = self.dead_letter(id).await;
                    self.answer(reply, row);
                }
                Question::Cluster(reply) => {
                    let id = cluster_id(&mut self.lane).await;
                    self.answer(reply, id);
                }
                Question::Epochs(reply) => {
                    let fences = fences::read(&mut self.lane).await;
                    self.answer(reply, fences.map(|fences| fences.epochs()));
                }
                Question::Close => break,
            }
        }
        self.lane
    }

    fn answer<T>(&self, reply: Reply<T>, answer: Result<T, Error>) {
        if let Err(error) = &answer {
            self.health.note(error);
        }
        let _gone = reply.send(answer);
    }

    async fn load(&mut self, ids: &[ActorId]) -> Result<Vec<Option<ActorRecord>>, Error> {
        let mut found = vec![None; ids.len()];
        let mut by_type: HashMap<_, HashMap<&str, Vec<usize>>> = HashMap::new();
        for (at, id) in ids.iter().enumerate() {
            let keys = by_type.entry((&id.system, &id.actor_type)).or_default();
            keys.entry(&id.key).or_default().push(at);
        }
        for ((system, actor_type), wanted) in by_type {
            // The first place of each key stands for the key.
            let places: Vec<usize> = wanted.values().map(|places| places[0]).collect();
            for part in places.chunks(KEYS_MAX) {
                let keys = padded(part.len());
                let mut parameters = Parameters::with_room(keys + 2);
                parameters.text(system).text(actor_type);
                for at in 0..keys {
                    parameters.text(&ids[part[at.min(part.len() - 1)]].key);
                }
                let text = self.statements.get(Shape::Load { keys });
                for row in self.lane.rows(text, parameters).await? {
                    let record = columns::actor(&row)?;
                    let places = wanted.get(row.text(0)?).map_or(&[][..], Vec::as_slice);
                    for at in places {
                        found[*at] = Some(record.clone());
                    }
                }
            }
        }
        Ok(found)
    }

    async fn spilled(&mut self, queries: &[(ActorId, Millis)]) -> Result<Vec<Vec<Bytes>>, Error> {
        let mut found = vec![vec![]; queries.len()];
        let mut by_slot: HashMap<usize, Vec<usize>> = HashMap::new();
        for (at, (_, created)) in queries.iter().enumerate() {
            for slot in self.ring.candidates(*created) {
                by_slot.entry(slot).or_default().push(at);
            }
        }
        for (slot, members) in by_slot {
            for part in members.chunks(QUERIES_MAX) {
                let count = padded(part.len());
                let mut parameters = Parameters::with_room(count * 10);
                for at in 0..count {
                    // A repeated query would repeat its answers, so padding asks for nobody.
                    let place = part.get(at).copied();
                    let (id, created) = &queries[place.unwrap_or(part[0])];
                    let hash = key_hash(&id.key).cast_signed();
                    let known = created.0 != 0;
                    let narrow_end = match place {
                        Some(_) if known => ring::narrow_end(*created),
                        Some(_) => i64::MAX,
                        None => i64::MIN,
                    };
                    let from_max = if known { created.0 } else { i64::MAX };
                    let wide_from = if place.is_some() { created.0 } else { i64::MAX };
                    parameters
                        .number(place.map_or(-1, |place| signed(place as u64)))
                        .number(hash)
                        .number(created.0)
                        .number(narrow_end)
                        .number(hash)
                        .number(wide_from)
                        .number(from_max)
                        .text(&id.system)
                        .text(&id.actor_type)
                        .text(&id.key);
                }
                let text = self.statements.get(Shape::Spilled { slot, queries: count });
                for row in self.lane.rows(text, parameters).await? {
                    let place = usize::try_from(row.number(0)?).ok();
                    if let Some(packs) = place.and_then(|place| found.get_mut(place)) {
                        packs.push(row.bytes(1)?);
                    }
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
    ) -> Result<Vec<InboxRow>, Error> {
        let mut parameters = Parameters::with_room(5);
        parameters
            .text(&shard.system)
            .text(&shard.actor_type)
            .number(i64::from(shard.number))
            .number(signed(after))
            .number(signed(limit as u64));
        let text = self.statements.get(Shape::Inbox);
        let rows = self.lane.rows(text, parameters).await?;
        rows.iter().map(|row| columns::call(shard, row)).collect()
    }

    async fn list(&mut self, listing: &Listing) -> Result<Vec<ActorSummary>, Error> {
        let (start, after_is_excluded) = listing.start();
        let mut parameters = Parameters::with_room(4);
        parameters
            .text(&listing.system)
            .text(&listing.actor_type)
            .string(start.clone())
            .number(signed(listing.limit as u64));
        let text = self.statements.get(Shape::List { after_is_excluded });
        columns::summaries(listing, &self.lane.rows(text, parameters).await?)
    }
}
