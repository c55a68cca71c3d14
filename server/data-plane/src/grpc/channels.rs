//! `Publish` and `Subscribe` of `callboard.gateway.v1`, and `Broadcast` between nodes: how channels are spoken to and
//! listened at.

use std::{pin::Pin, sync::Arc};

use callboard_proto::{
    gateway::v1::{
        Missed, PublishRequest, PublishResponse, SubscribeRequest, SubscribeResponse, Subscribed,
        publish_request, subscribe_response,
    },
    peer::v1::{BroadcastRequest, BroadcastResponse},
};
use callboard_transport::status::to_status;
use callboard_types::{CallError, ErrorKind, Millis, Tick, limits, settings::check_channel};
use futures::{Stream, StreamExt as _, stream};
use tokio::sync::oneshot;
use tonic::Status;

use super::{convert, gateway::identity};
use crate::{
    call::Payload,
    catalog::Catalog,
    channels::{
        Done, FanOutQueue, Item, Job, Listener, Local, Said,
        fanout::{from_proto, to_proto},
    },
    router::Router,
    transcode,
};

/// What somebody hears who listens.
pub type Hearing = Pin<Box<dyn Stream<Item = Result<SubscribeResponse, Status>> + Send>>;

/// The channels of a node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Channels {
    router: Router,
    queue: FanOutQueue,
    local: Local,
}

impl Channels {
    /// Channels over the fan-out of a node and its own ears.
    #[must_use]
    pub fn new(router: Router, queue: FanOutQueue, local: Local) -> Self {
        Self { router, queue, local }
    }

    /// From now on nobody may listen here, and those who do are sent elsewhere.
    pub fn end(&self) {
        self.local.listeners().end();
    }

    // === from outside ===

    /// Says something, and returns once everybody is sure to get it who is to get it for certain.
    ///
    /// # Errors
    /// What is wrong with the message, or why it was not said to everybody in time.
    pub(super) async fn publish(
        &self,
        request: PublishRequest,
    ) -> Result<PublishResponse, CallError> {
        let now = Tick::now();
        let wall = self.router.clock().at(now);
        if wall == Millis(0) {
            return Err(crate::router::behind());
        }
        let timeout_ms = request.timeout_ms;
        let said = Arc::new(self.checked(request, wall)?);
        self.check_repetition(&said)?;
        let (done, end) = oneshot::channel();
        let until = now.plus_millis(super::gateway::timeout_ms(timeout_ms));
        let job = Job { said: Arc::clone(&said), until, done: Done::Publisher(done) };
        self.queue.hand(job).map_err(|(_, error)| error)?;
        let end = end.await.map_err(|_| {
            let text = "the node stopped before it answered; some actors may get the message. Retry it with the \
                        same request id";
            CallError::new(ErrorKind::OutcomeUnknown, text)
        });
        Ok(PublishResponse { request_id: said.id.clone(), types: end?? })
    }

    fn checked(&self, request: PublishRequest, wall: Millis) -> Result<Said, CallError> {
        let system = convert::system_or_default(&request.system);
        check_channel(&request.channel)?;
        let catalog = self.router.catalog();
        self.router.require_system(&catalog, system)?;
        let payload = match request.message {
            None => Payload::default(),
            Some(publish_request::Message::Payload(payload)) => {
                convert::payload_from_proto(Some(payload))
            }
            Some(publish_request::Message::Json(json)) => transcode::json_text(json)?,
        };
        let (id, created_at) = identity(request.request_id, request.created_at_ms, wall)?;
        check_age(created_at, wall)?;
        let said = Said {
            id,
            system: system.into(),
            channel: request.channel.into(),
            payload,
            metadata: request.metadata,
            source: None,
            published_at: if created_at.0 == 0 { wall } else { created_at },
        };
        said.check()?;
        fits(&catalog, &said)?;
        Ok(said)
    }

    /// The same id with another message is a mistake of the publisher, as far as this node remembers.
    fn check_repetition(&self, said: &Said) -> Result<(), CallError> {
        let known = self.local.listeners().find(&said.system, &said.channel, &said.id);
        if known.is_none_or(|known| known.payload == said.payload) {
            return Ok(());
        }
        let text = "the request id was used for another message of this channel; nothing was said. Use a new id for \
                    a new message";
        Err(CallError::new(ErrorKind::RequestIdReused, text))
    }

