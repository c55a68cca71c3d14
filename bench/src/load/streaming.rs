//! Callers over `InvokeStream`, as SDK clients call: everything that is ready goes into one message.

use std::time::{Duration, Instant};

use callboard_proto::gateway::v1::{
    InvokeStreamRequest, InvokeStreamResponse, StreamCall, StreamReply, stream_reply::Outcome,
};
use futures::FutureExt;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Streaming, transport::Channel};

use crate::{
    cli::LoadArgs,
    error::Error,
    load::{DRAIN, Shared, calls::Calls, gateway, mark_time},
    measure, payload,
};

/// Messages that may wait to be sent. Each holds at most all calls in flight.
const OUTBOX_MESSAGES: usize = 16;

/// Messages that are taken together before their calls are replaced.
const INBOX_MESSAGES_MAX: usize = 64;

/// How often a paced load looks at the clock.
const PACE_TICK: Duration = Duration::from_millis(1);

/// Runs the streams that the arguments describe, each with its share of the calls in flight.
pub(crate) async fn run(args: &LoadArgs, channel: &Channel, shared: &Shared) -> Result<(), Error> {
    let stop = CancellationToken::new();
    let mut streams = JoinSet::new();
    let count = args.streams.clamp(1, args.concurrency.max(1));
    for index in 0..count {
        let mut share = args.clone();
        share.seed = args.seed.wrapping_mul(1_000_003) + index as u64;
        share.concurrency =
            args.concurrency / count + usize::from(index < args.concurrency % count);
        share.calls = args
            .calls
            .map(|calls| calls / count as u64 + u64::from((index as u64) < calls % count as u64));
        share.rate = args.rate.map(|rate| rate / count as u64);
        let (channel, shared, stop) = (channel.clone(), shared.clone(), stop.clone());
        streams.spawn(async move {
            let outcome = Caller::open(&share, &channel, shared.clone()).await;
            let outcome = match outcome {
                Ok(caller) => caller.run(stop).await,
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                shared.recorder().failure(error);
            }
        });
    }
    mark_time(args, shared, join(&mut streams)).await?;
    stop.cancel();
    if tokio::time::timeout(DRAIN, join(&mut streams)).await.is_err() {
        shared.recorder().failure("calls were still unanswered at the end");
    }
    Ok(())
}

/// Waits until every stream has ended.
async fn join(streams: &mut JoinSet<()>) {
    while streams.join_next().await.is_some() {}
}

/// One stream and the calls in flight on it. A call's stream id is its slot.
struct Caller {
    calls: Calls,
    shared: Shared,
    outbox: mpsc::Sender<InvokeStreamRequest>,
    inbox: Streaming<InvokeStreamResponse>,
    started: Vec<Option<Instant>>,
    free: Vec<usize>,
    rate: Option<u64>,
    /// True once there is nothing more to call.
    exhausted: bool,
}

impl Caller {
    async fn open(args: &LoadArgs, channel: &Channel, shared: Shared) -> Result<Self, Error> {
        let (outbox, requests) = mpsc::channel(OUTBOX_MESSAGES);
        let inbox =
            gateway(channel).invoke_stream(ReceiverStream::new(requests)).await?.into_inner();
        Ok(Self {
            calls: Calls::new(args),
            shared,
            outbox,
            inbox,
            started: vec![None; args.concurrency],
            free: (0..args.concurrency).collect(),
            rate: args.rate,
            exhausted: false,
        })
    }

    async fn run(mut self, stop: CancellationToken) -> Result<(), Error> {
        match self.rate {
            None => self.run_closed(&stop).await?,
            Some(rate) => self.run_paced(&stop, rate).await?,
        }
        while self.in_flight() > 0 {
            self.take_replies().await?;
        }
        Ok(())
    }

    /// Every reply starts the next call.
    async fn run_closed(&mut self, stop: &CancellationToken) -> Result<(), Error> {
        while !stop.is_cancelled() {
            let due = std::iter::repeat_n(measure::now(), self.free.len());
            self.send(due).await?;
            if self.in_flight() == 0 {
                break;
            }
            self.take_replies().await?;
        }
        Ok(())
    }

    /// Calls start on schedule. A call that finds no free slot waits, and its wait counts.
    async fn run_paced(&mut self, stop: &CancellationToken, rate: u64) -> Result<(), Error> {
        let begin = measure::now();
        let mut tick = tokio::time::interval(PACE_TICK);
        let mut sent = 0_u64;
        while !stop.is_cancelled() && !self.exhausted {
            tokio::select! {
                _ = tick.tick() => {
                    let due_until = (begin.elapsed().as_secs_f64() * rate as f64) as u64;
                    let count = due_until.saturating_sub(sent).min(self.free.len() as u64);
                    let due = (sent..sent + count)
                        .map(|call| begin + Duration::from_secs_f64(call as f64 / rate as f64));
                    sent += count;
                    self.send(due).await?;
                }
                message = self.inbox.message() => {
                    self.take_message(message?)?;
                }
            }
        }
        Ok(())
    }

    fn in_flight(&self) -> usize {
        self.started.len() - self.free.len()
    }

    /// Sends one call for each time at which one was due, in one message.
    async fn send(&mut self, due: impl Iterator<Item = Instant>) -> Result<(), Error> {
        let now_ms = payload::now_ms();
        let mut message = InvokeStreamRequest::default();
        for started in due {
            let Some(call) = self.calls.next(now_ms) else {
                self.exhausted = true;
                break;
            };
            let slot = self.free.pop().expect("the caller asks for no more than are free");
            self.started[slot] = Some(started);
            message.calls.push(StreamCall { stream_id: slot as u64, call: Some(call) });
        }
        if message.calls.is_empty() {
            return Ok(());
        }
        self.outbox
            .send(message)
            .await
            .map_err(|_| Error::failed("the stream was closed under the calls in flight"))
    }

    /// Waits for a message and takes every other one that has arrived with it.
    async fn take_replies(&mut self) -> Result<(), Error> {
        let mut message = self.inbox.message().await?;
        for _ in 0..INBOX_MESSAGES_MAX {
            self.take_message(message)?;
            match self.inbox.message().now_or_never() {
                Some(next) => message = next?,
                None => return Ok(()),
            }
        }
        self.take_message(message)
    }

    fn take_message(&mut self, message: Option<InvokeStreamResponse>) -> Result<(), Error> {
        let message = message.ok_or_else(|| Error::failed("the server ended the stream"))?;
        let now = measure::now();
        for reply in message.replies {
            self.take_reply(reply, now)?;
        }
        Ok(())
    }

    fn take_reply(&mut self, reply: StreamReply, now: Instant) -> Result<(), Error> {
        let slot = reply.stream_id as usize;
        let started = self
            .started
            .get_mut(slot)
            .and_then(Option::take)
            .ok_or_else(|| Error::failed("a reply names a call that is not in flight"))?;
        self.free.push(slot);
        let mut recorder = self.shared.recorder();
        match reply.outcome {
            Some(Outcome::Response(_)) => recorder.success(started, now),
            Some(Outcome::Error(error)) => {
                recorder.failure(format_args!("{}: {}", error.reason, error.message));
            }
            None => recorder.failure("a reply has no outcome"),
        }
        Ok(())
    }
}
