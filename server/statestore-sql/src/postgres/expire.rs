//! Drops spilled outcomes, one whole table at a time, and ids of messages that nobody repeats any more.
//!
//! The table's row in `spill_slot` is locked first: commits that put packs into the table hold it, so a table in use is
//! passed over, and one that is being emptied is not filled.

use callboard_statestore::Error;
use callboard_types::limits::DELIVERED_WINDOW_MS;

use super::{classify::Failure, lane::Lane, rows::Parameters, sql};
use crate::columns::Columns;

/// Somebody who reads the table for long (a backup) must not make everybody else wait behind us.
const SHORT_WAIT: &str = "SET LOCAL lock_timeout = '50ms'";

/// Ids of messages that are dropped at a time.
const IDS_MAX: i64 = 1_000;

impl Lane {
    /// Drops a piece of what no shard needs any more. True if there is more of it.
    pub(super) async fn expire(&mut self) -> Result<bool, Error> {
        let work = self.drop_over().await;
        self.finish(work).await
    }

    async fn drop_over(&mut self) -> Result<bool, Failure> {
        self.link.begin().await?;
        let parameters = Parameters::default().and(DELIVERED_WINDOW_MS).and(IDS_MAX);
        let rows = self.link.rows(sql::DROP_OLD, parameters.0).await?;
        let ids = rows.first().map_or(Ok(0), |row| row.number(0))?;
        Ok(self.empty_one().await? || ids == IDS_MAX)
    }

    /// Empties one spill table that no shard needs any more. True if there are more of them.
    async fn empty_one(&mut self) -> Result<bool, Failure> {
        let over = self.link.rows(sql::SLOTS_OVER, Parameters::default().0).await?;
        let Some(first) = over.first() else {
            return Ok(false);
        };
        let number = first.number(0)?;
        let slot = first.place(0)?;
        self.link.fixed(SHORT_WAIT).await?;
        if slot >= self.slots.len() {
            let text = format!("spill_slot names table {slot}, which does not exist");
            return Err(Error::Fatal(text).into());
        }
        self.link.once(sql::empty(slot), Parameters::default().0).await?;
        self.link.rows(sql::SLOT_EMPTY, Parameters::default().and(number).0).await?;
        metrics::counter!("callboard_store_spill_tables_emptied_total").increment(1);
        Ok(over.len() > 1)
    }
}
