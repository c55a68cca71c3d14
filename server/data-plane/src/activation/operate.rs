//! What operators may do with one actor, as calls of actions of Callboard's own.
//!
//! The calls route, wait and move like any others; the actor's machine carries them out in turn, without a host.

use bytes::Bytes;
use callboard_statestore::{HistoryRow, StateBlob};
use callboard_types::{Millis, Revision, Tick};
use serde::{Deserialize, Serialize};

use crate::call::{Call, Payload, ReplyTo};

/// Something that is done with an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// Save a snapshot actor now.
    Checkpoint,
    /// Take it out of memory once nothing waits for it.
    Deactivate,
    /// Delete its state, tags and history.
    Delete,
    /// Give it a past state again.
    Restore,
}

impl Tool {
    /// The tool behind an action.
    #[must_use]
    pub fn named(action: &str) -> Option<Self> {
        match action {
            "$checkpoint" => Some(Self::Checkpoint),
            "$deactivate" => Some(Self::Deactivate),
            "$delete" => Some(Self::Delete),
            "$restore" => Some(Self::Restore),
            _ => None,
        }
    }

    /// Its action.
    #[must_use]
    pub fn action(self) -> &'static str {
        match self {
            Self::Checkpoint => "$checkpoint",
            Self::Deactivate => "$deactivate",
            Self::Delete => "$delete",
            Self::Restore => "$restore",
        }
    }

    /// True if it changes what is stored, so that it is applied once per request id.
    #[must_use]
    pub fn changes(self) -> bool {
        matches!(self, Self::Delete | Self::Restore)
    }

    /// The call of a tool.
    #[must_use]
    pub fn call(
        self,
        argument: Payload,
        request_id: String,
        (now, wall): (Tick, Millis),
        reply_to: ReplyTo,
    ) -> Call {
        Call {
            action: self.action().to_owned(),
            argument,
            request_id,
            created_at: wall,
            activates_only: false,
            ..Call::activation(reply_to, now)
        }
    }
}

/// A past state on its way to its actor, which is to have it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// The revision that had it.
    pub revision: Revision,
    /// The state; `None` if there was none.
    pub state: Option<StateBlob>,
    /// The tags, encoded.
    pub tags: Bytes,
}

#[derive(Serialize, Deserialize)]
enum Stored {
    V1 { revision: u64, state: Option<(String, String, Vec<u8>)>, tags: Vec<u8> },
}

impl From<HistoryRow> for Past {
    fn from(row: HistoryRow) -> Self {
        Self { revision: row.revision, state: row.state, tags: row.tags }
    }
}

impl Past {
    /// The argument of the call that restores it.
    #[must_use]
    pub fn encode(&self) -> Payload {
        let state = self
            .state
            .as_ref()
            .map(|state| (state.content_type.clone(), state.type_url.clone(), state.data.to_vec()));
        let stored = Stored::V1 { revision: self.revision.0, state, tags: self.tags.to_vec() };
        octets(postcard::to_stdvec(&stored).expect("plain data always encodes"))
    }

    /// The past state that a call restores.
    ///
    /// # Errors
    /// The decoder's words.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let Stored::V1 { revision, state, tags } =
            postcard::from_bytes(bytes).map_err(|error| error.to_string())?;
        let state = state.map(|(content_type, type_url, data)| StateBlob {
            content_type,
            type_url,
            data: data.into(),
        });
        Ok(Self { revision: Revision(revision), state, tags: tags.into() })
    }
}

fn octets(data: Vec<u8>) -> Payload {
    Payload {
        content_type: "application/octet-stream".to_owned(),
        type_url: String::new(),
        data: data.into(),
    }
}
