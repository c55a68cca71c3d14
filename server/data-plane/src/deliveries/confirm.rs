//! What senders of deliveries tell targets once their rows are gone.

use bytes::Bytes;
use callboard_types::Tick;
use serde::{Deserialize, Serialize};

use crate::call::{Call, Payload, ReplyTo};

/// The internal action that takes the mark from stored outcomes of deliveries.
pub const CONFIRM_ACTION: &str = "$confirm";
/// How long a confirmation may be on its way, in milliseconds.
const CONFIRM_WITHIN_MS: u64 = 30_000;

/// One delivery whose row is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    /// Its request id.
    pub request_id: String,
    /// True if attempts with different creation times may have been made, so that the target must know the id by itself for
    /// as long as a late attempt may come.
    pub restamped: bool,
}

#[derive(Serialize, Deserialize)]
enum Stored {
    V1(Vec<Confirmed>),
}

/// The call that confirms deliveries to their target. Nobody waits for it.
#[must_use]
pub fn call(confirmed: Vec<Confirmed>, now: Tick) -> Call {
    let data = postcard::to_stdvec(&Stored::V1(confirmed)).expect("plain data always encodes");
    let argument = Payload {
        content_type: "application/octet-stream".to_owned(),
        data: data.into(),
        ..Payload::default()
    };
    let deadline = now.plus_millis(CONFIRM_WITHIN_MS);
    Call {
        action: CONFIRM_ACTION.to_owned(),
        argument,
        deadline,
        activates_only: false,
        ..Call::activation(ReplyTo::Nobody, now)
    }
}

/// Reads the argument of a confirmation; one that cannot be read confirms nothing.
#[must_use]
pub fn read(argument: &Bytes) -> Vec<Confirmed> {
    match postcard::from_bytes(argument) {
        Ok(Stored::V1(confirmed)) => confirmed,
        Err(_) => Vec::new(),
    }
}
