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

use callboard_types::Tick;

use crate::{
    activation::machine::OUTCOME_ACTION,
    call::{Call, ReplyTo},
};

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
