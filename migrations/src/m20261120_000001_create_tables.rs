//! The tables of the first release.

use sea_orm_migration::prelude::*;

use crate::tables::{
    Actors, Inbox, SPILL_TABLES, ShardFence, Spill, SpillSlot, StoreMeta, WriterEpoch, spill_table,
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
#[expect(
    elided_lifetimes_in_paths,
    reason = "the trait hides the lifetime, and a named one would not match it"
)]
impl MigrationTrait for Migration {
    // One sync instead of one per table, and nothing half made after a crash.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [actors(), inbox(), shard_fence(), spill_slot()] {
            manager.create_table(table).await?;
        }
        manager.create_index(stray_rows()).await?;
        for slot in 0..SPILL_TABLES {
            manager.create_table(spill(slot)).await?;
            manager.create_index(spill_index(slot)).await?;
        }
        manager.create_table(writer_epoch()).await?;
        let first = Query::insert()
            .into_table(WriterEpoch::Table)
            .columns([WriterEpoch::Id, WriterEpoch::Epoch])
            .values_panic([1.into(), 0.into()])
            .on_conflict(OnConflict::column(WriterEpoch::Id).do_nothing().to_owned())
            .take();
        manager.execute(first).await?;
        manager.create_table(store_meta()).await
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        // Going back would drop every actor. The previous release works on this schema, so nothing needs undoing.
        Err(DbErr::Migration("the first tables are never dropped".to_owned()))
    }
}

/// A name or key: text that is compared byte for byte.
fn name(column: impl IntoIden) -> ColumnDef {
    ColumnDef::new(column).text().not_null().extra("COLLATE BINARY").take()
}

fn number(column: impl IntoIden) -> ColumnDef {
    ColumnDef::new(column).big_integer().not_null().take()
}

fn bytes(column: impl IntoIden) -> ColumnDef {
    ColumnDef::new(column).blob().not_null().take()
}

fn actors() -> TableCreateStatement {
    let mut key =
        Index::create().col(Actors::System).col(Actors::Type).col(Actors::Key).primary().take();
    // The large columns come last, so that comparing a revision does not read through them.
    Table::create()
        .table(Actors::Table)
        .if_not_exists()
        .col(name(Actors::System))
        .col(name(Actors::Type))
        .col(name(Actors::Key))
        .col(number(Actors::Shard))
        .col(number(Actors::Revision))
        .col(number(Actors::PrevRevision))
        .col(number(Actors::UpdatedAt))
        .col(number(Actors::SpilledUntil))
        .col(ColumnDef::new(Actors::ContentType).text())
        .col(ColumnDef::new(Actors::TypeUrl).text().not_null())
        .col(bytes(Actors::Tags))
        .col(bytes(Actors::Outcomes))
        .col(ColumnDef::new(Actors::State).blob())
        .primary_key(&mut key)
        .take()
}

/// Finds rows that an upsert inserted where it should have updated: always empty outside a transaction, so that looking
/// costs nothing.
fn stray_rows() -> IndexCreateStatement {
    Index::create()
        .name("actors_stray")
        .if_not_exists()
        .table(Actors::Table)
        .col(Actors::PrevRevision)
        .and_where(Expr::col(Actors::PrevRevision).ne(0))
        .take()
}

fn inbox() -> TableCreateStatement {
    let mut key = Index::create()
        .col(Inbox::System)
        .col(Inbox::Type)
        .col(Inbox::Shard)
        .col(Inbox::Sequence)
        .primary()
        .take();
    Table::create()
        .table(Inbox::Table)
        .if_not_exists()
        .col(name(Inbox::System))
        .col(name(Inbox::Type))
        .col(number(Inbox::Shard))
        .col(number(Inbox::Sequence))
        .col(name(Inbox::Key))
        .col(bytes(Inbox::Call))
        .primary_key(&mut key)
        .take()
}

fn shard_fence() -> TableCreateStatement {
    let mut key = Index::create()
        .col(ShardFence::System)
        .col(ShardFence::Type)
        .col(ShardFence::Shard)
        .primary()
        .take();
    Table::create()
        .table(ShardFence::Table)
        .if_not_exists()
        .col(name(ShardFence::System))
        .col(name(ShardFence::Type))
        .col(number(ShardFence::Shard))
        .col(number(ShardFence::Epoch))
        .col(number(ShardFence::Node))
        .col(number(ShardFence::LowWater))
        .primary_key(&mut key)
        .take()
}

fn spill(slot: usize) -> TableCreateStatement {
    Table::create()
        .table(Alias::new(spill_table(slot)))
        .if_not_exists()
        .col(ColumnDef::new(Spill::Id).integer().not_null().primary_key())
        .col(number(Spill::KeyHash))
        .col(number(Spill::Wide))
        .col(number(Spill::UntilMs))
        .col(number(Spill::FromMs))
        .col(name(Spill::System))
        .col(name(Spill::Type))
        .col(name(Spill::Key))
        .col(bytes(Spill::Data))
        .take()
}

fn spill_index(slot: usize) -> IndexCreateStatement {
    let table = spill_table(slot);
    Index::create()
        .name(format!("{table}_find"))
        .if_not_exists()
        .table(Alias::new(table))
        .col(Spill::KeyHash)
        .col(Spill::Wide)
        .col(Spill::UntilMs)
        .take()
}

fn spill_slot() -> TableCreateStatement {
    Table::create()
        .table(SpillSlot::Table)
        .if_not_exists()
        .col(number(SpillSlot::Slot).primary_key())
        .col(number(SpillSlot::HoldsUntil))
        .take()
}

fn writer_epoch() -> TableCreateStatement {
    Table::create()
        .table(WriterEpoch::Table)
        .if_not_exists()
        .col(number(WriterEpoch::Id).primary_key())
        .col(number(WriterEpoch::Epoch))
        .take()
}

fn store_meta() -> TableCreateStatement {
    Table::create()
        .table(StoreMeta::Table)
        .if_not_exists()
        .col(name(StoreMeta::Name).primary_key())
        .col(ColumnDef::new(StoreMeta::Value).text().not_null())
        .take()
}
