//! Dead letters: what could not be delivered, as operators see it and may try it again.

use bytes::Bytes;
use callboard_types::{CallError, Millis};
use serde::{Deserialize, Serialize};

/// What a dead letter holds beside its source and the time of its death.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The item as its row had it; see [`Item::decode`](super::Item::decode).
    pub item: Bytes,
    /// Why it was given up.
    pub error: CallError,
    /// How often it was tried, as far as the last owner of its shard knows.
    pub attempts: u32,
    /// When it was due; 0 for at once.
    pub due_at: Millis,
}

#[derive(Serialize, Deserialize)]
enum Stored {
    V1 { item: Vec<u8>, error: CallError, attempts: u32, due_at: Millis },
}

impl Letter {
    /// The letter for its row.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let stored = Stored::V1 {
            item: self.item.to_vec(),
            error: self.error.clone(),
            attempts: self.attempts,
            due_at: self.due_at,
        };
        postcard::to_stdvec(&stored).expect("plain data always encodes").into()
    }

    /// The letter of a row.
    ///
    /// # Errors
    /// The decoder's words: the row was damaged, or written by a later version.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let Stored::V1 { item, error, attempts, due_at } =
            postcard::from_bytes(bytes).map_err(|error| error.to_string())?;
        Ok(Self { item: item.into(), error, attempts, due_at })
    }
}
