use callboard_types::{
    Epoch, Millis, NodeId, TypeSettings,
    settings::{Deliver, History, Pool, Subscription, Timer},
};

use super::*;
use crate::{
    machine::schedules::{
        Argument, Change, Next, Overlap, Spec, When,
        change::{Create, Ended, Missed, Named, Resume, Triggered, Update},
        requests::For,
    },
    raft::types::Proposal,
};

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

/// As above, for schedules.
#[test]
fn the_encoding_of_changes_of_schedules_is_frozen() {
    let spec = |when| Spec {
        system: String::new(),
        actor_type: "a".into(),
        key: "b".into(),
        action: "c".into(),
        argument: Argument { content_type: "a".into(), type_url: "b".into(), data: vec![7, 8] },
        metadata: vec![("a".into(), "b".into())],
        when,
        jitter_ms: 3,
        overlap: Overlap::Queue,
        window_ms: 4,
        starts_at: Some(Millis(5)),
        ends_at: None,
        max_firings: Some(6),
    };
    let [a, b, c] = [97, 98, 99];
    // Signed numbers are doubled.
    let call = [0, 1, a, 1, b, 1, c, 1, a, 1, b, 2, 7, 8, 1, 1, a, 1, b];
    let rest = [3, 1, 4, 1, 10, 0, 1, 6];
    let next = Some(Next { nominal: Millis(9), jitter_ms: 2 });
    let of = || Named { system: "a".into(), name: "b".into() };
    let create = |when| {
        let (system, name) = ("a".to_owned(), "b".to_owned());
        let (paused, once, limit) = (true, false, 5);
        Change::Create(Create { system, name, spec: spec(when), first: next, paused, once, limit })
    };
    let made =
        |when: &[u8]| [&[0, 1, a, 1, b][..], &call, when, &rest, &[1, 18, 2, 1, 0, 5]].concat();
    let cron = When::Cron { line: "a".into(), zone: "b".into() };
    let update = Update { of: of(), spec: spec(When::After(8)), first: None, if_generation: 7 };
    let resume = Resume { of: of(), generation: 2, number: 3, next, missed: 4 };
    let ended = Ended {
        schedule: 1,
        generation: 2,
        number: 3,
        fired_at: Millis(4),
        error: "a".into(),
        next: None,
        missed: 5,
    };
    let missed = Missed { schedule: 1, generation: 2, number: 3, missed: 4, next: None };
    let written: [(Change, Vec<u8>); 10] = [
        (create(When::At(Millis(9))), made(&[0, 18])),
        (create(When::Every(9)), made(&[2, 9])),
        (create(cron), made(&[3, 1, a, 1, b])),
        (Change::Update(update), [&[1, 1, a, 1, b][..], &call, &[1, 8], &rest, &[0, 7]].concat()),
        (Change::Pause(of()), vec![2, 1, a, 1, b]),
        (Change::Resume(resume), vec![3, 1, a, 1, b, 2, 3, 1, 18, 2, 4]),
        (Change::Trigger(Triggered { of: of(), request: 300 }), vec![4, 1, a, 1, b, 172, 2]),
        (Change::Delete(of()), vec![5, 1, a, 1, b]),
        (Change::Ended(ended), vec![6, 1, 2, 3, 8, 1, a, 0, 5]),
        (Change::Missed(missed), vec![7, 1, 2, 3, 4, 0]),
    ];
    for (change, body) in written {
        let command = ChangeSchedules { id: 5, now: Millis(6), changes: vec![change] };
        let body = [&[20, 5, 12, 1][..], &body].concat();
        check_frozen(Command::ChangeSchedules(command), &body);
    }
}

/// As above, for version 4.
#[test]
fn the_encoding_of_requests_about_schedules_is_frozen() {
    let spec = Spec {
        system: String::new(),
        actor_type: "a".into(),
        key: "b".into(),
        action: "c".into(),
        argument: Argument::default(),
        metadata: Vec::new(),
        when: When::After(8),
        jitter_ms: 0,
        overlap: Overlap::Skip,
        window_ms: 4,
        starts_at: None,
        ends_at: None,
        max_firings: None,
    };
    let [a, b, c] = [97, 98, 99];
    let create = Create {
        system: "a".into(),
        name: "b".into(),
        spec,
        first: None,
        paused: false,
        once: false,
        limit: 5,
    };
    let of = Named { system: "a".into(), name: "b".into() };
    let call = [0, 1, a, 1, b, 1, c, 0, 0, 0, 0, 1, 8, 0, 0, 4, 0, 0, 0];
    let written: [(Change, Vec<u8>); 2] = [
        (
            Change::CreateFor(For { request: 300, change: create }),
            [&[8, 172, 2, 1, a, 1, b][..], &call, &[0, 0, 0, 5]].concat(),
        ),
        (Change::DeleteFor(For { request: 300, change: of }), vec![9, 172, 2, 1, a, 1, b]),
    ];
    for (change, body) in written {
        let command = ChangeSchedules { id: 5, now: Millis(6), changes: vec![change] };
        let command = Command::ChangeSchedules(command);
        assert_eq!(command.needs_version(), 4);
        check_frozen(command, &[&[20, 5, 12, 1][..], &body].concat());
    }
}
