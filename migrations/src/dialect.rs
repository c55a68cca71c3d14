//! Columns, and what differs in them between databases.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

/// What differs between databases.
#[derive(Clone, Copy)]
pub(crate) struct Dialect(pub(crate) DbBackend);

impl Dialect {
    /// True for a server that several nodes write to: nobody is its only writer, and what helps one to be is left out.
    pub(crate) fn is_shared(self) -> bool {
        self.0 != DbBackend::Sqlite
    }

    /// A name or key: text that is compared byte for byte.
    pub(crate) fn name(self, column: impl IntoIden) -> ColumnDef {
        let collation = match self.is_shared() {
            true => "COLLATE \"C\"",
            false => "COLLATE BINARY",
        };
        ColumnDef::new(column).text().not_null().extra(collation).take()
    }

    /// Text that a host chose. PostgreSQL's text holds no NUL, and a host must not be able to make commits fail.
    pub(crate) fn foreign_text(self, column: impl IntoIden) -> ColumnDef {
        match self.is_shared() {
            true => ColumnDef::new(column).blob().take(),
            false => ColumnDef::new(column).text().take(),
        }
    }
}

/// A number.
pub(crate) fn number(column: impl IntoIden) -> ColumnDef {
    ColumnDef::new(column).big_integer().not_null().take()
}

/// Something encoded.
pub(crate) fn bytes(column: impl IntoIden) -> ColumnDef {
    ColumnDef::new(column).blob().not_null().take()
}
