//! The life of a host process: reconnects, drains, signals, and whatever a broken node may send.

use std::time::Duration;

use callboard_proto::{
    host::v1::{
        Draining, Registered, StateToken, TurnCallResult, Welcome, host_frame, node_frame,
        turn_call_result, turn_run,
    },
    types::v1::Payload,
};
use serde_json::{Value, json};
use tonic::Status;

use super::{
    Scenario,
    check::{Check, Failure, ensure, json as payload, same},
    server::Outgoing,
    session::{End, Session, error, reply, run, turn},
    stage::{START, Stage},
};

/// How long a program that was told to end may take once nothing holds it.
pub(super) const EXIT: Duration = Duration::from_secs(10);

pub(super) const SCENARIOS: &[Scenario] = super::scenarios!["lifecycle":
    "a broken stream is opened again with the same instance id" => broken_stream,
    "a crashed server is found again" => crashed_server,
    "turns of a broken session do not disturb the next one" => turns_of_broken_session,
    "a server that is not there yet is waited for" => late_server,
    "Draining lets turns finish and then connects anew" => draining,
    "SIGTERM drains: Drain, the last turns, Drained, exit 0" => drain,
    "SIGTERM without any turn ends at once after Drained" => drain_idle,
    "a second SIGTERM ends the program at once" => second_signal,
    "SIGTERM while no server is there ends the program" => signal_without_server,
    "nonsense in frames does not end the program" => nonsense,
    "a state token that the host does not hold is asked for in full" => state_missing,
    "an undecodable state fails the turn and not the program" => bad_state,
    "bytes that are no message break the session and not the program" => garbage,
];

fn call_argument() -> Value {
    json!({"type": "Other", "key": "o", "action": "read", "argument": {}})
}

/// Runs a turn that waits for a call, which [`let_finish`] answers.
pub(super) async fn start_waiting(session: &mut Session, key: &str, turn_id: u64) -> Check {
    session.run(run(key, None, [turn(turn_id, "call", &call_argument())])).await;
    session.call().await.map(drop)
}

pub(super) async fn let_finish(session: &mut Session, turn_id: u64) -> Check {
    let outcome = Some(turn_call_result::Outcome::Reply(payload(&json!(1))));
    let answer = TurnCallResult { turn_id, call_index: 0, outcome };
    session.send([node_frame::Frame::CallResult(answer)]).await;
    same("the reply", reply(&session.result(turn_id).await?)?, json!({"reply": 1}))
}

pub(super) async fn wait_for_drain(session: &mut Session) -> Check {
    let permanent = session
        .take("Drain", |frame| match frame {
            host_frame::Frame::Drain(drain) => Some(drain.permanent),
            _ => None,
        })
        .await?;
    same("Drain.permanent", permanent, false)
}

async fn broken_stream(stage: Stage) -> Check {
    let mut host = stage.host().await?;
    let (hello, register) = host.session.handshake().await?;
    for id in 1..=3 {
        host.session.send_message(Err(Status::unavailable("the node fell over"))).await;
        let mut session = host.server.session(START).await?;
        let (again, registered) = session.handshake().await?;
        same("instance_id", &again.instance_id, &hello.instance_id)?;
        same("the types", &registered.types, &register.types)?;
        session.works(id).await?;
        host.session = session;
    }
    // A stream that ends without an error is as broken as any other.
    host.session.half_close();
    same("instance_id", host.reconnected().await?, hello.instance_id)?;
    host.session.works(9).await
}

async fn crashed_server(stage: Stage) -> Check {
    let mut host = stage.host().await?;
    let (hello, _) = host.session.handshake().await?;
    for id in 1..=2 {
        host.server.restart().await?;
        same("instance_id", host.reconnected().await?, hello.instance_id.clone())?;
        host.session.works(id).await?;
    }
    Ok(())
}

async fn turns_of_broken_session(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    start_waiting(&mut host.session, "k", 1).await?;
    host.session.run(run("waiting", None, [turn(2, "wait", &json!({}))])).await;
    host.session.send_message(Err(Status::unavailable("gone"))).await;
    host.reconnected().await?;
    // The same actors, as another host might leave them, under new turn ids and under old ones.
    for (id, key) in [(1, "k"), (2, "waiting"), (3, "k"), (4, "waiting")] {
        let add = turn(id, "add", &json!({"amount": 1}));
        let result = host.session.play(key, Some(&json!({"total": id})), add).await?;
        same("the reply", reply(&result)?, json!({"total": id + 1}))?;
    }
    let left = host.session.left_over();
    ensure(left.is_empty(), format!("frames of the broken session: {left:?}"))
}

async fn late_server(stage: Stage) -> Check {
    let mut server = stage.server().await?;
    server.kill();
    let mut program = stage.program(super::program::Role::Host, &server)?;
    // Long enough for several attempts to fail, which is the subject.
    tokio::time::sleep(Duration::from_secs(2)).await;
    ensure(program.is_running()?, "the program gave up because no server was there")?;
    server.restart().await?;
    let mut session = server.session(START).await?;
    session.handshake().await?;
    session.works(1).await
}

