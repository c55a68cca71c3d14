//! Claims: fence rows are locked, compared and raised in a transaction of their own.
//!
//! The exclusive lock waits for commits that have locked the row, and keeps later ones waiting until the claim is
//! committed; they then see the new epoch. So when a claim has succeeded, nothing of an earlier epoch is under way.

use std::collections::BTreeSet;

use callboard_statestore::{Claimed, Error, ShardClaim};
use callboard_types::{Epoch, Millis, NodeId, ShardId};
use sqlx::postgres::PgRow;

use super::{classify::Failure, lane::Lane, link::Link, rows::Parameters, sql};
use crate::{
    columns::Columns,
    counter::{bits, id, signed, unsigned},
    fences::{Changes, Fence, Fences},
};

impl Lane {
    pub(super) async fn claim(&mut self, claims: &[ShardClaim]) -> Result<Vec<Claimed>, Error> {
        let work = self.claim_locked(claims).await;
        self.finish(work).await
    }

    async fn claim_locked(&mut self, claims: &[ShardClaim]) -> Result<Vec<Claimed>, Failure> {
        let shards: BTreeSet<&ShardId> = claims.iter().map(|claim| &claim.shard).collect();
        self.link.begin().await?;
        let mut fences = lock(&mut self.link, sql::FENCES_EXCLUSIVE, &shards).await?;
        let absent: BTreeSet<&ShardId> =
            shards.iter().copied().filter(|shard| !fences.0.contains_key(shard)).collect();
        if !absent.is_empty() {
            self.link.rows(sql::FENCES_NEW, names(&absent).0).await?;
            // Somebody else may have been faster; then the row is theirs to be compared with.
            fences.0.extend(lock(&mut self.link, sql::FENCES_EXCLUSIVE, &absent).await?.0);
        }
        let (mut answers, mut changes) = fences.claim(claims);
        // The same epoch in two hands would be no fence at all. Whoever gives epochs out raises above it.
        for (claim, answer) in claims.iter().zip(&mut answers) {
            let stored = fences.0.get(&claim.shard).copied();
            if let Some(Fence { epoch, node, .. }) = stored
                && epoch == claim.epoch
                && epoch != Epoch::ZERO
                && node != claim.node
                && matches!(answer, Claimed::Held { .. })
            {
                *answer = Claimed::Lost { stored: epoch };
                changes.remove(&claim.shard);
            }
        }
        self.write_fences(&changes).await?;
        Ok(answers)
    }

    pub(super) async fn raise_low_water(
        &mut self,
        claims: &[ShardClaim],
        to: Millis,
    ) -> Result<(), Error> {
        let work = self.raise_locked(claims, to).await;
        self.finish(work).await
    }

    async fn raise_locked(&mut self, claims: &[ShardClaim], to: Millis) -> Result<(), Failure> {
        let shards: BTreeSet<&ShardId> = claims.iter().map(|claim| &claim.shard).collect();
        self.link.begin().await?;
        let fences = lock(&mut self.link, sql::FENCES_EXCLUSIVE, &shards).await?;
        self.write_fences(&fences.raise(claims, to)).await
    }

    async fn write_fences(&mut self, changes: &Changes) -> Result<(), Failure> {
        if changes.is_empty() {
            return Ok(());
        }
        let shards: Vec<&ShardId> = changes.keys().collect();
        let number = |of: fn(&Fence) -> i64| -> Vec<i64> { changes.values().map(of).collect() };
        let parameters = names(&shards)
            .and(number(|row| signed(row.epoch.0)))
            .and(number(|row| bits(row.node.0)))
            .and(number(|row| row.low_water.0));
        self.link.rows(sql::FENCES_SET, parameters.0).await.map(|_| ())
    }
}

/// Locks the rows of shards that have one, in the order of their keys.
pub(super) async fn lock(
    link: &mut Link,
    text: &'static str,
    shards: &BTreeSet<&ShardId>,
) -> Result<Fences, Failure> {
    let mut fences = Fences::default();
    let asked: Vec<&ShardId> = shards.iter().copied().collect();
    for row in link.rows(text, names(shards).0).await? {
        // Places count from one.
        if let Some(shard) = asked.get(row.place(0)?.wrapping_sub(1)) {
            fences.0.insert((*shard).clone(), fence(&row)?);
        }
    }
    Ok(fences)
}

fn fence(row: &PgRow) -> Result<Fence, Error> {
    Ok(Fence {
        epoch: Epoch(unsigned(row.number(1)?)),
        node: NodeId(id(row.number(2)?)),
        low_water: Millis(row.number(3)?),
    })
}

/// The three columns that name shards.
pub(super) fn names<'a>(shards: impl IntoIterator<Item = &'a &'a ShardId>) -> Parameters {
    let (mut systems, mut types, mut numbers) = (vec![], vec![], vec![]);
    for shard in shards {
        systems.push(&*shard.system);
        types.push(&*shard.actor_type);
        numbers.push(i64::from(shard.number));
    }
    Parameters::default().and(systems).and(types).and(numbers)
}
