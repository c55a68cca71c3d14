//! The host in Rust: runs the chaos actors for every node that it is given, and connects again and again while it lives.

use std::{collections::HashSet, time::Duration};

use callboard_proto::{
    host::v1::{
        ConnectRequest, Drain, Hello, HostFrame, Pong, Register, Turn, TurnResult, TurnRun,
        host_frame::Frame, host_service_client::HostServiceClient, node_frame,
        turn_result::Outcome, turn_run::State,
    },
    types::v1::{
        ActionDefinition, ActorId, ActorTypeDefinition, CallError, Durability, Kind, NodeAddress,
        Payload,
    },
};
use rand::Rng;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;

use super::{
    Error,
    actors::{self, COUNTER, LEDGER, LedgerState, REGISTER, TALLY},
    talk::{self, ALARM, HEARER, TELLER},
};

/// Turns that a session takes at a time.
const CREDITS: u32 = 256;

/// Messages that may wait to be sent.
const OUTBOX_MESSAGES: usize = 64;

/// So short that actors are put away and woken again all the time. The other hosts say the same.
pub const IDLE_MS: u64 = 2_000;

/// How often tallies are saved.
pub const SAVE_MS: u64 = 1_000;

/// Lives are drawn below this number, which every language can hold.
const LIVES: u64 = 1 << 52;

/// How long the host may take to leave.
const LEAVE_MAX: Duration = Duration::from_secs(25);

/// How long a node may take to close its side of a session.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// Runs the chaos actors for the nodes at these addresses, until SIGTERM.
///
/// # Errors
/// If an address is none.
pub async fn run(servers: &str) -> Result<(), Error> {
    let (leaving, leave) = watch::channel(false);
    let (found, mut nodes) = mpsc::channel(OUTBOX_MESSAGES);
    let mut sessions = tokio::task::JoinSet::new();
    let instance = uuid::Uuid::now_v7().to_string();
    let mut served = HashSet::new();
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .map_err(Error::io("waiting for SIGTERM"))?;
    let mut new: Vec<String> = servers.split(',').map(str::to_owned).collect();
    loop {
        for server in new.drain(..).filter(|server| served.insert(server.clone())) {
            let endpoint = Endpoint::from_shared(format!("http://{server}"))
                .map_err(|error| Error::failed(format!("{server}: {error}")))?
                .tcp_nodelay(true)
                .connect_timeout(Duration::from_secs(1))
                .http2_keep_alive_interval(Duration::from_secs(2))
                .keep_alive_while_idle(true)
                .keep_alive_timeout(Duration::from_secs(2));
            let host = Host { instance: instance.clone(), found: found.clone() };
            sessions.spawn(keep_session(endpoint, host, leave.clone()));
        }
        tokio::select! {
            _ = terminated.recv() => break,
            node = nodes.recv() => new.extend(node),
        }
    }
    // All sessions hear it; one that has ended already needs not.
    let _ = leaving.send(true);
    let all = async { while sessions.join_next().await.is_some() {} };
    // A node that never answers keeps nobody from leaving.
    let _ = tokio::time::timeout(LEAVE_MAX, all).await;
    Ok(())
}

/// What all sessions of the host share.
struct Host {
    instance: String,
    /// Where addresses of nodes go that a node names.
    found: mpsc::Sender<String>,
}

impl Host {
    /// Nodes of the cluster. One that finds no room here is named again.
    fn serve_also(&self, nodes: Vec<NodeAddress>) {
        for node in nodes {
            let _ = self.found.try_send(node.address);
        }
    }
}

async fn keep_session(endpoint: Endpoint, host: Host, mut leave: watch::Receiver<bool>) {
    while !*leave.borrow() {
        session(&endpoint, &host, &mut leave).await;
        let pause = rand::rng().random_range(20..200);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(pause)) => {}
            _ = leave.changed() => {}
        }
    }
}

