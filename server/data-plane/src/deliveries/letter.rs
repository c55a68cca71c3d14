//! Dead letters: what could not be delivered, and calls that were accepted and given up, as operators see them and may try
//! them again.

use bytes::Bytes;
use callboard_types::{CallError, Millis};
use serde::{Deserialize, Serialize};

/// Where the content of a letter comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// The source's turn set it going.
    Turn,
    /// The source called the target, and the call was accepted.
    Actor,
    /// Somebody outside did. The source is the target.
    Outside,
}

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
    /// Where it comes from.
    pub origin: Origin,
}

/// Version 1 knows letters of turns only; it is still written for them, so that earlier releases can read them.
#[derive(Serialize, Deserialize)]
enum Stored {
    V1 { item: Vec<u8>, error: CallError, attempts: u32, due_at: Millis },
    V2 { item: Vec<u8>, error: CallError, attempts: u32, due_at: Millis, origin: Origin },
}

impl Letter {
    /// The letter for its row.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let (item, error) = (self.item.to_vec(), self.error.clone());
        let (attempts, due_at) = (self.attempts, self.due_at);
        let stored = match self.origin {
            Origin::Turn => Stored::V1 { item, error, attempts, due_at },
            origin => Stored::V2 { item, error, attempts, due_at, origin },
        };
        postcard::to_stdvec(&stored).expect("plain data always encodes").into()
    }

    /// The letter of a row.
    ///
    /// # Errors
    /// The decoder's words: the row was damaged, or written by a later version.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let stored = postcard::from_bytes(bytes).map_err(|error| error.to_string())?;
        let (item, error, attempts, due_at, origin) = match stored {
            Stored::V1 { item, error, attempts, due_at } => {
                (item, error, attempts, due_at, Origin::Turn)
            }
            Stored::V2 { item, error, attempts, due_at, origin } => {
                (item, error, attempts, due_at, origin)
            }
        };
        Ok(Self { item: item.into(), error, attempts, due_at, origin })
    }
}

#[cfg(test)]
mod tests {
    use callboard_types::ErrorKind;

    use super::*;

    #[test]
    fn letters_are_read_as_they_were_written_and_those_of_turns_by_earlier_releases_too() {
        for origin in [Origin::Turn, Origin::Actor, Origin::Outside] {
            let letter = Letter {
                item: Bytes::from_static(b"item"),
                error: CallError::new(ErrorKind::TurnCrashedHost, "no"),
                attempts: 3,
                due_at: Millis(7),
                origin,
            };
            let written = letter.encode();
            assert_eq!(Letter::decode(&written).expect("readable"), letter);
            assert_eq!(written[0], u8::from(origin != Origin::Turn), "the variant");
        }
        assert!(Letter::decode(b"\x63junk").is_err(), "damage is never taken for a letter");
    }
}
