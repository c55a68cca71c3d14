//! A caller that says every field of its calls.

use std::collections::HashMap;

use callboard_proto::{
    gateway::v1::{
        GetStateRequest, GetStateResponse, InvokeMode, InvokeRequest, InvokeResponse,
        InvokeStreamRequest, StreamCall, StreamReply, gateway_service_client::GatewayServiceClient,
        invoke_request::Argument, invoke_response, stream_reply,
    },
    types::v1::{ActorId, Payload},
};
use callboard_transport::status;
use callboard_types::CallError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, transport::Channel};

/// Calls actors over one connection.
#[derive(Clone, Debug)]
pub struct Caller {
    client: GatewayServiceClient<Channel>,
}

/// A call to `default/TYPE/KEY` with JSON-ish bytes as its argument.
#[must_use]
pub fn call(actor_type: &str, key: &str, action: &str, argument: &str) -> InvokeRequest {
    InvokeRequest {
        actor: Some(actor(actor_type, key)),
        action: action.to_owned(),
        argument: Some(Argument::Payload(json(argument))),
        request_id: uuid::Uuid::now_v7().to_string(),
        created_at_ms: now_ms(),
        timeout_ms: 10_000,
        metadata: HashMap::new(),
        mode: InvokeMode::Sync.into(),
        delay_ms: 0,
        due_at_ms: 0,
    }
}

/// An actor in system `default`.
#[must_use]
pub fn actor(actor_type: &str, key: &str) -> ActorId {
    ActorId { system: String::new(), r#type: actor_type.to_owned(), key: key.to_owned() }
}

/// A JSON payload.
#[must_use]
pub fn json(text: &str) -> Payload {
    Payload {
        content_type: "application/json".to_owned(),
        type_url: String::new(),
        data: text.to_owned().into(),
    }
}

/// The wall clock in Unix milliseconds.
#[must_use]
pub fn now_ms() -> i64 {
    callboard_types::Millis::now().0
}

/// The bytes of a reply as text.
#[must_use]
pub fn text(response: &InvokeResponse) -> String {
    match &response.reply {
        Some(invoke_response::Reply::Payload(payload)) => {
            String::from_utf8_lossy(&payload.data).into_owned()
        }
        Some(invoke_response::Reply::Json(value)) => format!("{value:?}"),
        None => String::new(),
    }
}

impl Caller {
    /// A caller over a channel.
    #[must_use]
    pub fn new(channel: Channel) -> Self {
        let most = 64 * 1024 * 1024;
        let client = GatewayServiceClient::new(channel)
            .max_decoding_message_size(most)
            .max_encoding_message_size(most);
        Self { client }
    }

    /// Makes a unary call.
    ///
    /// # Errors
    /// What the status says.
    pub async fn invoke(&self, call: InvokeRequest) -> Result<InvokeResponse, CallError> {
        let answer = self.client.clone().invoke(call).await;
        answer.map(tonic::Response::into_inner).map_err(|status| status::from_status(&status))
    }

    /// Reads an actor's committed state.
    ///
    /// # Errors
    /// What the status says.
    pub async fn state(&self, actor: ActorId) -> Result<GetStateResponse, CallError> {
        let request = GetStateRequest { actor: Some(actor), as_json: true };
        let answer = self.client.clone().get_state(request).await;
        answer.map(tonic::Response::into_inner).map_err(|status| status::from_status(&status))
    }

    /// Opens a stream of calls.
    pub async fn stream(&self) -> CallStream {
        let (calls, outgoing) = mpsc::channel(64);
        let answer = self.client.clone().invoke_stream(ReceiverStream::new(outgoing)).await;
        CallStream {
            calls,
            replies: answer.expect("the stream opens").into_inner(),
            waiting: vec![],
        }
    }
}

/// An `InvokeStream` under the test's control.
#[derive(Debug)]
pub struct CallStream {
    calls: mpsc::Sender<InvokeStreamRequest>,
    replies: Streaming<callboard_proto::gateway::v1::InvokeStreamResponse>,
    waiting: Vec<StreamReply>,
}

impl CallStream {
    /// Sends calls in one message, numbered as given.
    pub async fn send(&self, calls: Vec<(u64, InvokeRequest)>) {
        let calls =
            calls.into_iter().map(|(stream_id, call)| StreamCall { stream_id, call: Some(call) });
        let message = InvokeStreamRequest { calls: calls.collect(), cancels: vec![] };
        self.calls.send(message).await.expect("the stream is open");
    }

    /// Says that nobody waits for these calls.
    pub async fn cancel(&self, cancels: Vec<u64>) {
        let message = InvokeStreamRequest { calls: vec![], cancels };
        self.calls.send(message).await.expect("the stream is open");
    }

    /// The next reply.
    pub async fn reply(&mut self) -> (u64, Result<InvokeResponse, CallError>) {
        while self.waiting.is_empty() {
            let message = self.replies.message().await.expect("the stream goes on");
            self.waiting = message.expect("the stream is open").replies;
            self.waiting.reverse();
        }
        let reply = self.waiting.pop().expect("there is one");
        let outcome = match reply.outcome.expect("every reply has an outcome") {
            stream_reply::Outcome::Response(response) => Ok(response),
            stream_reply::Outcome::Error(error) => Err(status::from_proto(error)),
        };
        (reply.stream_id, outcome)
    }

    /// Waits for the end of the stream, which has no reply left.
    pub async fn ended(&mut self) {
        assert!(self.waiting.is_empty(), "all replies were taken");
        let end = self.replies.message().await.expect("it ends in good order");
        assert_eq!(end, None);
    }
}
