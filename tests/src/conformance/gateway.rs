//! The fake gateway: hands every call to the scenario, whichever transport it came over.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use callboard_proto::{
    gateway::v1::{
        GetStateRequest, GetStateResponse, InvokeRequest, InvokeResponse, InvokeStreamRequest,
        InvokeStreamResponse, PublishRequest, PublishResponse, SpawnRequest, SpawnResponse,
        StreamReply, SubscribeRequest, SubscribeResponse, gateway_service_server::GatewayService,
        stream_reply,
    },
    types::v1::{CallError, Retry},
};
use serde_json::Value;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt};

use super::{
    channels::{IncomingPublication, IncomingSubscription},
    check::json,
    tools::ControlCall,
};

const REPLIES_MAX: usize = 4096;

/// How a call came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `InvokeStream`.
    Stream,
    /// `Invoke`.
    Unary,
}

impl Transport {
    /// Its name in commands.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Stream => "stream",
            Transport::Unary => "unary",
        }
    }
}

/// What the gateway sees.
#[derive(Debug)]
pub enum Event {
    /// A call came.
    Call(Box<IncomingCall>),
    /// The caller of [`IncomingCall::id`] no longer waits.
    Cancelled(u64),
    /// A publication came.
    Publication(Box<IncomingPublication>),
    /// A stream of a subscription was opened.
    Subscription(Box<IncomingSubscription>),
    /// A control method was called.
    Control(Box<ControlCall>),
}

/// One call, or one attempt of it.
#[derive(Debug)]
pub struct IncomingCall {
    /// Names it among everything that this fake server ever saw.
    pub id: u64,
    /// Which message it came in; counts the messages of all streams.
    pub message: u64,
    /// How it came.
    pub transport: Transport,
    /// When it came.
    pub at: Instant,
    /// The request.
    pub request: InvokeRequest,
    answer: Answer,
}

#[derive(Debug)]
enum Answer {
    Stream { stream_id: u64, send: mpsc::Sender<Result<InvokeStreamResponse, Status>> },
    Unary(oneshot::Sender<Result<InvokeResponse, Status>>),
}

impl IncomingCall {
    /// Answers with a JSON reply.
    pub async fn reply(self, value: &Value) {
        let request_id = self.request.request_id.clone();
        use callboard_proto::gateway::v1::invoke_response::Reply;
        let reply = Some(Reply::Payload(json(value)));
        self.respond(Ok(InvokeResponse {
            reply,
            request_id,
            revision: 1,
            durable: true,
            schedule: String::new(),
        }))
        .await;
    }

    /// Answers "no value".
    pub async fn no_value(self) {
        let request_id = self.request.request_id.clone();
        let response = InvokeResponse {
            reply: None,
            request_id,
            revision: 1,
            durable: true,
            schedule: String::new(),
        };
        self.respond(Ok(response)).await;
    }

    /// Answers that the call was accepted, to be made by a schedule unless that is empty.
    pub async fn accept(self, schedule: &str) {
        let response = InvokeResponse {
            request_id: self.request.request_id.clone(),
            durable: true,
            schedule: schedule.to_owned(),
            ..InvokeResponse::default()
        };
        self.respond(Ok(response)).await;
    }

    /// Answers with an error, as a CallError or as a status with the same facts.
    pub async fn error(self, error: CallError) {
        self.respond(Err(error)).await;
    }

    /// Breaks what the call came over: the whole stream, or the one unary call.
    pub async fn break_connection(self) {
        let status = Status::unavailable("the connection broke");
        match self.answer {
            // Whoever hung up first, the connection is broken.
            Answer::Stream { send, .. } => drop(send.send(Err(status)).await),
            Answer::Unary(send) => drop(send.send(Err(status))),
        }
    }

    async fn respond(self, outcome: Result<InvokeResponse, CallError>) {
        match self.answer {
            Answer::Stream { stream_id, send } => {
                let outcome = Some(match outcome {
                    Ok(response) => stream_reply::Outcome::Response(response),
                    Err(error) => stream_reply::Outcome::Error(error),
                });
                let replies = vec![StreamReply { stream_id, outcome }];
                // A caller that gave up misses nothing.
                let _ = send.send(Ok(InvokeStreamResponse { replies })).await;
            }
            Answer::Unary(send) => {
                let _ = send.send(outcome.map_err(|error| status(&error)));
            }
        }
    }
}

/// The status that carries the facts of an error on unary methods.
pub fn status(error: &CallError) -> Status {
    let mut metadata = error.metadata.clone();
    metadata.insert("retry".to_owned(), error.retry().as_str_name().to_owned());
    if error.from_actor {
        metadata.insert("from_actor".to_owned(), "true".to_owned());
    }
    let mut details = ErrorDetails::with_error_info(&error.reason, "callboard.io", metadata);
    if matches!(error.retry(), Retry::Safe | Retry::SameId) {
        let delay = std::time::Duration::from_millis(error.retry_after_ms.into());
        details.set_retry_info(Some(delay));
    }
    Status::with_error_details(Code::from_i32(error.code), &error.message, details)
}

