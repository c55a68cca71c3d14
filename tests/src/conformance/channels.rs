//! The fake gateway's publications and subscriptions, as scenarios hold them.

use callboard_proto::{
    gateway::v1::{
        ChannelMessage, Missed, PublishRequest, PublishResponse, SubscribeRequest,
        SubscribeResponse, Subscribed, channel_message::Body, subscribe_response::Item,
    },
    types::v1::CallError,
};
use serde_json::Value;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};
use tonic::Status;

use super::{
    check::{Failure, json},
    gateway,
    stage::START,
};

/// When everything that scenarios say on channels was said, in Unix milliseconds.
pub const PUBLISHED_AT_MS: i64 = 1_700_000_000_000;

/// One publication, or one attempt of it.
#[derive(Debug)]
pub struct IncomingPublication {
    /// When it came.
    pub at: Instant,
    /// The request.
    pub request: PublishRequest,
    pub(super) answer: oneshot::Sender<Result<PublishResponse, Status>>,
}

impl IncomingPublication {
    /// Says that so many types listen.
    pub fn said(self, types: u32) {
        let request_id = self.request.request_id.clone();
        // A publisher that gave up misses nothing.
        let _ = self.answer.send(Ok(PublishResponse { request_id, types }));
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

/// One stream of a subscription.
#[derive(Debug)]
pub struct IncomingSubscription {
    /// The request.
    pub request: SubscribeRequest,
    pub(super) send: mpsc::Sender<Result<SubscribeResponse, Status>>,
}

impl IncomingSubscription {
    async fn item(&self, item: Item) {
        // A subscriber that left misses nothing.
        let _ = self.send.send(Ok(SubscribeResponse { item: Some(item) })).await;
    }

    /// Says that the subscription holds.
    pub async fn subscribed(&self, resume_token: &str) {
        let resume_token = resume_token.to_owned();
        self.item(Item::Subscribed(Subscribed { resume_token })).await;
    }

    /// Sends a message with this id, which is its token as well.
    pub async fn message(&self, channel: &str, id: &str, message: &Value) {
        let body = Some(Body::Payload(json(message)));
        self.item(Item::Message(said(channel, id, body))).await;
    }

    /// Sends a whole message.
    pub async fn whole(&self, message: ChannelMessage) {
        self.item(Item::Message(message)).await;
    }

    /// Says that messages were lost.
    pub async fn missed(&self, messages: u64) {
        self.item(Item::Missed(Missed { messages })).await;
    }

    /// Ends the stream with an error.
    pub async fn error(self, error: &CallError) {
        let _ = self.send.send(Err(gateway::status(error))).await;
    }

    /// Ends the stream as a lost connection does.
    pub async fn break_connection(self) {
        let _ = self.send.send(Err(Status::unavailable("the connection broke"))).await;
    }

    /// Waits until the subscriber has left.
    ///
    /// # Errors
    /// If it does not in time.
    pub async fn left(&self) -> Result<(), Failure> {
        let late = |_| Failure("the subscriber did not close its stream".to_owned());
        timeout(START, self.send.closed()).await.map_err(late)
    }
}

/// A message with this id, which is its token as well.
pub fn said(channel: &str, id: &str, body: Option<Body>) -> ChannelMessage {
    ChannelMessage {
        channel: channel.to_owned(),
        id: id.to_owned(),
        body,
        published_at_ms: PUBLISHED_AT_MS,
        resume_token: id.to_owned(),
        ..ChannelMessage::default()
    }
}
