//! What committed turns set going: from the row that stands for it to the end that the row may go with.
//!
//! [`machine::Deliveries`] is pure: each worker has one, and carries out its effects. An [`Item`] is a call or a message for
//! a channel; its row names nothing that the store knows already. Orders hold per source and target, as
//! `server/ARCHITECTURE.md` says.

pub mod broadcast;
pub mod confirm;
pub mod item;
pub mod letter;
pub mod machine;
pub mod verdict;

pub use broadcast::{BroadcastJob, BroadcastQueue};
pub use item::{BroadcastItem, CallItem, Item, Output};

use callboard_types::{Millis, Tick};

use crate::{
    activation::machine::OUTCOME_ACTION,
    call::{Call, ReplyTo},
};

/// When a request id was drawn, if it says so, as UUIDs of version 7 do; 0 otherwise.
#[must_use]
pub fn drawn_at(request_id: &str) -> Millis {
    let held = uuid::Uuid::try_parse(request_id).ok().and_then(|id| id.get_timestamp());
    let millis = held.map(|time| {
        let (seconds, nanos) = time.to_unix();
        seconds.saturating_mul(1_000).saturating_add(u64::from(nanos / 1_000_000))
    });
    Millis(millis.and_then(|millis| i64::try_from(millis).ok()).unwrap_or(0))
}

/// The call that asks for the outcome of another one, which has been passed on: nobody may say that it was not run.
pub(crate) fn outcome_call(reply_to: ReplyTo, deadline: Tick, request_id: String) -> Call {
    Call {
        action: OUTCOME_ACTION.to_owned(),
        request_id,
        deadline,
        activates_only: false,
        begun: true,
        ..Call::activation(reply_to, Tick::default())
    }
}
