//! The tables for what actors say to each other, and what is kept of actors beside their rows.
//!
//! The index over existing actors takes a few seconds per million of them, in which PostgreSQL lets commits of nodes of
//! the previous release wait; they repeat what was refused meanwhile.

use sea_orm_migration::{prelude::*, sea_orm::ExprTrait};

use crate::{
    dialect::{Dialect, bytes, number},
    tables::{Actors, Broadcast, BroadcastDone, DeadLetter, History, Outbox},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
#[expect(
    elided_lifetimes_in_paths,
    reason = "the trait hides the lifetime, and a named one would not match it"
)]
impl MigrationTrait for Migration {
    // Nothing half made after a crash.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let dialect = Dialect(manager.get_database_backend());
        // SQLite knows no IF NOT EXISTS here.
        if !manager.has_column("actors", "deleted").await? {
            let add = Table::alter()
                .table(Actors::Table)
                .add_column(number(Actors::Deleted).default(0))
                .take();
            manager.alter_table(add).await?;
        }
        let tables = [
            dialect.outbox(),
            dialect.dead_letter(),
            dialect.broadcast(),
            dialect.broadcast_done(),
            dialect.history(),
        ];
        for table in tables {
            manager.create_table(table).await?;
        }
        for index in indexes() {
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        // The previous release works on this schema, so nothing needs undoing.
        Err(DbErr::Migration("what was not delivered is never dropped".to_owned()))
    }
}

impl Dialect {
    fn outbox(self) -> TableCreateStatement {
        let mut key = Index::create()
            .col(Outbox::System)
            .col(Outbox::Type)
            .col(Outbox::Shard)
            .col(Outbox::Sequence)
            .primary()
            .take();
        Table::create()
            .table(Outbox::Table)
            .if_not_exists()
            .col(self.name(Outbox::System))
            .col(self.name(Outbox::Type))
            .col(number(Outbox::Shard))
            .col(number(Outbox::Sequence))
            .col(number(Outbox::DueAt))
            .col(self.name(Outbox::Key))
            .col(bytes(Outbox::Item))
            .primary_key(&mut key)
            .take()
    }

    fn dead_letter(self) -> TableCreateStatement {
        Table::create()
            .table(DeadLetter::Table)
            .if_not_exists()
            .col(self.name(DeadLetter::Id).primary_key())
            .col(self.name(DeadLetter::System))
            .col(self.name(DeadLetter::Type))
            .col(self.name(DeadLetter::Key))
            .col(number(DeadLetter::DiedAt))
            .col(bytes(DeadLetter::Letter))
            .take()
    }

    fn broadcast(self) -> TableCreateStatement {
        let mut key = Index::create()
            .col(Broadcast::System)
            .col(Broadcast::Type)
            .col(Broadcast::Shard)
            .col(Broadcast::Id)
            .primary()
            .take();
        Table::create()
            .table(Broadcast::Table)
            .if_not_exists()
            .col(self.name(Broadcast::System))
            .col(self.name(Broadcast::Type))
            .col(number(Broadcast::Shard))
            .col(self.name(Broadcast::Id))
            .col(number(Broadcast::Sequence))
            .col(number(Broadcast::CameAt))
            .col(self.name(Broadcast::Cursor))
            .col(bytes(Broadcast::Item))
            .primary_key(&mut key)
            .take()
    }

    fn broadcast_done(self) -> TableCreateStatement {
        let mut key = Index::create()
            .col(BroadcastDone::System)
            .col(BroadcastDone::Type)
            .col(BroadcastDone::Shard)
            .col(BroadcastDone::Id)
            .primary()
            .take();
        Table::create()
            .table(BroadcastDone::Table)
            .if_not_exists()
            .col(self.name(BroadcastDone::System))
            .col(self.name(BroadcastDone::Type))
            .col(number(BroadcastDone::Shard))
            .col(self.name(BroadcastDone::Id))
            .col(number(BroadcastDone::CameAt))
            .primary_key(&mut key)
            .take()
    }

    fn history(self) -> TableCreateStatement {
        let mut key = Index::create()
            .col(History::System)
            .col(History::Type)
            .col(History::Key)
            .col(History::Revision)
            .primary()
            .take();
        Table::create()
            .table(History::Table)
            .if_not_exists()
            .col(self.name(History::System))
            .col(self.name(History::Type))
            .col(self.name(History::Key))
            .col(number(History::Revision))
            .col(number(History::SettledAt))
            .col(self.foreign_text(History::ContentType))
            .col(self.foreign_text(History::TypeUrl).not_null())
            .col(bytes(History::Tags))
            .col(ColumnDef::new(History::State).blob())
            .primary_key(&mut key)
            .take()
    }
}

/// PostgreSQL plans statements before it knows anything of a table, and may then take any index whose first columns a
/// statement names. So no two indexes begin with the same columns where one of them would be read in vain.
fn indexes() -> [IndexCreateStatement; 6] {
    [
        // Of columns that never change, so that a row's next version needs no new entry. The shard comes first: nobody who
        // looks for an actor by its name takes this one for the primary key.
        index(Actors::Table, "actors_shard")
            .col(Actors::Shard)
            .col(Actors::System)
            .col(Actors::Type)
            .col(Actors::Key)
            .take(),
        // What is sent at once, nearly everything, is read by the primary key and pays for no other index.
        index(Outbox::Table, "outbox_due")
            .col(Outbox::System)
            .col(Outbox::Type)
            .col(Outbox::Shard)
            .col(Outbox::DueAt)
            .col(Outbox::Sequence)
            .and_where(Expr::col(Outbox::DueAt).gt(0))
            .take(),
        index(DeadLetter::Table, "dead_letter_system")
            .col(DeadLetter::System)
            .col(DeadLetter::Id)
            .take(),
        index(DeadLetter::Table, "dead_letter_type")
            .col(DeadLetter::System)
            .col(DeadLetter::Type)
            .col(DeadLetter::Id)
            .take(),
        index(BroadcastDone::Table, "broadcast_done_age").col(BroadcastDone::CameAt).take(),
        // Begins like the primary key: at worst, all past states of one actor are looked at.
        index(History::Table, "history_time")
            .col(History::System)
            .col(History::Type)
            .col(History::Key)
            .col(History::SettledAt)
            .col(History::Revision)
            .take(),
    ]
}

fn index(table: impl IntoIden, name: &str) -> IndexCreateStatement {
    Index::create().name(name).if_not_exists().table(table.into_iden()).take()
}