/// Answers a node until the session breaks, or the node let the host go. `None` if it broke.
async fn session(
    endpoint: &Endpoint,
    host: &Host,
    leave: &mut watch::Receiver<bool>,
) -> Option<()> {
    let channel = endpoint.connect().await.ok()?;
    let (outbox, requests) = mpsc::channel(OUTBOX_MESSAGES);
    let hello = Hello {
        protocol_major: 1,
        sdk_name: "callboard-chaos".into(),
        sdk_version: env!("CARGO_PKG_VERSION").into(),
        runtime: "Rust".into(),
        instance_id: host.instance.clone(),
        credits: CREDITS,
        ..Hello::default()
    };
    outbox.send(request(vec![Frame::Hello(hello)])).await.ok()?;
    let mut client = HostServiceClient::new(channel);
    let mut inbox = client.connect(ReceiverStream::new(requests)).await.ok()?.into_inner();
    loop {
        let message = tokio::select! {
            message = inbox.message() => message.ok()??,
            changed = leave.changed() => {
                changed.ok()?;
                let drain = Frame::Drain(Drain { permanent: false });
                outbox.send(request(vec![drain])).await.ok()?;
                continue;
            }
        };
        let mut answers = Vec::new();
        let mut drained = false;
        for frame in message.frames {
            match frame.frame {
                Some(node_frame::Frame::Welcome(welcome)) => {
                    host.serve_also(welcome.nodes);
                    answers.push(Frame::Register(register()));
                }
                Some(node_frame::Frame::Topology(topology)) => host.serve_also(topology.nodes),
                Some(node_frame::Frame::Run(run)) => {
                    answers.extend(run_turns(run).into_iter().map(Frame::Result));
                }
                Some(node_frame::Frame::Ping(ping)) => {
                    answers.push(Frame::Pong(Pong { nonce: ping.nonce }));
                }
                Some(node_frame::Frame::Drained(_)) => drained = true,
                _ => {}
            }
        }
        if !answers.is_empty() {
            outbox.send(request(answers)).await.ok()?;
        }
        if drained {
            drop(outbox);
            // The last results are on their way; the node closes its side when it has them.
            let closed = async { while let Ok(Some(_)) = inbox.message().await {} };
            let _ = tokio::time::timeout(CLOSE_MAX, closed).await;
            return Some(());
        }
    }
}

fn request(frames: Vec<Frame>) -> ConnectRequest {
    let frames = frames.into_iter().map(|frame| HostFrame { frame: Some(frame) });
    ConnectRequest { frames: frames.collect() }
}

fn register() -> Register {
    let definition = |name: &str, durability: Durability, actions: &[(&str, bool)]| {
        let actions = actions.iter().map(|(name, read_only)| ActionDefinition {
            name: (*name).into(),
            read_only: *read_only,
            ..ActionDefinition::default()
        });
        ActorTypeDefinition {
            name: name.into(),
            kind: Kind::Unnamed as i32,
            durability: durability as i32,
            actions: actions.collect(),
            idle_timeout_ms: IDLE_MS,
            ..ActorTypeDefinition::default()
        }
    };
    let (add, read) = (("add", false), ("read", true));
    let (write, swap, count) = (("write", false), ("swap", false), ("count", false));
    let mut tally = definition(TALLY, Durability::Snapshot, &[count]);
    tally.snapshot_interval_ms = SAVE_MS;
    let mut types = vec![
        definition(LEDGER, Durability::Durable, &[add, read]),
        definition(REGISTER, Durability::Durable, &[write, swap, read]),
        definition(COUNTER, Durability::Volatile, &[count]),
        tally,
    ];
    types.extend(talk::definitions());
    Register { register_id: 1, types, ..Register::default() }
}

/// Runs turns in order, each on the state that the previous one left.
fn run_turns(run: TurnRun) -> Vec<TurnResult> {
    let actor = run.actor.unwrap_or_default();
    let mut state = match run.state {
        Some(State::StateFull(state)) => state,
        // The host keeps no state, so the node never names one.
        Some(State::StateToken(_)) | None => Payload::default(),
    };
    let turns = run.turns.into_iter();
    turns.map(|turn| run_turn(&actor, run.epoch, &turn, &mut state)).collect()
}

