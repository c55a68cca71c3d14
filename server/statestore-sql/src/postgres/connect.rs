//! Makes connections, and prepares the database before the first one is used.

use std::{str::FromStr, sync::Arc, time::Duration};

use callboard_migrations::{Refusal, SCHEMA_VERSION, migrate};
use callboard_statestore::Error;
use sea_orm::{ConnectOptions, Database, DatabaseConnection, DbErr, RuntimeErr};
use sqlx::{Connection, Executor, PgConnection, postgres::PgConnectOptions};
use tokio::time::timeout;

use super::{PostgresOptions, classify, settings, socket};

/// Prepared statements per connection: those of `sql.rs`, of which one exists per spill table.
const STATEMENTS: usize = 256;
/// The advisory lock under which the schema is changed; the number only has to be the same everywhere.
const SCHEMA_LOCK: &str = "SET lock_timeout = '120s'; SELECT pg_advisory_lock(4848104927104811)";

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Writer,
    Reader,
}

/// The server and how long its users wait for it.
#[derive(Debug)]
pub(crate) struct Server {
    base: PgConnectOptions,
    /// How it is called in messages.
    pub(crate) place: String,
    port: Option<u16>,
    lease: Duration,
    patience: Duration,
}

impl Server {
    /// Reads the address.
    pub(crate) fn new(options: &PostgresOptions) -> Result<Self, Error> {
        let base = PgConnectOptions::from_str(&options.url)
            .map_err(|error| Error::Refused(format!("the store's URL is not readable: {error}")))?
            .application_name("callboard")
            .statement_cache_capacity(STATEMENTS);
        let database = base.get_database().unwrap_or_else(|| base.get_username());
        let by_file = base.get_socket().is_some() || base.get_host().starts_with('/');
        let (host, port) = (base.get_host(), base.get_port());
        Ok(Self {
            place: format!("the database {database} at {host}:{port}"),
            port: (!by_file).then_some(port),
            lease: options.lease,
            patience: options.patience(),
            base,
        })
    }

    /// How long a statement is waited for: the server ends it earlier, if it can.
    pub(crate) fn answer_wait(&self) -> Duration {
        self.lease
    }

    /// How long the answer to COMMIT is waited for before its outcome is looked up.
    pub(crate) fn commit_wait(&self) -> Duration {
        self.lease
    }

    /// How long the outcome of a commit is looked for before the data plane is told that it is not known.
    pub(crate) fn fate_wait(&self) -> Duration {
        self.lease * 2
    }

    /// Connects.
    pub(crate) async fn connect(&self, role: Role, opening: bool) -> Result<PgConnection, Error> {
        let settings = match role {
            Role::Writer => settings::writer(self.patience),
            Role::Reader => settings::reader(self.patience),
        };
        self.connect_with(&self.base.clone().options(settings), opening).await
    }

    async fn connect_with(
        &self,
        options: &PgConnectOptions,
        opening: bool,
    ) -> Result<PgConnection, Error> {
        let connecting = PgConnection::connect_with(options);
        let connection = match timeout(self.lease, connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(classify::connecting(&error, opening)),
            Err(_) => {
                let place = &self.place;
                return Err(Error::Unavailable(format!("{place} does not answer")));
            }
        };
        if let Some(port) = self.port {
            socket::tune(port, self.patience);
        }
        Ok(connection)
    }
}

/// Verifies the server and brings the schema up to date, one node at a time.
pub(crate) async fn prepare(server: &Arc<Server>) -> Result<(), Error> {
    let mut guard = server.connect_with(&server.base, true).await?;
    settings::check(&mut guard).await?;
    let locked = guard.execute(SCHEMA_LOCK).await;
    locked.map_err(|error| classify::statement(&error).into_error())?;
    let pool = pool(&server.base).await.map_err(database)?;
    let migrated = migrate(&pool).await;
    pool.close().await.map_err(database)?;
    // Closing the session gives up the lock, also if the answer gets lost.
    let _closed = guard.close().await;
    match migrated {
        Ok(()) => Ok(()),
        Err(Refusal::Database(error)) => Err(database(error)),
        Err(Refusal::Newer { schema, minimum }) => Err(Error::Refused(format!(
            "{} was written by a newer release (schema {schema}, needs at least {minimum}; this release knows \
             {SCHEMA_VERSION}). Start that release, or restore a backup made before the upgrade",
            server.place
        ))),
    }
}

/// The pool that migrations use. Lanes have connections of their own.
///
/// A `begin` that is cancelled can give a connection with an open transaction back to the pool, and what the next user
/// writes is then acknowledged and lost; so every connection that comes back is rolled back first.
async fn pool(base: &PgConnectOptions) -> Result<DatabaseConnection, DbErr> {
    let base = base.clone();
    // The address is only a form to fill in.
    let mut connect = ConnectOptions::new("postgres://localhost");
    connect
        .max_connections(2)
        .sqlx_logging(false)
        .map_sqlx_postgres_opts(move |_| base.clone())
        .map_sqlx_postgres_pool_opts(|pool| {
            pool.after_release(|connection, _| {
                Box::pin(async move { connection.execute("ROLLBACK").await.map(|_| true) })
            })
        });
    Database::connect(connect).await
}

/// Classifies what sea-orm returned.
#[expect(clippy::needless_pass_by_value, reason = "it stands behind map_err")]
fn database(error: DbErr) -> Error {
    match &error {
        DbErr::ConnectionAcquire(_) => Error::Unavailable(error.to_string()),
        DbErr::Conn(RuntimeErr::SqlxError(inner)) => classify::connecting(inner, true),
        DbErr::Exec(RuntimeErr::SqlxError(inner)) | DbErr::Query(RuntimeErr::SqlxError(inner)) => {
            match inner.as_database_error().and_then(|error| error.code()).as_deref() {
                Some("42501") => Error::Refused(format!(
                    "the role may not change the schema: {inner}. Grant it CREATE on the schema"
                )),
                _ => classify::statement(inner).into_error(),
            }
        }
        _ => Error::Fatal(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
