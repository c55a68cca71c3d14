//! The actors of the chaos test as callers see them. Hosts in several languages run them; all speak JSON.
//!
//! | type | durability | actions |
//! |---|---|---|
//! | ChaosLedger | durable | `add {add, amount}` and `read` answer `{count, total}`; the state keeps every add |
//! | ChaosRegister | durable | `write {value}`, `swap {expected, value}` → `{swapped}`, `read` → `{value}` |
//! | ChaosCounter | volatile | `count` → `{epoch, life, count}` |
//! | ChaosTally | snapshot | `count` → `{epoch, life, count}` |
//!
//! Those of [`talk`] set each other going.

use callboard_proto::types::v1::{ActorId, Payload};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    history::{Act, Reply},
    talk,
};
use crate::check::{Entry, Ledger};

/// The ledger.
pub const LEDGER: &str = "ChaosLedger";
/// The register.
pub const REGISTER: &str = "ChaosRegister";
/// The volatile counter.
pub const COUNTER: &str = "ChaosCounter";
/// The counter that is saved now and then.
pub const TALLY: &str = "ChaosTally";

/// An actor's id.
#[must_use]
pub fn id(kind: &str, key: &str) -> ActorId {
    ActorId { system: String::new(), r#type: kind.into(), key: key.into() }
}

/// JSON as a payload.
#[must_use]
pub fn payload(value: &Value) -> Payload {
    Payload {
        content_type: "application/json".into(),
        type_url: String::new(),
        data: value.to_string().into(),
    }
}

/// The action and argument of an act with a number.
#[must_use]
pub fn request(number: u64, act: &Act) -> (&'static str, Option<Payload>) {
    match act {
        Act::Add { amount } => ("add", Some(payload(&json!({"add": number, "amount": amount})))),
        Act::Total | Act::Get => ("read", None),
        Act::Write { value } => ("write", Some(payload(&json!({"value": value})))),
        Act::Swap { expected, value } => {
            ("swap", Some(payload(&json!({"expected": expected, "value": value}))))
        }
        Act::Count => ("count", None),
        Act::Tell { .. } | Act::Relay { .. } | Act::Say { .. } => {
            talk::request(number, act).unwrap_or(("none", None))
        }
    }
}

/// What a reply says; `None` if it is no reply to that act.
#[must_use]
pub fn reply(act: &Act, data: &[u8]) -> Option<Reply> {
    let value: Value = match data {
        [] => Value::Null,
        data => serde_json::from_slice(data).ok()?,
    };
    let number = |name: &str| value.get(name).and_then(Value::as_u64);
    match act {
        Act::Relay { .. } => {
            Some(Reply::Relayed { at: value.get("at")?.as_str()?.into(), count: number("count")? })
        }
        Act::Add { .. } | Act::Total | Act::Tell { .. } | Act::Say { .. } => {
            Some(Reply::Receipt { count: number("count")?, total: number("total")? })
        }
        Act::Get => Some(Reply::Value { value: number("value")? }),
        Act::Write { .. } => Some(Reply::Written),
        Act::Swap { .. } => Some(Reply::Swapped { swapped: value.get("swapped")?.as_bool()? }),
        Act::Count => Some(Reply::Counted {
            epoch: number("epoch")?,
            life: number("life")?,
            count: number("count")?,
        }),
    }
}

/// A ledger's state.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct LedgerState {
    /// The sum of all adds.
    pub total: u64,
    /// (number, amount) of each add, in the order in which they were applied.
    pub entries: Vec<(u64, u32)>,
}

impl From<LedgerState> for Ledger {
    fn from(state: LedgerState) -> Self {
        let entries = state.entries.into_iter();
        Self {
            entries: entries.map(|(add, amount)| Entry { add, amount }).collect(),
            total: state.total,
        }
    }
}

/// Reads a ledger's state; `None` if it is torn. No bytes are a ledger that was never added to.
#[must_use]
pub fn ledger(data: &[u8]) -> Option<Ledger> {
    if data.is_empty() {
        return Some(Ledger::default());
    }
    serde_json::from_slice::<LedgerState>(data).ok().map(Ledger::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_as_the_act_says() {
        let receipt = Some(Reply::Receipt { count: 2, total: 7 });
        assert_eq!(reply(&Act::Add { amount: 1 }, br#"{"count":2,"total":7}"#), receipt);
        assert_eq!(reply(&Act::Get, br#"{"value":4}"#), Some(Reply::Value { value: 4 }));
        assert_eq!(reply(&Act::Write { value: 1 }, b""), Some(Reply::Written));
        assert_eq!(reply(&Act::Get, b"{}"), None);
        assert_eq!(reply(&Act::Get, b"junk"), None);
    }

    #[test]
    fn a_ledger_keeps_the_order_of_its_adds() {
        let read = ledger(br#"{"total":5,"entries":[[9,2],[4,3]]}"#).expect("it is whole");
        assert_eq!(read.entries, [Entry { add: 9, amount: 2 }, Entry { add: 4, amount: 3 }]);
        assert_eq!(ledger(b"{"), None);
    }
}
