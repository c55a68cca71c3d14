//! The ledger host: a process that runs ledgers, and connects again and again while it lives.

use std::time::Duration;

use callboard_proto::{
    host::v1::{
        ConnectRequest, ConnectResponse, Hello, HostFrame, Pong, Register, Turn, TurnResult,
        TurnRun, host_frame::Frame, host_service_client::HostServiceClient, node_frame,
        turn_result::Outcome, turn_run::State,
    },
    types::v1::{ActionDefinition, ActorTypeDefinition, CallError, Durability, Kind, Payload},
};
use rand::Rng;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, transport::Endpoint};

use super::{Error, ledger};

/// Turns that the host takes at a time.
const CREDITS: u32 = 256;

/// Messages that may wait to be sent.
const OUTBOX_MESSAGES: usize = 64;

/// So short that ledgers are put away and woken again all the time.
const IDLE_TIMEOUT_MS: u64 = 200;

/// Runs ledgers for whichever node listens at the address, until the process ends. Ledgers of the given durability:
/// anything but durable is for showing that the crash test notices.
pub async fn run(server: &str, durability: Durability) -> Result<(), Error> {
    let endpoint = Endpoint::from_shared(format!("http://{server}"))
        .map_err(|error| Error::failed(format!("{server}: {error}")))?
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(2))
        .keep_alive_timeout(Duration::from_secs(2));
    loop {
        if let Some(mut session) = Session::open(&endpoint).await {
            session.run(durability).await;
        }
        // The node is down or going down; clients wait for it as long as for this host.
        let pause = rand::rng().random_range(10..60);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

struct Session {
    outbox: mpsc::Sender<ConnectRequest>,
    inbox: Streaming<ConnectResponse>,
}

impl Session {
    async fn open(endpoint: &Endpoint) -> Option<Self> {
        let channel = endpoint.connect().await.ok()?;
        let (outbox, requests) = mpsc::channel(OUTBOX_MESSAGES);
        let hello = Frame::Hello(Hello {
            protocol_major: 1,
            sdk_name: "callboard-crash".into(),
            sdk_version: env!("CARGO_PKG_VERSION").into(),
            runtime: "Rust".into(),
            instance_id: uuid::Uuid::now_v7().to_string(),
            credits: CREDITS,
            ..Hello::default()
        });
        outbox.send(request(vec![hello])).await.ok()?;
        let inbox = HostServiceClient::new(channel)
            .connect(ReceiverStream::new(requests))
            .await
            .ok()?
            .into_inner();
        Some(Self { outbox, inbox })
    }

    /// Answers the node until the session breaks.
    async fn run(&mut self, durability: Durability) {
        while let Ok(Some(message)) = self.inbox.message().await {
            let mut answers = Vec::new();
            for frame in message.frames {
                match frame.frame {
                    Some(node_frame::Frame::Welcome(_)) => {
                        answers.push(Frame::Register(register(durability)));
                    }
                    Some(node_frame::Frame::Run(run)) => {
                        answers.extend(run_turns(run).into_iter().map(Frame::Result));
                    }
                    Some(node_frame::Frame::Ping(ping)) => {
                        answers.push(Frame::Pong(Pong { nonce: ping.nonce }));
                    }
                    _ => {}
                }
            }
            if !answers.is_empty() && self.outbox.send(request(answers)).await.is_err() {
                return;
            }
        }
    }
}

fn request(frames: Vec<Frame>) -> ConnectRequest {
    let frames = frames.into_iter().map(|frame| HostFrame { frame: Some(frame) });
    ConnectRequest { frames: frames.collect() }
}

fn register(durability: Durability) -> Register {
    let action = |name: &str, read_only| ActionDefinition {
        name: name.into(),
        read_only,
        ..ActionDefinition::default()
    };
    Register {
        register_id: 1,
        types: vec![ActorTypeDefinition {
            name: ledger::TYPE.into(),
            kind: Kind::Unnamed as i32,
            durability: durability as i32,
            actions: vec![action(ledger::ADD, false), action(ledger::READ, true)],
            idle_timeout_ms: IDLE_TIMEOUT_MS,
            ..ActorTypeDefinition::default()
        }],
        ..Register::default()
    }
}

/// Runs turns in order, each on the state that the previous one left.
fn run_turns(run: TurnRun) -> Vec<TurnResult> {
    let mut state = match run.state {
        Some(State::StateFull(state)) => state,
        // The host keeps no state, so the node never names one.
        Some(State::StateToken(_)) | None => Payload::default(),
    };
    let turns = run.turns.into_iter();
    turns.map(|turn| run_turn(&turn, &mut state)).collect()
}

fn run_turn(turn: &Turn, state: &mut Payload) -> TurnResult {
    let mut result = TurnResult { turn_id: turn.turn_id, ..TurnResult::default() };
    let argument = turn.payload.as_ref().and_then(|payload| ledger::decode_entry(&payload.data));
    let outcome = match (turn.action.as_str(), argument) {
        (ledger::ADD, Some(entry)) => {
            *state = payload(ledger::append(&state.data, entry));
            result.state = Some(state.clone());
            Outcome::Reply(payload(ledger::encode_receipt(ledger::receipt(&state.data))))
        }
        (ledger::READ, _) => {
            Outcome::Reply(payload(ledger::encode_receipt(ledger::receipt(&state.data))))
        }
        (action, _) => Outcome::Error(CallError {
            code: 3,
            reason: "INVALID_ARGUMENT_PAYLOAD".into(),
            message: format!("A ledger cannot run {action:?} with this argument."),
            ..CallError::default()
        }),
    };
    result.outcome = Some(outcome);
    result
}

/// Bytes as a payload of ledgers.
pub(crate) fn payload(data: bytes::Bytes) -> Payload {
    Payload { content_type: ledger::CONTENT_TYPE.into(), type_url: String::new(), data }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Entry, Receipt};

    #[test]
    fn turns_of_a_run_build_on_each_other_and_a_doubled_turn_shows() {
        let add = |turn_id, add| Turn {
            turn_id,
            action: ledger::ADD.into(),
            payload: Some(payload(ledger::encode_entry(Entry { add, amount: 5 }))),
            ..Turn::default()
        };
        let results =
            run_turns(TurnRun { turns: vec![add(1, 10), add(2, 10)], ..TurnRun::default() });
        let receipts: Vec<_> = results
            .iter()
            .map(|result| match &result.outcome {
                Some(Outcome::Reply(reply)) => ledger::decode_receipt(&reply.data),
                other => panic!("not a reply: {other:?}"),
            })
            .collect();
        let receipt = |count, total| Some(Receipt { count, total });
        assert_eq!(receipts, [receipt(1, 5), receipt(2, 10)]);
    }
}
