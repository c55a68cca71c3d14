//! What operators do with single actors: the part of `ActorsService` that changes them or reads their past.

use std::sync::Arc;

use callboard_proto::{
    control::v1::{
        GetRevisionRequest, GetRevisionResponse, ListRevisionsRequest, ListRevisionsResponse,
        RestoreActorRequest, RestoreActorResponse, Revision as PbRevision,
        get_revision_request::At as ReadAt, restore_actor_request::At as RestoreAt,
    },
    types::v1 as pb,
};
use callboard_statestore::{HistoryAt, HistoryRow};
use callboard_types::{CallError, ErrorKind, Millis, Revision, Tick};
use tokio::sync::oneshot;

use super::{
    control::{Actors, page_size, unavailable},
    convert,
};
use crate::{
    activation::operate::{Past, Tool},
    call::{Payload, Reply, ReplyTo},
    router::Route,
    transcode,
};

impl Actors {
    /// Carries out a tool at the actor's owner, wherever that is.
    pub(super) async fn use_tool(
        &self,
        id: Option<pb::ActorId>,
        tool: Tool,
        argument: Payload,
    ) -> Result<Reply, CallError> {
        let route = self.one_actor(id)?;
        let (to, outcome) = oneshot::channel();
        let queue = self.router.queue_of(&route);
        let tick = Tick::now();
        let now = (tick, self.router.clock().at(tick));
        let request_id = crate::call::draw_id(now.1);
        let call = tool.call(argument, request_id, now, ReplyTo::Unary(to));
        self.router.send(queue, vec![route.carry(call)]).await;
        outcome.await.unwrap_or_else(|_| {
            let text = "the node stopped before it answered; what was asked for may have been done. Look, and ask again";
            Err(CallError::new(ErrorKind::OutcomeUnknown, text))
        })
    }

    fn one_actor(&self, id: Option<pb::ActorId>) -> Result<Route, CallError> {
        let catalog = Arc::clone(&self.router.catalog());
        let route = self.router.route(&catalog, id.unwrap_or_default())?;
        if route.seat.is_some() {
            let text = "instances of a pool are Callboard's and have no state; nothing was done";
            return Err(CallError::new(ErrorKind::InvalidArgument, text));
        }
        Ok(route)
    }

    pub(super) async fn revisions(
        &self,
        request: ListRevisionsRequest,
    ) -> Result<ListRevisionsResponse, CallError> {
        let route = self.one_actor(request.actor)?;
        let below = match request.below {
            0 => u64::try_from(i64::MAX).expect("it is positive"),
            below => below,
        };
        let at = HistoryAt::Below(Revision(below));
        let limit = page_size(request.page_size);
        let rows = self.store.history(&route.actor_id(), at, limit).await;
        let rows = rows.map_err(|error| unavailable(&error))?;
        Ok(ListRevisionsResponse { revisions: rows.iter().map(revision).collect() })
    }

    pub(super) async fn revision(
        &self,
        request: GetRevisionRequest,
    ) -> Result<GetRevisionResponse, CallError> {
        let route = self.one_actor(request.actor)?;
        let at = match request.at {
            Some(ReadAt::Revision(number)) => Some(HistoryAt::Revision(Revision(number))),
            Some(ReadAt::TimeMs(time)) => Some(HistoryAt::Time(Millis(time))),
            None => None,
        };
        let row = self.past(&route, at).await?;
        let shown = revision(&row);
        let tags = convert::tags_to_proto(&row.tags);
        let state = row.state.map(|state| Payload {
            content_type: state.content_type,
            type_url: state.type_url,
            data: state.data,
        });
        // A state that contradicts its own content type is still handed out as it is.
        let readable = state.as_ref().filter(|_| request.as_json);
        let json = readable.and_then(|state| transcode::value(&route.actor_type, state).ok());
        Ok(GetRevisionResponse {
            revision: Some(shown),
            state: state.and_then(convert::payload_to_proto),
            json: json.flatten(),
            tags,
        })
    }

    pub(super) async fn restore(
        &self,
        request: RestoreActorRequest,
    ) -> Result<RestoreActorResponse, CallError> {
        let route = self.one_actor(request.actor.clone())?;
        let at = match request.at {
            Some(RestoreAt::Revision(number)) => Some(HistoryAt::Revision(Revision(number))),
            Some(RestoreAt::TimeMs(time)) => Some(HistoryAt::Time(Millis(time))),
            None => None,
        };
        let past = Past::from(self.past(&route, at).await?);
        let reply = self.use_tool(request.actor, Tool::Restore, past.encode()).await?;
        Ok(RestoreActorResponse { revision: reply.revision.0, restored: past.revision.0 })
    }

    async fn past(&self, route: &Route, at: Option<HistoryAt>) -> Result<HistoryRow, CallError> {
        let Some(at) = at else {
            let text = "say a revision or a time; nothing was done";
            return Err(CallError::new(ErrorKind::InvalidArgument, text));
        };
        let rows = self.store.history(&route.actor_id(), at, 1).await;
        let rows = rows.map_err(|error| unavailable(&error))?;
        rows.into_iter().next().ok_or_else(|| {
            let text = format!(
                "no state of {} is kept for that revision or time. The type's history settings say what is kept",
                route.actor_id()
            );
            CallError::new(ErrorKind::UnknownRevision, text)
        })
    }
}

fn revision(row: &HistoryRow) -> PbRevision {
    PbRevision { revision: row.revision.0, committed_at_ms: row.at.0, state_bytes: row.state_bytes }
}
