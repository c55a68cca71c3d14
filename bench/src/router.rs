//! A router without actors, for scale: calls in over batched streams, turns out over batched host sessions, and
//! nothing in between: no mailboxes, no state, no request ids. What a node reaches below this is what actors cost.

use std::{pin::Pin, sync::Arc};

use callboard_proto::{
    gateway::v1::{
        GetStateRequest, GetStateResponse, InvokeRequest, InvokeResponse, InvokeStreamRequest,
        InvokeStreamResponse, SpawnRequest, SpawnResponse, StreamCall, StreamReply,
        gateway_service_server::{GatewayService, GatewayServiceServer},
        invoke_response, stream_reply,
    },
    host::v1::{
        ConnectRequest, ConnectResponse,
        host_service_server::{HostService, HostServiceServer},
    },
};
use futures::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    cli::ListenArgs,
    error::Error,
    measure::{self, Event},
    wire::{self, MESSAGE_BYTES_MAX},
};

mod table;

/// Events that may wait for the table.
const INBOX_EVENTS: usize = 1_024;

/// Messages that may wait on one stream.
const STREAM_MESSAGES: usize = 1_024;

/// What the connections tell the table.
enum Input {
    /// A host connected; its frames go here.
    Host(mpsc::Sender<Result<ConnectResponse, Status>>),
    /// The host sent frames.
    Frames(ConnectRequest),
    /// A stream sent calls; their replies go here.
    Calls(Arc<Replies>, Vec<StreamCall>),
}

type Replies = mpsc::Sender<Result<InvokeStreamResponse, Status>>;
type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Serves until the process ends. Announces its address in an event.
pub(crate) async fn serve(args: &ListenArgs) -> Result<(), Error> {
    let (incoming, address) = wire::listen(args.port).await?;
    let (inbox, inputs) = mpsc::channel(INBOX_EVENTS);
    tokio::spawn(table::run(inputs));
    measure::emit(&Event::Listening { address: address.to_string() })?;
    let gateway = GatewayServiceServer::new(Edge { inbox: inbox.clone() })
        .max_decoding_message_size(MESSAGE_BYTES_MAX);
    let hosts = HostServiceServer::new(Edge { inbox }).max_decoding_message_size(MESSAGE_BYTES_MAX);
    wire::server().add_service(gateway).add_service(hosts).serve_with_incoming(incoming).await?;
    Ok(())
}

/// Both services; all they do is feed the table.
struct Edge {
    inbox: mpsc::Sender<Input>,
}

impl Edge {
    /// Feeds each message of a stream to the table until either ends.
    fn feed<T: Send + 'static>(
        &self,
        mut messages: Streaming<T>,
        input: impl Fn(T) -> Input + Send + 'static,
    ) {
        let inbox = self.inbox.clone();
        tokio::spawn(async move {
            while let Ok(Some(message)) = messages.message().await {
                if inbox.send(input(message)).await.is_err() {
                    return;
                }
            }
        });
    }
}

#[tonic::async_trait]
impl GatewayService for Edge {
    type SubscribeStream =
        futures::stream::Pending<Result<callboard_proto::gateway::v1::SubscribeResponse, Status>>;

    async fn publish(
        &self,
        _: Request<callboard_proto::gateway::v1::PublishRequest>,
    ) -> Result<Response<callboard_proto::gateway::v1::PublishResponse>, Status> {
        Err(Status::unimplemented("no channels here"))
    }

    async fn subscribe(
        &self,
        _: Request<callboard_proto::gateway::v1::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        Err(Status::unimplemented("no channels here"))
    }

    type InvokeStreamStream = BoxStream<InvokeStreamResponse>;

    async fn invoke(
        &self,
        request: Request<InvokeRequest>,
    ) -> Result<Response<InvokeResponse>, Status> {
        let (replies, mut messages) = mpsc::channel(1);
        let call = StreamCall { stream_id: 0, call: Some(request.into_inner()) };
        let input = Input::Calls(Arc::new(replies), vec![call]);
        self.inbox.send(input).await.map_err(|_| Status::unavailable("the router is ending"))?;
        let outcome = match messages.recv().await {
            Some(message) => message?.replies.into_iter().next().and_then(|r| r.outcome),
            None => None,
        };
        match outcome {
            Some(stream_reply::Outcome::Response(response)) => Ok(Response::new(response)),
            Some(stream_reply::Outcome::Error(error)) => Err(Status::unavailable(error.message)),
            None => Err(Status::internal("the call was dropped")),
        }
    }

    async fn invoke_stream(
        &self,
        request: Request<Streaming<InvokeStreamRequest>>,
    ) -> Result<Response<Self::InvokeStreamStream>, Status> {
        let (replies, messages) = mpsc::channel(STREAM_MESSAGES);
        let replies = Arc::new(replies);
        self.feed(request.into_inner(), move |message: InvokeStreamRequest| {
            Input::Calls(Arc::clone(&replies), message.calls)
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(messages))))
    }

    async fn spawn(&self, _: Request<SpawnRequest>) -> Result<Response<SpawnResponse>, Status> {
        Err(Status::unimplemented("a router without actors has none to spawn"))
    }

    async fn get_state(
        &self,
        _: Request<GetStateRequest>,
    ) -> Result<Response<GetStateResponse>, Status> {
        Err(Status::unimplemented("a router without actors keeps no state"))
    }
}

#[tonic::async_trait]
impl HostService for Edge {
    type ConnectStream = BoxStream<ConnectResponse>;

    async fn connect(
        &self,
        request: Request<Streaming<ConnectRequest>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        let (frames, messages) = mpsc::channel(STREAM_MESSAGES);
        self.inbox
            .send(Input::Host(frames))
            .await
            .map_err(|_| Status::unavailable("the router is ending"))?;
        self.feed(request.into_inner(), Input::Frames);
        Ok(Response::new(Box::pin(ReceiverStream::new(messages))))
    }
}

/// A reply as a frame of a stream.
fn reply_frame(stream_id: u64, outcome: stream_reply::Outcome) -> StreamReply {
    StreamReply { stream_id, outcome: Some(outcome) }
}

/// A successful outcome.
fn response(
    reply: callboard_proto::types::v1::Payload,
    request_id: String,
) -> stream_reply::Outcome {
    stream_reply::Outcome::Response(InvokeResponse {
        reply: Some(invoke_response::Reply::Payload(reply)),
        request_id,
        revision: 0,
        durable: false,
        schedule: String::new(),
    })
}
