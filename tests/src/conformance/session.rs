//! The server's end of one host session, as scenarios hold it.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use callboard_proto::{
    host::v1::{
        ConnectRequest, ConnectResponse, Hello, Limits, NodeFrame, Ping, Register, Registered,
        Turn, TurnCall, TurnResult, TurnRun, Welcome, host_frame, node_frame, turn_result,
        turn_run,
    },
    types::v1::{ActorId, CallError, NodeAddress},
};
use serde_json::Value;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tonic::{Status, Streaming};

use super::{
    check::{Check, Failure, ensure, json, read_json, same},
    server::Outgoing,
};

/// How long a frame may take to come.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// The epoch of all runs.
pub const EPOCH: u64 = 7;
const READ_ONLY: [&str; 4] = ["read", "mutate_read", "tags", "tell_read"];

/// How the host's half of the stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was closed properly.
    HalfClosed,
    /// The connection broke or the stream was reset.
    Broken,
}

/// One host session.
#[derive(Debug)]
pub struct Session {
    /// Counts the sessions of one fake server from 0.
    pub number: usize,
    inbound: Streaming<ConnectRequest>,
    outbound: Option<mpsc::Sender<Result<Outgoing, Status>>>,
    waiting: VecDeque<host_frame::Frame>,
    /// How many stream messages have come.
    pub messages: usize,
    end: Option<End>,
    next_ping: u64,
}

impl Session {
    pub(super) fn new(
        number: usize,
        inbound: Streaming<ConnectRequest>,
        outbound: mpsc::Sender<Result<Outgoing, Status>>,
    ) -> Self {
        Session {
            number,
            inbound,
            outbound: Some(outbound),
            waiting: VecDeque::new(),
            messages: 0,
            end: None,
            next_ping: 1,
        }
    }

    /// Takes the first frame that `pick` answers for; others stay for later, in order.
    ///
    /// # Errors
    /// If none comes in time, naming what came instead.
    pub async fn take<T>(
        &mut self,
        what: &str,
        mut pick: impl FnMut(&host_frame::Frame) -> Option<T>,
    ) -> Result<T, Failure> {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = 0;
        loop {
            while seen < self.waiting.len() {
                if let Some(found) = pick(&self.waiting[seen]) {
                    self.waiting.remove(seen);
                    return Ok(found);
                }
                seen += 1;
            }
            if !self.receive(deadline).await? {
                let end = self.end.map_or("it did not come in time".to_owned(), |end| {
                    format!("the stream ended ({end:?})")
                });
                return Err(Failure(format!("{what}: {end}; waiting are {:?}", self.waiting)));
            }
        }
    }

    /// Reads one message. False if the stream ended or the deadline passed.
    async fn receive(&mut self, deadline: Instant) -> Result<bool, Failure> {
        if self.end.is_some() {
            return Ok(false);
        }
        let Ok(message) = timeout_at(deadline, self.inbound.message()).await else {
            return Ok(false);
        };
        match message {
            Ok(Some(message)) => {
                self.messages += 1;
                for frame in message.frames {
                    let frame = frame.frame.ok_or_else(|| {
                        Failure("the host sent a frame that is none of the protocol's".to_owned())
                    })?;
                    self.waiting.push_back(frame);
                }
                Ok(true)
            }
            Ok(None) => {
                self.end = Some(End::HalfClosed);
                Ok(false)
            }
            Err(_) => {
                self.end = Some(End::Broken);
                Ok(false)
            }
        }
    }

    /// Waits until the host ends its half.
    ///
    /// # Errors
    /// If it does not in time.
    pub async fn ended(&mut self) -> Result<End, Failure> {
        let deadline = Instant::now() + PATIENCE;
        while self.receive(deadline).await? {}
        self.end.ok_or_else(|| Failure("the host did not end its session in time".to_owned()))
    }

    /// Sends frames in one message. Sending to a host that is gone is not a failure: what follows will be.
    pub async fn send(&self, frames: impl IntoIterator<Item = node_frame::Frame>) {
        let frames = frames.into_iter().map(|frame| NodeFrame { frame: Some(frame) }).collect();
        self.send_message(Ok(Outgoing::Frames(ConnectResponse { frames }))).await;
    }

    /// Sends a message as it is, or ends the stream with a status.
    pub async fn send_message(&self, message: Result<Outgoing, Status>) {
        if let Some(outbound) = &self.outbound {
            // The receiver is gone when the host has closed the connection.
            let _ = outbound.send(message).await;
        }
    }

