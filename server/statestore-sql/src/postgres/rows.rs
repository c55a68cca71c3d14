//! Values on their way to the database and back.

use bytes::Bytes;
use callboard_statestore::{ActorCommit, Error, HistoryInsert, StateBlob};
use callboard_types::ActorId;
use sqlx::{
    Arguments, Row,
    postgres::{PgArguments, PgRow},
};

use super::classify;
use crate::{columns::Columns, counter::signed};

/// The values of a statement's placeholders, in order.
#[derive(Debug, Default)]
pub(crate) struct Parameters(pub(crate) PgArguments);

impl Parameters {
    /// One more value: usually an array with an element per row.
    pub(crate) fn and<'q, T>(mut self, value: T) -> Self
    where
        T: sqlx::Encode<'q, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        self.0.add(value).expect("numbers, text and bytes always encode");
        self
    }
}

impl Columns for PgRow {
    fn number(&self, index: usize) -> Result<i64, Error> {
        self.try_get(index).map_err(|error| wrong(&error))
    }

    fn number_if_any(&self, index: usize) -> Result<Option<i64>, Error> {
        self.try_get(index).map_err(|error| wrong(&error))
    }

    fn text(&self, index: usize) -> Result<&str, Error> {
        self.try_get(index).map_err(|error| wrong(&error))
    }

    fn bytes(&self, index: usize) -> Result<Bytes, Error> {
        let bytes: &[u8] = self.try_get(index).map_err(|error| wrong(&error))?;
        Ok(Bytes::copy_from_slice(bytes))
    }

    fn foreign_text(&self, index: usize) -> Result<Option<String>, Error> {
        let bytes: Option<&[u8]> = self.try_get(index).map_err(|error| wrong(&error))?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
    }
}

fn wrong(error: &sqlx::Error) -> Error {
    classify::statement(error).into_error()
}

/// Actor rows, one array per column.
pub(crate) fn actors(items: &[(usize, &ActorCommit)]) -> Parameters {
    let state = |item: &ActorCommit| item.record.state.clone();
    let number = |of: fn(&ActorCommit) -> i64| -> Vec<i64> {
        items.iter().map(|(_, item)| of(item)).collect()
    };
    Parameters::default()
        .and(items.iter().map(|(_, item)| &*item.id.system).collect::<Vec<&str>>())
        .and(items.iter().map(|(_, item)| &*item.id.actor_type).collect::<Vec<&str>>())
        .and(items.iter().map(|(_, item)| &*item.id.key).collect::<Vec<&str>>())
        .and(number(|item| i64::from(item.shard)))
        .and(number(|item| signed(item.record.revision.0)))
        .and(number(|item| signed(item.previous.0)))
        .and(number(|item| item.record.updated_at.0))
        .and(number(|item| item.record.spilled_until.0))
        .and(
            (items.iter())
                .map(|(_, item)| state(item).map(|state| state.content_type.into_bytes()))
                .collect::<Vec<Option<Vec<u8>>>>(),
        )
        .and(
            (items.iter())
                .map(|(_, item)| state(item).unwrap_or_default().type_url.into_bytes())
                .collect::<Vec<Vec<u8>>>(),
        )
        .and(items.iter().map(|(_, item)| &*item.record.tags).collect::<Vec<&[u8]>>())
        .and(items.iter().map(|(_, item)| &*item.record.outcomes).collect::<Vec<&[u8]>>())
        .and(
            (items.iter())
                .map(|(_, item)| item.record.state.as_ref().map(|state| &*state.data))
                .collect::<Vec<Option<&[u8]>>>(),
        )
        .and(items.iter().map(|(at, _)| signed(*at as u64)).collect::<Vec<i64>>())
}

/// Past states, one array per column.
pub(crate) fn pasts(items: &[(&ActorId, &HistoryInsert)]) -> Parameters {
    let text =
        |of: fn(&ActorId) -> &str| -> Vec<&str> { items.iter().map(|(id, _)| of(id)).collect() };
    let state = |of: fn(&StateBlob) -> &[u8]| -> Vec<Option<&[u8]>> {
        items.iter().map(|(_, past)| past.state.as_ref().map(of)).collect()
    };
    let type_urls = state(|state| state.type_url.as_bytes());
    Parameters::default()
        .and(text(|id| &id.system))
        .and(text(|id| &id.actor_type))
        .and(text(|id| &id.key))
        .and(items.iter().map(|(_, past)| signed(past.revision.0)).collect::<Vec<i64>>())
        .and(items.iter().map(|(_, past)| past.at.0).collect::<Vec<i64>>())
        .and(state(|state| state.content_type.as_bytes()))
        .and(type_urls.into_iter().map(Option::unwrap_or_default).collect::<Vec<&[u8]>>())
        .and(items.iter().map(|(_, past)| &*past.tags).collect::<Vec<&[u8]>>())
        .and(state(|state| &state.data))
}
