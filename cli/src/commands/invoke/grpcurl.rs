//! The same call for people who have grpcurl and not this tool.

use callboard_proto::gateway::v1::{InvokeMode, InvokeRequest, invoke_request::Argument};
use serde_json::{Map, Value, json};

use crate::payload;

/// The method that `invoke` calls.
const METHOD: &str = "callboard.gateway.v1.GatewayService/Invoke";

/// A shell command that makes the call. The request id is left in, so that running it twice shows the stored outcome
/// instead of a second application.
pub(super) fn command(request: &InvokeRequest, server: &str) -> String {
    let message = Value::Object(message(request)).to_string();
    format!("grpcurl -plaintext -d {} {server} {METHOD}", quoted(&message))
}

/// The request by the ProtoJSON rules, fields without a value left out.
fn message(request: &InvokeRequest) -> Map<String, Value> {
    let mut fields = Map::new();
    if let Some(actor) = &request.actor {
        let mut name = Map::new();
        name.insert("system".into(), actor.system.as_str().into());
        name.insert("type".into(), actor.r#type.as_str().into());
        if !actor.key.is_empty() {
            name.insert("key".into(), actor.key.as_str().into());
        }
        fields.insert("actor".into(), name.into());
    }
    fields.insert("action".into(), request.action.as_str().into());
    if let Some(Argument::Json(argument)) = &request.argument {
        fields.insert("json".into(), payload::to_json(argument.clone()));
    }
    fields.insert("requestId".into(), request.request_id.as_str().into());
    if request.created_at_ms != 0 {
        fields.insert("createdAtMs".into(), request.created_at_ms.to_string().into());
    }
    if !request.metadata.is_empty() {
        fields.insert("metadata".into(), json!(request.metadata));
    }
    if request.mode() == InvokeMode::Async {
        fields.insert("mode".into(), request.mode().as_str_name().into());
    }
    fields
}

/// One word for a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use callboard_proto::types::v1::ActorId;

    use super::*;

    #[test]
    fn the_grpcurl_twin_makes_the_same_call() {
        let request = InvokeRequest {
            actor: Some(ActorId {
                system: "default".into(),
                r#type: "Incrementor".into(),
                key: "o'neil".into(),
            }),
            action: "Add".into(),
            argument: payload::from_text(r#"{"amount": 1}"#).ok().map(Argument::Json),
            request_id: "order-17".into(),
            mode: InvokeMode::Async.into(),
            ..InvokeRequest::default()
        };
        insta::assert_snapshot!(command(&request, "127.0.0.1:7070"), @r#"
        grpcurl -plaintext -d '{"action":"Add","actor":{"key":"o'\''neil","system":"default","type":"Incrementor"},"json":{"amount":1},"mode":"INVOKE_MODE_ASYNC","requestId":"order-17"}' 127.0.0.1:7070 callboard.gateway.v1.GatewayService/Invoke
        "#);
    }
}
