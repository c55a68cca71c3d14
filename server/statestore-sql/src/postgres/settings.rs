//! What the server must be, and what the sessions of a store set.

use std::time::Duration;

use callboard_statestore::Error;
use sqlx::{PgConnection, Row, postgres::PgRow};

/// The oldest release that has everything: `tcp_user_timeout`, `data_sync_retry` and plans that are not copied into
/// their user came with 12.
const VERSION_MIN: i64 = 120_000;

const FACTS: &str = "SELECT current_setting('server_version_num')::int8, version(), pg_is_in_recovery(), \
     current_setting('server_encoding'), current_setting('fsync', true), current_setting('full_page_writes', true), \
     current_setting('synchronous_commit', true), current_setting('data_sync_retry', true)";

/// Refuses a server on which an acknowledged commit could be lost, or that lacks what the store needs.
pub(crate) async fn check(connection: &mut PgConnection) -> Result<(), Error> {
    let facts = sqlx::query(FACTS).fetch_one(connection).await;
    let facts = facts.map_err(|error| super::classify::statement(&error).into_error())?;
    let text = |index: usize| {
        let value: Result<Option<String>, sqlx::Error> = facts.try_get(index);
        value.ok().flatten().unwrap_or_default()
    };
    let version = number(&facts)?;
    let name = text(1);
    if name.contains("CockroachDB") {
        return Err(Error::Refused(
            "the database is CockroachDB, which this release does not support. Use PostgreSQL 12 or newer".into(),
        ));
    }
    if version < VERSION_MIN {
        return Err(Error::Refused(format!(
            "the database is too old ({name}). The store needs PostgreSQL 12 or newer"
        )));
    }
    if facts.try_get(2).unwrap_or(false) {
        return Err(Error::Refused(
            "the database is a replica that takes no writes. Point the store at the primary".into(),
        ));
    }
    let encoding = text(3);
    if encoding != "UTF8" {
        return Err(Error::Refused(format!(
            "the database's encoding is {encoding}, which cannot hold every key. Create it with ENCODING 'UTF8'"
        )));
    }
    let [fsync, full_page_writes, synchronous_commit, retry] = [4, 5, 6, 7].map(text);
    let weak = match () {
        () if fsync != "on" => Some(("fsync", fsync, "on")),
        () if full_page_writes != "on" => Some(("full_page_writes", full_page_writes, "on")),
        () if !["on", "remote_apply"].contains(&synchronous_commit.as_str()) => {
            Some(("synchronous_commit", synchronous_commit, "on"))
        }
        () if retry != "off" => Some(("data_sync_retry", retry, "off")),
        () => None,
    };
    match weak {
        None => Ok(()),
        Some((setting, value, needed)) => Err(Error::Refused(format!(
            "the database runs with {setting}={value} and would lose acknowledged actions with the power. Set it to \
             {needed} for the server, and neither for the role nor for the database to anything else"
        ))),
    }
}

fn number(facts: &PgRow) -> Result<i64, Error> {
    facts.try_get(0).map_err(|error| super::classify::statement(&error).into_error())
}

/// What writing sessions set: whoever stops in the middle of a transaction loses it, and with it the locks on fence
/// rows, before its lease has half passed.
pub(crate) fn writer(patience: Duration) -> Vec<(&'static str, String)> {
    let limit = format!("{}ms", patience.as_millis());
    let mut settings = common();
    settings.extend([
        ("idle_in_transaction_session_timeout", limit.clone()),
        ("lock_timeout", limit.clone()),
        ("statement_timeout", limit.clone()),
        ("tcp_user_timeout", limit),
    ]);
    settings
}

/// What reading sessions set.
pub(crate) fn reader(patience: Duration) -> Vec<(&'static str, String)> {
    let mut settings = common();
    settings.push(("statement_timeout", format!("{}ms", patience.as_millis())));
    settings
}

/// Every statement looks rows up by key: one plan does for all of them, whatever the planner believes of the tables'
/// sizes, and it is made once.
fn common() -> Vec<(&'static str, String)> {
    let off = |name| (name, "off".to_owned());
    vec![
        ("default_transaction_isolation", "read committed".to_owned()),
        ("plan_cache_mode", "force_generic_plan".to_owned()),
        off("enable_seqscan"),
        off("enable_hashjoin"),
        off("enable_mergejoin"),
        off("jit"),
    ]
}
