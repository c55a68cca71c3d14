//! JSON for callers who have no protos: between `google.protobuf.Value` and what an action takes and returns.
//!
//! If the action has a protobuf type, ProtoJSON rules apply; otherwise the JSON text itself is the payload.

use callboard_types::{CallError, ErrorKind};
use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor, SerializeOptions};
use prost_types::{ListValue, Struct, Value, value::Kind};
use serde_json::{Map, Number};

use crate::{call::Payload, catalog::TypeRuntime};

/// The content type of JSON text.
pub const JSON: &str = "application/json";
/// The content type of protobuf messages.
pub const PROTOBUF: &str = "application/protobuf";
/// Values may nest this deep.
const DEPTH_MAX: usize = 64;

/// An argument from JSON.
///
/// # Errors
/// `InvalidArgument` says where the JSON does not fit the action's request message.
pub fn argument(actor_type: &TypeRuntime, action: &str, json: Value) -> Result<Payload, CallError> {
    let json = to_json(json, 0)?;
    let input = actor_type.definition.actions.get(action).map(|action| action.input_type.as_str());
    let Some(input) = input.filter(|input| !input.is_empty()) else {
        let text = serde_json::to_vec(&json).map_err(|error| invalid(error.to_string()))?;
        return Ok(Payload {
            content_type: JSON.into(),
            type_url: String::new(),
            data: text.into(),
        });
    };
    message_from_json(actor_type, input, json)
}

fn message_from_json(
    actor_type: &TypeRuntime,
    input: &str,
    json: serde_json::Value,
) -> Result<Payload, CallError> {
    let descriptor = message(actor_type, input)?;
    // "No argument at all" is the empty message.
    let json = if json.is_null() { serde_json::Value::Object(Map::new()) } else { json };
    let message = DynamicMessage::deserialize(descriptor, json)
        .map_err(|error| invalid(format!("the argument is not a {input}: {error}")))?;
    Ok(Payload {
        content_type: PROTOBUF.into(),
        type_url: input.to_owned(),
        data: message.encode_to_vec().into(),
    })
}

/// JSON as text, whoever is to read it.
///
/// # Errors
/// `InvalidArgument` if it is no JSON, or nests too deep.
pub fn json_text(json: Value) -> Result<Payload, CallError> {
    let text =
        serde_json::to_vec(&to_json(json, 0)?).map_err(|error| invalid(error.to_string()))?;
    Ok(Payload { content_type: JSON.into(), type_url: String::new(), data: text.into() })
}

/// JSON text as a value; `None` for anything else.
#[must_use]
pub fn json_value(payload: &Payload) -> Option<Value> {
    let json = (payload.content_type == JSON).then(|| serde_json::from_slice(&payload.data))?;
    json.ok().map(from_json)
}

/// A message of a channel as the argument of an action that listens: JSON becomes the action's request message.
///
/// # Errors
/// `InvalidArgument` if it does not fit the action.
pub fn heard(actor_type: &TypeRuntime, action: &str, said: &Payload) -> Result<Payload, CallError> {
    let input = actor_type.definition.actions.get(action).map(|action| action.input_type.as_str());
    match input {
        Some(input) if !input.is_empty() && said.content_type == JSON => {
            let json = serde_json::from_slice(&said.data);
            message_from_json(actor_type, input, json.map_err(|error| invalid(error.to_string()))?)
        }
        _ => {
            check(actor_type, action, said)?;
            Ok(said.clone())
        }
    }
}

