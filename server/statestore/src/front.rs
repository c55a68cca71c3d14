//! A store in front of another, for tests that hold up or break some of its methods.

/// Implements [`StateStore`](crate::StateStore) for a type with the methods that are given; those that read, and
/// those that look after the store, are passed on to a field: `state_store_front!(Type, field, { methods })`. Those to
/// give are `claim` and `commit`, and `lanes` and `lane` where they matter.
#[macro_export]
macro_rules! state_store_front {
    ($front:ty, $behind:ident, { $($own:tt)* }) => {
        #[$crate::front::async_trait]
        impl $crate::StateStore for $front {
            $($own)*

            async fn load(
                &self,
                ids: &[$crate::front::ActorId],
            ) -> Result<Vec<Option<$crate::ActorRecord>>, $crate::Error> {
                self.$behind.load(ids).await
            }

            async fn spilled(
                &self,
                queries: &[($crate::front::ActorId, $crate::front::Millis)],
            ) -> Result<Vec<Vec<$crate::front::Bytes>>, $crate::Error> {
                self.$behind.spilled(queries).await
            }

            async fn inbox(
                &self,
                shard: &$crate::front::ShardId,
                after: u64,
                limit: usize,
            ) -> Result<Vec<$crate::InboxRow>, $crate::Error> {
                self.$behind.inbox(shard, after, limit).await
            }

            async fn raise_low_water(
                &self,
                claims: &[$crate::ShardClaim],
                to: $crate::front::Millis,
            ) -> Result<(), $crate::Error> {
                self.$behind.raise_low_water(claims, to).await
            }

            async fn expire(&self) -> Result<bool, $crate::Error> {
                self.$behind.expire().await
            }

            async fn list(
                &self,
                system: &str,
                actor_type: &str,
                prefix: &str,
                after: &str,
                limit: usize,
            ) -> Result<Vec<$crate::ActorSummary>, $crate::Error> {
                self.$behind.list(system, actor_type, prefix, after, limit).await
            }

            async fn outbox(
                &self,
                shard: &$crate::front::ShardId,
                after: ($crate::front::Millis, u64),
                until: $crate::front::Millis,
                limit: usize,
            ) -> Result<Vec<$crate::OutboxRow>, $crate::Error> {
                self.$behind.outbox(shard, after, until, limit).await
            }

            async fn outbox_ends(
                &self,
                shard: &$crate::front::ShardId,
                after: $crate::front::Millis,
            ) -> Result<(Option<$crate::front::Millis>, u64), $crate::Error> {
                self.$behind.outbox_ends(shard, after).await
            }

            async fn broadcasts(
                &self,
                shard: &$crate::front::ShardId,
                after: u64,
                limit: usize,
            ) -> Result<Vec<$crate::BroadcastRow>, $crate::Error> {
                self.$behind.broadcasts(shard, after, limit).await
            }

            async fn keys(
                &self,
                shard: &$crate::front::ShardId,
                after: &str,
                limit: usize,
            ) -> Result<Vec<String>, $crate::Error> {
                self.$behind.keys(shard, after, limit).await
            }

            async fn history(
                &self,
                id: &$crate::front::ActorId,
                at: $crate::HistoryAt,
                limit: usize,
            ) -> Result<Vec<$crate::HistoryRow>, $crate::Error> {
                self.$behind.history(id, at, limit).await
            }

            async fn dead_letters(
                &self,
                system: &str,
                source_type: &str,
                after: &str,
                limit: usize,
            ) -> Result<Vec<$crate::DeadLetterRow>, $crate::Error> {
                self.$behind.dead_letters(system, source_type, after, limit).await
            }

            async fn dead_letter(
                &self,
                id: &str,
            ) -> Result<Option<$crate::DeadLetterRow>, $crate::Error> {
                self.$behind.dead_letter(id).await
            }

            async fn drop_dead_letter(&self, id: &str) -> Result<bool, $crate::Error> {
                self.$behind.drop_dead_letter(id).await
            }
        }
    };
}

#[doc(hidden)]
pub use {
    async_trait::async_trait,
    bytes::Bytes,
    callboard_types::{ActorId, Millis, ShardId},
};
