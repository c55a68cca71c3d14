//! How values are written down, in the log, in snapshots and between nodes: one format byte, then postcard.
//!
//! A value of another format, or one that does not decode to its last byte, is an error and never skipped: a node that
//! passed over what it does not understand would hold another state than its peers. Values whose encoding had to change
//! have a format of their own, and their owner reads the ones before it as well: see [`unseal_format`].

use std::io;

use serde::{Serialize, de::DeserializeOwned};
use xxhash_rust::xxh3::xxh3_64;

/// The format of everything that never had another one.
pub(crate) const FORMAT: u8 = 1;

/// Why bytes are not a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodecError {
    #[error(
        "it has format {0}, which this version of callboard does not know. Start the version that wrote it, or a newer \
         one"
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
    encode_format(FORMAT, value)
}

/// [`encode`] for a value that has a format of its own.
pub(crate) fn encode_format<T: Serialize>(format: u8, value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![format]).expect("values in memory always encode")
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    match bytes.split_first() {
        None => Err(CodecError::Malformed("it is empty".into())),
        Some((&FORMAT, body)) => decode_body(body),
        Some((format, _)) => Err(CodecError::UnknownFormat(*format)),
    }
}

/// Decodes what follows the format byte.
pub(crate) fn decode_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, CodecError> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(CodecError::Malformed(format!("{} bytes too many", rest.len()))),
        Err(error) => Err(CodecError::Malformed(error.to_string())),
    }
}

/// Encodes a value for the disk, with a checksum at its end: a flipped bit must not become another command.
pub(crate) fn seal<T: Serialize>(value: &T) -> Vec<u8> {
    seal_format(FORMAT, value)
}

/// [`seal`] for a value that has a format of its own.
pub(crate) fn seal_format<T: Serialize>(format: u8, value: &T) -> Vec<u8> {
    let mut bytes = encode_format(format, value);
    let checksum = xxh3_64(&bytes).to_le_bytes();
    bytes.extend_from_slice(&checksum);
    bytes
}

/// Checks and decodes what [`seal`] made.
pub(crate) fn unseal<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    decode(checked(bytes)?)
}

/// Checks what [`seal_format`] made. Tells the format, and the bytes for [`decode_body`].
pub(crate) fn unseal_format(bytes: &[u8]) -> Result<(u8, &[u8]), CodecError> {
    let value = checked(bytes)?;
    let (format, body) =
        value.split_first().ok_or_else(|| CodecError::Malformed("it is empty".into()))?;
    Ok((*format, body))
}

/// The bytes without their checksum, if it fits.
fn checked(bytes: &[u8]) -> Result<&[u8], CodecError> {
    let split = bytes.len().checked_sub(CHECKSUM_BYTES).ok_or(CodecError::Damaged)?;
    let (value, checksum) = bytes.split_at(split);
    if xxh3_64(value).to_le_bytes() == checksum { Ok(value) } else { Err(CodecError::Damaged) }
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
