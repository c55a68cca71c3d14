//! What a database error means to the data plane: [`DbErr`] to [`Error`], in one place.
//!
//! The question is never "what went wrong" but "was something changed, and can the store still be trusted".

use callboard_statestore::Error;
use sea_orm::{DbErr, RuntimeErr};

/// SQLite's primary result codes; extended ones carry them in the lowest byte.
mod code {
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const NOMEM: i32 = 7;
    pub(super) const INTERRUPT: i32 = 9;
    pub(super) const IOERR: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const PROTOCOL: i32 = 15;
    pub(super) const NOTADB: i32 = 26;
}

/// Classifies what sea-orm returned.
#[expect(clippy::needless_pass_by_value, reason = "it stands behind map_err")]
pub(crate) fn db(error: DbErr) -> Error {
    match &error {
        DbErr::ConnectionAcquire(_) => Error::Unavailable(error.to_string()),
        DbErr::Conn(RuntimeErr::SqlxError(inner))
        | DbErr::Exec(RuntimeErr::SqlxError(inner))
        | DbErr::Query(RuntimeErr::SqlxError(inner)) => driver(inner),
        _ => Error::Fatal(error.to_string()),
    }
}

/// Classifies what the driver returned.
///
/// SQLite rolls a transaction back, or lets us do it, whenever a statement or COMMIT fails before the log is synced,
/// so [`Error::Unavailable`] holds for every error that is not about the file itself.
pub(crate) fn driver(error: &sqlx::Error) -> Error {
    match error {
        sqlx::Error::Database(inner) => {
            let text = inner.to_string();
            match inner.code().and_then(|code| code.parse().ok()) {
                Some(code) => sqlite(code, text),
                None => Error::Fatal(text),
            }
        }
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
            Error::Unavailable(error.to_string())
        }
        // The connection's thread is gone, or driver and database no longer understand each other.
        _ => Error::Fatal(error.to_string()),
    }
}

fn sqlite(extended: i32, text: String) -> Error {
    match extended & 0xff {
        code::BUSY | code::LOCKED | code::PROTOCOL => {
            Error::Unavailable(format!("the database is locked: {text}"))
        }
        code::FULL => Error::Unavailable(format!("the disk or the database is full: {text}")),
        code::NOMEM | code::INTERRUPT => Error::Unavailable(text),
        // Too many open files or the like: the file that is already open is not in doubt.
        code::CANTOPEN => Error::Unavailable(format!("a file cannot be opened: {text}")),
        code::IOERR => Error::Fatal(format!("reading or writing failed: {text}")),
        code::CORRUPT | code::NOTADB => Error::Fatal(format!("the file is damaged: {text}")),
        // Read-only all of a sudden, a broken constraint, a statement that does not fit the schema: nothing that
        // repeating mends.
        _ => Error::Fatal(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(extended: i32) -> &'static str {
        match sqlite(extended, String::new()) {
            Error::Unavailable(_) => "unavailable",
            Error::OutcomeUnknown(_) => "unknown",
            Error::Fatal(_) => "fatal",
            Error::Refused(_) => "refused",
        }
    }

    #[test]
    fn a_full_or_locked_database_can_be_tried_again() {
        // BUSY, BUSY_RECOVERY, BUSY_SNAPSHOT, LOCKED, LOCKED_SHAREDCACHE, FULL, PROTOCOL, CANTOPEN.
        for extended in [5, 261, 517, 6, 262, 13, 15, 14] {
            assert_eq!(class(extended), "unavailable", "code {extended}");
        }
    }

    #[test]
    fn a_failed_write_sync_or_a_damaged_file_ends_the_store() {
        // IOERR, IOERR_READ, IOERR_WRITE, IOERR_FSYNC, IOERR_DIR_FSYNC, IOERR_TRUNCATE, CORRUPT, CORRUPT_INDEX, NOTADB,
        // READONLY, READONLY_DBMOVED, CONSTRAINT_PRIMARYKEY, ERROR.
        for extended in [10, 266, 778, 1_034, 1_290, 1_546, 11, 779, 26, 8, 1_032, 1_555, 1] {
            assert_eq!(class(extended), "fatal", "code {extended}");
        }
    }
}
