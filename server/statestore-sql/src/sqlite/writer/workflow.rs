//! What a commit brings beside the rows of actors, inside its transaction.

use callboard_statestore::{ActorCommit, BroadcastChange, DeadLetterRow, Error, OutboxDone};
use callboard_types::ActorId;

use super::Writer;
use crate::{
    columns::Columns,
    counter::signed,
    sqlite::{
        lane::Parameters,
        sql::{Flow, Shape, chunks, eighths, padded, powers},
    },
    workflow::{Pasts, Steps, sent, tombstones},
};

/// Rows of one statement.
const ROWS_MAX: usize = 128;

/// The sizes of the statements that so many rows are split into.
type Sizes = Box<dyn Iterator<Item = usize> + Send>;

impl Writer {
    /// Outbox rows, past states and tombstones of turns.
    pub(super) async fn write_flow(&mut self, actors: &[&ActorCommit]) -> Result<(), Error> {
        let rows = sent(actors);
        let sizes = Box::new(chunks(rows.len(), ROWS_MAX));
        self.put(
            &rows,
            sizes,
            |rows| Flow::Send { rows },
            |parameters, (item, row)| {
                parameters
                    .text(&item.id.system)
                    .text(&item.id.actor_type)
                    .number(i64::from(item.shard))
                    .number(signed(row.sequence))
                    .number(row.due_at.0)
                    .text(&item.id.key)
                    .bytes(&row.item);
            },
        )
        .await?;
        let changed = tombstones(actors);
        for deleted in [true, false] {
            let of: Vec<&ActorId> =
                changed.iter().filter(|(_, is)| *is == deleted).map(|(id, _)| *id).collect();
            let shape = |rows| Flow::Tombstones { rows, deleted };
            self.name(&of, shape, |parameters, id| name(parameters, id)).await?;
        }
        self.write_pasts(&Pasts::of(actors)).await
    }

    async fn write_pasts(&mut self, pasts: &Pasts<'_>) -> Result<(), Error> {
        let below = |rows| Flow::ForgetBelow { rows };
        self.name(&pasts.forget_below, below, |parameters, (id, below)| {
            name(parameters, id);
            parameters.number(signed(below.0));
        })
        .await?;
        let before = |rows| Flow::ForgetBefore { rows };
        self.name(&pasts.forget_before, before, |parameters, (id, before)| {
            name(parameters, id);
            parameters.number(before.0);
        })
        .await?;
        let sizes = Box::new(powers(pasts.keep.len(), ROWS_MAX));
        self.put(
            &pasts.keep,
            sizes,
            |rows| Flow::Keep { rows },
            |parameters, (id, past)| {
                name(parameters, id);
                parameters.number(signed(past.revision.0)).number(past.at.0);
                match &past.state {
                    Some(state) => parameters
                        .string(state.content_type.clone())
                        .string(state.type_url.clone())
                        .bytes(&past.tags)
                        .bytes(&state.data),
                    None => parameters.null().string(String::new()).bytes(&past.tags).null(),
                };
            },
        )
        .await
    }

    /// Removes rows that were delivered or given up.
    pub(super) async fn end_deliveries(&mut self, ended: &[&OutboxDone]) -> Result<(), Error> {
        self.name_padded(
            ended,
            // There may be as many as turns, and each that is named once more costs a search.
            eighths,
            |rows| Flow::End { rows },
            |parameters, done| {
                parameters
                    .text(&done.shard.system)
                    .text(&done.shard.actor_type)
                    .number(i64::from(done.shard.number))
                    .number(signed(done.sequence));
            },
        )
        .await
    }

    /// Keeps letters of what was given up.
    pub(super) async fn bury(&mut self, letters: &[&DeadLetterRow]) -> Result<(), Error> {
        let sizes = Box::new(powers(letters.len(), ROWS_MAX));
        self.put(
            letters,
            sizes,
            |rows| Flow::Bury { rows },
            |parameters, letter| {
                parameters.string(letter.id.clone());
                name(parameters, &letter.source);
                parameters.number(letter.died_at.0).bytes(&letter.letter);
            },
        )
        .await
    }

