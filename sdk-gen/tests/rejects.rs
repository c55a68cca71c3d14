//! What the generator refuses, and what it says: the place, the fault, and what to do.

use std::{fs, path::PathBuf};

use callboard_sdk_gen::{
    frontend::sources,
    lang::{Options, language},
};

const HEAD: &str = "syntax = \"proto3\"; package t; import \"callboard/options/v1/options.proto\";
message M { string text = 1; }
";

/// The faults of a file whose third line is the first of `text`.
fn faults_in(lang: &str, text: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("t.proto"), format!("{HEAD}{text}\n")).expect("writable");
    let language = language(lang).expect("a language");
    sources::compile(&[PathBuf::from("t.proto")], &[folder.path().to_owned()])
        .and_then(|model| callboard_sdk_gen::generate(&model, language, &Options::default()))
        .expect_err("this must be refused")
        .to_string()
}

fn faults(text: &str) -> String {
    let all = ["typescript", "python", "java"].map(|lang| faults_in(lang, text));
    assert!(all.iter().all(|faults| *faults == all[0]), "the languages disagree: {all:#?}");
    all[0].clone()
}

const ACTOR: &str = "service S { option (callboard.options.v1.actor) = {};";

#[test]
fn actions_do_not_stream() {
    let text = format!(
        "{ACTOR}
  rpc Up(stream M) returns (M);
  rpc Down(M) returns (stream M);
  rpc Both(stream M) returns (stream M);
}}"
    );
    insta::assert_snapshot!(faults(&text), @r#"
    t.proto:4:3: action Up takes a stream, which actors cannot
      help: remove 'stream', or move the rpc to a service without the actor option
    t.proto:5:3: action Down answers a stream, which actors cannot
      help: remove 'stream', or move the rpc to a service without the actor option
    t.proto:6:3: action Both takes and answers streams, which actors cannot
      help: remove 'stream', or move the rpc to a service without the actor option
    "#);
}

