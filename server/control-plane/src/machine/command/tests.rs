use callboard_types::{
    Epoch, NodeId, TypeSettings,
    settings::{Deliver, History, Pool, Subscription, Timer},
};

use super::*;
use crate::raft::types::Proposal;

/// The bytes of every command of version 2, as logs of clusters hold them: this list may grow, its bytes never change.
#[test]
fn the_encoding_of_commands_between_nodes_is_frozen() {
    let node = NodeId(3);
    let (address, peer_address) = ("a".to_owned(), "b".to_owned());
    let (folder_id, cluster_id) = ("f".to_owned(), "c".to_owned());
    let (commands_min, commands_max) = (1, 2);
    let [a, b, c, f] = [97, 98, 99, 102];
    let written: [(Command, &[u8]); 13] = [
        (
            Command::BootstrapCluster(BootstrapCluster {
                cluster_id,
                node,
                folder_id: folder_id.clone(),
                address: address.clone(),
                peer_address: peer_address.clone(),
                commands_min,
                commands_max,
            }),
            &[6, 1, c, 3, 1, f, 1, a, 1, b, 1, 2],
        ),
        (
            Command::AllocateNode(AllocateNode {
                folder_id,
                address: address.clone(),
                peer_address: peer_address.clone(),
                commands_min,
                commands_max,
            }),
            &[7, 1, f, 1, a, 1, b, 1, 2],
        ),
        (
            Command::NodeStarted(NodeStarted {
                node,
                life: 5,
                previous_life: 4,
                address,
                peer_address,
                commands_min,
                commands_max,
            }),
            &[8, 3, 5, 4, 1, a, 1, b, 1, 2],
        ),
        (Command::NodesDown(NodesDown { nodes: vec![(node, 5)] }), &[9, 1, 3, 5]),
        (Command::NodeUp(NodeUp { node, life: 5 }), &[10, 3, 5]),
        (Command::SetNodeState(SetNodeState { node, draining: true }), &[11, 3, 1]),
        (Command::RemoveNode(RemoveNode { node }), &[12, 3]),
        (
            Command::PlanMoves(PlanMoves {
                moves: vec![Move { type_id: 7, shard: 8, epoch: Epoch(9), to: node }],
            }),
            &[13, 1, 7, 8, 9, 3],
        ),
        (
            Command::Released(Released {
                node,
                shards: vec![Release { type_id: 7, shard: 8, epoch: Epoch(9) }],
            }),
            &[14, 3, 1, 7, 8, 9],
        ),
        (
            Command::TypesOffered(TypesOffered(RegisterTypes {
                system: "c".into(),
                node,
                types: Vec::new(),
                descriptor_set: None,
            })),
            &[15, 1, c, 3, 0, 0],
        ),
        (
            Command::HostedChanged(HostedChanged {
                node,
                types: vec![("a".into(), "b".into(), true)],
            }),
            &[16, 3, 1, 1, a, 1, b, 1],
        ),
        (
            Command::RaiseEpochs(RaiseEpochs {
                shards: vec![Raised { type_id: 7, shard: 8, above: Epoch(9) }],
            }),
            &[17, 1, 7, 8, 9],
        ),
        (Command::SetClusterVersion(SetClusterVersion { version: 2 }), &[18, 2]),
    ];
    for (command, body) in written {
        check_frozen(command, body);
    }
}

fn check_frozen(command: Command, body: &[u8]) {
    let bytes = [&[1], body].concat();
    assert_eq!(Proposal::new(&command).as_bytes(), bytes, "{}", command.name());
    assert_eq!(Proposal::from_bytes(bytes).command(), Ok(command));
}

/// As above, for version 3.
#[test]
fn the_encoding_of_commands_with_settings_is_frozen() {
    let settings = TypeSettings {
        timers: vec![Timer { action: "a".into(), interval_ms: 50 }],
        subscriptions: vec![Subscription {
            channel: "c".into(),
            action: "a".into(),
            deliver: Deliver::Every,
        }],
        pool: Some(Pool { min: 2, max: 3 }),
        history: History { revisions: 4, age_ms: 5 },
    };
    let registration = RegisterTypes {
        system: "c".into(),
        node: NodeId(3),
        types: Vec::new(),
        descriptor_set: None,
    };
    let offered = TypesOfferedWith { registration, settings: vec![settings] };
    let [a, c] = [97, 99];
    check_frozen(
        Command::TypesOfferedWith(offered),
        &[19, 1, c, 3, 0, 0, 1, 1, 1, a, 50, 1, 1, c, 1, a, 1, 1, 2, 3, 4, 5],
    );
}
