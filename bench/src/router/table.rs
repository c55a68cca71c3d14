//! The router's one table: which turn belongs to which call. One task owns it and takes its inputs in batches, so
//! that whatever arrived together leaves together.

use std::{collections::HashMap, sync::Arc};

use callboard_proto::{
    gateway::v1::{InvokeStreamResponse, StreamCall, StreamReply, invoke_request, stream_reply},
    host::v1::{
        ConnectResponse, HostFrame, NodeFrame, Registered, Turn, TurnResult, TurnRun, Welcome,
        host_frame, node_frame, turn_result,
    },
    types::v1::CallError,
};
use tokio::sync::mpsc;
use tonic::Status;

use crate::router::{Input, Replies, reply_frame, response};

/// Inputs that are taken together.
const BATCH_INPUTS: usize = 256;

/// A call whose turn is at the host.
struct Pending {
    replies: Arc<Replies>,
    stream_id: u64,
    request_id: String,
}

#[derive(Default)]
struct Table {
    host: Option<mpsc::Sender<Result<ConnectResponse, Status>>>,
    /// A turn's id is its place here.
    turns: Vec<Option<Pending>>,
    free: Vec<usize>,
    to_host: Vec<NodeFrame>,
    to_callers: HashMap<usize, (Arc<Replies>, Vec<StreamReply>)>,
}

/// Runs the table until every connection is gone.
pub(crate) async fn run(mut inputs: mpsc::Receiver<Input>) {
    let mut table = Table::default();
    let mut batch = Vec::with_capacity(BATCH_INPUTS);
    while inputs.recv_many(&mut batch, BATCH_INPUTS).await > 0 {
        for input in batch.drain(..) {
            table.take(input);
        }
        table.flush().await;
    }
}

impl Table {
    fn take(&mut self, input: Input) {
        match input {
            Input::Host(frames) => self.host = Some(frames),
            Input::Frames(message) => {
                for frame in message.frames {
                    self.take_frame(frame);
                }
            }
            Input::Calls(replies, calls) => {
                for call in calls {
                    self.take_call(&replies, call);
                }
            }
        }
    }

    fn take_call(&mut self, replies: &Arc<Replies>, call: StreamCall) {
        let stream_id = call.stream_id;
        let Some(call) = call.call.filter(|_| self.host.is_some()) else {
            let error = stream_reply::Outcome::Error(CallError {
                code: tonic::Code::Unavailable as i32,
                reason: "NO_HOST".into(),
                message: "No host is connected.".into(),
                ..Default::default()
            });
            self.reply(replies, reply_frame(stream_id, error));
            return;
        };
        let pending = Pending {
            replies: Arc::clone(replies),
            stream_id,
            request_id: call.request_id.clone(),
        };
        let turn_id = match self.free.pop() {
            Some(place) => place,
            None => {
                self.turns.push(None);
                self.turns.len() - 1
            }
        };
        self.turns[turn_id] = Some(pending);
        let payload = match call.argument {
            Some(invoke_request::Argument::Payload(payload)) => Some(payload),
            _ => None,
        };
        let turn = Turn {
            turn_id: turn_id as u64,
            action: call.action,
            payload,
            request_id: call.request_id,
            created_at_ms: call.created_at_ms,
            attempt: 1,
            ..Default::default()
        };
        self.to_host.push(frame(node_frame::Frame::Run(TurnRun {
            actor: call.actor,
            turns: vec![turn],
            ..Default::default()
        })));
    }

    fn take_frame(&mut self, host_frame: HostFrame) {
        match host_frame.frame {
            Some(host_frame::Frame::Hello(_)) => {
                let welcome =
                    node_frame::Frame::Welcome(Welcome { protocol_major: 1, ..Default::default() });
                self.to_host.push(frame(welcome));
            }
            Some(host_frame::Frame::Register(register)) => {
                let registered = node_frame::Frame::Registered(Registered {
                    register_id: register.register_id,
                    ..Default::default()
                });
                self.to_host.push(frame(registered));
            }
            Some(host_frame::Frame::Result(result)) => self.take_result(result),
            _ => {}
        }
    }

    fn take_result(&mut self, result: TurnResult) {
        let place = result.turn_id as usize;
        let Some(pending) = self.turns.get_mut(place).and_then(Option::take) else {
            return;
        };
        self.free.push(place);
        let outcome = match result.outcome {
            Some(turn_result::Outcome::Reply(reply)) => response(reply, pending.request_id),
            Some(turn_result::Outcome::Error(error)) => stream_reply::Outcome::Error(error),
            Some(turn_result::Outcome::Cancelled(_)) | None => return,
        };
        self.reply(&pending.replies, reply_frame(pending.stream_id, outcome));
    }

    fn reply(&mut self, replies: &Arc<Replies>, reply: StreamReply) {
        self.to_callers
            .entry(Arc::as_ptr(replies) as usize)
            .or_insert_with(|| (Arc::clone(replies), Vec::new()))
            .1
            .push(reply);
    }

    /// Sends what has come together. A peer that is gone takes its frames with it.
    async fn flush(&mut self) {
        if let Some(host) = self.host.as_ref().filter(|_| !self.to_host.is_empty()) {
            let frames = std::mem::take(&mut self.to_host);
            let _ = host.send(Ok(ConnectResponse { frames })).await;
        }
        for (_, (replies, batch)) in self.to_callers.drain() {
            let _ = replies.send(Ok(InvokeStreamResponse { replies: batch })).await;
        }
    }
}

fn frame(frame: node_frame::Frame) -> NodeFrame {
    NodeFrame { frame: Some(frame) }
}
