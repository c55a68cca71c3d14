use callboard_types::{NodeId, ShardOwner, TypeDefinition};

use super::*;
use crate::{
    machine::{
        command::{
            Bootstrap, ChangeSchedules, DescriptorSet, NodeUpsert, RegisterTypes, TypesOfferedWith,
        },
        schedules::{
            Argument, Change, Next, Overlap, Spec, When,
            change::{Create, Ended, Named, Triggered},
            requests::For,
        },
    },
    raft::types::Proposal,
};

mod frozen;

/// What the version before clusters wrote for the commands of [`commands`]. These bytes stand in data folders.
const LOGGED: [&[u8]; 3] = [
    &[1, 0, 1, 99, 1, 3, 97, 58, 49],
    &[1, 1, 2, 3, 98, 58, 49],
    &[
        1, 3, 7, 100, 101, 102, 97, 117, 108, 116, 1, 1, 4, 67, 97, 114, 116, 1, 0, 0, 0, 0, 224,
        212, 3, 144, 78, 176, 234, 1, 232, 7, 3, 0, 1, 1, 104, 5, 102, 105, 108, 101, 115,
    ],
];

/// The snapshot that the version before clusters made after them.
const SNAPSHOT: &[u8] = &[
    1, 3, 1, 99, 2, 1, 3, 97, 58, 49, 2, 3, 98, 58, 49, 1, 1, 7, 100, 101, 102, 97, 117, 108, 116,
    1, 0, 4, 67, 97, 114, 116, 1, 0, 0, 0, 0, 224, 212, 3, 144, 78, 176, 234, 1, 232, 7, 3, 0, 1,
    104, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 104, 5, 102, 105, 108, 101, 115, 72, 234, 19, 97, 85,
    149, 194, 138,
];

/// The snapshot that the version before settings makes after them at view version 7.
const PLAIN: &[u8] = &[
    2, 7, 1, 99, 1, 2, 1, 3, 97, 58, 49, 0, 0, 0, 1, 0, 1, 1, 2, 3, 98, 58, 49, 0, 0, 0, 1, 0, 1,
    1, 3, 1, 1, 7, 100, 101, 102, 97, 117, 108, 116, 1, 0, 4, 67, 97, 114, 116, 1, 0, 0, 0, 0, 224,
    212, 3, 144, 78, 176, 234, 1, 232, 7, 3, 0, 1, 104, 3, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 104, 5,
    102, 105, 108, 101, 115, 185, 208, 91, 15, 94, 171, 214, 114,
];

fn commands() -> [Command; 3] {
    let mut cart = TypeDefinition::new("Cart");
    cart.shards = 3;
    let set = DescriptorSet { hash: "h".into(), bytes: b"files".into() };
    let (cluster_id, node, address) = ("c".into(), NodeId(1), "a:1".into());
    [
        Command::Bootstrap(Bootstrap { cluster_id, node, address }),
        Command::NodeUpsert(NodeUpsert { node: NodeId(2), address: "b:1".into() }),
        Command::RegisterTypes(RegisterTypes {
            system: "default".into(),
            node: NodeId(1),
            types: vec![cart],
            descriptor_set: Some(set),
        }),
    ]
}

#[test]
fn a_folder_of_the_version_before_clusters_is_read_as_it_was_meant() {
    let mut machine = Machine::default();
    for (bytes, command) in LOGGED.into_iter().zip(commands()) {
        let logged = Proposal::from_bytes(bytes.to_vec());
        assert_eq!(logged.command().as_ref(), Ok(&command));
        assert_eq!(Proposal::new(&command).as_bytes(), bytes, "older versions read it");
        assert!(machine.apply(command).changed);
    }
    let stored = read(SNAPSHOT).expect("readable");
    assert_eq!(stored.version, 3);
    let back = Machine::from(stored.machine);
    assert_eq!(back, machine, "the log and the snapshot come to the same");
    assert_eq!(back.cluster_version(), 1);
    let cart = back.types().next().expect("registered");
    assert_eq!(*cart.shards, [ShardOwner::new(NodeId(1), callboard_types::Epoch(1)); 3]);
}

#[test]
fn a_snapshot_of_this_version_comes_back_and_one_of_a_newer_version_is_refused() {
    let mut state = State::default();
    for command in commands() {
        assert!(state.machine.apply(command).changed);
    }
    state.version = 7;
    assert_eq!(state.sealed(), PLAIN, "nodes of the version before read it");
    assert_eq!(Machine::from(read(PLAIN).expect("readable").machine), state.machine);
    let machine = Stored::from(&state.machine);
    let stored = StoredState { version: 7, schedules_version: 0, machine };
    let back = read(&codec::seal_format(SNAPSHOT_FORMAT, &stored)).expect("readable");
    assert_eq!((back.version, Machine::from(back.machine)), (7, state.machine));
    let newer = codec::seal_format(SNAPSHOT_FORMAT + 1, &stored);
    assert_eq!(read(&newer).err(), Some(CodecError::UnknownFormat(SNAPSHOT_FORMAT + 1)));
}
