//! One connection in the hands of one task.
//!
//! A statement that gets no answer in time costs the connection: its answer could come in the middle of the next one.
//! Inside a transaction a lost connection is never replaced, because the rest would run outside of it.

use std::{sync::Arc, time::Duration};

use callboard_statestore::Error;
use sqlx::{
    AssertSqlSafe, Connection, PgConnection,
    postgres::{PgArguments, PgRow},
};
use tokio::time::timeout;

use super::{
    classify::{self, Failure},
    connect::{Role, Server},
};

/// COMMIT with the statement timeout off: with synchronous replicas it would end the wait for them and report success.
const COMMIT: &str = "SET LOCAL statement_timeout = 0; COMMIT";

/// How a COMMIT failed.
#[derive(Debug)]
pub(crate) enum Uncommitted {
    /// The server said that it did not commit.
    RolledBack(Error),
    /// Nobody knows yet.
    Unknown(String),
}

/// A connection that is made when it is needed.
#[derive(Debug)]
pub(crate) struct Link {
    server: Arc<Server>,
    role: Role,
    connection: Option<PgConnection>,
}

impl Link {
    /// A connection that exists, so that what keeps it from existing is known at once.
    pub(crate) async fn open(server: &Arc<Server>, role: Role) -> Result<Self, Error> {
        let connection = server.connect(role, true).await?;
        Ok(Self { server: Arc::clone(server), role, connection: Some(connection) })
    }

    /// Connects if there is no connection. True if there was one already, which may be dead without anybody knowing.
    pub(crate) async fn ready(&mut self) -> Result<bool, Failure> {
        if self.connection.is_some() {
            return Ok(true);
        }
        self.connection = Some(self.server.connect(self.role, false).await?);
        Ok(false)
    }

    /// Gives the connection up. The server rolls back what it was doing.
    pub(crate) fn cut(&mut self) {
        self.connection = None;
    }

    /// Opens a transaction, on a new connection if the old one turns out to be dead.
    pub(crate) async fn begin(&mut self) -> Result<(), Failure> {
        let used = self.ready().await?;
        match self.fixed("BEGIN").await {
            Err(Failure::Lost(_)) if used => {
                self.ready().await?;
                self.fixed("BEGIN").await.map(|_| ())
            }
            done => done.map(|_| ()),
        }
    }

    /// Ends a transaction without writing anything. If that fails the connection goes, and the transaction with it.
    pub(crate) async fn roll_back(&mut self) {
        if self.connection.is_some() && self.fixed("ROLLBACK").await.is_err() {
            self.cut();
        }
    }

    /// Commits the open transaction.
    pub(crate) async fn commit(&mut self) -> Result<(), Uncommitted> {
        let Some(mut connection) = self.connection.take() else {
            // Nothing was sent, so nothing was committed.
            let error = Error::Unavailable("the connection was lost before COMMIT".into());
            return Err(Uncommitted::RolledBack(error));
        };
        let committing = sqlx::raw_sql(COMMIT).execute(&mut connection);
        match timeout(self.server.commit_wait(), committing).await {
            Ok(Ok(_)) => {
                self.connection = Some(connection);
                Ok(())
            }
            Ok(Err(error)) => match classify::statement(&error) {
                // The server answered, and its answer to a commit that happened is never an error.
                Failure::Answered(error @ Error::Unavailable(_)) => {
                    Err(Uncommitted::RolledBack(error))
                }
                Failure::Answered(error) => Err(Uncommitted::Unknown(error.to_string())),
                Failure::Lost(why) => Err(Uncommitted::Unknown(why)),
            },
            Err(_) => Err(Uncommitted::Unknown("the database did not answer to COMMIT".into())),
        }
    }

    /// Runs a statement and returns all rows. Its text is prepared once per connection.
    pub(crate) async fn rows(
        &mut self,
        text: &'static str,
        parameters: PgArguments,
    ) -> Result<Vec<PgRow>, Failure> {
        let mut connection = self.take()?;
        let running = sqlx::query_with(text, parameters).fetch_all(&mut connection);
        let answer = timeout(self.server.answer_wait(), running).await;
        self.settle(connection, answer)
    }

    /// The same for a text that was put together once.
    pub(crate) async fn made(
        &mut self,
        text: Arc<str>,
        parameters: PgArguments,
    ) -> Result<Vec<PgRow>, Failure> {
        let mut connection = self.take()?;
        // Texts only name tables by number; values travel as parameters.
        let query = sqlx::query_with(AssertSqlSafe(text), parameters);
        let answer = timeout(self.server.answer_wait(), query.fetch_all(&mut connection)).await;
        self.settle(connection, answer)
    }

    /// Runs a statement whose text is made for this one time.
    pub(crate) async fn once(
        &mut self,
        text: String,
        parameters: PgArguments,
    ) -> Result<Vec<PgRow>, Failure> {
        let mut connection = self.take()?;
        let query = sqlx::query_with(AssertSqlSafe(text), parameters).persistent(false);
        let answer = timeout(self.server.answer_wait(), query.fetch_all(&mut connection)).await;
        self.settle(connection, answer)
    }

    /// Runs a fixed text without parameters, and without preparing it.
    pub(crate) async fn fixed(&mut self, text: &'static str) -> Result<Vec<PgRow>, Failure> {
        let mut connection = self.take()?;
        let running = sqlx::raw_sql(text).fetch_all(&mut connection);
        let answer = timeout(self.server.answer_wait(), running).await;
        self.settle(connection, answer)
    }

    /// Says goodbye to the server.
    pub(crate) async fn close(mut self) {
        if let Some(connection) = self.connection.take() {
            let closing = timeout(Duration::from_secs(1), connection.close()).await;
            if !matches!(closing, Ok(Ok(()))) {
                tracing::debug!("a connection of the store did not close cleanly");
            }
        }
    }

    fn take(&mut self) -> Result<PgConnection, Failure> {
        let lost = || Failure::Lost("the connection to the database was lost".into());
        self.connection.take().ok_or_else(lost)
    }

    /// Keeps the connection unless the answer says that it is of no use any more.
    fn settle<T>(
        &mut self,
        connection: PgConnection,
        answer: Result<Result<T, sqlx::Error>, tokio::time::error::Elapsed>,
    ) -> Result<T, Failure> {
        let failure = match answer {
            Ok(Ok(value)) => {
                self.connection = Some(connection);
                return Ok(value);
            }
            Ok(Err(error)) => classify::statement(&error),
            Err(_) => Failure::Lost("the database did not answer in time".into()),
        };
        if matches!(failure, Failure::Answered(_)) {
            self.connection = Some(connection);
        }
        Err(failure)
    }
}
