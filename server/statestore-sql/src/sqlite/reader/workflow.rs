//! Reading what commits bring beside the rows of actors.

use callboard_statestore::{BroadcastRow, DeadLetterRow, Error, HistoryAt, HistoryRow, OutboxRow};
use callboard_types::{ActorId, Millis, ShardId};
use sqlx::sqlite::SqliteRow;

use super::Reader;
use crate::{
    columns::{self, Columns},
    counter::signed,
    jobs::{Deliveries, Letters},
    sqlite::{
        lane::Parameters,
        sql::{Flow, Shape},
    },
};

impl Reader {
    pub(super) async fn outbox(&mut self, asked: &Deliveries) -> Result<Vec<OutboxRow>, Error> {
        let Deliveries { shard, after, until, limit } = asked;
        let mut rows = vec![];
        if after.0 <= Millis(0) && *until >= Millis(0) {
            let mut parameters = of_shard(shard);
            parameters.number(signed(after.1)).number(signed(*limit as u64));
            rows = self.flow(Flow::AtOnce, parameters).await?;
        }
        if rows.len() < *limit {
            let mut parameters = of_shard(shard);
            parameters
                .number(after.0.0)
                .number(signed(after.1))
                .number(until.0)
                .number(signed((*limit - rows.len()) as u64));
            rows.extend(self.flow(Flow::Delayed, parameters).await?);
        }
        rows.iter().map(columns::delivery).collect()
    }

    pub(super) async fn outbox_ends(
        &mut self,
        shard: &ShardId,
        after: Millis,
    ) -> Result<(Option<Millis>, u64), Error> {
        let mut parameters = of_shard(shard);
        parameters.number(after.0);
        parameters.text(&shard.system).text(&shard.actor_type).number(i64::from(shard.number));
        let rows = self.flow(Flow::Ends, parameters).await?;
        rows.first().map_or(Ok((None, 0)), columns::ends)
    }

    pub(super) async fn broadcasts(
        &mut self,
        shard: &ShardId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<BroadcastRow>, Error> {
        let mut parameters = of_shard(shard);
        parameters.number(signed(after)).number(signed(limit as u64));
        let rows = self.flow(Flow::Broadcasts, parameters).await?;
        rows.iter().map(columns::broadcast).collect()
    }

    pub(super) async fn keys(
        &mut self,
        shard: &ShardId,
        after: String,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        let mut parameters = of_shard(shard);
        parameters.string(after).number(signed(limit as u64));
        let rows = self.flow(Flow::Keys, parameters).await?;
        rows.iter().map(|row| row.text(0).map(ToOwned::to_owned)).collect()
    }

    pub(super) async fn history(
        &mut self,
        id: &ActorId,
        at: HistoryAt,
        limit: usize,
    ) -> Result<Vec<HistoryRow>, Error> {
        let (flow, bound, most) = match at {
            HistoryAt::Below(revision) => (Flow::PastBelow, signed(revision.0), limit),
            HistoryAt::Revision(revision) => (Flow::PastRevision, signed(revision.0), 1),
            HistoryAt::Time(time) => (Flow::PastTime, time.0, 1),
        };
        let mut parameters = Parameters::with_room(5);
        parameters
            .text(&id.system)
            .text(&id.actor_type)
            .text(&id.key)
            .number(bound)
            .number(signed(most.min(limit) as u64));
        let rows = self.flow(flow, parameters).await?;
        match at {
            HistoryAt::Below(_) => rows.iter().map(columns::past_line).collect(),
            HistoryAt::Revision(_) | HistoryAt::Time(_) => {
                rows.iter().map(columns::past_state).collect()
            }
        }
    }

    pub(super) async fn dead_letters(
        &mut self,
        asked: Letters,
    ) -> Result<Vec<DeadLetterRow>, Error> {
        let mut parameters = Parameters::with_room(4);
        parameters.text(&asked.system);
        let of_type = !asked.source_type.is_empty();
        if of_type {
            parameters.text(&asked.source_type);
        }
        parameters.string(asked.after).number(signed(asked.limit as u64));
        let rows = self.flow(Flow::Letters { of_type }, parameters).await?;
        rows.iter().map(columns::letter).collect()
    }

    pub(super) async fn dead_letter(&mut self, id: String) -> Result<Option<DeadLetterRow>, Error> {
        let mut parameters = Parameters::with_room(1);
        parameters.string(id);
        let rows = self.flow(Flow::Letter, parameters).await?;
        rows.first().map(columns::letter).transpose()
    }

    async fn flow(&mut self, flow: Flow, parameters: Parameters) -> Result<Vec<SqliteRow>, Error> {
        let text = self.statements.get(Shape::Flow(flow));
        self.lane.rows(text, parameters).await
    }
}

/// The three columns that name a shard, and room for more.
fn of_shard(shard: &ShardId) -> Parameters {
    let mut parameters = Parameters::with_room(8);
    parameters.text(&shard.system).text(&shard.actor_type).number(i64::from(shard.number));
    parameters
}