fn run_turn(actor: &ActorId, epoch: u64, turn: &Turn, state: &mut Payload) -> TurnResult {
    let kind = actor.r#type.as_str();
    let argument = turn.payload.as_ref().map(|payload| payload.data.as_ref()).unwrap_or_default();
    let argument = serde_json::from_slice(argument).unwrap_or_default();
    let mut result = TurnResult { turn_id: turn.turn_id, ..TurnResult::default() };
    let acted = if matches!(kind, TELLER | HEARER | ALARM) {
        talk::run(&actor.key, turn, &argument, &state.data).map(|done| {
            result.workflow = done.workflow;
            (done.reply, Some(done.state))
        })
    } else {
        act(kind, &turn.action, epoch, &argument, &state.data)
    };
    let outcome = match acted {
        Some((reply, next)) => {
            if let Some(next) = next {
                *state = actors::payload(&next);
                result.state = Some(state.clone());
            }
            let empty = reply.is_null();
            Outcome::Reply(if empty { Payload::default() } else { actors::payload(&reply) })
        }
        None => Outcome::Error(CallError {
            code: 3,
            reason: "INVALID_ARGUMENT_PAYLOAD".into(),
            message: format!("{kind} cannot run {:?} with {argument}.", turn.action),
            ..CallError::default()
        }),
    };
    result.outcome = Some(outcome);
    result
}

/// The reply, and the state afterwards if it changed. Ledgers never look whether an add is there already: that it comes
/// once is the server's promise.
fn act(
    kind: &str,
    action: &str,
    epoch: u64,
    argument: &Value,
    state: &[u8],
) -> Option<(Value, Option<Value>)> {
    let before: Value = match state {
        [] => Value::Null,
        state => serde_json::from_slice(state).ok()?,
    };
    match (kind, action) {
        (LEDGER, _) => {
            let mut ledger = match before {
                Value::Null => LedgerState::default(),
                before => serde_json::from_value(before).ok()?,
            };
            let added = action == "add";
            if added {
                let amount = u32::try_from(argument.get("amount")?.as_u64()?).ok()?;
                ledger.total += u64::from(amount);
                ledger.entries.push((argument.get("add")?.as_u64()?, amount));
            }
            let reply = json!({"count": ledger.entries.len(), "total": ledger.total});
            let after = if added { Some(serde_json::to_value(ledger).ok()?) } else { None };
            Some((reply, after))
        }
        (REGISTER, _) => {
            let value = before.get("value").and_then(Value::as_u64).unwrap_or(0);
            match action {
                "read" => Some((json!({"value": value}), None)),
                "write" => Some((Value::Null, Some(json!({"value": argument.get("value")?})))),
                _ => {
                    let swapped = argument.get("expected")?.as_u64()? == value;
                    let next = json!({"value": argument.get("value")?});
                    Some((json!({"swapped": swapped}), swapped.then_some(next)))
                }
            }
        }
        (COUNTER | TALLY, "count") => {
            let number = |name: &str| before.get(name).and_then(Value::as_u64);
            let life = number("life").unwrap_or_else(|| rand::rng().random_range(1..LIVES));
            let count = number("count").unwrap_or(0) + 1;
            let reply = json!({"epoch": epoch, "life": life, "count": count});
            Some((reply, Some(json!({"life": life, "count": count}))))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_build_on_each_other_and_a_doubled_add_shows() {
        let add = json!({"add": 3, "amount": 5});
        let (reply, after) = act(LEDGER, "add", 1, &add, b"").expect("it is run");
        assert_eq!(reply, json!({"count": 1, "total": 5}));
        let after = after.expect("it changed").to_string();
        let (reply, _) = act(LEDGER, "add", 1, &add, after.as_bytes()).expect("it is run");
        assert_eq!(reply, json!({"count": 2, "total": 10}));
    }

    #[test]
    fn a_swap_needs_the_expected_value() {
        let swap = json!({"expected": 0, "value": 4});
        let (reply, after) = act(REGISTER, "swap", 1, &swap, b"").expect("it is run");
        assert_eq!((reply, &after), (json!({"swapped": true}), &Some(json!({"value": 4}))));
        let after = after.expect("it changed").to_string();
        let (reply, after) = act(REGISTER, "swap", 1, &swap, after.as_bytes()).expect("it is run");
        assert_eq!((reply, after), (json!({"swapped": false}), None));
    }

    #[test]
    fn a_counter_says_which_life_counted() {
        let (reply, after) = act(COUNTER, "count", 9, &Value::Null, b"").expect("it is run");
        let after = after.expect("it changed");
        assert_eq!(reply["epoch"], 9);
        assert_eq!(reply["life"], after["life"]);
        let (reply, _) = act(COUNTER, "count", 9, &Value::Null, after.to_string().as_bytes())
            .expect("it is run");
        assert_eq!((&reply["life"], &reply["count"]), (&after["life"], &json!(2)));
    }
}
