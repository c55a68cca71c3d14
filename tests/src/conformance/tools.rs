//! The fake control services: every unary method of the services that SDKs use, handed to the scenario as bytes.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, BufMut, Bytes};
use callboard_proto::types::v1::CallError;
use prost::Message;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tonic::{
    Request, Response, Status,
    body::Body,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::{Grpc, NamedService, UnaryService},
};

use super::{
    check::{Failure, same},
    gateway::{self, Event},
};

const PREFIX: &str = "/callboard.control.v1.";

/// One call of a control method, or one attempt of it.
#[derive(Debug)]
pub struct ControlCall {
    /// The method, as `SchedulesService/GetSchedule`.
    pub method: String,
    /// When it came.
    pub at: Instant,
    request: Bytes,
    answer: oneshot::Sender<Result<Bytes, Status>>,
}

impl ControlCall {
    /// The request, if the call is one of `method`.
    ///
    /// # Errors
    /// If it is another method's, or does not decode.
    pub fn request<M: Message + Default>(&self, method: &str) -> Result<M, Failure> {
        same("the method", self.method.as_str(), method)?;
        M::decode(self.request.clone()).map_err(|error| Failure::of(method, error))
    }

    /// Answers with a message of the method's type.
    pub fn reply(self, message: &impl Message) {
        // A caller that gave up misses nothing.
        let _ = self.answer.send(Ok(message.encode_to_vec().into()));
    }

    /// Answers with an error.
    pub fn error(self, error: &CallError) {
        let _ = self.answer.send(Err(gateway::status(error)));
    }

    /// Breaks the call.
    pub fn break_connection(self) {
        let _ = self.answer.send(Err(Status::unavailable("the connection broke")));
    }
}

/// What all fake control services do.
#[derive(Debug, Clone)]
pub(super) struct FakeControl {
    events: mpsc::Sender<Event>,
}

macro_rules! services {
    ($($service:ident = $name:literal,)+) => {
        $(
            /// One control service of the fake server.
            #[derive(Debug, Clone)]
            pub(super) struct $service(FakeControl);

            impl $service {
                pub(super) fn new(events: mpsc::Sender<Event>) -> Self {
                    $service(FakeControl { events })
                }
            }

            impl NamedService for $service {
                const NAME: &'static str = concat!("callboard.control.v1.", $name);
            }

            impl tonic::codegen::Service<http::Request<Body>> for $service {
                type Response = http::Response<Body>;
                type Error = Infallible;
                type Future =
                    Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

                fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
                    Poll::Ready(Ok(()))
                }

                fn call(&mut self, request: http::Request<Body>) -> Self::Future {
                    Box::pin(self.0.clone().serve(request))
                }
            }
        )+
    };
}

services! {
    FakeSchedules = "SchedulesService",
    FakeActors = "ActorsService",
    FakeDeadLetters = "DeadLettersService",
}

impl FakeControl {
    async fn serve(self, request: http::Request<Body>) -> Result<http::Response<Body>, Infallible> {
        let path = request.uri().path();
        let method = path.strip_prefix(PREFIX).unwrap_or(path).to_owned();
        Ok(Grpc::new(BytesCodec).unary(Method { control: self, method }, request).await)
    }
}

struct Method {
    control: FakeControl,
    method: String,
}

impl UnaryService<Bytes> for Method {
    type Response = Bytes;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Status>> + Send>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (answer, receive) = oneshot::channel();
        let request = request.into_inner();
        let call = ControlCall { method: self.method.clone(), at: Instant::now(), request, answer };
        let events = self.control.events.clone();
        Box::pin(async move {
            let over = || Status::unavailable("the scenario is over");
            events.send(Event::Control(Box::new(call))).await.map_err(|_| over())?;
            receive.await.unwrap_or_else(|_| Err(over())).map(Response::new)
        })
    }
}

#[derive(Debug, Clone, Copy)]
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = BytesCodec;
    type Decoder = BytesCodec;

    fn encoder(&mut self) -> BytesCodec {
        BytesCodec
    }

    fn decoder(&mut self) -> BytesCodec {
        BytesCodec
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
