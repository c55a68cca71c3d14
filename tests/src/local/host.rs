//! A host that answers what the test tells it to.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use callboard_proto::{
    host::v1::{
        ConnectRequest, ConnectResponse, Credit, Drain, Hello, HostFrame, NodeFrame, Pong,
        Register, Topology, Turn, TurnCall, TurnResult, TurnRun, Welcome, host_frame,
        host_service_client::HostServiceClient, node_frame, turn_result, turn_run,
    },
    types::v1::{
        ActionDefinition, ActorTypeDefinition, CallError as PbError, Durability, Kind, Payload,
    },
};
use callboard_transport::status;
use callboard_types::CallError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, transport::Channel};

use super::caller::json;

/// What a test registers: a type with JSON or opaque payloads.
pub type Definition = ActorTypeDefinition;

/// A type with these actions. A name that ends in `?` is read-only.
#[must_use]
pub fn definition(name: &str, durability: Durability, actions: &[&str]) -> Definition {
    let actions = actions.iter().map(|action| ActionDefinition {
        name: action.trim_end_matches('?').to_owned(),
        read_only: action.ends_with('?'),
        ..ActionDefinition::default()
    });
    ActorTypeDefinition {
        name: name.to_owned(),
        kind: Kind::Unnamed.into(),
        durability: durability.into(),
        actions: actions.collect(),
        ..ActorTypeDefinition::default()
    }
}

/// A session of a host, frame by frame.
#[derive(Debug)]
pub struct ScriptedHost {
    frames: mpsc::Sender<ConnectRequest>,
    incoming: Streaming<ConnectResponse>,
    waiting: VecDeque<NodeFrame>,
    /// What the node said first.
    pub welcome: Welcome,
}

/// A Hello as an SDK says it.
#[must_use]
pub fn hello(credits: u32) -> Hello {
    Hello {
        protocol_major: 1,
        protocol_minor: 0,
        sdk_name: "scripted".to_owned(),
        sdk_version: "1".to_owned(),
        runtime: "test".to_owned(),
        instance_id: uuid::Uuid::now_v7().to_string(),
        labels: std::collections::HashMap::new(),
        credits,
        state_cache_bytes: 0,
    }
}

fn host_frame(frame: host_frame::Frame) -> HostFrame {
    HostFrame { frame: Some(frame) }
}

impl ScriptedHost {
    /// Closes the host's side of the session.
    pub fn finish(&mut self) {
        self.frames = mpsc::channel(1).0;
    }

    /// Connects and says Hello.
    pub async fn connect(channel: Channel, credits: u32) -> Self {
        Self::try_connect(channel, hello(credits)).await.expect("welcome")
    }

    /// Connects with a Hello of the test's own.
    ///
    /// # Errors
    /// Why the node refused it.
    pub async fn try_connect(channel: Channel, hello: Hello) -> Result<Self, CallError> {
        let (frames, outgoing) = mpsc::channel(64);
        let first = ConnectRequest { frames: vec![host_frame(host_frame::Frame::Hello(hello))] };
        frames.send(first).await.expect("there is room");
        let mut client = HostServiceClient::new(channel).max_decoding_message_size(4 * 1024 * 1024);
        let answer = client.connect(ReceiverStream::new(outgoing)).await;
        let incoming = answer.map_err(|refused| status::from_status(&refused))?.into_inner();
        let mut host =
            Self { frames, incoming, waiting: VecDeque::new(), welcome: Welcome::default() };
        match host.next().await {
            Some(node_frame::Frame::Welcome(welcome)) => host.welcome = welcome,
            other => panic!("expected Welcome, got {other:?}"),
        }
        Ok(host)
    }

    /// Sends frames in one message.
    pub async fn send(&self, frames: Vec<host_frame::Frame>) {
        let frames = frames.into_iter().map(host_frame).collect();
        // A session that the node has ended takes nothing more; the test sees that elsewhere.
        let _ = self.frames.send(ConnectRequest { frames }).await;
    }

    /// The next frame but Topology, and pings, which are answered; `None` when the session has ended.
    pub async fn next(&mut self) -> Option<node_frame::Frame> {
        loop {
            match self.next_of_all().await {
                Some(node_frame::Frame::Topology(_)) => {}
                other => return other,
            }
        }
    }

    /// The next Topology; frames before it are skipped.
    pub async fn topology(&mut self) -> Topology {
        loop {
            match self.next_of_all().await {
                Some(node_frame::Frame::Topology(topology)) => return topology,
                Some(_) => {}
                None => panic!("the session has ended without a Topology"),
            }
        }
    }

    async fn next_of_all(&mut self) -> Option<node_frame::Frame> {
        loop {
            while let Some(frame) = self.waiting.pop_front() {
                match frame.frame.expect("the node sends no empty frames") {
                    node_frame::Frame::Ping(ping) => {
                        self.send(vec![host_frame::Frame::Pong(Pong { nonce: ping.nonce })]).await;
                    }
                    frame => return Some(frame),
                }
            }
            let message = self.incoming.message().await.ok().flatten()?;
            self.waiting.extend(message.frames);
        }
    }

