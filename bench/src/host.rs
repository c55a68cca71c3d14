//! The bench host: an SDK in Rust with nothing in it but the session protocol and three small actors. What a node
//! cannot do with this host it can do with no host.

pub(crate) mod actors;
pub(crate) mod tally;

use callboard_proto::{
    host::v1::{
        ConnectRequest, ConnectResponse, Hello, HostFrame, NodeFrame, Pong, Register, TurnResult,
        host_frame, host_service_client::HostServiceClient, node_frame,
    },
    types::v1::{ActorTypeDefinition, CallError},
};
use futures::FutureExt;
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::{
    cli::HostArgs,
    error::Error,
    measure::{self, Event},
    wire::{self, MESSAGE_BYTES_MAX},
};

/// Messages that may wait to be sent. Each answers everything that had arrived when it was made.
const OUTBOX_MESSAGES: usize = 16;

/// Messages that are answered together.
const INBOX_MESSAGES_MAX: usize = 64;

/// Where an answer is cut into several messages: half of what a node takes by default.
const ANSWER_BYTES: usize = 2 << 20;

/// Connects, registers, and runs turns until the node ends the session.
pub(crate) async fn run(args: &HostArgs) -> Result<(), Error> {
    let mut session = Session::open(&args.server, args.credits).await?;
    session.register(actors::definitions(args.idle_timeout_ms)).await?;
    measure::emit(&Event::Registered)?;
    session.run_turns().await
}

/// A session with a node.
pub(crate) struct Session {
    outbox: mpsc::Sender<ConnectRequest>,
    inbox: Streaming<ConnectResponse>,
}

impl Session {
    /// Connects as a host of its own.
    pub(crate) async fn open(server: &str, credits: u32) -> Result<Self, Error> {
        let channel = wire::connect(server).await?;
        let (outbox, requests) = mpsc::channel(OUTBOX_MESSAGES);
        let hello = host_frame::Frame::Hello(Hello {
            protocol_major: 1,
            protocol_minor: 0,
            sdk_name: "callboard-bench".into(),
            sdk_version: env!("CARGO_PKG_VERSION").into(),
            runtime: "Rust".into(),
            instance_id: uuid::Uuid::now_v7().to_string(),
            labels: Default::default(),
            credits,
            state_cache_bytes: 0,
        });
        outbox.try_send(message(vec![hello])).expect("the channel is new and not empty of room");
        let inbox = HostServiceClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
            .connect(ReceiverStream::new(requests))
            .await?
            .into_inner();
        Ok(Self { outbox, inbox })
    }

    /// Waits for Welcome, offers the types, and waits until the node has taken them.
    pub(crate) async fn register(&mut self, types: Vec<ActorTypeDefinition>) -> Result<(), Error> {
        loop {
            for frame in self.receive().await? {
                match frame.frame {
                    Some(node_frame::Frame::Welcome(_)) => {
                        let register = host_frame::Frame::Register(Register {
                            register_id: 1,
                            system: String::new(),
                            types: types.clone(),
                            descriptor_set: Default::default(),
                        });
                        self.send(message(vec![register])).await?;
                    }
                    Some(node_frame::Frame::Registered(registered)) => {
                        return match registered.error {
                            None => Ok(()),
                            Some(error) => Err(Error::failed(format!(
                                "the node refused the types: {}: {}",
                                error.reason, error.message
                            ))),
                        };
                    }
                    Some(node_frame::Frame::Ping(ping)) => {
                        let pong = host_frame::Frame::Pong(Pong { nonce: ping.nonce });
                        self.send(message(vec![pong])).await?;
                    }
                    _ => {}
                }
            }
        }
    }

    /// Answers every message with one, and messages that arrived together with one for all of them.
    pub(crate) async fn run_turns(&mut self) -> Result<(), Error> {
        let mut answer = Answer::default();
        loop {
            let mut frames = self.receive().await?;
            for _ in 0..INBOX_MESSAGES_MAX {
                for frame in frames {
                    if let Some(full) = answer.to(frame) {
                        self.send(full).await?;
                    }
                }
                match self.inbox.message().now_or_never() {
                    Some(next) => frames = frames_of(next?)?,
                    None => {
                        frames = Vec::new();
                        break;
                    }
                }
            }
            for frame in frames {
                if let Some(full) = answer.to(frame) {
                    self.send(full).await?;
                }
            }
            if let Some(rest) = answer.take() {
                self.send(rest).await?;
            }
        }
    }

    async fn receive(&mut self) -> Result<Vec<NodeFrame>, Error> {
        frames_of(self.inbox.message().await?)
    }

    async fn send(&self, request: ConnectRequest) -> Result<(), Error> {
        self.outbox.send(request).await.map_err(|_| Error::failed("the node closed the session"))
    }
}

/// Results that wait to be sent together.
#[derive(Default)]
struct Answer {
    frames: Vec<HostFrame>,
    bytes: usize,
}

impl Answer {
    /// Runs what a frame asks for. Returns a message if enough has come together.
    fn to(&mut self, frame: NodeFrame) -> Option<ConnectRequest> {
        match frame.frame {
            Some(node_frame::Frame::Run(run)) => actors::run(run, |result| self.result(result)),
            Some(node_frame::Frame::Ping(ping)) => self.frames.push(HostFrame {
                frame: Some(host_frame::Frame::Pong(Pong { nonce: ping.nonce })),
            }),
            // A turn is over before the next frame is looked at, so its result is on the way already.
            Some(node_frame::Frame::Cancel(_)) => {}
            _ => {}
        }
        (self.bytes >= ANSWER_BYTES).then(|| self.take()).flatten()
    }

    fn result(&mut self, result: TurnResult) {
        self.bytes += result.encoded_len();
        self.frames.push(HostFrame { frame: Some(host_frame::Frame::Result(result)) });
    }

    fn take(&mut self) -> Option<ConnectRequest> {
        self.bytes = 0;
        let frames = std::mem::take(&mut self.frames);
        (!frames.is_empty()).then_some(ConnectRequest { frames })
    }
}

fn frames_of(message: Option<ConnectResponse>) -> Result<Vec<NodeFrame>, Error> {
    message.map(|message| message.frames).ok_or_else(|| Error::failed("the node ended the session"))
}

fn message(frames: Vec<host_frame::Frame>) -> ConnectRequest {
    ConnectRequest {
        frames: frames.into_iter().map(|frame| HostFrame { frame: Some(frame) }).collect(),
    }
}

/// The answer to a turn that the host cannot run.
fn unknown(what: String) -> CallError {
    CallError {
        code: tonic::Code::NotFound as i32,
        reason: "UNKNOWN_ACTION".into(),
        message: what,
        ..Default::default()
    }
}
