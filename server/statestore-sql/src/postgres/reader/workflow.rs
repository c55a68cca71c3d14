//! Reading what commits bring beside the rows of actors.

use callboard_statestore::{BroadcastRow, DeadLetterRow, HistoryAt, HistoryRow, OutboxRow};
use callboard_types::{ActorId, Millis, ShardId};

use super::Reader;
use crate::{
    columns::{self, Columns},
    counter::signed,
    jobs::{Deliveries, Letters},
    postgres::{classify::Failure, rows::Parameters, sql},
};

impl Reader {
    pub(super) async fn outbox(&mut self, asked: &Deliveries) -> Result<Vec<OutboxRow>, Failure> {
        let parameters = of_shard(&asked.shard)
            .and(asked.after.0.0)
            .and(signed(asked.after.1))
            .and(asked.until.0)
            .and(signed(asked.limit as u64));
        let rows = self.link.rows(sql::DELIVERIES, parameters.0).await?;
        rows.iter().map(|row| Ok(columns::delivery(row)?)).collect()
    }

    pub(super) async fn outbox_ends(
        &mut self,
        shard: &ShardId,
        after: Millis,
    ) -> Result<(Option<Millis>, u64), Failure> {
        let rows = self.link.rows(sql::ENDS, of_shard(shard).and(after.0).0).await?;
        Ok(rows.first().map_or(Ok((None, 0)), columns::ends)?)
    }

    pub(super) async fn broadcasts(
        &mut self,
        shard: &ShardId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<BroadcastRow>, Failure> {
        let parameters = of_shard(shard).and(signed(after)).and(signed(limit as u64));
        let rows = self.link.rows(sql::BROADCASTS, parameters.0).await?;
        rows.iter().map(|row| Ok(columns::broadcast(row)?)).collect()
    }

    pub(super) async fn keys(
        &mut self,
        shard: &ShardId,
        after: &str,
        limit: usize,
    ) -> Result<Vec<String>, Failure> {
        let parameters = of_shard(shard).and(after).and(signed(limit as u64));
        let rows = self.link.rows(sql::KEYS, parameters.0).await?;
        rows.iter().map(|row| Ok(row.text(0)?.to_owned())).collect()
    }

    pub(super) async fn history(
        &mut self,
        id: &ActorId,
        at: HistoryAt,
        limit: usize,
    ) -> Result<Vec<HistoryRow>, Failure> {
        let (text, bound, most) = match at {
            HistoryAt::Below(revision) => (sql::PAST_BELOW, signed(revision.0), limit),
            HistoryAt::Revision(revision) => (sql::PAST_REVISION, signed(revision.0), 1),
            HistoryAt::Time(time) => (sql::PAST_TIME, time.0, 1),
        };
        let parameters = Parameters::default()
            .and(&*id.system)
            .and(&*id.actor_type)
            .and(&*id.key)
            .and(bound)
            .and(signed(most.min(limit) as u64));
        let rows = self.link.rows(text, parameters.0).await?;
        let row = match at {
            HistoryAt::Below(_) => columns::past_line,
            HistoryAt::Revision(_) | HistoryAt::Time(_) => columns::past_state,
        };
        rows.iter().map(|of| Ok(row(of)?)).collect()
    }

    pub(super) async fn dead_letters(
        &mut self,
        asked: &Letters,
    ) -> Result<Vec<DeadLetterRow>, Failure> {
        let parameters = Parameters::default()
            .and(&*asked.system)
            .and(&*asked.after)
            .and(signed(asked.limit as u64));
        let rows = match &*asked.source_type {
            "" => self.link.rows(sql::LETTERS, parameters.0).await?,
            of_type => self.link.rows(sql::LETTERS_OF_TYPE, parameters.and(of_type).0).await?,
        };
        rows.iter().map(|row| Ok(columns::letter(row)?)).collect()
    }

    pub(super) async fn dead_letter(&mut self, id: &str) -> Result<Option<DeadLetterRow>, Failure> {
        let rows = self.link.rows(sql::LETTER, Parameters::default().and(id).0).await?;
        Ok(rows.first().map(columns::letter).transpose()?)
    }
}

/// The three columns that name a shard.
fn of_shard(shard: &ShardId) -> Parameters {
    Parameters::default().and(&*shard.system).and(&*shard.actor_type).and(i64::from(shard.number))
}
