//! The database schema, as steps that are applied in order when a store is opened, under the store's lock.
//!
//! # Policy: expand first
//! A step only adds what the previous release's code can ignore: tables, columns with defaults, indexes. What a
//! release no longer uses is removed one release later. So a node of the previous release keeps working on the schema
//! of this one, and a rolling upgrade can be rolled back. A step is never edited after a release; a mistake is mended
//! by a further step. Steps may be applied again after a crash in the middle, so each uses `IF NOT EXISTS`.
//!
//! [`SCHEMA_VERSION`] counts the steps. [`MINIMUM_VERSION`] is the oldest code, named by its schema version, that can
//! work on this schema; both are recorded in the database, and older code refuses it with a message
//! ([`Refusal::Newer`]) instead of guessing.

use sea_orm_migration::{
    prelude::*,
    sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, ExprTrait},
};

mod dialect;
mod m20261120_000001_create_tables;
mod m20261120_000002_create_outbox;
pub mod tables;

pub use sea_orm_migration::MigratorTrait;
use tables::StoreMeta;

/// How many steps there are.
pub const SCHEMA_VERSION: i64 = 2;
/// Code with a lower [`SCHEMA_VERSION`] cannot work on this schema.
pub const MINIMUM_VERSION: i64 = 1;

/// The steps.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261120_000001_create_tables::Migration),
            Box::new(m20261120_000002_create_outbox::Migration),
        ]
    }
}

/// Why a schema was not brought up to date.
#[derive(Debug)]
pub enum Refusal {
    /// The data was written by a newer release that this code cannot work with.
    Newer {
        /// The recorded schema version.
        schema: i64,
        /// The recorded minimum version, above [`SCHEMA_VERSION`].
        minimum: i64,
    },
    /// The database failed.
    Database(DbErr),
}

impl From<DbErr> for Refusal {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

/// Brings the schema up to date. The caller holds the lock that keeps other nodes from doing the same.
///
/// A schema of a newer release whose recorded minimum allows this code is left as it is.
///
/// # Errors
/// [`Refusal::Newer`], with nothing changed, or what the database says.
pub async fn migrate(db: &DatabaseConnection) -> Result<(), Refusal> {
    if SchemaManager::new(db).has_table("store_meta").await? {
        let minimum = version(db, "minimum_version").await?.unwrap_or(0);
        let schema = version(db, "schema_version").await?.unwrap_or(0);
        if minimum > SCHEMA_VERSION {
            return Err(Refusal::Newer { schema, minimum });
        }
        if schema >= SCHEMA_VERSION {
            return Ok(());
        }
    }
    Migrator::up(db, None).await?;
    record(db, "minimum_version", MINIMUM_VERSION).await?;
    record(db, "schema_version", SCHEMA_VERSION).await?;
    Ok(())
}

async fn version(db: &DatabaseConnection, name: &str) -> Result<Option<i64>, DbErr> {
    let query = Query::select()
        .column(StoreMeta::Value)
        .from(StoreMeta::Table)
        .and_where(Expr::col(StoreMeta::Name).eq(name))
        .take();
    let Some(row) = db.query_one(&query).await? else {
        return Ok(None);
    };
    let text: String = row.try_get_by_index(0)?;
    let wrong = |_| DbErr::Custom(format!("store_meta.{name} is not a number: {text:?}"));
    text.parse().map(Some).map_err(wrong)
}

async fn record(db: &DatabaseConnection, name: &str, value: i64) -> Result<(), DbErr> {
    let replace = OnConflict::column(StoreMeta::Name).update_column(StoreMeta::Value).to_owned();
    let insert = Query::insert()
        .into_table(StoreMeta::Table)
        .columns([StoreMeta::Name, StoreMeta::Value])
        .values_panic([name.into(), value.to_string().into()])
        .on_conflict(replace)
        .take();
    db.execute(&insert).await.map(|_| ())
}
