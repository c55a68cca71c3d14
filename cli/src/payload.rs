//! JSON in and out: between what people type and `google.protobuf.Value`, and from stored payloads to what people read.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use callboard_proto::types::v1::Payload;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use prost_types::{ListValue, NullValue, Struct, Value as ProtoValue, value::Kind};
use serde_json::{Map, Number, Value, json};

use crate::failure::Failure;

/// The largest whole number that a JSON number keeps on its way through `google.protobuf.Value`, which holds doubles.
const EXACT_INTEGER_MAX: u64 = (1 << 53) - 1;

/// Reads JSON as a person gave it. Refuses numbers that would arrive as other numbers.
pub(crate) fn from_text(text: &str) -> Result<ProtoValue, Failure> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        Failure::usage(format!("the argument is not JSON: {error}"))
            .advice(r#"quote it for the shell, as in -d '{"amount": 1}'"#)
    })?;
    to_proto(value)
}

fn to_proto(value: Value) -> Result<ProtoValue, Failure> {
    let kind = match value {
        Value::Null => Kind::NullValue(NullValue::NullValue.into()),
        Value::Bool(flag) => Kind::BoolValue(flag),
        Value::String(text) => Kind::StringValue(text),
        Value::Number(number) => Kind::NumberValue(exact(&number)?),
        Value::Array(items) => {
            let values = items.into_iter().map(to_proto).collect::<Result<_, _>>()?;
            Kind::ListValue(ListValue { values })
        }
        Value::Object(entries) => {
            let fields = entries.into_iter().map(|(name, value)| Ok((name, to_proto(value)?)));
            Kind::StructValue(Struct { fields: fields.collect::<Result<_, Failure>>()? })
        }
    };
    Ok(ProtoValue { kind: Some(kind) })
}

fn exact(number: &Number) -> Result<f64, Failure> {
    let whole = number.as_i64().map(i64::unsigned_abs).or_else(|| number.as_u64());
    if whole.is_some_and(|whole| whole > EXACT_INTEGER_MAX) {
        return Err(Failure::usage(format!("{number} does not fit a JSON number exactly"))
            .advice(format!(r#"write it as a string, "{number}", which 64-bit fields accept"#)));
    }
    number.as_f64().ok_or_else(|| Failure::usage(format!("{number} is no number that JSON knows")))
}

/// The JSON that a `google.protobuf.Value` stands for. Whole numbers are written without a fraction.
pub(crate) fn to_json(value: ProtoValue) -> Value {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(flag)) => Value::Bool(flag),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::NumberValue(number)) => number_to_json(number),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(to_json).collect(),
        Some(Kind::StructValue(fields)) => {
            let entries = fields.fields.into_iter().map(|(name, value)| (name, to_json(value)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
    }
}

fn number_to_json(number: f64) -> Value {
    let whole = number as i64;
    if whole as f64 == number && whole.unsigned_abs() <= EXACT_INTEGER_MAX {
        return whole.into();
    }
    // Infinities and NaN have no JSON number; ProtoJSON writes them as text.
    Number::from_f64(number).map_or_else(|| number.to_string().into(), Value::Number)
}

/// What is needed to read a payload: true if only the type's descriptors can tell.
pub(crate) fn needs_descriptors(payload: &Payload) -> bool {
    payload.content_type == "application/protobuf"
}

/// The payload as JSON for people. What cannot be read is shown as base64 with its content type.
pub(crate) fn readable(payload: &Payload, descriptor_set: &[u8]) -> Value {
    let read = match payload.content_type.as_str() {
        "" => Some(Value::Null),
        "application/json" => serde_json::from_slice(&payload.data).ok(),
        "application/protobuf" => from_protobuf(payload, descriptor_set),
        _ => None,
    };
    read.unwrap_or_else(|| {
        json!({
            "contentType": payload.content_type,
            "typeUrl": payload.type_url,
            "data": BASE64_STANDARD.encode(&payload.data),
        })
    })
}

fn from_protobuf(payload: &Payload, descriptor_set: &[u8]) -> Option<Value> {
    let pool = DescriptorPool::decode(descriptor_set).ok()?;
    let descriptor = pool.get_message_by_name(&payload.type_url)?;
    let message = DynamicMessage::decode(descriptor, payload.data.clone()).ok()?;
    let options = SerializeOptions::new().skip_default_fields(false);
    message.serialize_with_options(serde_json::value::Serializer, &options).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(text: &str) -> String {
        to_json(from_text(text).expect("the text is JSON")).to_string()
    }

    #[test]
    fn json_survives_the_way_through_the_protocol() {
        let text = r#"{"a":[1,-2.5,null,true,"x"],"b":{"c":9007199254740991}}"#;
        assert_eq!(there_and_back(text), text);
    }

    #[test]
    fn a_number_that_would_change_on_the_way_is_refused() {
        let failure =
            from_text(r#"{"amount": 9007199254740993}"#).expect_err("2^53 + 1 is not a double");
        assert!(failure.to_string().contains("9007199254740993"), "{failure}");
    }

    #[test]
    fn text_that_is_no_json_is_refused() {
        assert!(from_text("{amount: 1}").is_err());
    }

    #[test]
    fn a_payload_that_nobody_can_read_is_shown_as_base64() {
        let payload = Payload {
            content_type: "application/octet-stream".into(),
            type_url: String::new(),
            data: vec![0xff, 0x00].into(),
        };
        assert_eq!(readable(&payload, &[])["data"], "/wA=");
    }

    #[test]
    fn a_protobuf_payload_is_read_with_its_descriptors() {
        let payload = Payload {
            content_type: "application/protobuf".into(),
            type_url: "callboard.type.v1.ActorId".into(),
            data: prost::Message::encode_to_vec(&callboard_proto::types::v1::ActorId {
                system: "s".into(),
                r#type: "Counter".into(),
                key: String::new(),
            })
            .into(),
        };
        let read = readable(&payload, callboard_proto::FILE_DESCRIPTOR_SET);
        assert_eq!(read, json!({"system": "s", "type": "Counter", "key": ""}));
    }
}
