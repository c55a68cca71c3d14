//! The bytes of snapshots with schedules, as they stand in data folders: they never change.

use callboard_types::{CallError, ErrorKind, Millis, TypeSettings, settings::Timer};

use super::*;

/// The snapshot of [`scheduled`] at view version 7 and version 9 of the schedules.
const SCHEDULED: &[u8] = &[
    3, 7, 9, 1, 99, 1, 2, 1, 3, 97, 58, 49, 0, 0, 0, 1, 0, 1, 1, 2, 3, 98, 58, 49, 0, 0, 0, 1, 0,
    1, 1, 3, 2, 1, 7, 100, 101, 102, 97, 117, 108, 116, 2, 1, 4, 66, 101, 108, 108, 1, 0, 1, 1, 97,
    0, 0, 0, 0, 0, 0, 224, 212, 3, 144, 78, 176, 234, 1, 232, 7, 1, 0, 0, 1, 1, 1, 0, 1, 1, 0, 4,
    67, 97, 114, 116, 1, 0, 0, 0, 0, 224, 212, 3, 144, 78, 176, 234, 1, 232, 7, 3, 0, 1, 104, 3, 1,
    1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 104, 5, 102, 105, 108, 101, 115, 1, 1, 1, 1, 97, 50, 0, 0, 0, 0,
    4, 3, 1, 7, 100, 101, 102, 97, 117, 108, 116, 5, 112, 108, 97, 105, 110, 29, 1, 115, 1, 116, 1,
    107, 1, 97, 1, 99, 1, 117, 1, 7, 1, 1, 109, 1, 118, 1, 8, 3, 1, 4, 1, 10, 0, 1, 6, 1, 100, 1,
    1, 1, 120, 2, 1, 0, 0, 2, 7, 100, 101, 102, 97, 117, 108, 116, 6, 112, 97, 117, 115, 101, 100,
    32, 1, 115, 1, 116, 1, 107, 1, 97, 1, 99, 1, 117, 1, 7, 1, 1, 109, 1, 118, 3, 1, 108, 1, 122,
    3, 1, 4, 1, 10, 0, 1, 6, 1, 100, 2, 1, 1, 120, 2, 0, 0, 1, 0, 1, 100, 0, 0, 0, 0, 0, 1, 2, 1,
    100, 1, 172, 2, 4, 7, 100, 101, 102, 97, 117, 108, 116, 6, 102, 97, 105, 108, 101, 100, 30, 1,
    115, 1, 116, 1, 107, 1, 97, 1, 99, 1, 117, 1, 7, 1, 1, 109, 1, 118, 2, 232, 7, 3, 1, 4, 1, 10,
    0, 1, 6, 1, 100, 2, 1, 2, 140, 1, 1, 0, 0, 1, 0, 0, 1, 2, 1, 1, 122, 1, 101, 0, 0, 1, 5, 0, 1,
    100, 227, 160, 167, 186, 233, 186, 211, 208, 207, 253, 173, 154, 214, 242, 137, 248, 220, 175,
    3, 157, 145, 76, 128, 21, 41, 101, 253,
];

/// The same after [`requested`].
const REQUESTED: &[u8] = &[
    4, 7, 9, 1, 99, 1, 2, 1, 3, 97, 58, 49, 0, 0, 0, 1, 0, 1, 1, 2, 3, 98, 58, 49, 0, 0, 0, 1, 0,
    1, 1, 3, 2, 1, 7, 100, 101, 102, 97, 117, 108, 116, 2, 1, 4, 66, 101, 108, 108, 1, 0, 1, 1, 97,
    0, 0, 0, 0, 0, 0, 224, 212, 3, 144, 78, 176, 234, 1, 232, 7, 1, 0, 0, 1, 1, 1, 0, 1, 1, 0, 4,
    67, 97, 114, 116, 1, 0, 0, 0, 0, 224, 212, 3, 144, 78, 176, 234, 1, 232, 7, 3, 0, 1, 104, 3, 1,
    1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 104, 5, 102, 105, 108, 101, 115, 1, 1, 1, 1, 97, 50, 0, 0, 0, 0,
    5, 4, 1, 7, 100, 101, 102, 97, 117, 108, 116, 5, 112, 108, 97, 105, 110, 29, 1, 115, 1, 116, 1,
    107, 1, 97, 1, 99, 1, 117, 1, 7, 1, 1, 109, 1, 118, 1, 8, 3, 1, 4, 1, 10, 0, 1, 6, 1, 100, 1,
    1, 1, 120, 2, 1, 0, 0, 2, 7, 100, 101, 102, 97, 117, 108, 116, 6, 112, 97, 117, 115, 101, 100,
    32, 1, 115, 1, 116, 1, 107, 1, 97, 1, 99, 1, 117, 1, 7, 1, 1, 109, 1, 118, 3, 1, 108, 1, 122,
    3, 1, 4, 1, 10, 0, 1, 6, 1, 100, 2, 1, 1, 120, 2, 0, 0, 1, 0, 1, 100, 0, 0, 0, 0, 0, 1, 2, 1,
    100, 1, 172, 2, 4, 7, 100, 101, 102, 97, 117, 108, 116, 6, 102, 97, 105, 108, 101, 100, 30, 1,
    115, 1, 116, 1, 107, 1, 97, 1, 99, 1, 117, 1, 7, 1, 1, 109, 1, 118, 2, 232, 7, 3, 1, 4, 1, 10,
    0, 1, 6, 1, 100, 2, 1, 2, 140, 1, 1, 0, 0, 1, 0, 0, 1, 2, 1, 1, 122, 1, 101, 0, 0, 5, 7, 100,
    101, 102, 97, 117, 108, 116, 1, 114, 29, 1, 115, 1, 116, 1, 107, 1, 97, 1, 99, 1, 117, 1, 7, 1,
    1, 109, 1, 118, 1, 8, 3, 1, 4, 1, 10, 0, 1, 6, 1, 100, 1, 1, 1, 120, 2, 1, 0, 0, 2, 5, 0, 7, 0,
    1, 100, 227, 160, 167, 186, 233, 186, 211, 208, 207, 253, 173, 154, 214, 242, 137, 248, 220,
    175, 3, 1, 100, 217, 133, 252, 241, 137, 219, 204, 160, 192, 204, 181, 146, 166, 184, 175, 209,
    130, 167, 2, 234, 135, 97, 240, 128, 192, 142, 137,
];