    /// Ends the server's half properly.
    pub fn half_close(&mut self) {
        self.outbound = None;
    }

    /// The first frame, which must be Hello.
    ///
    /// # Errors
    /// If it is another frame or none comes.
    pub async fn hello(&mut self) -> Result<Hello, Failure> {
        match self.take("the first frame", |frame| Some(frame.clone())).await? {
            host_frame::Frame::Hello(hello) => Ok(hello),
            other => Err(Failure(format!("the first frame is not Hello but {other:?}"))),
        }
    }

    /// Sends Welcome as node 1, which names no nodes.
    pub async fn welcome(&self) {
        self.welcome_as(1, Vec::new()).await;
    }

    /// Sends Welcome as this node of a cluster with these nodes.
    pub async fn welcome_as(&self, node_id: u64, nodes: Vec<NodeAddress>) {
        let welcome = Welcome {
            session_id: 100 + self.number as u64,
            node_id,
            protocol_major: 1,
            protocol_minor: 0,
            server_version: "0.0.0-conformance".to_owned(),
            nodes,
            limits: Some(Limits {
                message_bytes_max: 8 << 20,
                payload_bytes_max: 1 << 20,
                state_bytes_max: 4 << 20,
                run_turns_max: 64,
            }),
        };
        self.send([node_frame::Frame::Welcome(welcome)]).await;
    }

    /// Waits for Register.
    ///
    /// # Errors
    /// If it does not come.
    pub async fn register(&mut self) -> Result<Register, Failure> {
        self.take("Register", |frame| match frame {
            host_frame::Frame::Register(register) => Some(register.clone()),
            _ => None,
        })
        .await
    }

    /// Answers a Register.
    pub async fn registered(&self, register_id: u64, error: Option<CallError>) {
        let answer = Registered { register_id, error, view_version: 3 };
        self.send([node_frame::Frame::Registered(answer)]).await;
    }

    /// The whole handshake: afterwards the host takes turns.
    ///
    /// # Errors
    /// If any part of it does not come.
    pub async fn handshake(&mut self) -> Result<(Hello, Register), Failure> {
        self.handshake_as(1, Vec::new()).await
    }

    /// The whole handshake as this node of a cluster with these nodes.
    ///
    /// # Errors
    /// If any part of it does not come.
    pub async fn handshake_as(
        &mut self,
        node_id: u64,
        nodes: Vec<NodeAddress>,
    ) -> Result<(Hello, Register), Failure> {
        let hello = self.hello().await?;
        self.welcome_as(node_id, nodes).await;
        let register = self.register().await?;
        self.registered(register.register_id, None).await;
        Ok((hello, register))
    }

    /// Sends one run.
    pub async fn run(&self, run: TurnRun) {
        self.send([node_frame::Frame::Run(run)]).await;
    }

    /// The next result of the turn.
    ///
    /// # Errors
    /// If it does not come.
    pub async fn result(&mut self, turn_id: u64) -> Result<TurnResult, Failure> {
        self.take(&format!("the result of turn {turn_id}"), |frame| match frame {
            host_frame::Frame::Result(result) if result.turn_id == turn_id => Some(result.clone()),
            _ => None,
        })
        .await
    }

    /// The next result of any turn.
    ///
    /// # Errors
    /// If none comes.
    pub async fn any_result(&mut self) -> Result<TurnResult, Failure> {
        self.take("a result", |frame| match frame {
            host_frame::Frame::Result(result) => Some(result.clone()),
            _ => None,
        })
        .await
    }

    /// The next in-turn call.
    ///
    /// # Errors
    /// If none comes.
    pub async fn call(&mut self) -> Result<TurnCall, Failure> {
        self.take("an in-turn call", |frame| match frame {
            host_frame::Frame::Call(call) => Some(call.clone()),
            _ => None,
        })
        .await
    }

    /// Sends a Ping and waits for its Pong. Everything that the host sent before is then here.
    ///
    /// # Errors
    /// If no Pong with the same nonce comes.
    pub async fn ping(&mut self) -> Check {
        let nonce = self.next_ping;
        self.next_ping += 1;
        self.send([node_frame::Frame::Ping(Ping { nonce })]).await;
        self.take(&format!("the Pong for {nonce}"), |frame| match frame {
            host_frame::Frame::Pong(pong) if pong.nonce == nonce => Some(()),
            _ => None,
        })
        .await
    }

