//! How clients reach the node: one `InvokeStream` that all of them share, or unary calls. A link outlives its
//! connections: calls in flight on a connection that breaks fail, and the next ones get a new connection.

use std::{collections::HashMap, time::Duration};

use callboard_proto::{
    control::v1::{
        DeadLetter, ListDeadLettersRequest, RetryDeadLetterRequest,
        dead_letters_service_client::DeadLettersServiceClient,
    },
    gateway::v1::{
        GetStateRequest, GetStateResponse, InvokeRequest, InvokeResponse, InvokeStreamRequest,
        InvokeStreamResponse, StreamCall, gateway_service_client::GatewayServiceClient,
        stream_reply::Outcome,
    },
};
use callboard_transport::status;
use callboard_types::{CallError, ErrorKind};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Status, Streaming,
    transport::{Channel, Endpoint},
};

use super::Error;

/// Calls that may wait to be sent.
const JOBS_MAX: usize = 1_024;

/// Calls that are sent in one message.
const BATCH_MAX: usize = 256;

/// Messages that may wait to be sent.
const OUTBOX_MESSAGES: usize = 64;

/// Pause between attempts to connect.
const RECONNECT: Duration = Duration::from_millis(20);

/// How long an attempt may go without an answer, beyond the deadline that the server keeps.
const SILENCE_MAX: Duration = Duration::from_secs(8);

struct Job {
    call: InvokeRequest,
    reply: oneshot::Sender<Result<InvokeResponse, CallError>>,
}

/// A way to the node. Clones share it.
#[derive(Clone)]
pub struct Link {
    jobs: mpsc::Sender<Job>,
    unary: Channel,
}

impl Link {
    /// A link to a node, whether it listens already or not. Its task ends with the last clone.
    pub fn new(server: &str) -> Result<Self, Error> {
        let endpoint = Endpoint::from_shared(format!("http://{server}"))
            .map_err(|error| Error::failed(format!("{server}: {error}")))?
            .tcp_nodelay(true)
            .connect_timeout(Duration::from_secs(2))
            .http2_keep_alive_interval(Duration::from_secs(2))
            .keep_alive_timeout(Duration::from_secs(2))
            .keep_alive_while_idle(true);
        let (jobs, waiting) = mpsc::channel(JOBS_MAX);
        let unary = endpoint.connect_lazy();
        tokio::spawn(keep_streaming(endpoint, waiting));
        Ok(Self { jobs, unary })
    }

    /// One attempt over the shared stream.
    pub async fn stream(&self, call: InvokeRequest) -> Result<InvokeResponse, CallError> {
        let (reply, answer) = oneshot::channel();
        if self.jobs.send(Job { call, reply }).await.is_err() {
            return Err(broken("the link has ended"));
        }
        match tokio::time::timeout(SILENCE_MAX, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(broken("the stream broke")),
            Err(_) => Err(broken("no answer came")),
        }
    }

    /// One attempt as a unary call.
    pub async fn unary(&self, call: InvokeRequest) -> Result<InvokeResponse, CallError> {
        let mut client = GatewayServiceClient::new(self.unary.clone());
        let answer = client.invoke(call);
        unary_answer(tokio::time::timeout(SILENCE_MAX, answer).await)
    }

    /// Reads the committed state of an actor.
    pub async fn get_state(&self, request: GetStateRequest) -> Result<GetStateResponse, CallError> {
        let mut client = GatewayServiceClient::new(self.unary.clone());
        let answer = client.get_state(request);
        unary_answer(tokio::time::timeout(SILENCE_MAX, answer).await)
    }

    /// The first page of dead letters.
    pub async fn dead_letters(&self) -> Result<Vec<DeadLetter>, CallError> {
        let mut client = DeadLettersServiceClient::new(self.unary.clone());
        let answer = client.list_dead_letters(ListDeadLettersRequest::default());
        Ok(unary_answer(tokio::time::timeout(SILENCE_MAX, answer).await)?.letters)
    }

    /// Has a dead letter delivered again.
    pub async fn retry_dead_letter(&self, id: String) -> Result<(), CallError> {
        let mut client = DeadLettersServiceClient::new(self.unary.clone());
        let answer = client.retry_dead_letter(RetryDeadLetterRequest { id });
        unary_answer(tokio::time::timeout(SILENCE_MAX, answer).await).map(drop)
    }
}

fn unary_answer<T>(
    answer: Result<Result<tonic::Response<T>, Status>, tokio::time::error::Elapsed>,
) -> Result<T, CallError> {
    match answer {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(status::from_status(&status)),
        Err(_) => Err(broken("no answer came")),
    }
}

/// An attempt of which nobody knows what became.
fn broken(what: &str) -> CallError {
    CallError::new(ErrorKind::OutcomeUnknown, what)
}

/// Opens one stream after the other while there are callers.
async fn keep_streaming(endpoint: Endpoint, mut waiting: mpsc::Receiver<Job>) {
    while !waiting.is_closed() || !waiting.is_empty() {
        if let Some((outbox, inbox)) = open(&endpoint).await {
            // Calls in flight are dropped with the stream, which tells their callers.
            Stream::new(outbox, inbox).run(&mut waiting).await;
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn open(
    endpoint: &Endpoint,
) -> Option<(mpsc::Sender<InvokeStreamRequest>, Streaming<InvokeStreamResponse>)> {
    let channel = endpoint.connect().await.ok()?;
    let (outbox, requests) = mpsc::channel(OUTBOX_MESSAGES);
    let inbox = GatewayServiceClient::new(channel)
        .invoke_stream(ReceiverStream::new(requests))
        .await
        .ok()?
        .into_inner();
    Some((outbox, inbox))
}

struct Stream {
    outbox: mpsc::Sender<InvokeStreamRequest>,
    inbox: Streaming<InvokeStreamResponse>,
    next_id: u64,
    in_flight: HashMap<u64, oneshot::Sender<Result<InvokeResponse, CallError>>>,
}

impl Stream {
    fn new(
        outbox: mpsc::Sender<InvokeStreamRequest>,
        inbox: Streaming<InvokeStreamResponse>,
    ) -> Self {
        Self { outbox, inbox, next_id: 0, in_flight: HashMap::new() }
    }

    /// Carries calls and replies until the stream breaks or there are no callers left.
    async fn run(mut self, waiting: &mut mpsc::Receiver<Job>) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            tokio::select! {
                count = waiting.recv_many(&mut batch, BATCH_MAX) => {
                    if count == 0 || !self.send(&mut batch).await {
                        return;
                    }
                }
                message = self.inbox.message() => match message {
                    Ok(Some(message)) => self.take(message),
                    Ok(None) | Err(_) => return,
                }
            }
        }
    }

    async fn send(&mut self, batch: &mut Vec<Job>) -> bool {
        let mut message = InvokeStreamRequest::default();
        for job in batch.drain(..) {
            self.next_id += 1;
            self.in_flight.insert(self.next_id, job.reply);
            message.calls.push(StreamCall { stream_id: self.next_id, call: Some(job.call) });
        }
        self.outbox.send(message).await.is_ok()
    }

    fn take(&mut self, message: InvokeStreamResponse) {
        for reply in message.replies {
            let answer = match reply.outcome {
                Some(Outcome::Response(response)) => Ok(response),
                Some(Outcome::Error(error)) => Err(status::from_proto(error)),
                None => Err(broken("the reply has no outcome")),
            };
            if let Some(caller) = self.in_flight.remove(&reply.stream_id) {
                // A caller that gave up no longer listens.
                let _ = caller.send(answer);
            }
        }
    }
}
