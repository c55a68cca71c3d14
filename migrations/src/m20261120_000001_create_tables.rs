//! The tables of the first release.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

use crate::{
    dialect::{Dialect, bytes, number},
    tables::{
        Actors, Inbox, SPILL_TABLES, ShardFence, Spill, SpillSlot, StoreMeta, WriterEpoch,
        spill_table,
    },
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
        let dialect = Dialect(manager.get_database_backend());
        for table in [dialect.actors(), dialect.inbox(), dialect.shard_fence(), spill_slot()] {
            manager.create_table(table).await?;
        }
        for slot in 0..SPILL_TABLES {
            manager.create_table(dialect.spill(slot)).await?;
            manager.create_index(spill_index(slot)).await?;
        }
        manager.create_table(dialect.store_meta()).await?;
        if dialect.is_shared() {
            return Ok(());
        }
        manager.create_index(stray_rows()).await?;
        manager.create_table(writer_epoch()).await?;
        let first = Query::insert()
            .into_table(WriterEpoch::Table)
            .columns([WriterEpoch::Id, WriterEpoch::Epoch])
            .values_panic([1.into(), 0.into()])
            .on_conflict(OnConflict::column(WriterEpoch::Id).do_nothing().to_owned())
            .take();
        manager.execute(first).await
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        // Going back would drop every actor. The previous release works on this schema, so nothing needs undoing.
        Err(DbErr::Migration("the first tables are never dropped".to_owned()))
    }
}

impl Dialect {
    fn actors(self) -> TableCreateStatement {
        let mut key =
            Index::create().col(Actors::System).col(Actors::Type).col(Actors::Key).primary().take();
        // The large columns come last, so that comparing a revision does not read through them.
        let mut table = Table::create()
            .table(Actors::Table)
            .if_not_exists()
            .col(self.name(Actors::System))
            .col(self.name(Actors::Type))
            .col(self.name(Actors::Key))
            .col(number(Actors::Shard))
            .col(number(Actors::Revision))
            .col(number(Actors::PrevRevision).default(0))
            .col(number(Actors::UpdatedAt))
            .col(number(Actors::SpilledUntil))
            .col(self.foreign_text(Actors::ContentType))
            .col(self.foreign_text(Actors::TypeUrl).not_null())
            .col(bytes(Actors::Tags))
            .col(bytes(Actors::Outcomes))
            .col(ColumnDef::new(Actors::State).blob())
            .primary_key(&mut key)
            .take();
        if self.0 == DbBackend::Postgres {
            // Room beside each row for its next version, which then needs no new index entries.
            table.extra("WITH (fillfactor = 70)");
        }
        table
    }

    fn inbox(self) -> TableCreateStatement {
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
            .col(self.name(Inbox::System))
            .col(self.name(Inbox::Type))
            .col(number(Inbox::Shard))
            .col(number(Inbox::Sequence))
            .col(self.name(Inbox::Key))
            .col(bytes(Inbox::Call))
            .primary_key(&mut key)
            .take()
    }

    fn shard_fence(self) -> TableCreateStatement {
        let mut key = Index::create()
            .col(ShardFence::System)
            .col(ShardFence::Type)
            .col(ShardFence::Shard)
            .primary()
            .take();
        Table::create()
            .table(ShardFence::Table)
            .if_not_exists()
            .col(self.name(ShardFence::System))
            .col(self.name(ShardFence::Type))
            .col(number(ShardFence::Shard))
            .col(number(ShardFence::Epoch))
            .col(number(ShardFence::Node))
            .col(number(ShardFence::LowWater))
            .primary_key(&mut key)
            .take()
    }

    fn spill(self, slot: usize) -> TableCreateStatement {
        let mut table = Table::create();
        table.table(Alias::new(spill_table(slot))).if_not_exists();
        if self.0 != DbBackend::Postgres {
            // These keep rows in the order of a key. PostgreSQL appends them anyway.
            let mut id = ColumnDef::new(Spill::Id);
            table.col(id.integer().not_null().primary_key());
        }
        table
            .col(number(Spill::KeyHash))
            .col(number(Spill::Wide))
            .col(number(Spill::UntilMs))
            .col(number(Spill::FromMs))
            .col(self.name(Spill::System))
            .col(self.name(Spill::Type))
            .col(self.name(Spill::Key))
            .col(bytes(Spill::Data))
            .take()
    }

    fn store_meta(self) -> TableCreateStatement {
        Table::create()
            .table(StoreMeta::Table)
            .if_not_exists()
            .col(self.name(StoreMeta::Name).primary_key())
            .col(ColumnDef::new(StoreMeta::Value).text().not_null())
            .take()
    }
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