/// The service.
#[derive(Debug, Clone)]
pub(super) struct FakeGateway {
    events: mpsc::Sender<Event>,
    calls: Arc<AtomicU64>,
    messages: Arc<AtomicU64>,
}

impl FakeGateway {
    pub(super) fn new(events: mpsc::Sender<Event>) -> Self {
        FakeGateway { events, calls: Arc::default(), messages: Arc::default() }
    }

    async fn read(
        self,
        mut inbound: Streaming<InvokeStreamRequest>,
        send: mpsc::Sender<Result<InvokeStreamResponse, Status>>,
    ) {
        let mut ids = std::collections::HashMap::new();
        while let Ok(Some(batch)) = inbound.message().await {
            let message = self.messages.fetch_add(1, Ordering::Relaxed);
            for call in batch.calls {
                let id = self.calls.fetch_add(1, Ordering::Relaxed);
                ids.insert(call.stream_id, id);
                let answer = Answer::Stream { stream_id: call.stream_id, send: send.clone() };
                let request = call.call.unwrap_or_default();
                let call = IncomingCall {
                    id,
                    message,
                    transport: Transport::Stream,
                    at: Instant::now(),
                    request,
                    answer,
                };
                // The scenario is over when nobody takes events.
                let _ = self.events.send(Event::Call(Box::new(call))).await;
            }
            for stream_id in batch.cancels {
                if let Some(id) = ids.get(&stream_id) {
                    let _ = self.events.send(Event::Cancelled(*id)).await;
                }
            }
        }
    }
}

fn over() -> Status {
    Status::unavailable("the scenario is over")
}

/// Tells that a unary caller hung up, unless the call was answered first.
struct HangUp {
    id: u64,
    events: Option<mpsc::Sender<Event>>,
}

impl Drop for HangUp {
    fn drop(&mut self) {
        if let Some(events) = self.events.take() {
            let _ = events.try_send(Event::Cancelled(self.id));
        }
    }
}

#[tonic::async_trait]
impl GatewayService for FakeGateway {
    type SubscribeStream = ReceiverStream<Result<SubscribeResponse, Status>>;

    async fn publish(
        &self,
        request: Request<PublishRequest>,
    ) -> Result<Response<PublishResponse>, Status> {
        let (answer, receive) = oneshot::channel();
        let request = request.into_inner();
        let publication = IncomingPublication { at: Instant::now(), request, answer };
        let event = Event::Publication(Box::new(publication));
        self.events.send(event).await.map_err(|_| over())?;
        receive.await.unwrap_or_else(|_| Err(over())).map(Response::new)
    }

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let (send, receive) = mpsc::channel(REPLIES_MAX);
        let subscription = IncomingSubscription { request: request.into_inner(), send };
        let event = Event::Subscription(Box::new(subscription));
        self.events.send(event).await.map_err(|_| over())?;
        Ok(Response::new(ReceiverStream::new(receive)))
    }

    type InvokeStreamStream =
        Pin<Box<dyn Stream<Item = Result<InvokeStreamResponse, Status>> + Send>>;

    async fn invoke(
        &self,
        request: Request<InvokeRequest>,
    ) -> Result<Response<InvokeResponse>, Status> {
        let id = self.calls.fetch_add(1, Ordering::Relaxed);
        let mut hang_up = HangUp { id, events: Some(self.events.clone()) };
        let (send, receive) = oneshot::channel();
        let call = IncomingCall {
            id,
            message: self.messages.fetch_add(1, Ordering::Relaxed),
            transport: Transport::Unary,
            at: Instant::now(),
            request: request.into_inner(),
            answer: Answer::Unary(send),
        };
        self.events.send(Event::Call(Box::new(call))).await.map_err(|_| over())?;
        let outcome = receive.await.unwrap_or_else(|_| Err(over()));
        hang_up.events = None;
        outcome.map(Response::new)
    }

    async fn invoke_stream(
        &self,
        request: Request<Streaming<InvokeStreamRequest>>,
    ) -> Result<Response<Self::InvokeStreamStream>, Status> {
        let (send, receive) = mpsc::channel(REPLIES_MAX);
        tokio::spawn(self.clone().read(request.into_inner(), send));
        Ok(Response::new(Box::pin(ReceiverStream::new(receive))))
    }

    async fn spawn(&self, _: Request<SpawnRequest>) -> Result<Response<SpawnResponse>, Status> {
        Err(Status::unimplemented("not part of the suite"))
    }

    async fn get_state(
        &self,
        _: Request<GetStateRequest>,
    ) -> Result<Response<GetStateResponse>, Status> {
        Err(Status::unimplemented("not part of the suite"))
    }
}
