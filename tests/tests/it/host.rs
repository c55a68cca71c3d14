//! A host in Rust, as small as the protocol allows: it runs the JSON actor type `Counter`, so that tests of the surfaces
//! need no SDK. It lives in a thread of its own and ends with its value.

use std::thread;

use callboard_proto::{
    host::v1::{
        ConnectRequest, Hello, HostFrame, Pong, Register, TurnResult, TurnRun,
        host_frame::Frame as HostSays, host_service_client::HostServiceClient,
        node_frame::Frame as NodeSays, turn_result::Outcome, turn_run::State,
    },
    types::v1::{ActionDefinition, ActorTypeDefinition, CallError, Payload},
};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;

/// A connected host. Dropping it breaks the session without a farewell, as a crash does.
pub(crate) struct CounterHost {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

// === impl CounterHost ===

impl CounterHost {
    /// Connects to a node and returns once the node has taken the type.
    pub(crate) fn start(server: &str) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (ready, registered) = std::sync::mpsc::sync_channel(1);
        let server = server.to_owned();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime starts").block_on(async {
                tokio::select! {
                    () = session(&server, ready) => panic!("the node ended the session"),
                    _ = stopped => {}
                }
            });
        });
        registered.recv().expect("the node takes the type");
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for CounterHost {
    fn drop(&mut self) {
        // The session may have ended already, with a panic that the join shows.
        let _ = self.stop.take().map(|stop| stop.send(()));
        let ended = self.thread.take().map(thread::JoinHandle::join);
        if !thread::panicking() {
            ended.expect("joined once").expect("the host lives until it is dropped");
        }
    }
}

async fn session(server: &str, ready: std::sync::mpsc::SyncSender<()>) {
    let endpoint = Endpoint::from_shared(format!("http://{server}")).expect("an address");
    let channel = endpoint.tcp_nodelay(true).connect().await.expect("the node is there");
    let (frames, outgoing) = mpsc::channel(64);
    let say = async |frame| {
        let frames_of_one = vec![HostFrame { frame: Some(frame) }];
        let sent = frames.send(ConnectRequest { frames: frames_of_one }).await;
        sent.expect("the stream is open");
    };
    say(HostSays::Hello(hello())).await;
    let mut stream = HostServiceClient::new(channel)
        .connect(ReceiverStream::new(outgoing))
        .await
        .expect("the node opens a session")
        .into_inner();
    while let Some(message) = stream.message().await.expect("the session holds") {
        for frame in message.frames.into_iter().filter_map(|frame| frame.frame) {
            match frame {
                NodeSays::Welcome(_) => say(HostSays::Register(register())).await,
                NodeSays::Registered(answer) => {
                    assert_eq!(answer.error, None, "the node refuses the type");
                    ready.send(()).expect("somebody waits for the host");
                }
                NodeSays::Run(run) => {
                    for result in run_turns(run) {
                        say(HostSays::Result(result)).await;
                    }
                }
                NodeSays::Ping(ping) => say(HostSays::Pong(Pong { nonce: ping.nonce })).await,
                _ => {}
            }
        }
    }
}

fn hello() -> Hello {
    Hello {
        protocol_major: 1,
        sdk_name: "callboard-tests".into(),
        sdk_version: env!("CARGO_PKG_VERSION").into(),
        runtime: "Rust".into(),
        instance_id: uuid::Uuid::now_v7().to_string(),
        credits: 64,
        ..Hello::default()
    }
}

fn register() -> Register {
    let action = |name: &str, read_only| ActionDefinition {
        name: name.into(),
        read_only,
        ..ActionDefinition::default()
    };
    let counter = ActorTypeDefinition {
        name: "Counter".into(),
        actions: vec![action("add", false), action("fail", false), action("total", true)],
        ..ActorTypeDefinition::default()
    };
    Register { register_id: 1, types: vec![counter], ..Register::default() }
}

/// Runs a run: each turn on the state that the one before left.
fn run_turns(run: TurnRun) -> Vec<TurnResult> {
    let mut total = match run.state {
        Some(State::StateFull(state)) => json_of(&state)["total"].as_i64().unwrap_or(0),
        _ => 0,
    };
    let mut results = Vec::new();
    for turn in run.turns {
        let argument = turn.payload.as_ref().map_or(Value::Null, json_of);
        let mut result = TurnResult { turn_id: turn.turn_id, ..TurnResult::default() };
        if turn.action == "fail" {
            result.outcome = Some(Outcome::Error(CallError {
                code: 9,
                reason: "OUT_OF_LUCK".into(),
                message: "the actor does not want to".into(),
                from_actor: true,
                ..CallError::default()
            }));
        } else {
            if turn.action == "add" {
                total += argument["amount"].as_i64().unwrap_or(1);
                result.state = Some(payload(&json!({ "total": total })));
            }
            result.outcome = Some(Outcome::Reply(payload(&json!({ "total": total }))));
        }
        results.push(result);
    }
    results
}

fn json_of(payload: &Payload) -> Value {
    serde_json::from_slice(&payload.data).unwrap_or(Value::Null)
}

fn payload(value: &Value) -> Payload {
    Payload {
        content_type: "application/json".into(),
        type_url: String::new(),
        data: value.to_string().into_bytes().into(),
    }
}
