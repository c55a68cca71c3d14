//! Opens the database: pragmas, their verification, the schema, the writer epoch.

use std::{path::Path, time::Duration};

use callboard_migrations::{Refusal, SCHEMA_VERSION, migrate};
use callboard_statestore::Error;
use sea_orm::{ConnectOptions, Database, DatabaseConnection};
use sqlx::sqlite::SqliteConnectOptions;

use crate::{
    SqliteOptions,
    columns::Columns,
    counter::unsigned,
    sqlite::{
        classify,
        folder::Folder,
        lane::{Lane, Parameters},
    },
};

/// How long a connection waits for another one of this process. Locks are short: a commit, the end of a checkpoint.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Prepared statements per connection. Above what `sql.rs` makes in a period of the spill ring.
const STATEMENTS: usize = 512;
/// Connections: the writer, the readers, the checkpointer.
const CONNECTIONS_MAX: u32 = 8;

/// Opens the pool that lanes are taken from, with the schema up to date. The caller holds the folder's lock.
pub(crate) async fn open(
    folder: &Folder,
    options: &SqliteOptions,
) -> Result<DatabaseConnection, Error> {
    let database = folder.database();
    refuse_foreign_file(&database)?;
    let settings = options.clone();
    // The address is only a form to fill in: the file's name is set below, because it may hold any character.
    let mut connect = ConnectOptions::new("sqlite:store.db");
    connect
        .max_connections(CONNECTIONS_MAX)
        .sqlx_logging(false)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .map_sqlx_sqlite_opts(move |base| pragmas(base.filename(&database), &settings));
    let pool = Database::connect(connect).await.map_err(classify::db)?;
    match migrate(&pool).await {
        Ok(()) => Ok(pool),
        Err(Refusal::Database(error)) => Err(classify::db(error)),
        Err(Refusal::Newer { schema, minimum }) => Err(Error::Refused(format!(
            "the data folder {} was written by a newer release (schema {schema}, needs at least {minimum}; this \
             release knows {SCHEMA_VERSION}). Start that release, or restore a backup made before the upgrade",
            folder.path().display()
        ))),
    }
}

fn pragmas(base: SqliteConnectOptions, options: &SqliteOptions) -> SqliteConnectOptions {
    let mut connect = base
        .create_if_missing(true)
        .busy_timeout(BUSY_TIMEOUT)
        .statement_cache_capacity(STATEMENTS)
        .row_buffer_size(512)
        .thread_name(|number| format!("store-sql-{number}"))
        .page_size(options.page_size)
        .pragma("journal_mode", options.journal_mode.clone())
        .pragma("synchronous", options.synchronous.clone())
        // Where fsync alone leaves data in the drive's cache, these make it go further; elsewhere they do nothing.
        .pragma("fullfsync", "1")
        .pragma("checkpoint_fullfsync", "1")
        // Checkpoints run on a connection of their own: inside a commit they cost ten milliseconds.
        .pragma("wal_autocheckpoint", "0")
        .pragma("journal_size_limit", options.wal_limit.to_string())
        .pragma("temp_store", "MEMORY");
    if options.max_pages > 0 {
        connect = connect.pragma("max_page_count", options.max_pages.to_string());
    }
    connect
}

/// Takes a connection out of the pool for good, gives it a page cache and verifies that its commits survive loss of
/// power.
pub(crate) async fn lane(pool: &DatabaseConnection, cache_kib: u32) -> Result<Lane, Error> {
    let connection = pool.get_sqlite_connection_pool().acquire().await;
    let connection = connection.map_err(|error| classify::driver(&error))?;
    let mut lane = Lane::new(connection.detach());
    let cache = format!("PRAGMA cache_size = -{cache_kib}");
    lane.rows(cache.into(), Parameters::default()).await?;
    let mode = lane.fixed("PRAGMA journal_mode").await?;
    let mode = mode.first().map_or(Ok(""), |row| row.text(0))?;
    let level = lane.fixed("PRAGMA synchronous").await?;
    let level = level.first().map_or(Ok(0), |row| row.number(0))?;
    if !mode.eq_ignore_ascii_case("wal") || level < 2 {
        return Err(Error::Refused(format!(
            "the database runs with journal_mode={mode}, synchronous={level}; commits are only safe with wal and 2 \
             (full). Put the data folder on a local disk: shared memory does not work on some network file systems"
        )));
    }
    Ok(lane)
}

/// Raises the writer epoch: from here on, commits of an earlier opening fail even if its lock was lost.
pub(crate) async fn raise_epoch(lane: &mut Lane) -> Result<u64, Error> {
    let rows = lane
        .fixed(
            "UPDATE \"writer_epoch\" SET \"epoch\" = \"epoch\" + 1 WHERE \"id\" = 1 RETURNING \"epoch\"",
        )
        .await?;
    let row = rows.first().ok_or_else(|| {
        Error::Fatal(
            "the writer_epoch row is missing; restore the data folder from a backup".into(),
        )
    })?;
    row.number(0).map(unsigned)
}

/// An existing file that is no database is left alone and named.
fn refuse_foreign_file(database: &Path) -> Result<(), Error> {
    use std::io::Read;
    let Ok(mut file) = std::fs::File::open(database) else {
        return Ok(());
    };
    let mut head = [0_u8; 16];
    let mut read = 0;
    while read < head.len() {
        match file.read(&mut head[read..]) {
            Ok(0) | Err(_) => break,
            Ok(count) => read += count,
        }
    }
    if read == 0 || head == *b"SQLite format 3\0" {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "{} is not a Callboard database. Give the node another data folder, or restore a backup",
        database.display()
    )))
}