/// A refused change by its place.
const REFUSAL: &[u8] = &[1, 7, 34, 1, 109, 1, 1, 107, 1, 118, 0, 0];

fn create(name: &str, when: When, first: i64) -> Create {
    Create {
        system: "default".into(),
        name: name.into(),
        spec: Spec {
            system: "s".into(),
            actor_type: "t".into(),
            key: "k".into(),
            action: "a".into(),
            argument: Argument { content_type: "c".into(), type_url: "u".into(), data: vec![7] },
            metadata: vec![("m".into(), "v".into())],
            when,
            jitter_ms: 3,
            overlap: Overlap::Queue,
            window_ms: 4,
            starts_at: Some(Millis(5)),
            ends_at: None,
            max_firings: Some(6),
        },
        first: Some(Next { nominal: Millis(first), jitter_ms: 2 }),
        paused: false,
        once: false,
        limit: 9,
    }
}

fn batch(id: u128, changes: Vec<Change>) -> Command {
    Command::ChangeSchedules(ChangeSchedules { id, now: Millis(50), changes })
}

/// A type with settings; schedules that are as they were made, paused, triggered, failed and gone.
fn scheduled() -> State {
    let of = |name: &str| Named { system: "default".into(), name: name.into() };
    let mut bell = TypeDefinition::new("Bell");
    bell.shards = 1;
    bell.actions.insert("a".into(), callboard_types::Action::default());
    let settings = TypeSettings {
        timers: vec![Timer { action: "a".into(), interval_ms: 50 }],
        ..TypeSettings::default()
    };
    let registration = RegisterTypes {
        system: "default".into(),
        node: NodeId(1),
        types: vec![bell],
        descriptor_set: None,
    };
    let every = When::Every(1_000);
    let cron = When::Cron { line: "l".into(), zone: "z".into() };
    let paused = Create { paused: true, ..create("paused", cron, 60) };
    let once = Create { once: true, ..create("once", When::At(Millis(60)), 60) };
    let ended = |schedule, number, error: &str, next| Ended {
        schedule,
        generation: 1,
        number,
        fired_at: Millis(61),
        error: error.into(),
        next,
        missed: 2,
    };
    let next = Some(Next { nominal: Millis(70), jitter_ms: 1 });
    let offered =
        Command::TypesOfferedWith(TypesOfferedWith { registration, settings: vec![settings] });
    let changes = [
        Change::Create(create("plain", When::After(8), 60)),
        Change::Create(paused),
        Change::Create(once),
        Change::Create(create("failed", every, 60)),
        Change::Trigger(Triggered { of: of("paused"), request: 300 }),
        Change::Ended(ended(3, 1, "", None)),
        Change::Ended(ended(4, 1, "e", next)),
    ];
    let mut state = State::default();
    let all = commands().into_iter().chain([offered, batch(5, changes.into())]);
    for command in all {
        state.machine.apply(command).outcome.expect("applied");
    }
    (state.version, state.schedules_version) = (7, 9);
    state
}

fn requested(mut state: State) -> State {
    let create = Change::CreateFor(For { request: 400, change: create("r", When::After(8), 60) });
    assert!(state.machine.apply(batch(7, vec![create])).changed);
    state
}

#[track_caller]
fn check_frozen(state: &State, format: u8, bytes: &[u8]) {
    assert_eq!(state.sealed(), bytes);
    assert_eq!(bytes[0], format);
    let back = read(bytes).expect("readable");
    assert_eq!((back.version, back.schedules_version), (7, 9));
    assert_eq!(Machine::from(back.machine), state.machine);
}

#[test]
fn snapshots_with_schedules_are_frozen() {
    // Nodes of the version before requests read it.
    check_frozen(&scheduled(), 3, SCHEDULED);
}

#[test]
fn snapshots_with_requests_are_frozen() {
    check_frozen(&requested(scheduled()), 4, REQUESTED);
}

/// Stands in snapshots with the batch in which it was refused. Apart from the others, because a machine's words may change.
#[test]
fn the_encoding_of_a_refusal_is_frozen() {
    let refusal = CallError::new(ErrorKind::ScheduleConflict, "m").with("k", "v");
    let bytes = codec::encode(&(7_u32, &refusal));
    assert_eq!(bytes, REFUSAL);
    assert_eq!(codec::decode(&bytes), Ok((7_u32, refusal)));
}
