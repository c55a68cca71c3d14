//! What a scenario answers, and the small assertions that scenarios are made of.

use std::fmt;

use callboard_proto::types::v1::Payload;
use serde_json::Value;

/// Why a scenario failed: what was expected and what came.
#[derive(Debug)]
pub struct Failure(pub String);

/// What a scenario answers.
pub type Check = Result<(), Failure>;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// A failure of the suite's own doing or of the machine, such as a port that cannot be bound.
    pub fn of(what: &str, error: impl fmt::Display) -> Self {
        Failure(format!("{what}: {error}"))
    }
}

/// Fails with the message unless `holds`.
///
/// # Errors
/// The message.
pub fn ensure(holds: bool, message: impl Into<String>) -> Check {
    if holds { Ok(()) } else { Err(Failure(message.into())) }
}

/// Fails unless both are equal.
///
/// # Errors
/// What was compared, and both values.
#[expect(clippy::needless_pass_by_value, reason = "literals are compared in every other line")]
pub fn same<A: PartialEq<E> + fmt::Debug, E: fmt::Debug>(
    what: &str,
    actual: A,
    expected: E,
) -> Check {
    if actual == expected {
        return Ok(());
    }
    Err(Failure(format!("{what}: expected {expected:?}, got {actual:?}")))
}

/// A JSON payload.
pub fn json(value: &Value) -> Payload {
    Payload {
        content_type: "application/json".to_owned(),
        type_url: String::new(),
        data: value.to_string().into(),
    }
}

/// What a JSON payload says.
///
/// # Errors
/// If it is missing, has another content type or does not parse.
pub fn read_json(what: &str, payload: Option<&Payload>) -> Result<Value, Failure> {
    let payload = payload.ok_or_else(|| Failure(format!("{what}: there is no payload")))?;
    same(&format!("{what}: content type"), payload.content_type.as_str(), "application/json")?;
    same(&format!("{what}: type_url"), payload.type_url.as_str(), "")?;
    serde_json::from_slice(&payload.data)
        .map_err(|error| Failure::of(&format!("{what}: not JSON ({:?})", payload.data), error))
}