    /// Listens.
    ///
    /// # Errors
    /// What is wrong with the request, or why nobody may listen here now.
    pub(super) fn subscribe(&self, request: &SubscribeRequest) -> Result<Hearing, CallError> {
        let system = convert::system_or_default(&request.system);
        let count = request.channels.len();
        if count == 0 || count > limits::SUBSCRIBE_CHANNELS_MAX {
            let text = "a subscription names 1 to 64 channels. Open further streams for more";
            let error = CallError::new(ErrorKind::InvalidArgument, text);
            return Err(error.with("limit", limits::SUBSCRIBE_CHANNELS_MAX));
        }
        request.channels.iter().try_for_each(|channel| check_channel(channel))?;
        self.router.require_system(&self.router.catalog(), system)?;
        let resume = Some(request.resume_token.as_str()).filter(|token| !token.is_empty());
        let resume = resume.map(str::parse).transpose()?;
        let listener = self.local.listeners().listen(system, &request.channels, resume)?;
        let subscribed = Subscribed { resume_token: listener.token().to_string() };
        let first = subscribe_response::Item::Subscribed(subscribed);
        let first = stream::iter([Ok(SubscribeResponse { item: Some(first) })]);
        Ok(Box::pin(first.chain(stream::unfold(Some(listener), hear))))
    }

    // === from other nodes ===

    /// Takes another node's message for shards of this one. The sender's view is known here.
    ///
    /// # Errors
    /// What is wrong with the message.
    pub(super) async fn take(
        &self,
        mut request: BroadcastRequest,
    ) -> Result<BroadcastResponse, CallError> {
        let shards = from_proto(std::mem::take(&mut request.shards));
        let said = Arc::new(Said::from_request(&mut request)?);
        let taken = self.local.take(&said, &shards).await;
        Ok(BroadcastResponse { recorded: to_proto(taken.recorded), full: to_proto(taken.full) })
    }
}

/// The next item of a stream, which ends with an error.
async fn hear(
    listener: Option<Listener>,
) -> Option<(Result<SubscribeResponse, Status>, Option<Listener>)> {
    let mut listener = listener?;
    let item = match listener.next().await {
        Ok(Item::Missed(messages)) => subscribe_response::Item::Missed(Missed { messages }),
        Ok(Item::Message(said, token)) => {
            subscribe_response::Item::Message(said.to_listeners(token.to_string()))
        }
        Err(error) => return Some((Err(to_status(&error)), None)),
    };
    Some((Ok(SubscribeResponse { item: Some(item) }), Some(listener)))
}

/// Shards remember ids for longer than this; a publisher that comes back later may say a message twice.
fn check_age(created_at: Millis, wall: Millis) -> Result<(), CallError> {
    let known = created_at.0 != 0;
    if known && created_at < wall.plus(-limits::OUTCOME_WINDOW_MS) {
        let text = "the message was created before the time for which ids of messages are surely kept, so it can no \
                    longer be told whether it was said. It was not said now";
        let error = CallError::new(ErrorKind::RequestExpired, text);
        return Err(error.with("window_ms", limits::OUTCOME_WINDOW_MS));
    }
    if known && created_at > wall.plus(limits::CREATED_AHEAD_MS) {
        let text = "the message's created_at lies in the future; it was not said. Set the publisher's clock right";
        let error = CallError::new(ErrorKind::RequestExpired, text);
        return Err(error.with("ahead_max_ms", limits::CREATED_AHEAD_MS));
    }
    Ok(())
}

/// Checks that every action that listens can read the message, so that a publisher hears of a wrong one.
fn fits(catalog: &Catalog, said: &Said) -> Result<(), CallError> {
    for found in catalog.types().iter().filter(|found| found.view.system == said.system) {
        let all = found.definition.settings.subscriptions.iter();
        for listens in all.filter(|listens| *listens.channel == *said.channel) {
            transcode::heard(found, &listens.action, &said.payload).map_err(|error| {
                let text = format!(
                    "action {} of type {} listens to the channel and cannot read the message, so nothing was said: {}",
                    listens.action, found.view.name, error.message
                );
                CallError::new(error.kind, text)
            })?;
        }
    }
    Ok(())
}
