//! How a session begins: Hello, Welcome, Register, Registered, and how refusals end it.

use std::time::Duration;

use callboard_proto::{
    host::v1::{ConnectResponse, NodeFrame, Topology, node_frame},
    types::v1::{CallError, Kind, NodeAddress, Retry},
};
use serde_json::json;
use uuid::Uuid;

use super::{
    Scenario,
    check::{Check, Failure, ensure, same},
    gateway,
    server::Outgoing,
    session::{reply, run, turn},
    settings,
    stage::Stage,
};

/// How long a refused program may take to end.
const REFUSED: Duration = Duration::from_secs(10);

/// What the conformance type offers, in the order of the names, and whether it only reads.
pub(super) const ACTIONS: [(&str, bool); 18] = [
    ("add", false),
    ("block", false),
    ("call", false),
    ("calls", false),
    ("context", false),
    ("crash", false),
    ("fail", false),
    ("mutate_read", true),
    ("news", false),
    ("none", false),
    ("read", true),
    ("receive", false),
    ("tag", false),
    ("tags", true),
    ("tell_read", true),
    ("tick", false),
    ("wait", false),
    ("workflow", false),
];

pub(super) const SCENARIOS: &[Scenario] = super::scenarios!["handshake":
    "Hello comes first and says who the host is" => hello,
    "two programs have two instance ids" => instance_ids,
    "Register names the types, their actions and the reading ones" => register,
    "a refused protocol version is readable and ends the program" => protocol_refused,
    "refused types are readable and end the program" => types_refused,
    "frames of later minor versions are ignored" => unknown_frames,
    "a large Hello-to-Welcome delay is waited for" => slow_welcome,
];

async fn hello(stage: Stage) -> Check {
    let mut host = stage.host().await?;
    let hello = host.session.hello().await?;
    same("protocol_major", hello.protocol_major, 1)?;
    same("protocol_minor", hello.protocol_minor, 0)?;
    same("state_cache_bytes", hello.state_cache_bytes, 0)?;
    ensure(hello.credits >= 1, "Hello offers no credits, so the host would never get a turn")?;
    ensure(hello.sdk_name.starts_with("callboard-"), format!("sdk_name {:?}", hello.sdk_name))?;
    ensure(!hello.sdk_version.is_empty(), "sdk_version is empty")?;
    ensure(!hello.runtime.is_empty(), "runtime is empty")?;
    Uuid::parse_str(&hello.instance_id)
        .map_err(|error| Failure::of(&format!("instance_id {:?}", hello.instance_id), error))?;
    let mut session = host.session;
    session.welcome().await;
    let register = session.register().await?;
    session.registered(register.register_id, None).await;
    session.works(1).await?;
    ensure(session.left_over().is_empty(), format!("unasked: {:?}", session.left_over()))
}

async fn instance_ids(stage: Stage) -> Check {
    let (mut one, mut two) = (stage.host().await?, stage.host().await?);
    let (one, two) = (one.session.hello().await?, two.session.hello().await?);
    ensure(one.instance_id != two.instance_id, "two programs share an instance id")
}

async fn register(stage: Stage) -> Check {
    let mut host = stage.host().await?;
    host.session.hello().await?;
    host.session.welcome().await;
    let register = host.session.register().await?;
    ensure(["", "default"].contains(&register.system.as_str()), "the system is not the default")?;
    same("how many types", register.types.len(), 2)?;
    let definition = settings::definition(&register, "Conformance")?;
    let kinds = [Kind::Unspecified, Kind::Unnamed];
    ensure(kinds.contains(&definition.kind()), format!("kind {:?}", definition.kind()))?;
    same("state_type of JSON state", definition.state_type.as_str(), "")?;
    let mut actions: Vec<(&str, bool)> =
        definition.actions.iter().map(|a| (a.name.as_str(), a.read_only)).collect();
    actions.sort_unstable();
    same("actions with their read_only", actions, ACTIONS)?;
    for action in &definition.actions {
        same("input_type of JSON arguments", action.input_type.as_str(), "")?;
    }
    let set = prost_types::FileDescriptorSet::default();
    let decoded: prost_types::FileDescriptorSet =
        prost::Message::decode(register.descriptor_set.as_ref())
            .map_err(|error| Failure::of("the descriptor set does not decode", error))?;
    same("a descriptor set without protobuf types", decoded, set)
}

async fn protocol_refused(stage: Stage) -> Check {
    let mut host = stage.host().await?;
    host.session.hello().await?;
    let error = CallError {
        code: 9,
        reason: "PROTOCOL_VERSION".to_owned(),
        message: "this node speaks protocol 2; upgrade the SDK".to_owned(),
        retry: Retry::Never.into(),
        ..CallError::default()
    };
    host.session.send_message(Err(gateway::status(&error))).await;
    host.session.half_close();
    let status = host.program.ended(REFUSED).await?;
    ensure(!status.success(), "the program ended with 0 although it was refused")?;
    stage.log().says("PROTOCOL_VERSION").await?;
    stage.log().says("upgrade the SDK").await
}

async fn types_refused(stage: Stage) -> Check {
    let mut host = stage.host().await?;
    host.session.hello().await?;
    host.session.welcome().await;
    let register = host.session.register().await?;
    let error = CallError {
        code: 9,
        reason: "INCOMPATIBLE_TYPE".to_owned(),
        message: "Conformance is registered as NAMED".to_owned(),
        retry: Retry::Never.into(),
        ..CallError::default()
    };
    host.session.registered(register.register_id, Some(error)).await;
    let status = host.program.ended(REFUSED).await?;
    ensure(!status.success(), "the program ended with 0 although its types were refused")?;
    stage.log().says("INCOMPATIBLE_TYPE").await?;
    stage.log().says("registered as NAMED").await
}

async fn unknown_frames(stage: Stage) -> Check {
    let host = stage.ready().await?;
    let mut session = host.session;
    // Field 99 of NodeFrame, then field 98 of ConnectResponse: what a later minor version may add.
    let unknown: &[u8] = &[0x0a, 0x04, 0x9a, 0x06, 0x01, 0x78, 0x92, 0x06, 0x01, 0x79];
    session.send_message(Ok(Outgoing::Raw(unknown.into()))).await;
    let empty = ConnectResponse { frames: vec![NodeFrame { frame: None }] };
    session.send_message(Ok(Outgoing::Frames(empty))).await;
    let nodes = vec![NodeAddress { node_id: 1, address: host.server.address().to_string() }];
    let topology = Topology { nodes, view_version: 4 };
    session.send([node_frame::Frame::Topology(topology)]).await;
    session.works(1).await?;
    session.ping().await
}

async fn slow_welcome(stage: Stage) -> Check {
    let mut host = stage.host().await?;
    host.session.hello().await?;
    // The delay is the subject here: a node may be busy for a second.
    tokio::time::sleep(Duration::from_secs(1)).await;
    same("frames before Welcome", host.session.left_over().len(), 0)?;
    host.session.welcome().await;
    let register = host.session.register().await?;
    host.session.registered(register.register_id, None).await;
    let read = turn(1, "read", &json!({}));
    let result = host.session.play("k", Some(&json!({"total": 3})), read).await?;
    same("the reply", reply(&result)?, json!({"total": 3}))?;
    let again = run("k", Some(&json!({"total": 4})), [turn(2, "read", &json!({}))]);
    host.session.run(again).await;
    same("the reply", reply(&host.session.result(2).await?)?, json!({"total": 4}))
}
