//! One connection in the hands of one task, and the parameters of its statements.

use std::sync::Arc;

use bytes::Bytes;
use callboard_statestore::Error;
use sqlx::{
    Arguments, AssertSqlSafe, Connection, Row, SqliteConnection,
    sqlite::{SqliteArguments, SqliteRow},
};

use crate::{columns::Columns, sqlite::classify};

/// A connection. Statements run one after the other on the task that owns it, which no request can cancel.
#[derive(Debug)]
pub(crate) struct Lane(SqliteConnection);

impl Lane {
    pub(crate) fn new(connection: SqliteConnection) -> Self {
        Self(connection)
    }

    /// Runs a statement, or several in one text, and returns all rows.
    pub(crate) async fn rows(
        &mut self,
        text: Arc<str>,
        parameters: Parameters,
    ) -> Result<Vec<SqliteRow>, Error> {
        // Every text comes from `sql.rs`; values only travel as parameters.
        sqlx::query_with(AssertSqlSafe(text), parameters.0)
            .fetch_all(&mut self.0)
            .await
            .map_err(|error| classify::driver(&error))
    }

    /// Runs a single statement and returns how many rows it changed.
    pub(crate) async fn execute(
        &mut self,
        text: Arc<str>,
        parameters: Parameters,
    ) -> Result<u64, Error> {
        sqlx::query_with(AssertSqlSafe(text), parameters.0)
            .execute(&mut self.0)
            .await
            .map(|done| done.rows_affected())
            .map_err(|error| classify::driver(&error))
    }

    /// Runs a fixed text without parameters.
    pub(crate) async fn fixed(&mut self, text: &'static str) -> Result<Vec<SqliteRow>, Error> {
        sqlx::query(text).fetch_all(&mut self.0).await.map_err(|error| classify::driver(&error))
    }

    /// Closes the connection. The last one to close also ends the write-ahead log.
    pub(crate) async fn close(self) -> Result<(), Error> {
        self.0.close().await.map_err(|error| classify::driver(&error))
    }
}

/// The values of a statement's placeholders, in order.
#[derive(Debug, Default)]
pub(crate) struct Parameters(SqliteArguments);

impl Parameters {
    /// Room for a number of values.
    pub(crate) fn with_room(values: usize) -> Self {
        let mut parameters = Self::default();
        parameters.0.reserve(values, 0);
        parameters
    }

    pub(crate) fn text(&mut self, value: &Arc<str>) -> &mut Self {
        self.add(Arc::clone(value))
    }

    pub(crate) fn string(&mut self, value: String) -> &mut Self {
        self.add(value)
    }

    pub(crate) fn bytes(&mut self, value: &Bytes) -> &mut Self {
        self.add(value.to_vec())
    }

    pub(crate) fn number(&mut self, value: i64) -> &mut Self {
        self.add(value)
    }

    pub(crate) fn null(&mut self) -> &mut Self {
        self.add(None::<i64>)
    }

    fn add<'q, T>(&mut self, value: T) -> &mut Self
    where
        T: sqlx::Encode<'q, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        let added = self.0.add(value);
        added.expect("text, bytes and numbers always encode");
        self
    }
}

impl Columns for SqliteRow {
    fn number(&self, index: usize) -> Result<i64, Error> {
        self.try_get(index).map_err(|error| classify::driver(&error))
    }

    fn number_if_any(&self, index: usize) -> Result<Option<i64>, Error> {
        self.try_get(index).map_err(|error| classify::driver(&error))
    }

    fn text(&self, index: usize) -> Result<&str, Error> {
        self.try_get(index).map_err(|error| classify::driver(&error))
    }

    fn bytes(&self, index: usize) -> Result<Bytes, Error> {
        let bytes: &[u8] = self.try_get(index).map_err(|error| classify::driver(&error))?;
        Ok(Bytes::copy_from_slice(bytes))
    }

    fn foreign_text(&self, index: usize) -> Result<Option<String>, Error> {
        self.try_get(index).map_err(|error| classify::driver(&error))
    }
}