#[test]
fn actor_services_need_actions() {
    insta::assert_snapshot!(faults(&format!("{ACTOR} }}")), @r#"
    t.proto:3:1: actor service S has no methods
      help: add at least one rpc; each is an action
    "#);
}

#[test]
fn one_type_name_is_one_service() {
    let text =
        "service A { option (callboard.options.v1.actor).name = \"X\"; rpc Do(M) returns (M); }
service B { option (callboard.options.v1.actor).name = \"X\"; rpc Do(M) returns (M); }";
    insta::assert_snapshot!(faults(text), @r#"
    t.proto:4:1: services t.B and t.A (t.proto:3:1) are both the actor type "X"
      help: give one of them another name with (callboard.options.v1.actor).name
    "#);
}

#[test]
fn type_names_fit_the_server() {
    let text =
        "service A { option (callboard.options.v1.actor).name = \"a/b\"; rpc Do(M) returns (M); }";
    insta::assert_snapshot!(faults(text), @r#"
    t.proto:3:1: actor type name "a/b" cannot be used
      help: use at most 128 bytes without '/' and NUL
    "#);
}

#[test]
fn an_actor_has_one_key_and_it_is_text() {
    let text = "message Two {
  string a = 1 [(callboard.options.v1.actor_id) = true];
  string b = 2 [(callboard.options.v1.actor_id) = true];
}
message Number {
  int64 id = 1 [(callboard.options.v1.actor_id) = true];
  repeated string ids = 2;
}";
    insta::assert_snapshot!(faults(text), @r#"
    t.proto:5:3: fields 'a' and 'b' are both marked as actor_id
      help: mark one field; an actor has one key
    t.proto:8:3: field 'id' is marked as actor_id but is not a string
      help: make it a string; actor keys are text
    "#);
}

#[test]
fn snapshot_intervals_need_snapshots() {
    let text = "service A { option (callboard.options.v1.actor).snapshot_interval_ms = 5; rpc Do(M) returns (M); }";
    insta::assert_snapshot!(faults(text), @r#"
    t.proto:3:1: snapshot_interval_ms has no meaning without durability DURABILITY_SNAPSHOT
      help: set the durability, or remove the interval
    "#);
}

#[test]
fn pools_have_bounds_and_no_state() {
    let text = "service A {
  option (callboard.options.v1.actor) = {
    kind: KIND_POOLED, durability: DURABILITY_VOLATILE, state_type: \"M\", pool_min: 5, pool_max: 4
  };
  rpc Do(M) returns (M);
}
service B { option (callboard.options.v1.actor).pool_max = 4; rpc Do(M) returns (M); }
service C { option (callboard.options.v1.actor).kind = KIND_POOLED; rpc Do(M) returns (M); }";
    insta::assert_snapshot!(faults(text), @r#"
    t.proto:3:1: instances of a pool have no state, so 'durability' has no meaning
      help: remove 'durability', or use another kind
    t.proto:3:1: instances of a pool have no state, so 'state_type' has no meaning
      help: remove 'state_type', or use another kind
    t.proto:3:1: pool_min 5 is above pool_max 4
      help: let the pool have at least as many instances as are always in memory
    t.proto:9:1: pool_min and pool_max have no meaning without kind KIND_POOLED
      help: set the kind, or remove the bounds
    "#);
}

#[test]
fn both_options_on_one_service_are_one_too_many() {
    let text = "import \"spawn/actors/extensions.proto\";
service A {
  option (callboard.options.v1.actor) = {};
  option (spawn.actors.actor) = { stateful: true };
  rpc Do(M) returns (M);
}";
    insta::assert_snapshot!(faults(text), @r#"
    t.proto:4:1: service A has both (callboard.options.v1.actor) and (spawn.actors.actor)
      help: keep one of them; they mean the same
    "#);
}

#[test]
fn parts_of_spawn_that_have_no_counterpart_are_named() {
    let text = "import \"spawn/actors/extensions.proto\";
service A {
  option (spawn.actors.actor) = { kind: PROJECTION, sourceable: true, subjects: [{ actor: \"x\" }] };
  rpc All(M) returns (M) { option (spawn.actors.view) = { query: \"SELECT 1\" }; }
}";
    insta::assert_snapshot!(faults(text), @r#"
    t.proto:4:1: 'sourceable' belongs to projections, which are not supported
      help: remove 'sourceable' from (spawn.actors.actor)
    t.proto:4:1: 'subjects' belongs to projections, which are not supported
      help: remove 'subjects' from (spawn.actors.actor)
    t.proto:4:1: kind PROJECTION is not supported
      help: use NAMED, UNNAMED or POOLED
    t.proto:6:3: method 'All' is a view of a projection, which is not supported
      help: remove the option (spawn.actors.view)
    "#);
}

#[test]
fn groups_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "syntax = \"proto2\";\nmessage A {\n  optional group Inner = 1 {\n    optional int32 x = 1;\n  }\n}\n";
    fs::write(folder.path().join("t.proto"), text).expect("writable");
    let faults = sources::compile(&[PathBuf::from("t.proto")], &[folder.path().to_owned()])
        .expect_err("this must be refused")
        .to_string();
    insta::assert_snapshot!(faults, @r#"
    t.proto:3:3: field 'inner' is a proto2 group, which is not supported
      help: declare a message and a field of its type instead
    "#);
}

#[test]
fn rpcs_that_become_one_method_collide() {
    let text =
        format!("{ACTOR}\n  rpc SetName(M) returns (M);\n  rpc set_name(M) returns (M);\n}}");
    let all = ["typescript", "python", "java"].map(|lang| faults_in(lang, &text)).join("\n");
    insta::assert_snapshot!(all, @r#"
    t.proto:5:3: action set_name and action SetName (t.proto:4:3) would both be called setName in typescript
      help: rename one of them
    t.proto:5:3: action set_name and action SetName (t.proto:4:3) would both be called set_name in python
      help: rename one of them
    t.proto:5:3: action set_name and action SetName (t.proto:4:3) would both be called setName in java
      help: rename one of them
    "#);
}

#[test]
fn types_that_collide_with_what_a_service_declares_are_refused() {
    for lang in ["typescript", "python", "java"] {
        let names = language(lang).expect("a language").service_names("S");
        let Some(name) = names.first() else { continue };
        // Java puts what a service declares into files of their own, Python into modules of their own; either way two
        // things of one name in one scope must be refused.
        let text = format!("{ACTOR} rpc Do(M) returns (M); }}\nmessage {name} {{}}");
        let faults = faults_in(lang, &text);
        assert!(faults.contains(&format!("would both be called {name} in {lang}")), "{faults}");
        assert!(faults.starts_with("t.proto:"), "{faults}");
    }
}

#[test]
fn all_faults_are_reported_at_once_in_the_order_of_the_file() {
    let text = format!(
        "{ACTOR}\n  rpc Up(stream M) returns (M);\n}}\nservice T {{ option (callboard.options.v1.actor) = {{}}; }}"
    );
    let faults = faults(&text);
    let places: Vec<&str> = faults.lines().filter(|l| !l.starts_with("  help")).collect();
    assert_eq!(places.len(), 2, "{faults}");
    assert!(places[0].starts_with("t.proto:4:3: "), "{faults}");
    assert!(places[1].starts_with("t.proto:6:1: "), "{faults}");
}

#[test]
fn wrong_parameters_are_named_with_the_right_ones() {
    let refuse = |text: &str| Options::parse(text).map(|_| ()).expect_err("refused").to_string();
    insta::assert_snapshot!(refuse("layer=all"), @r#"parameter "lang" is missing; add lang=NAME with one of: typescript, python, java"#);
    insta::assert_snapshot!(refuse("lang=cobol"), @r#"unknown language "cobol"; use one of: typescript, python, java"#);
    insta::assert_snapshot!(refuse("lang=python,layer=most"), @r#"unknown layer "most"; use one of: messages, actor, all"#);
    insta::assert_snapshot!(refuse("lang=python,lang=java"), @r#"parameter "lang" is given twice"#);
    let unknown = refuse("lang=python,colour=red");
    assert!(unknown.starts_with("python has no parameter \"colour\""), "{unknown}");
}
