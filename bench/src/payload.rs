//! The payloads that travel in a measurement: 100 bytes each way, and ids as an SDK makes them.

use bytes::{Bytes, BytesMut};
use callboard_proto::types::v1::Payload;
use callboard_types::Millis;
use rand::{RngCore, SeedableRng, rngs::StdRng};

/// Size of every argument, reply and state.
pub(crate) const PAYLOAD_BYTES: usize = 100;

/// How the bench's binary payloads are labelled.
pub(crate) const OPAQUE: &str = "application/octet-stream";

/// A payload of [`PAYLOAD_BYTES`] bytes that begins with a counter.
pub(crate) fn counter(value: u64) -> Payload {
    let mut data = BytesMut::zeroed(PAYLOAD_BYTES);
    data[..8].copy_from_slice(&value.to_le_bytes());
    opaque(data.freeze())
}

/// The counter at the beginning of a payload; 0 if there is none.
pub(crate) fn read_counter(payload: &Payload) -> u64 {
    payload.data.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Bytes as a payload.
pub(crate) fn opaque(data: Bytes) -> Payload {
    Payload { content_type: OPAQUE.into(), type_url: String::new(), data }
}

/// The key with a number.
pub(crate) fn key(number: u64) -> String {
    format!("bench-{number:08}")
}

/// Makes request ids: UUIDv7 text, from one seeded generator instead of a system call for each id.
pub(crate) struct Ids {
    random: StdRng,
}

impl Ids {
    /// A generator; two with the same seed differ in time only.
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed) }
    }

    /// The next id, for a call made at the given Unix time in milliseconds.
    pub(crate) fn next(&mut self, now_ms: i64) -> String {
        let mut random = [0; 10];
        self.random.fill_bytes(&mut random);
        let millis = u64::try_from(now_ms).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().to_string()
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.random.next_u64() % bound.max(1)
    }
}

/// Unix milliseconds, as callers stamp their calls.
pub(crate) fn now_ms() -> i64 {
    Millis::now().0
}
