use callboard_types::{Action, Durability, ErrorKind, Kind, limits};

use super::*;
use crate::machine::command::{
    Command,
    fixtures::{counter, epochs, hosted, machine, owners, register, view},
};

fn named(name: &str) -> TypeDefinition {
    let mut definition = TypeDefinition::new(name);
    definition.kind = Kind::Named;
    definition
}

fn with_descriptors(types: Vec<TypeDefinition>, hash: &str, bytes: &[u8]) -> Command {
    Command::RegisterTypes(RegisterTypes {
        system: "default".into(),
        node: NodeId(1),
        types,
        descriptor_set: Some(DescriptorSet { hash: hash.into(), bytes: bytes.into() }),
    })
}

fn refused(machine: &mut Machine, command: Command) -> CallError {
    let before = machine.clone();
    let applied = machine.apply(command);
    assert_eq!(*machine, before, "a refused registration changes nothing");
    assert!(!applied.changed);
    applied.outcome.expect_err("refused")
}

#[test]
fn the_first_registration_owns_its_shards_in_the_same_step() {
    let mut machine = machine();
    assert!(machine.apply(register(1, vec![counter(3), named("Clock")])).changed);
    assert_eq!((owners(&machine), epochs(&machine)), (vec![1, 1, 1], vec![1, 1, 1]));
    assert_eq!(view(&machine, "Clock").shards.len(), 1, "a NAMED actor has one shard");
    assert_ne!(view(&machine, "Clock").id, view(&machine, "Counter").id);
}

#[test]
fn registering_the_same_again_changes_nothing() {
    let mut machine = machine();
    let command = with_descriptors(vec![counter(3), named("Clock")], "h", b"files");
    assert!(machine.apply(command.clone()).changed);
    let before = machine.clone();
    assert_eq!(machine.apply(command), crate::machine::Applied::done(false));
    assert_eq!(machine, before);
}

#[test]
fn an_incompatible_type_is_refused_with_the_whole_registration() {
    let mut machine = machine();
    machine.apply(register(1, vec![counter(3)]));
    let mut other = counter(3);
    other.durability = Durability::Volatile;
    let error = refused(&mut machine, register(1, vec![named("Fine"), other]));
    assert_eq!(error.kind, ErrorKind::IncompatibleType);
    assert!(error.message.contains("Counter"), "{error}");
}

#[test]
fn a_newer_compatible_registration_wins_but_the_shard_count_never_changes() {
    let mut machine = machine();
    machine.apply(register(1, vec![counter(3)]));
    let mut newer = counter(8);
    newer.actions.insert("Reset".into(), Action::default());
    newer.mailbox_limit = 5;
    assert!(machine.apply(register(1, vec![newer])).changed);
    let definition = &view(&machine, "Counter").definition;
    assert!(definition.actions.contains_key("Reset"));
    assert_eq!((definition.mailbox_limit, definition.shards), (5, 3));
    assert_eq!(epochs(&machine), [1, 1, 1], "no shard moved");
}

#[test]
fn a_second_node_registers_without_moving_a_shard() {
    let mut machine = machine();
    machine.apply(register(1, vec![counter(4)]));
    assert!(machine.apply(register(2, vec![counter(4)])).changed);
    assert_eq!(owners(&machine), [1, 1, 1, 1]);
    machine.apply(hosted(1, false));
    assert_eq!(owners(&machine), [2, 2, 2, 2], "but it can take them over");
}

#[test]
fn bad_registrations_are_refused_with_the_rule() {
    let mut machine = machine();
    let mut unknown = RegisterTypes {
        system: "nowhere".into(),
        node: NodeId(1),
        types: vec![counter(1)],
        descriptor_set: None,
    };
    let error = refused(&mut machine, Command::RegisterTypes(unknown.clone()));
    assert_eq!(error.kind, ErrorKind::UnknownSystem);
    unknown.system = "default".into();
    unknown.types.clear();
    refused(&mut machine, Command::RegisterTypes(unknown));
    refused(&mut machine, register(1, vec![counter(1), counter(1)]));
    refused(&mut machine, register(1, vec![counter(0)]));
    refused(&mut machine, register(1, vec![TypeDefinition::new("a/b")]));
    let many = (0..=limits::REGISTER_TYPES_MAX).map(|n| named(&format!("T{n}"))).collect();
    refused(&mut machine, register(1, many));
    let mut wordy = counter(1);
    wordy.state_type = "x".repeat(crate::machine::DEFINITION_BYTES_MAX);
    refused(&mut machine, register(1, vec![wordy]));
    let huge = vec![0; limits::DESCRIPTOR_SET_BYTES_MAX + 1];
    refused(&mut machine, with_descriptors(vec![counter(1)], "h", &huge));
}

#[test]
fn a_descriptor_set_is_kept_once_and_goes_with_the_last_type_that_uses_it() {
    let mut machine = machine();
    machine.apply(with_descriptors(vec![counter(1)], "old", b"old files"));
    machine.apply(with_descriptors(vec![named("Clock")], "old", b"old files"));
    assert_eq!(machine.descriptors.len(), 1);
    let (a, b) = (view(&machine, "Counter"), view(&machine, "Clock"));
    assert!(Arc::ptr_eq(&a.descriptor_set, &b.descriptor_set), "one copy in memory");

    machine.apply(with_descriptors(vec![counter(1), named("Clock")], "new", b"new files"));
    assert_eq!(machine.descriptors.keys().map(|hash| &**hash).collect::<Vec<_>>(), ["new"]);
    assert_eq!(&*view(&machine, "Clock").descriptor_set, b"new files");
}

#[test]
fn another_set_under_a_known_hash_is_refused() {
    let mut machine = machine();
    machine.apply(with_descriptors(vec![counter(1)], "h", b"mine"));
    refused(&mut machine, with_descriptors(vec![named("Evil")], "h", b"theirs"));
}

#[test]
fn an_unchanged_type_keeps_its_view() {
    let mut machine = machine();
    machine.apply(register(1, vec![counter(1), named("Clock")]));
    let before: Vec<_> = machine.types().cloned().collect();
    let mut newer = counter(1);
    newer.mailbox_limit = 5;
    machine.apply(register(1, vec![newer, named("Clock")]));
    let after: Vec<_> = machine.types().cloned().collect();
    assert!(Arc::ptr_eq(&before[0], &after[0]), "Clock is the same object");
    assert!(!Arc::ptr_eq(&before[1], &after[1]), "Counter is another one");
}

#[test]
fn a_registration_without_descriptors_takes_none_away() {
    let mut machine = machine();
    machine.apply(with_descriptors(vec![counter(1)], "h", b"files"));
    assert!(!machine.apply(register(1, vec![counter(1)])).changed);
    assert_eq!(&*view(&machine, "Counter").descriptor_set, b"files");
}

#[test]
fn registrations_end_where_the_memory_of_every_node_would() {
    let mut machine = machine();
    let mut register = |number: usize| {
        let mut set = vec![0; limits::DESCRIPTOR_SET_BYTES_MAX];
        set[..8].copy_from_slice(&number.to_le_bytes());
        let types = vec![named(&format!("T{number}"))];
        machine.apply(with_descriptors(types, &format!("h{number}"), &set))
    };
    // The definitions take a little, so that one set less fits than would alone.
    let fit = crate::machine::REGISTERED_BYTES_MAX / limits::DESCRIPTOR_SET_BYTES_MAX - 1;
    for number in 0..fit {
        assert!(register(number).changed, "{number} of {fit}");
    }
    register(fit).outcome.expect_err("there is no room");
    assert!(!register(0).changed, "who is registered may still come back");
}