    /// Carries out the steps of messages.
    pub(super) async fn step(&mut self, changes: &[&BroadcastChange]) -> Result<(), Error> {
        let steps = Steps::of(changes);
        let sizes = Box::new(powers(steps.records.len(), ROWS_MAX));
        self.put(
            &steps.records,
            sizes,
            |rows| Flow::Record { rows },
            |parameters, record| {
                let (shard, id, sequence, at, item) = record;
                parameters
                    .text(&shard.system)
                    .text(&shard.actor_type)
                    .number(i64::from(shard.number))
                    .string((*id).to_owned())
                    .number(signed(*sequence))
                    .number(at.0)
                    .bytes(item);
            },
        )
        .await?;
        for ((shard, id), cursor) in steps.cursors {
            let mut parameters = Parameters::with_room(5);
            parameters
                .string(cursor.to_owned())
                .text(&shard.system)
                .text(&shard.actor_type)
                .number(i64::from(shard.number))
                .string(id.to_owned());
            let text = self.statements.get(Shape::Flow(Flow::Advance));
            self.lane.execute(text, parameters).await?;
        }
        let shapes: [fn(usize) -> Flow; 2] =
            [|rows| Flow::Finish { rows }, |rows| Flow::Clear { rows }];
        for shape in shapes {
            self.name(&steps.done, shape, |parameters, (shard, id)| {
                parameters
                    .text(&shard.system)
                    .text(&shard.actor_type)
                    .number(i64::from(shard.number))
                    .string((*id).to_owned());
            })
            .await?;
        }
        Ok(())
    }

    /// How many ids of messages are older than a time, as far as one piece goes.
    pub(super) async fn old_ids(&mut self, before: i64, most: i64) -> Result<i64, Error> {
        let mut parameters = Parameters::with_room(2);
        parameters.number(before).number(most);
        let text = self.statements.get(Shape::Flow(Flow::OldCount));
        let rows = self.lane.rows(text, parameters).await?;
        rows.first().map_or(Ok(0), |row| row.number(0))
    }

    /// Drops a piece of them.
    pub(super) async fn drop_old_ids(&mut self, before: i64, most: i64) -> Result<(), Error> {
        let mut parameters = Parameters::with_room(2);
        parameters.number(before).number(most);
        let text = self.statements.get(Shape::Flow(Flow::DropOld));
        self.lane.execute(text, parameters).await.map(|_| ())
    }

    /// Removes a dead letter, in a transaction of the caller.
    pub(super) async fn drop_letter(&mut self, id: String) -> Result<bool, Error> {
        let mut parameters = Parameters::with_room(1);
        parameters.string(id);
        let text = self.statements.get(Shape::Flow(Flow::DropLetter));
        self.lane.execute(text, parameters).await.map(|rows| rows > 0)
    }

    /// Inserts rows, with statements of the given sizes.
    async fn put<T>(
        &mut self,
        items: &[T],
        sizes: Sizes,
        shape: impl Fn(usize) -> Flow,
        row: impl Fn(&mut Parameters, &T),
    ) -> Result<(), Error> {
        let mut rest = items;
        for size in sizes {
            let (now, later) = rest.split_at(size);
            let mut parameters = Parameters::with_room(size * 9);
            now.iter().for_each(|item| row(&mut parameters, item));
            let text = self.statements.get(Shape::Flow(shape(size)));
            self.lane.execute(text, parameters).await?;
            rest = later;
        }
        Ok(())
    }

    /// Runs a statement that names rows. It does no harm to name the last one several times.
    async fn name<T>(
        &mut self,
        items: &[T],
        shape: impl Fn(usize) -> Flow,
        row: impl Fn(&mut Parameters, &T),
    ) -> Result<(), Error> {
        self.name_padded(items, padded, shape, row).await
    }

    /// The same, with a size of the caller's for each number of rows.
    async fn name_padded<T>(
        &mut self,
        items: &[T],
        size: impl Fn(usize) -> usize,
        shape: impl Fn(usize) -> Flow,
        row: impl Fn(&mut Parameters, &T),
    ) -> Result<(), Error> {
        for part in items.chunks(ROWS_MAX) {
            let size = size(part.len());
            let mut parameters = Parameters::with_room(size * 4);
            for at in 0..size {
                row(&mut parameters, &part[at.min(part.len() - 1)]);
            }
            let text = self.statements.get(Shape::Flow(shape(size)));
            self.lane.execute(text, parameters).await?;
        }
        Ok(())
    }
}

fn name(parameters: &mut Parameters, id: &ActorId) {
    parameters.text(&id.system).text(&id.actor_type).text(&id.key);
}
