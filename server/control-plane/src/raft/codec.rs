//! How values are written down, in the log, in snapshots and between nodes: one format byte, then postcard.
//!
//! A value of another format, or one that does not decode to its last byte, is an error and never skipped: a node that
//! passed over what it does not understand would hold another state than its peers.

use std::io;

use serde::{Serialize, de::DeserializeOwned};
use xxhash_rust::xxh3::xxh3_64;

/// The one format that this version writes and reads.
pub(crate) const FORMAT: u8 = 1;

/// Why bytes are not a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodecError {
    #[error(
        "it has format {0}; this version of callboard knows format {FORMAT}. Start the version that wrote it, or a \
         newer one"
    )]
    UnknownFormat(u8),
    #[error("it is damaged, or of a newer version: {0}")]
    Malformed(String),
    #[error("it is damaged: its checksum does not fit")]
    Damaged,
}

const CHECKSUM_BYTES: usize = 8;

impl From<CodecError> for io::Error {
    fn from(error: CodecError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![FORMAT]).expect("values in memory always encode")
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    match bytes.split_first() {
        None => Err(CodecError::Malformed("it is empty".into())),
        Some((&FORMAT, body)) => match postcard::take_from_bytes(body) {
            Ok((value, [])) => Ok(value),
            Ok((_, rest)) => Err(CodecError::Malformed(format!("{} bytes too many", rest.len()))),
            Err(error) => Err(CodecError::Malformed(error.to_string())),
        },
        Some((format, _)) => Err(CodecError::UnknownFormat(*format)),
    }
}

/// Encodes a value for the disk, with a checksum at its end: a flipped bit must not become another command.
pub(crate) fn seal<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = encode(value);
    let checksum = xxh3_64(&bytes).to_le_bytes();
    bytes.extend_from_slice(&checksum);
    bytes
}

/// Checks and decodes what [`seal`] made.
pub(crate) fn unseal<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let split = bytes.len().checked_sub(CHECKSUM_BYTES).ok_or(CodecError::Damaged)?;
    let (body, checksum) = bytes.split_at(split);
    if xxh3_64(body).to_le_bytes() != checksum {
        return Err(CodecError::Damaged);
    }
    decode(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Command, command::CreateSystem};

    fn command() -> Command {
        Command::CreateSystem(CreateSystem { name: "shop".into() })
    }

    /// Stands in logs on disk: this test may grow, its bytes never change.
    #[test]
    fn the_encoding_of_a_command_is_frozen() {
        let bytes = encode(&command());
        assert_eq!(bytes, [1, 2, 4, b's', b'h', b'o', b'p']);
        assert_eq!(decode::<Command>(&bytes), Ok(command()));
    }

    #[test]
    fn an_unknown_format_or_command_is_an_error_and_never_passed_over() {
        let mut newer = encode(&command());
        newer[0] = 2;
        assert_eq!(decode::<Command>(&newer), Err(CodecError::UnknownFormat(2)));
        let mut unknown = encode(&command());
        unknown[1] = 200;
        assert!(matches!(decode::<Command>(&unknown), Err(CodecError::Malformed(_))));
        let mut longer = encode(&command());
        longer.push(0);
        assert!(matches!(decode::<Command>(&longer), Err(CodecError::Malformed(_))));
    }

    #[test]
    fn a_flipped_bit_or_a_missing_end_is_found() {
        let sealed = seal(&command());
        assert_eq!(unseal(&sealed), Ok(command()));
        for at in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1;
            assert_eq!(unseal::<Command>(&flipped), Err(CodecError::Damaged));
            assert_eq!(unseal::<Command>(&sealed[..at]), Err(CodecError::Damaged));
        }
    }
}
