//! `InvokeStream`: many calls over one stream, in batches both ways.
//!
//! One task reads calls and hands them to the workers; the response stream takes whatever replies wait into one message.
//! Calls in flight are bounded, and every batch of replies ends at least one of them, so that the queue of replies
//! cannot overflow however slowly the caller reads.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use callboard_proto::gateway::v1::{
    InvokeResponse, InvokeStreamRequest, InvokeStreamResponse, StreamReply, stream_reply,
};
use callboard_types::{CallError, ErrorKind, Millis, limits};
use futures::{Stream, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::{sync::mpsc, task::AbortHandle};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tonic::{Status, Streaming};

use super::{Checked, Gateway, respond};
use crate::{
    call::{ReplyTo, StreamAnswer, StreamExtras, StreamSink},
    grpc::convert,
    router::Router,
    worker::{RoutedCall, shutting_down},
};

/// Replies of one message, in bytes, before the next one is begun.
const MESSAGE_SOFT_BYTES: usize = 256 * 1024;
/// Batches that one message takes at most.
const MESSAGE_BATCHES: usize = 64;
/// How long a stream of a node that is about to stop refuses calls at least before it is no longer read: about as long as
/// its caller needs to hear of it, so that hardly a call is left whose fate the caller does not know.
const LAST_CALLS: Duration = Duration::from_millis(50);

/// What the reading and the writing half of a stream share.
#[derive(Debug, Default)]
struct Shared {
    in_flight: AtomicUsize,
}

/// The replies of a stream.
#[derive(Debug)]
pub struct Replies {
    batches: mpsc::Receiver<Vec<StreamAnswer>>,
    shared: Arc<Shared>,
    taken: Vec<Vec<StreamAnswer>>,
    /// Replies that did not fit into the last message.
    rest: Vec<StreamAnswer>,
    router: Router,
    /// Ends the reading task, and the one that waits for the node's end, when the caller is gone.
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl Drop for Replies {
    /// The caller has gone: its calls that wait are forgotten, its running ones cancelled.
    fn drop(&mut self) {
        self.batches.close();
        for worker in 0..self.router.workers().count() {
            self.router.callers_gone(worker);
        }
    }
}

/// Starts reading a stream's calls.
pub(super) fn open(gateway: Gateway, id: u64, calls: Streaming<InvokeStreamRequest>) -> Replies {
    let (sender, batches) = mpsc::channel(limits::STREAM_IN_FLIGHT_MAX);
    let shared = Arc::new(Shared::default());
    let sink = Arc::new(StreamSink { id, peer: false, batches: sender });
    let router = gateway.router.clone();
    let closing = gateway.closing.clone();
    let reader = Reader { gateway, sink, shared: Arc::clone(&shared) };
    let reader = tokio::spawn(reader.run(calls));
    let end = tokio::spawn(see_out(closing, Arc::clone(&shared), reader.abort_handle()));
    let tasks = [reader, end].map(AbortOnDropHandle::new);
    Replies { batches, shared, taken: Vec::new(), rest: Vec::new(), router, _tasks: tasks }
}

/// Ends the reading of a stream once the node is about to stop and every call is answered; the replies end with it. A task
/// of its own, because whoever waits for a token takes a lock each time.
async fn see_out(closing: CancellationToken, shared: Arc<Shared>, reader: AbortHandle) {
    closing.cancelled().await;
    loop {
        tokio::time::sleep(LAST_CALLS).await;
        if shared.in_flight.load(Ordering::Acquire) == 0 {
            return reader.abort();
        }
    }
}

struct Reader {
    gateway: Gateway,
    sink: Arc<StreamSink>,
    shared: Arc<Shared>,
}

impl Reader {
    async fn run(self, mut calls: Streaming<InvokeStreamRequest>) {
        let router = &self.gateway.router;
        let mut queues: Vec<Vec<RoutedCall>> = Vec::new();
        queues.resize_with(router.queues(), Vec::new);
        // Calls that the cluster is asked to make later; bounded by the calls in flight.
        let mut later = FuturesUnordered::new();
        loop {
            let request = tokio::select! {
                biased;
                Some(answer) = later.next() => {
                    // As below.
                    let _ = self.sink.batches.try_send(vec![answer]);
                    continue;
                }
                request = calls.message() => request,
            };
            let Ok(Some(request)) = request else { break };
            if !request.cancels.is_empty() {
                router.cancel(request.cancels.iter().map(|id| (self.sink.id, *id)).collect()).await;
            }
            if !self.take(request, &mut queues, &mut later) {
                return;
            }
            for (queue, calls) in queues.iter_mut().enumerate() {
                if !calls.is_empty() {
                    router.send(queue, std::mem::take(calls)).await;
                }
            }
        }
        while let Some(answer) = later.next().await {
            let _ = self.sink.batches.try_send(vec![answer]);
        }
    }

    fn take(
        &self,
        request: InvokeStreamRequest,
        queues: &mut [Vec<RoutedCall>],
        later: &mut FuturesUnordered<BoxFuture<'static, StreamAnswer>>,
    ) -> bool {
        let now = self.gateway.now();
        let catalog = self.gateway.router.catalog();
        let count = request.calls.len();
        let before = self.shared.in_flight.fetch_add(count, Ordering::AcqRel);
        let room = limits::STREAM_IN_FLIGHT_MAX.saturating_sub(before);
        let closing = self.gateway.refuses.load(Ordering::Acquire);
        let mut refused = Vec::new();
        for (at, call) in request.calls.into_iter().enumerate() {
            let stream_id = call.stream_id;
            if at >= room {
                refused.push(refusal(stream_id, too_many()));
                continue;
            }
            if closing {
                refused.push(refusal(stream_id, shutting_down()));
                continue;
            }
            let request = call.call.unwrap_or_default();
            let nameless = request.request_id.is_empty();
            match self.gateway.check(&catalog, request, now) {
                Ok(checked) if let Some(due) = checked.due => {
                    later
                        .push(Box::pin(self.gateway.clone().answer_later(checked, due, stream_id)));
                }
                Ok(Checked { queue, mut routed, json_for, .. }) => {
                    let extras = (nameless || json_for.is_some()).then(|| {
                        let made_id =
                            if nameless { routed.call.request_id.clone() } else { String::new() };
                        Box::new(StreamExtras { json_for, made_id, ..StreamExtras::default() })
                    });
                    let sink = Arc::clone(&self.sink);
                    routed.call.reply_to = ReplyTo::Stream { sink, stream_id, extras };
                    queues[queue].push(routed);
                }
                Err(error) => refused.push(refusal(stream_id, error)),
            }
        }
        // A caller that goes on far beyond its limit without reading loses the stream.
        refused.is_empty() || self.sink.batches.try_send(refused).is_ok()
    }
}

impl Gateway {
    async fn answer_later(self, checked: Checked, due: Millis, stream_id: u64) -> StreamAnswer {
        let made_id = checked.routed.call.request_id.clone();
        let (schedule, outcome) = match self.make_later(checked, due).await {
            Ok((schedule, reply)) => (schedule, Ok(reply)),
            Err(error) => (String::new(), Err(error)),
        };
        let extras = StreamExtras { made_id, schedule, ..StreamExtras::default() };
        StreamAnswer { stream_id, outcome, extras: Some(Box::new(extras)) }
    }
}

fn refusal(stream_id: u64, error: CallError) -> StreamAnswer {
    StreamAnswer { stream_id, outcome: Err(error), extras: None }
}

fn too_many() -> CallError {
    CallError::new(
        ErrorKind::MailboxFull,
        "as many calls are in flight on the stream as one stream may have; this one was not run. \
         Retry it when others have ended",
    )
    .with("limit", limits::STREAM_IN_FLIGHT_MAX)
    .retry_after(20)
}

impl Replies {
    fn message(&mut self) -> InvokeStreamResponse {
        let mut replies = Vec::with_capacity(self.taken.iter().map(Vec::len).sum());
        let mut bytes = 0;
        let rest = std::mem::take(&mut self.rest);
        let mut waiting = rest.into_iter().chain(self.taken.drain(..).flatten());
        for StreamAnswer { stream_id, outcome, extras } in waiting.by_ref() {
            bytes += 64
                + match &outcome {
                    Ok(reply) => reply.payload.data.len(),
                    Err(error) => error.size(),
                };
            let extras = extras.map(|extras| *extras).unwrap_or_default();
            let StreamExtras { made_id, json_for, schedule, .. } = extras;
            let outcome = outcome.and_then(|reply| {
                Ok(InvokeResponse { schedule, ..respond(reply, made_id, json_for.as_deref())? })
            });
            replies.push(StreamReply {
                stream_id,
                outcome: Some(match outcome {
                    Ok(response) => stream_reply::Outcome::Response(response),
                    Err(error) => stream_reply::Outcome::Error(convert::error_to_proto(&error)),
                }),
            });
            if bytes >= MESSAGE_SOFT_BYTES {
                break;
            }
        }
        self.rest = waiting.collect();
        self.shared.in_flight.fetch_sub(replies.len(), Ordering::AcqRel);
        InvokeStreamResponse { replies }
    }
}

impl Stream for Replies {
    type Item = Result<InvokeStreamResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.rest.is_empty() {
            let count = ready!(this.batches.poll_recv_many(cx, &mut this.taken, MESSAGE_BATCHES));
            if count == 0 {
                return Poll::Ready(None);
            }
        }
        Poll::Ready(Some(Ok(this.message())))
    }
}
