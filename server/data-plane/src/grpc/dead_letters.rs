//! `callboard.control.v1.DeadLettersService`: what could not be delivered, over the store that all nodes share.

use std::{sync::Arc, time::Duration};

use callboard_proto::control::v1::{
    DeadLetter, DropDeadLetterRequest, DropDeadLetterResponse, ListDeadLettersRequest,
    ListDeadLettersResponse, RetryDeadLetterRequest, RetryDeadLetterResponse,
    dead_letters_service_server::DeadLettersService,
};
use callboard_statestore::{DeadLetterRow, StateStore};
use callboard_transport::status::to_status;
use callboard_types::{ActorId, CallError, ErrorKind, Tick, limits};
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};

use super::{
    control::{page_size, unavailable},
    convert,
};
use crate::{
    call::{Call, ReplyTo},
    channels::{Done, FanOutQueue, Job, Said},
    deliveries::{
        BroadcastItem, CallItem, Item,
        letter::{Letter, Origin},
        verdict::{self, Fate},
    },
    router::{Router, behind},
    worker::RoutedCall,
};

/// How long a retried letter may take until its target has accepted it.
const ACCEPT_WITHIN: Duration = Duration::from_millis(limits::CALL_TIMEOUT_DEFAULT_MS);

/// The service of one node. Cheap to clone.
#[derive(Clone)]
pub struct DeadLetters {
    router: Router,
    store: Arc<dyn StateStore>,
    said: FanOutQueue,
}

impl std::fmt::Debug for DeadLetters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeadLetters").finish_non_exhaustive()
    }
}

impl DeadLetters {
    /// A service over router and store, and the fan-out for messages.
    #[must_use]
    pub fn new(router: Router, store: Arc<dyn StateStore>, said: FanOutQueue) -> Self {
        Self { router, store, said }
    }

    async fn list(
        &self,
        request: ListDeadLettersRequest,
    ) -> Result<ListDeadLettersResponse, CallError> {
        let system = convert::system_or_default(&request.system);
        let limit = page_size(request.page_size);
        let rows = self
            .store
            .dead_letters(system, &request.source_type, &request.page_token, limit)
            .await
            .map_err(|error| unavailable(&error))?;
        let next = rows.last().filter(|_| rows.len() == limit).map(|last| last.id.clone());
        Ok(ListDeadLettersResponse {
            letters: rows.into_iter().map(shown).collect(),
            next_page_token: next.unwrap_or_default(),
        })
    }

    /// Delivers a letter again. It goes once its target has accepted it, or every shard that listens has recorded it.
    async fn retry(&self, id: &str) -> Result<(), CallError> {
        if !self.router.clock().is_set() {
            return Err(behind());
        }
        let row = self.store.dead_letter(id).await.map_err(|error| unavailable(&error))?;
        let row = row.ok_or_else(|| unknown(id))?;
        let read = Letter::decode(&row.letter)
            .and_then(|letter| Ok((Item::decode(&letter.item)?, letter.error, letter.origin)));
        let (item, error, origin) = read.map_err(|error| unreadable(&error))?;
        match item {
            Item::Call(item) => {
                let item = again(*item, &error, origin, id);
                self.call_again(&row.source, origin, item).await?;
            }
            Item::Broadcast(item) => self.say_again(row.source, *item).await?,
        }
        self.store.drop_dead_letter(id).await.map_err(|error| unavailable(&error))?;
        Ok(())
    }

    /// Makes the call of a letter again. A target that ran it already knows its request id; if its turn was discarded, the
    /// error is what that id stands for, and the call got another id.
    async fn call_again(
        &self,
        source: &ActorId,
        origin: Origin,
        item: CallItem,
    ) -> Result<(), CallError> {
        let (to, outcome) = oneshot::channel();
        let catalog = Arc::clone(&self.router.catalog());
        let actor_type = catalog.require(&item.target.system, &item.target.actor_type)?;
        let key = item.target.key.to_string();
        let attempt = item.attempt(source, self.router.clock().now(), ReplyTo::Unary(to));
        let deadline = Tick::now().plus_millis(limits::CALL_TIMEOUT_DEFAULT_MS);
        // No row stands for it any longer, so nobody would confirm it.
        let mut call = Call { asynchronous: true, delivery: false, deadline, ..attempt };
        if origin == Origin::Outside {
            call.lineage = None;
        }
        let aimed = RoutedCall::aim(self.router.node(), Arc::clone(actor_type), &key, call);
        let routed = aimed.map_err(|refused| refused.1)?;
        self.router.send(self.router.queue_for(&routed), vec![routed]).await;
        match tokio::time::timeout(ACCEPT_WITHIN, outcome).await {
            // An error of the action's own is the outcome of a call that has run.
            Ok(Ok(outcome)) if verdict::of(&outcome) == Fate::Delivered => Ok(()),
            Ok(Ok(outcome)) => outcome.map(drop),
            Ok(Err(_)) | Err(_) => {
                let text =
                    "the target did not accept the call in time; the letter is kept. Retry it";
                Err(CallError::new(ErrorKind::DeadlineExceeded, text))
            }
        }
    }