async fn draining(stage: Stage) -> Check {
    let mut host = stage.host().await?;
    let (hello, _) = host.session.handshake().await?;
    start_waiting(&mut host.session, "k", 1).await?;
    let leaving = node_frame::Frame::Draining(Draining { grace_ms: 5_000 });
    host.session.send([leaving]).await;
    let_finish(&mut host.session, 1).await?;
    let mut next = host.server.session(START).await?;
    let (again, _) = next.handshake().await?;
    same("instance_id", again.instance_id, hello.instance_id)?;
    next.works(2).await?;
    host.session.half_close();
    host.session.ended().await?;
    next.works(3).await
}

async fn drain(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    start_waiting(&mut host.session, "k", 1).await?;
    host.program.signal("TERM").await?;
    wait_for_drain(&mut host.session).await?;
    // The node had sent this before it read Drain.
    host.session.works(2).await?;
    host.session.send([node_frame::Frame::Drained(Default::default())]).await;
    host.session.ping().await?;
    ensure(host.program.is_running()?, "the program ended while a turn was running")?;
    let_finish(&mut host.session, 1).await?;
    same("the end of the session", host.session.ended().await?, End::HalfClosed)?;
    host.session.half_close();
    let status = host.program.ended(EXIT).await?;
    ensure(status.success(), format!("the program ended with {status}"))
}

async fn drain_idle(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    // By its Pong the host has read Registered; a signal before that is another story.
    host.session.ping().await?;
    host.program.signal("TERM").await?;
    wait_for_drain(&mut host.session).await?;
    host.session.ping().await?;
    ensure(host.program.is_running()?, "the program did not wait for Drained")?;
    host.session.send([node_frame::Frame::Drained(Default::default())]).await;
    same("the end of the session", host.session.ended().await?, End::HalfClosed)?;
    host.session.half_close();
    let status = host.program.ended(EXIT).await?;
    ensure(status.success(), format!("the program ended with {status}"))
}

async fn second_signal(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    start_waiting(&mut host.session, "k", 1).await?;
    host.program.signal("TERM").await?;
    wait_for_drain(&mut host.session).await?;
    host.program.signal("TERM").await?;
    host.program.ended(Duration::from_secs(3)).await.map(drop)
}

async fn signal_without_server(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    host.server.kill();
    drop(host.session);
    host.program.signal("TERM").await?;
    host.program.ended(EXIT).await.map(drop)
}

async fn nonsense(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let frames = [
        node_frame::Frame::Topology(Default::default()),
        node_frame::Frame::CallResult(TurnCallResult::default()),
        node_frame::Frame::Run(run("empty", None, [])),
        node_frame::Frame::Run(Default::default()),
        node_frame::Frame::Registered(Registered { register_id: 999, ..Default::default() }),
        node_frame::Frame::Welcome(Welcome { protocol_major: 1, ..Default::default() }),
        node_frame::Frame::Drained(Default::default()),
    ];
    for (id, frame) in (1..).zip(frames) {
        host.session.send([frame.clone()]).await;
        // A host may take a node at its word that broke the protocol, and connect anew.
        if host.session.works(id).await.is_err() {
            let back = host.reconnected().await;
            back.map_err(|failure| Failure(format!("after {frame:?}: {failure}")))?;
            host.session.works(100 + id).await?;
        }
        ensure(host.program.is_running()?, format!("{frame:?} ended the program"))?;
    }
    Ok(())
}

async fn state_missing(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    let turns = [turn(50, "read", &json!({})), turn(51, "read", &json!({}))];
    let mut unknown = run("token", None, turns);
    unknown.state = Some(turn_run::State::StateToken(StateToken { epoch: 1, turn_id: 1 }));
    session.run(unknown).await;
    let missing = session
        .take("StateMissing for a token that the host does not hold", |frame| match frame {
            host_frame::Frame::StateMissing(missing) => Some(missing.turn_id),
            _ => None,
        })
        .await?;
    same("StateMissing.turn_id", missing, 50)?;
    let turns = [turn(50, "read", &json!({})), turn(51, "read", &json!({}))];
    session.run(run("token", Some(&json!({"total": 6})), turns)).await;
    for id in 50..=51 {
        same("the run sent in full", reply(&session.result(id).await?)?, json!({"total": 6}))?;
    }
    session.ping().await?;
    ensure(session.left_over().is_empty(), format!("too much: {:?}", session.left_over()))
}

async fn bad_state(stage: Stage) -> Check {
    let mut host = stage.ready().await?;
    let session = &mut host.session;
    let turns = [turn(1, "add", &json!({"amount": 1})), turn(2, "read", &json!({}))];
    let mut broken = run("k", None, turns);
    let state = Payload {
        content_type: "application/json".to_owned(),
        type_url: String::new(),
        data: b"{\"total\": ".as_slice().into(),
    };
    broken.state = Some(turn_run::State::StateFull(state));
    session.run(broken).await;
    for id in 1..=2 {
        let result = session.result(id).await?;
        let failure = error(&result)?;
        same("code", failure.code, 13)?;
    }
    session.works(3).await
}

async fn garbage(stage: Stage) -> Check {
    let mut host = stage.host().await?;
    let (hello, _) = host.session.handshake().await?;
    let bytes: &[u8] = &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x01];
    host.session.send_message(Ok(Outgoing::Raw(bytes.into()))).await;
    // The stream is beyond repair; some runtimes notice at once, others only tell the call.
    let again = host
        .reconnected()
        .await
        .map_err(|failure| Failure(format!("after bytes that are no message: {failure}")))?;
    same("instance_id", again, hello.instance_id)?;
    host.session.works(1).await
}