    /// The next frame, which must be a run.
    pub async fn run(&mut self) -> TurnRun {
        match self.next().await {
            Some(node_frame::Frame::Run(run)) => run,
            other => panic!("expected a run, got {other:?}"),
        }
    }

    /// The only turn of the next run.
    pub async fn turn(&mut self) -> Turn {
        let mut run = self.run().await;
        assert_eq!(run.turns.len(), 1, "expected a run of one turn: {run:?}");
        run.turns.remove(0)
    }

    /// Registers types.
    ///
    /// # Errors
    /// Why the node refused them.
    pub async fn register(
        &mut self,
        system: &str,
        types: Vec<Definition>,
    ) -> Result<(), CallError> {
        self.register_with(system, types, Vec::new()).await
    }

    /// Registers types with a descriptor set.
    ///
    /// # Errors
    /// Why the node refused them.
    pub async fn register_with(
        &mut self,
        system: &str,
        types: Vec<Definition>,
        descriptor_set: Vec<u8>,
    ) -> Result<(), CallError> {
        let register = Register {
            register_id: 1,
            system: system.to_owned(),
            types,
            descriptor_set: descriptor_set.into(),
        };
        self.send(vec![host_frame::Frame::Register(register)]).await;
        match self.next().await {
            Some(node_frame::Frame::Registered(registered)) => match registered.error {
                None => Ok(()),
                Some(error) => Err(status::from_proto(error)),
            },
            other => panic!("expected Registered, got {other:?}"),
        }
    }

    /// Answers a turn with a reply, and a new state if there is one.
    pub async fn reply(&self, turn: &Turn, reply: &str, state: Option<&str>) {
        self.send(vec![result(turn.turn_id, reply, state)]).await;
    }

    /// Answers a turn with an error of the actor's own.
    pub async fn fail(&self, turn: &Turn, reason: &str) {
        let error = PbError {
            code: 9,
            reason: reason.to_owned(),
            message: "the action said no".to_owned(),
            from_actor: true,
            ..PbError::default()
        };
        let outcome = Some(turn_result::Outcome::Error(error));
        let result =
            TurnResult { turn_id: turn.turn_id, outcome, state: None, tags: None, workflow: None };
        self.send(vec![host_frame::Frame::Result(result)]).await;
    }

    /// Makes a call inside a turn.
    pub async fn call(&self, call: TurnCall) {
        self.send(vec![host_frame::Frame::Call(call)]).await;
    }

    /// Takes this many turns at a time from now on.
    pub async fn credit(&self, turns: u32) {
        self.send(vec![host_frame::Frame::Credit(Credit { turns })]).await;
    }

    /// Asks to leave.
    pub async fn drain(&self) {
        self.send(vec![host_frame::Frame::Drain(Drain { permanent: false })]).await;
    }

    /// Asks to leave for good.
    pub async fn leave(&self) {
        self.send(vec![host_frame::Frame::Drain(Drain { permanent: true })]).await;
    }

    /// Lets a function answer every turn from now on, given the state before it, until the session ends. Returns the
    /// number of turns answered so far, as it grows.
    pub fn answer_all(
        mut self,
        act: impl Fn(&Turn, Option<String>) -> (String, Option<String>) + Send + 'static,
    ) -> Arc<AtomicUsize> {
        let answered = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&answered);
        tokio::spawn(async move {
            while let Some(frame) = self.next().await {
                let node_frame::Frame::Run(run) = frame else {
                    continue;
                };
                let mut state = state_of(&run);
                let mut results = Vec::new();
                for turn in &run.turns {
                    let (reply, next) = act(turn, state.clone());
                    results.push(result(turn.turn_id, &reply, next.as_deref()));
                    state = next.or(state);
                }
                count.fetch_add(results.len(), Ordering::AcqRel);
                self.send(results).await;
            }
        });
        answered
    }
}

/// The state before a run, as text.
#[must_use]
pub fn state_of(run: &TurnRun) -> Option<String> {
    match &run.state {
        Some(turn_run::State::StateFull(state)) => {
            Some(String::from_utf8_lossy(&state.data).into_owned())
        }
        _ => None,
    }
}

/// A result with a reply, and a new state if there is one.
#[must_use]
pub fn result(turn_id: u64, reply: &str, state: Option<&str>) -> host_frame::Frame {
    let payload = if reply.is_empty() { Payload::default() } else { json(reply) };
    host_frame::Frame::Result(TurnResult {
        turn_id,
        outcome: Some(turn_result::Outcome::Reply(payload)),
        state: state.map(json),
        tags: None,
        workflow: None,
    })
}

/// A counter: `add` adds its argument, `total` reads.
#[must_use]
pub fn counter(turn: &Turn, state: Option<String>) -> (String, Option<String>) {
    let total: i64 = state.and_then(|state| state.parse().ok()).unwrap_or(0);
    if turn.action != "add" {
        return (total.to_string(), None);
    }
    let argument = turn.payload.as_ref().map(|payload| payload.data.clone()).unwrap_or_default();
    let amount: i64 = String::from_utf8_lossy(&argument).parse().unwrap_or(0);
    let total = total + amount;
    (total.to_string(), Some(total.to_string()))
}
