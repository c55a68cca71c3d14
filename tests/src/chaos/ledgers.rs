//! The ledgers at the end of a run, read and written down.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::{
    Error, RECOVERY_MAX,
    actors::{self, LEDGER},
    client::Shared,
    history::{Act, Entry, Event, Recorder, Reply},
};
use crate::check::Ledger;

/// Pause between two looks at a ledger that lacks something.
const LOOK: Duration = Duration::from_millis(200);

/// Reads every ledger that was called, until all accepted adds are in it or the time is over. Returns what went wrong; a
/// ledger that cannot be read is not written down.
pub async fn read(shared: &Shared, recorder: &Recorder, entries: &[Entry]) -> Vec<String> {
    let give_up = super::now() + RECOVERY_MAX;
    let mut findings = Vec::new();
    for (key, accepted) in expected(entries) {
        match read_one(shared, key, &accepted, give_up).await {
            Ok(ledger) => recorder.note(Event::Ledger {
                key: key.to_owned(),
                total: ledger.total,
                entries: ledger.entries.iter().map(|one| (one.add, one.amount)).collect(),
            }),
            Err(error) => findings.push(error.to_string()),
        }
    }
    findings
}

/// The keys of all ledgers that were called, and the adds to each that were accepted.
fn expected(entries: &[Entry]) -> BTreeMap<&str, BTreeSet<u64>> {
    let mut keys: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    let mut ledger_of = BTreeMap::new();
    for entry in entries {
        match &entry.event {
            Event::Call { call, actor, act: Act::Add { .. } | Act::Total, .. } => {
                let key = actor.strip_prefix(LEDGER).map(|key| key.trim_start_matches('/'));
                if let Some(key) = key {
                    ledger_of.insert(*call, key);
                    keys.entry(key).or_default();
                }
            }
            Event::Answer { call, reply: Reply::Accepted, .. } => {
                if let Some(key) = ledger_of.get(call) {
                    keys.entry(key).or_default().insert(*call);
                }
            }
            _ => {}
        }
    }
    keys
}

/// One ledger, once it has everything or the time is over.
async fn read_one(
    shared: &Shared,
    key: &str,
    accepted: &BTreeSet<u64>,
    give_up: Instant,
) -> Result<Ledger, Error> {
    loop {
        let data = shared.read(actors::id(LEDGER, key), super::now() + RECOVERY_MAX).await?;
        let ledger = actors::ledger(&data)
            .ok_or_else(|| Error::failed(format!("the state of ledger {key} is torn")))?;
        let held: BTreeSet<u64> = ledger.entries.iter().map(|entry| entry.add).collect();
        if accepted.is_subset(&held) || super::now() > give_up {
            return Ok(ledger);
        }
        tokio::time::sleep(LOOK).await;
    }
}