/// A reply or a state as JSON; `None` if it is neither JSON nor a protobuf message that hosts described.
///
/// # Errors
/// `Internal` if the bytes contradict their own type.
pub fn value(actor_type: &TypeRuntime, payload: &Payload) -> Result<Option<Value>, CallError> {
    let wrong = |error: String| {
        CallError::new(
            ErrorKind::Internal,
            format!("the value cannot be shown as JSON, but it is intact: {error}"),
        )
    };
    match payload.content_type.as_str() {
        "" => Ok(Some(Value { kind: Some(Kind::NullValue(0)) })),
        JSON => {
            let json = serde_json::from_slice(&payload.data).map_err(|e| wrong(e.to_string()))?;
            Ok(Some(from_json(json)))
        }
        PROTOBUF => {
            let Ok(descriptor) = message(actor_type, &payload.type_url) else {
                return Ok(None);
            };
            let message = DynamicMessage::decode(descriptor, payload.data.clone())
                .map_err(|error| wrong(error.to_string()))?;
            let options = SerializeOptions::new().skip_default_fields(false);
            let json = message
                .serialize_with_options(serde_json::value::Serializer, &options)
                .map_err(|error| wrong(error.to_string()))?;
            Ok(Some(from_json(json)))
        }
        _ => Ok(None),
    }
}

/// Checks that an argument can be what the action takes.
///
/// # Errors
/// `InvalidArgument` if a protobuf action gets another message or another encoding.
pub fn check(actor_type: &TypeRuntime, action: &str, payload: &Payload) -> Result<(), CallError> {
    let Some(action) = actor_type.definition.actions.get(action) else {
        return Ok(());
    };
    let input = action.input_type.as_str();
    if input.is_empty() || payload.content_type.is_empty() {
        return Ok(());
    }
    if payload.content_type != PROTOBUF {
        return Err(invalid(format!(
            "the action takes {PROTOBUF} ({input}), not {}; send it encoded, or use the json field",
            payload.content_type.escape_debug()
        )));
    }
    if !payload.type_url.is_empty() && payload.type_url != input {
        return Err(invalid(format!(
            "the action takes a {input}, not a {}",
            payload.type_url.escape_debug()
        )));
    }
    Ok(())
}

fn message(actor_type: &TypeRuntime, name: &str) -> Result<MessageDescriptor, CallError> {
    actor_type.descriptors()?.get_message_by_name(name).ok_or_else(|| {
        invalid(format!("the hosts of the type did not register a description of {name}"))
    })
}

fn invalid(message: String) -> CallError {
    CallError::new(ErrorKind::InvalidArgument, message)
}

fn to_json(value: Value, depth: usize) -> Result<serde_json::Value, CallError> {
    if depth > DEPTH_MAX {
        return Err(invalid(format!("the JSON nests deeper than {DEPTH_MAX} levels")));
    }
    Ok(match value.kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::BoolValue(value)) => value.into(),
        Some(Kind::StringValue(value)) => value.into(),
        Some(Kind::NumberValue(value)) => number(value)?,
        Some(Kind::ListValue(list)) => list
            .values
            .into_iter()
            .map(|value| to_json(value, depth + 1))
            .collect::<Result<Vec<_>, _>>()?
            .into(),
        Some(Kind::StructValue(fields)) => {
            let mut map = Map::new();
            for (name, value) in fields.fields {
                map.insert(name, to_json(value, depth + 1)?);
            }
            map.into()
        }
    })
}

/// `google.protobuf.Value` has doubles only. Whole ones become integers again, so that `{"amount": 1}` arrives as it was
/// written.
fn number(value: f64) -> Result<serde_json::Value, CallError> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
        return Ok((value as i64).into());
    }
    let number = Number::from_f64(value);
    number.map(Into::into).ok_or_else(|| invalid("JSON has no NaN or infinity".to_owned()))
}

fn from_json(json: serde_json::Value) -> Value {
    let kind = match json {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(value) => Kind::BoolValue(value),
        serde_json::Value::Number(value) => Kind::NumberValue(value.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(value) => Kind::StringValue(value),
        serde_json::Value::Array(values) => {
            Kind::ListValue(ListValue { values: values.into_iter().map(from_json).collect() })
        }
        serde_json::Value::Object(fields) => Kind::StructValue(Struct {
            fields: fields.into_iter().map(|(name, value)| (name, from_json(value))).collect(),
        }),
    };
    Value { kind: Some(kind) }
}
