//! Where a listener is: what it hands back to go on from there.

use std::{fmt, str::FromStr};

use callboard_types::{CallError, ErrorKind, Millis};

/// A place in what one node heard. Others take its time instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// The process that the sequence is of.
    pub life: u64,
    /// The newest message of that process that the listener got.
    pub sequence: u64,
    /// When that message came there.
    pub at: Millis,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}-{:x}", self.life, self.sequence, self.at.0)
    }
}

impl FromStr for Token {
    type Err = CallError;

    fn from_str(text: &str) -> Result<Self, CallError> {
        let mut parts = text.splitn(3, '-').map(|part| u64::from_str_radix(part, 16));
        let (Some(Ok(life)), Some(Ok(sequence)), Some(Ok(at))) =
            (parts.next(), parts.next(), parts.next())
        else {
            return Err(CallError::new(
                ErrorKind::InvalidArgument,
                "the resume token is not one of Callboard's; leave it out to hear what is said from now on",
            ));
        };
        Ok(Self { life, sequence, at: Millis(i64::try_from(at).unwrap_or(i64::MAX)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_and_anything_else_is_refused() {
        let token = Token { life: u64::MAX, sequence: 17, at: Millis(1_700_000_000_000) };
        assert_eq!(token.to_string().parse(), Ok(token));
        for wrong in ["", "1-2", "x-1-2", "1-2-3-4", "-1-2-3"] {
            assert!(wrong.parse::<Token>().is_err(), "{wrong}");
        }
    }
}
