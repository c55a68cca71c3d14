//! Drops spilled outcomes, one whole table at a time.
//!
//! The table's row in `spill_slot` is locked first: commits that put packs into the table hold it, so a table in use is
//! passed over, and one that is being emptied is not filled.

use callboard_statestore::Error;

use super::{
    classify::Failure,
    lane::Lane,
    rows::{Columns, Parameters},
    sql,
};

/// Somebody who reads the table for long (a backup) must not make everybody else wait behind us.
const SHORT_WAIT: &str = "SET LOCAL lock_timeout = '50ms'";

impl Lane {
    /// Empties one table that no shard needs any more. True if there are more of them.
    pub(super) async fn expire(&mut self) -> Result<bool, Error> {
        let work = self.empty_one().await;
        self.finish(work).await
    }

    async fn empty_one(&mut self) -> Result<bool, Failure> {
        self.link.begin().await?;
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