    /// Whether a result of the turn has come already.
    pub fn has_result(&self, turn_id: u64) -> bool {
        self.waiting.iter().any(
            |frame| matches!(frame, host_frame::Frame::Result(result) if result.turn_id == turn_id),
        )
    }

    /// The number of frames that nobody took, Credit aside, which a host may send at any time.
    pub fn left_over(&self) -> Vec<&host_frame::Frame> {
        self.waiting.iter().filter(|f| !matches!(f, host_frame::Frame::Credit(_))).collect()
    }

    /// Runs one turn and answers its result.
    ///
    /// # Errors
    /// If no result comes.
    pub async fn play(
        &mut self,
        key: &str,
        state: Option<&Value>,
        turn: Turn,
    ) -> Result<TurnResult, Failure> {
        let turn_id = turn.turn_id;
        self.run(run(key, state, [turn])).await;
        self.result(turn_id).await
    }

    /// Shows that the host still works: an `add` of 1 to 41 answers 42.
    ///
    /// # Errors
    /// If it does not.
    pub async fn works(&mut self, turn_id: u64) -> Check {
        let state = serde_json::json!({"total": 41});
        let add = turn(turn_id, "add", &serde_json::json!({"amount": 1}));
        let result = self.play(&format!("works-{turn_id}"), Some(&state), add).await?;
        same("the total", reply(&result)?, serde_json::json!({"total": 42}))
    }
}

/// The conformance actor with this key.
pub fn actor(key: &str) -> ActorId {
    ActorId { system: "default".to_owned(), r#type: "Conformance".to_owned(), key: key.to_owned() }
}

/// A run of turns of the conformance actor with this key.
pub fn run(key: &str, state: Option<&Value>, turns: impl IntoIterator<Item = Turn>) -> TurnRun {
    TurnRun {
        actor: Some(actor(key)),
        activation_id: 1,
        epoch: EPOCH,
        state: state.map(|state| turn_run::State::StateFull(json(state))),
        tags: BTreeMap::new().into_iter().collect(),
        turns: turns.into_iter().collect(),
    }
}

/// A turn with a JSON argument.
pub fn turn(turn_id: u64, action: &str, argument: &Value) -> Turn {
    Turn {
        turn_id,
        action: action.to_owned(),
        payload: Some(json(argument)),
        request_id: format!("request-{turn_id}"),
        created_at_ms: 1_700_000_000_000,
        attempt: 1,
        timeout_ms: 30_000,
        caller: None,
        metadata: BTreeMap::new().into_iter().collect(),
        chain: Vec::new(),
        revision: turn_id,
        read_only: READ_ONLY.contains(&action),
    }
}

/// The reply of a turn that went well, as JSON.
///
/// # Errors
/// If the turn has another outcome.
pub fn reply(result: &TurnResult) -> Result<Value, Failure> {
    let what = format!("the reply of turn {}", result.turn_id);
    match &result.outcome {
        Some(turn_result::Outcome::Reply(payload)) => read_json(&what, Some(payload)),
        other => Err(Failure(format!("{what}: the outcome is {other:?}"))),
    }
}

/// The error of a turn that failed. A failed turn carries neither state nor tags.
///
/// # Errors
/// If the turn has another outcome.
pub fn error(result: &TurnResult) -> Result<&CallError, Failure> {
    let what = format!("turn {}", result.turn_id);
    match &result.outcome {
        Some(turn_result::Outcome::Error(error)) => {
            ensure(result.state.is_none(), format!("{what} failed but carries a state"))?;
            ensure(result.tags.is_none(), format!("{what} failed but carries tags"))?;
            Ok(error)
        }
        other => Err(Failure(format!("{what} should have failed; its outcome is {other:?}"))),
    }
}

/// True if the turn was answered with Cancelled.
pub fn is_cancelled(result: &TurnResult) -> bool {
    matches!(result.outcome, Some(turn_result::Outcome::Cancelled(_)))
}

/// The state in a result, as JSON; `None` if it is unset.
///
/// # Errors
/// If it is set and not JSON.
pub fn state(result: &TurnResult) -> Result<Option<Value>, Failure> {
    let what = format!("the state of turn {}", result.turn_id);
    result.state.as_ref().map(|state| read_json(&what, Some(state))).transpose()
}
