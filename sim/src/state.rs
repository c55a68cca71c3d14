//! The state of a simulated actor: the numbers of the operations that were applied to it, in order.

use bytes::Bytes;
use callboard_data_plane::call::Payload;
use callboard_statestore::StateBlob;

/// What every payload here is.
pub(crate) const CONTENT_TYPE: &str = "application/octet-stream";

/// The adds that a state holds.
#[must_use]
pub(crate) fn adds(state: Option<&StateBlob>) -> Vec<u32> {
    state.map_or_else(Vec::new, |state| decode(&state.data))
}

/// The adds in encoded form.
#[must_use]
pub(crate) fn decode(data: &[u8]) -> Vec<u32> {
    let numbers = data.chunks_exact(4);
    numbers.map(|it| u32::from_le_bytes([it[0], it[1], it[2], it[3]])).collect()
}

/// A state that holds these adds.
#[must_use]
pub(crate) fn blob(adds: &[u32]) -> StateBlob {
    let data: Vec<u8> = adds.iter().flat_map(|add| add.to_le_bytes()).collect();
    StateBlob { content_type: CONTENT_TYPE.into(), type_url: String::new(), data: data.into() }
}

/// A payload that holds one number.
#[must_use]
pub(crate) fn number(number: u32) -> Payload {
    let data = Bytes::copy_from_slice(&number.to_le_bytes());
    Payload { content_type: CONTENT_TYPE.into(), type_url: String::new(), data }
}
