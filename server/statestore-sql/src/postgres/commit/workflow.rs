//! What a commit brings beside the rows of actors, inside its transaction. A batch without any of it takes no statement
//! more.

use callboard_statestore::{ActorCommit, BroadcastChange, DeadLetterRow, OutboxDone};
use callboard_types::{ActorId, ShardId};

use super::keys;
use crate::{
    counter::signed,
    postgres::{
        classify::Failure,
        fences::names,
        lane::Lane,
        rows::{Parameters, pasts},
        sql,
    },
    workflow::{Pasts, Steps, sent, tombstones},
};

impl Lane {
    /// Outbox rows, past states and tombstones of turns.
    pub(super) async fn write_flow(&mut self, actors: &[&ActorCommit]) -> Result<(), Failure> {
        let rows = sent(actors);
        if !rows.is_empty() {
            let text = |of: fn(&ActorId) -> &str| -> Vec<&str> {
                rows.iter().map(|(item, _)| of(&item.id)).collect()
            };
            let parameters = Parameters::default()
                .and(text(|id| &id.system))
                .and(text(|id| &id.actor_type))
                .and(rows.iter().map(|(item, _)| i64::from(item.shard)).collect::<Vec<i64>>())
                .and(rows.iter().map(|(_, row)| signed(row.sequence)).collect::<Vec<i64>>())
                .and(rows.iter().map(|(_, row)| row.due_at.0).collect::<Vec<i64>>())
                .and(text(|id| &id.key))
                .and(rows.iter().map(|(_, row)| &*row.item).collect::<Vec<&[u8]>>());
            self.link.rows(sql::SEND, parameters.0).await?;
        }
        let changed = tombstones(actors);
        if !changed.is_empty() {
            let ids: Vec<&ActorId> = changed.iter().map(|(id, _)| *id).collect();
            let deleted: Vec<i64> = changed.iter().map(|(_, is)| i64::from(*is)).collect();
            self.link.rows(sql::TOMBSTONES, keys(&ids).and(deleted).0).await?;
        }
        self.write_pasts(&Pasts::of(actors)).await
    }

    async fn write_pasts(&mut self, of: &Pasts<'_>) -> Result<(), Failure> {
        if !of.forget_below.is_empty() {
            let (ids, below): (Vec<_>, Vec<_>) =
                of.forget_below.iter().map(|(id, below)| (*id, signed(below.0))).unzip();
            self.link.rows(sql::FORGET_BELOW, keys(&ids).and(below).0).await?;
        }
        if !of.forget_before.is_empty() {
            let (ids, before): (Vec<_>, Vec<_>) =
                of.forget_before.iter().map(|(id, before)| (*id, before.0)).unzip();
            self.link.rows(sql::FORGET_BEFORE, keys(&ids).and(before).0).await?;
        }
        if !of.keep.is_empty() {
            self.link.rows(sql::KEEP, pasts(&of.keep).0).await?;
        }
        Ok(())
    }

    /// Removes rows that were delivered or given up.
    pub(super) async fn end_deliveries(&mut self, ended: &[&OutboxDone]) -> Result<(), Failure> {
        if ended.is_empty() {
            return Ok(());
        }
        let shards: Vec<&ShardId> = ended.iter().map(|done| &done.shard).collect();
        let sequences: Vec<i64> = ended.iter().map(|done| signed(done.sequence)).collect();
        self.link.rows(sql::END, names(&shards).and(sequences).0).await.map(|_| ())
    }

    /// Keeps letters of what was given up.
    pub(super) async fn bury(&mut self, letters: &[&DeadLetterRow]) -> Result<(), Failure> {
        if letters.is_empty() {
            return Ok(());
        }
        let text = |of: fn(&ActorId) -> &str| -> Vec<&str> {
            letters.iter().map(|letter| of(&letter.source)).collect()
        };
        let parameters = Parameters::default()
            .and(letters.iter().map(|letter| &*letter.id).collect::<Vec<&str>>())
            .and(text(|id| &id.system))
            .and(text(|id| &id.actor_type))
            .and(text(|id| &id.key))
            .and(letters.iter().map(|letter| letter.died_at.0).collect::<Vec<i64>>())
            .and(letters.iter().map(|letter| &*letter.letter).collect::<Vec<&[u8]>>());
        self.link.rows(sql::BURY, parameters.0).await.map(|_| ())
    }

    /// Carries out the steps of messages.
    pub(super) async fn step(&mut self, changes: &[&BroadcastChange]) -> Result<(), Failure> {
        let Steps { records, cursors, done } = Steps::of(changes);
        if !records.is_empty() {
            let shards: Vec<&ShardId> = records.iter().map(|(shard, ..)| *shard).collect();
            let parameters = names(&shards)
                .and(records.iter().map(|(_, id, ..)| *id).collect::<Vec<&str>>())
                .and(records.iter().map(|(_, _, at, ..)| signed(*at)).collect::<Vec<i64>>())
                .and(records.iter().map(|(_, _, _, at, _)| at.0).collect::<Vec<i64>>())
                .and(records.iter().map(|(.., item)| &***item).collect::<Vec<&[u8]>>());
            self.link.rows(sql::RECORD, parameters.0).await?;
        }
        if !cursors.is_empty() {
            let (shards, ids): (Vec<&ShardId>, Vec<&str>) = cursors.keys().copied().unzip();
            let cursors: Vec<&str> = cursors.values().copied().collect();
            self.link.rows(sql::ADVANCE, names(&shards).and(ids).and(cursors).0).await?;
        }
        if !done.is_empty() {
            let (shards, ids): (Vec<&ShardId>, Vec<&str>) = done.into_iter().unzip();
            self.link.rows(sql::FINISH, names(&shards).and(ids).0).await?;
        }
        Ok(())
    }

    /// Removes a dead letter.
    pub(crate) async fn drop_letter(
        &mut self,
        id: &str,
    ) -> Result<bool, callboard_statestore::Error> {
        let dropped = async {
            self.link.begin().await?;
            let rows = self.link.rows(sql::DROP_LETTER, Parameters::default().and(id).0).await?;
            Ok(!rows.is_empty())
        };
        let dropped = dropped.await;
        self.finish(dropped).await
    }
}