    /// Says the message of a letter again, under its own id: shards that recorded it already do not record it a second time.
    async fn say_again(&self, source: ActorId, item: BroadcastItem) -> Result<(), CallError> {
        let now = self.router.clock().now();
        if item.created_at.plus(limits::DELIVERED_WINDOW_MS) < now {
            let text = "the message is so old that shards which had it may have forgotten its id, and their actors would \
                        hear it twice; the letter is kept. Drop it, or publish the message anew";
            let error = CallError::new(ErrorKind::RequestExpired, text);
            return Err(error.with("window_ms", limits::DELIVERED_WINDOW_MS));
        }
        let said = Said {
            id: item.id,
            system: Arc::clone(&source.system),
            channel: item.channel.into(),
            payload: item.payload,
            metadata: item.metadata,
            source: Some(source),
            // Actors that are to have it get as long for it as they would for a new one.
            published_at: now,
        };
        let (done, end) = oneshot::channel();
        let until = Tick::now().plus_millis(limits::CALL_TIMEOUT_DEFAULT_MS);
        let job = Job { said: Arc::new(said), until, done: Done::Publisher(done) };
        self.said.hand(job).map_err(|(_, error)| error)?;
        let end = end.await.map_err(|_| {
            let text = "the node stopped before it answered; the letter is kept. Retry it";
            CallError::new(ErrorKind::OutcomeUnknown, text)
        });
        end?.map(drop)
    }

    async fn forget(&self, id: &str) -> Result<(), CallError> {
        let dropped = self.store.drop_dead_letter(id).await.map_err(|error| unavailable(&error))?;
        if dropped { Ok(()) } else { Err(unknown(id)) }
    }
}

/// The call of a letter as it is made again. The new id is made from the letter's, so that a repeated retry is one call.
fn again(item: CallItem, error: &CallError, origin: Origin, letter: &str) -> CallItem {
    // Of an accepted call the error is stored, whatever it is.
    let discarded = origin != Origin::Turn
        || matches!(
            error.kind,
            ErrorKind::TurnCrashedHost
                | ErrorKind::InvalidHostAnswer
                | ErrorKind::StateTooLarge
                | ErrorKind::PayloadTooLarge
                | ErrorKind::CallCycle
                | ErrorKind::ChainTooLong
        );
    if discarded { CallItem { request_id: format!("retry-{letter}"), ..item } } else { item }
}

/// A letter for operators. One that cannot be read is shown with its names only, so that it can be dropped.
fn shown(row: DeadLetterRow) -> DeadLetter {
    let mut letter = DeadLetter {
        id: row.id,
        source: Some(convert::actor_id_to_proto(&row.source)),
        died_at_ms: row.died_at.0,
        ..DeadLetter::default()
    };
    let read = Letter::decode(&row.letter).and_then(|read| Ok((Item::decode(&read.item)?, read)));
    match read {
        Ok((item, read)) => {
            letter.error = Some(convert::error_to_proto(&read.error));
            letter.attempts = read.attempts;
            match item {
                Item::Call(item) => {
                    letter.target = Some(convert::actor_id_to_proto(&item.target));
                    letter.action = item.action;
                    letter.payload = convert::payload_to_proto(item.argument);
                    letter.request_id = item.request_id;
                    letter.created_at_ms = item.created_at.0;
                }
                Item::Broadcast(item) => {
                    letter.channel = item.channel;
                    letter.payload = convert::payload_to_proto(item.payload);
                    letter.request_id = item.id;
                    letter.created_at_ms = item.created_at.0;
                }
            }
        }
        Err(error) => letter.error = Some(convert::error_to_proto(&unreadable(&error))),
    }
    letter
}

fn unknown(id: &str) -> CallError {
    let id: String = id.chars().take(64).collect();
    let text = format!(
        "there is no dead letter \"{}\"; it may have been retried or dropped",
        id.escape_debug()
    );
    CallError::new(ErrorKind::UnknownDeadLetter, text)
}

fn unreadable(error: &str) -> CallError {
    CallError::new(ErrorKind::Internal, format!("the dead letter cannot be read: {error}"))
}

#[tonic::async_trait]
impl DeadLettersService for DeadLetters {
    async fn list_dead_letters(
        &self,
        request: Request<ListDeadLettersRequest>,
    ) -> Result<Response<ListDeadLettersResponse>, Status> {
        let page = self.list(request.into_inner()).await;
        page.map(Response::new).map_err(|error| to_status(&error))
    }

    async fn retry_dead_letter(
        &self,
        request: Request<RetryDeadLetterRequest>,
    ) -> Result<Response<RetryDeadLetterResponse>, Status> {
        self.retry(&request.into_inner().id).await.map_err(|error| to_status(&error))?;
        Ok(Response::new(RetryDeadLetterResponse {}))
    }

    async fn drop_dead_letter(
        &self,
        request: Request<DropDeadLetterRequest>,
    ) -> Result<Response<DropDeadLetterResponse>, Status> {
        self.forget(&request.into_inner().id).await.map_err(|error| to_status(&error))?;
        Ok(Response::new(DropDeadLetterResponse {}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{Metadata, Payload};

    #[test]
    fn a_letter_whose_turn_was_discarded_is_called_under_another_id() {
        let item = CallItem {
            target: callboard_types::ActorId::parse("default", "Counter", "a").expect("valid"),
            action: "add".into(),
            argument: Payload::default(),
            request_id: "first".into(),
            created_at: callboard_types::Millis(1),
            metadata: Metadata::new(),
            hops: Vec::new(),
            chain: Vec::new(),
        };
        let id_of =
            |origin, kind| again(item.clone(), &CallError::new(kind, "no"), origin, "7").request_id;
        let id = |kind| id_of(Origin::Turn, kind);
        assert_eq!(id(ErrorKind::TurnCrashedHost), "retry-7");
        assert_eq!(id(ErrorKind::StateTooLarge), "retry-7");
        assert_eq!(id(ErrorKind::OutcomeUnknown), "first", "it may have run");
        assert_eq!(id(ErrorKind::UnknownType), "first");
        assert_eq!(id_of(Origin::Outside, ErrorKind::InvalidArgument), "retry-7", "it is stored");
    }
}
