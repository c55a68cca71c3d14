//! JSON text of a `google.protobuf.Value`.

use callboard_types::{CallError, ErrorKind};
use prost_types::{Value, value::Kind};
use serde_json::{Map, Number};

/// Values may nest this deep.
const DEPTH_MAX: usize = 64;
/// Whole numbers up to here are exact as doubles.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The text of a value.
///
/// # Errors
/// `InvalidArgument` for what JSON cannot say, and for what nests too deep.
pub(super) fn text(value: Value) -> Result<Vec<u8>, CallError> {
    let json = json(value, 0)?;
    Ok(json.to_string().into_bytes())
}

fn json(value: Value, depth: usize) -> Result<serde_json::Value, CallError> {
    if depth > DEPTH_MAX {
        return Err(invalid(format!("the JSON nests deeper than {DEPTH_MAX} levels")));
    }
    Ok(match value.kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::BoolValue(value)) => value.into(),
        Some(Kind::StringValue(value)) => value.into(),
        // Whole ones become integers again, so that `{"amount": 1}` arrives as it was written.
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
        Some(Kind::NumberValue(value)) if value.fract() == 0.0 && value.abs() <= EXACT => {
            (value as i64).into()
        }
        Some(Kind::NumberValue(value)) => Number::from_f64(value)
            .ok_or_else(|| invalid("JSON has no NaN or infinity".to_owned()))?
            .into(),
        Some(Kind::ListValue(list)) => {
            let values = list.values.into_iter().map(|value| json(value, depth + 1));
            values.collect::<Result<Vec<_>, _>>()?.into()
        }
        Some(Kind::StructValue(fields)) => {
            let mut map = Map::new();
            for (name, value) in fields.fields {
                map.insert(name, json(value, depth + 1)?);
            }
            map.into()
        }
    })
}

fn invalid(message: String) -> CallError {
    CallError::new(ErrorKind::InvalidArgument, message)
}
