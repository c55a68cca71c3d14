//! What a database error means to the data plane, in one place.
//!
//! The questions are: was something changed, is the connection still of use, can the data still be trusted.

use callboard_statestore::Error;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

/// How a statement failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server refused the statement and the transaction with it. The connection goes on.
    Answered(Error),
    /// There is no connection any more. What was not committed is rolled back; a COMMIT that was under way may have
    /// happened.
    Lost(String),
}

impl Failure {
    /// What it means for a request of which nothing was committed.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Answered(error) => error,
            Self::Lost(why) => Error::Unavailable(why),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Answered(error)
    }
}

/// Classifies what the driver returned for a statement.
pub(crate) fn statement(error: &sqlx::Error) -> Failure {
    match error {
        sqlx::Error::Database(inner) => match inner.try_downcast_ref::<PgDatabaseError>() {
            Some(answer) => answered(answer.code(), answer.severity(), answer.message()),
            None => Failure::Answered(Error::Fatal(inner.to_string())),
        },
        sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::Encode(_)
        | sqlx::Error::TypeNotFound { .. }
        | sqlx::Error::InvalidArgument(_) => Failure::Answered(Error::Fatal(error.to_string())),
        _ => Failure::Lost(format!("the connection to the database was lost: {error}")),
    }
}

/// Classifies what kept a connection from being made.
///
/// Only [`crate::SqlStore::open_postgres`] ends with a refusal. Later, a role that may not log in any more or a database
/// that is gone is an outage: somebody is at work on the server.
pub(crate) fn connecting(error: &sqlx::Error, opening: bool) -> Error {
    let text = format!("the database cannot be reached: {error}");
    let refused = match error {
        sqlx::Error::Database(inner) => {
            let code = inner.code().unwrap_or_default();
            // Wrong role or password; no such database; no right to connect; a setting that the server does not know.
            code.starts_with("28") || ["3D000", "42501", "42704", "22023"].contains(&&*code)
        }
        sqlx::Error::Configuration(_) | sqlx::Error::Tls(_) => true,
        _ => false,
    };
    if refused && opening { Error::Refused(text) } else { Error::Unavailable(text) }
}

fn answered(code: &str, severity: PgSeverity, message: &str) -> Failure {
    let text = format!("{message} (SQLSTATE {code})");
    let passing = |what: &str| Failure::Answered(Error::Unavailable(format!("{what}: {text}")));
    match code {
        // Whatever the severity: the data is in doubt.
        "XX001" | "XX002" => {
            Failure::Answered(Error::Fatal(format!("the database is damaged: {text}")))
        }
        "58030" => Failure::Answered(Error::Fatal(format!("reading or writing failed: {text}"))),
        _ if matches!(severity, PgSeverity::Fatal | PgSeverity::Panic) => Failure::Lost(text),
        // The server is stopping, starting or recovering; the session was ended from outside.
        "57P01" | "57P02" | "57P03" | "57P05" => Failure::Lost(text),
        "40001" | "40P01" | "55P03" | "57014" => passing("the database is busy"),
        "53100" => passing("the database's disk is full"),
        "25006" => passing("the database takes no writes for now"),
        _ if code.starts_with("08") => Failure::Lost(text),
        _ if code.starts_with("53") => passing("the database is short of something"),
        // A broken constraint, a statement that does not fit the schema: nothing that repeating mends.
        _ => Failure::Answered(Error::Fatal(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(code: &str, severity: PgSeverity) -> &'static str {
        match answered(code, severity, "") {
            Failure::Lost(_) => "lost",
            Failure::Answered(Error::Unavailable(_)) => "unavailable",
            Failure::Answered(Error::Fatal(_)) => "fatal",
            Failure::Answered(_) => "other",
        }
    }

    #[test]
    fn what_passes_can_be_tried_again() {
        for code in ["40001", "40P01", "55P03", "57014", "53100", "53200", "53300", "25006"] {
            assert_eq!(class(code, PgSeverity::Error), "unavailable", "{code}");
        }
    }

    #[test]
    fn a_session_that_the_server_ended_is_lost() {
        for code in ["57P01", "57P02", "25P03", "08006", "53300", "40P01"] {
            assert_eq!(class(code, PgSeverity::Fatal), "lost", "{code}");
        }
    }

    #[test]
    fn damage_a_broken_constraint_or_a_foreign_schema_end_the_store() {
        for code in ["XX001", "XX002", "58030"] {
            assert_eq!(class(code, PgSeverity::Error), "fatal", "{code}");
            assert_eq!(class(code, PgSeverity::Fatal), "fatal", "{code}");
        }
        for code in ["23505", "42P01", "42703", "22021"] {
            assert_eq!(class(code, PgSeverity::Error), "fatal", "{code}");
        }
    }
}
