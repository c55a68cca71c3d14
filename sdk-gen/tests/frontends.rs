//! The front ends: whatever the protos come through, the model is the same, and what is wrong is told with its place.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use callboard_sdk_gen::{
    error::Error,
    frontend::{descriptor_set, plugin, sources},
    model::{ActorKind, Durability, Model, ServiceKind, Shape},
};
use prost::Message;

fn compile(files: &[(&str, &str)]) -> Result<Model, Error> {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    sources::compile(&[PathBuf::from(files[0].0)], &[folder.path().to_owned()])
}

fn faults(files: &[(&str, &str)]) -> String {
    compile(files).unwrap_err().to_string()
}

fn incrementor() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/incrementor")
}

#[test]
fn an_actor_service_carries_its_settings_positions_and_comments() {
    let protos = [PathBuf::from("incrementor.proto")];
    let model = sources::compile(&protos, &[incrementor()]).unwrap();
    let file = model.targets().next().unwrap();
    assert_eq!(model.targets().count(), 1);
    let (service, settings) = file.actors().next().unwrap();
    assert_eq!(settings.type_name, "Incrementor");
    assert_eq!(settings.kind, ActorKind::Unnamed);
    assert_eq!(settings.durability, Durability::Durable);
    let state = settings.state_type.as_deref().unwrap();
    assert_eq!(state, "callboard.examples.incrementor.v1.IncrementorState");
    assert_eq!(model.message(state).unwrap().fields.len(), 4);
    let total = service.methods.iter().find(|method| method.name == "Total").unwrap();
    assert!(total.is_read_only());
    assert_eq!(total.comments.lines(), ["Answers the total."]);
    assert_eq!(total.position.to_string(), "incrementor.proto:24:3");
}

#[test]
fn options_of_spawn_mean_the_same_and_become_callboards_in_the_descriptor() {
    let text = r#"syntax = "proto3";
package shop;
import "spawn/actors/extensions.proto";
service Cart {
  option (spawn.actors.actor) = { kind: UNNAMED, state_type: "State", snapshot_interval: 500 };
  rpc Add(Item) returns (State);
}
message Item { string cart = 1 [(spawn.actors.actor_id) = true]; }
message State { map<string, int64> items = 1; }
"#;
    let model = compile(&[("shop.proto", text)]).unwrap();
    let file = model.targets().next().unwrap();
    let (_, settings) = file.actors().next().unwrap();
    assert_eq!(settings.durability, Durability::Snapshot);
    assert_eq!(settings.snapshot_interval_ms, 500);
    assert_eq!(settings.state_type.as_deref(), Some("shop.State"));
    assert!(model.message("shop.Item").unwrap().actor_id_field().is_some());
    assert!(matches!(model.message("shop.State").unwrap().fields[0].shape, Shape::Map(..)));
    assert_eq!(file.descriptor_dependencies, ["callboard/options/v1/options.proto"]);
    let raw = prost_types::FileDescriptorProto::decode(file.descriptor.as_slice()).unwrap();
    assert_eq!(raw.dependency, ["callboard/options/v1/options.proto"]);

    // What the descriptor says now is what a reader of Callboard's own options gets.
    let own = text
        .replace("spawn/actors/extensions.proto", "callboard/options/v1/options.proto")
        .replace(
            r#"(spawn.actors.actor) = { kind: UNNAMED, state_type: "State", snapshot_interval: 500 }"#,
            r#"(callboard.options.v1.actor) = { kind: KIND_UNNAMED, durability: DURABILITY_SNAPSHOT,
               state_type: "shop.State", snapshot_interval_ms: 500 }"#,
        )
        .replace("spawn.actors.actor_id", "callboard.options.v1.actor_id");
    let own = compile(&[("shop.proto", &own)]).unwrap();
    assert_eq!(own.targets().next().unwrap().descriptor, file.descriptor);
}

#[test]
fn a_pool_of_spawn_becomes_one_of_callboards() {
    let text = r#"syntax = "proto3";
package shop;
import "spawn/actors/extensions.proto";
service Resizer {
  option (spawn.actors.actor) = { kind: POOLED };
  rpc Resize(Image) returns (Image);
}
message Image { bytes data = 1; }
"#;
    let model = compile(&[("shop.proto", text)]).unwrap();
    let file = model.targets().next().unwrap();
    assert_eq!(file.actors().next().unwrap().1.kind, ActorKind::Pooled);
    let own = text
        .replace("spawn/actors/extensions.proto", "callboard/options/v1/options.proto")
        .replace(
            "(spawn.actors.actor) = { kind: POOLED }",
            "(callboard.options.v1.actor) = { kind: KIND_POOLED }",
        );
    let own = compile(&[("shop.proto", &own)]).unwrap();
    assert_eq!(own.targets().next().unwrap().descriptor, file.descriptor);
}

#[test]
fn plugin_and_descriptor_set_give_the_model_that_the_sources_give() {
    let mut compiler = protox::Compiler::new([
        incrementor(),
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto"),
    ])
    .unwrap();
    compiler.include_imports(true).include_source_info(true);
    compiler.open_file("incrementor.proto").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.binpb");
    fs::write(&path, compiler.encode_file_descriptor_set()).unwrap();
    let from_set = descriptor_set::read(&path, &["incrementor.proto".to_owned()]).unwrap();
    let from_sources =
        sources::compile(&[PathBuf::from("incrementor.proto")], &[incrementor()]).unwrap();
    assert_eq!(format!("{from_set:?}"), format!("{from_sources:?}"));
    let everything = descriptor_set::read(&path, &[]).unwrap();
    assert_eq!(format!("{everything:?}"), format!("{from_sources:?}"));
}

#[test]
fn faults_in_protos_have_file_line_and_column() {
    let text = "syntax = \"proto3\";\nmessage A {\n  strin x = 1;\n}\n";
    let faults_of = |text: &str| faults(&[("a.proto", text)]);
    assert!(faults_of(text).starts_with("a.proto:3:3: "), "{}", faults_of(text));
    let broken = faults_of("syntax = \"proto3\";\nmessage A {\n  string x 1;\n}\n");
    assert!(broken.starts_with("a.proto:3:12: "), "{broken}");
    let import = faults_of("syntax = \"proto3\";\nimport \"b.proto\";\n");
    assert!(import.contains("import 'b.proto' not found"), "{import}");
    assert!(import.contains("-I"), "{import}");
}

#[test]
fn editions_are_refused_in_sources_and_imports_and_by_the_plugin() {
    let text = "// edition = \"2023\";\n/* x */ edition = \"2023\";\nmessage A {}\n";
    let refused = faults(&[("a.proto", text)]);
    assert!(refused.starts_with("a.proto:2:9: protobuf editions are not supported"), "{refused}");
    let import = "syntax = \"proto3\";\nimport \"b.proto\";\n";
    let refused = faults(&[("a.proto", import), ("b.proto", text)]);
    assert!(refused.starts_with("b.proto:2:9: protobuf editions"), "{refused}");

    let file = prost_types::FileDescriptorProto {
        name: Some("a.proto".to_owned()),
        syntax: Some("editions".to_owned()),
        ..Default::default()
    };
    let request = plugin::Request {
        file_to_generate: vec!["a.proto".to_owned()],
        parameter: Some("lang=python".to_owned()),
        proto_file: vec![file.encode_to_vec()],
    };
    let answer = plugin::answer(&request.encode_to_vec()).unwrap();
    let answer = plugin::Response::decode(answer.as_slice()).unwrap();
    assert!(answer.error.unwrap().starts_with("a.proto: protobuf editions are not supported"));
    assert_eq!(answer.supported_features, Some(1));
}

#[test]
fn a_state_type_that_names_nothing_is_a_fault() {
    let text = r#"syntax = "proto3";
package a;
import "callboard/options/v1/options.proto";
service S {
  option (callboard.options.v1.actor) = { state_type: "Missing" };
  rpc Do(M) returns (M);
}
message M {}
"#;
    let refused = faults(&[("a.proto", text)]);
    assert!(
        refused.starts_with("a.proto:4:1: state_type \"Missing\" names no message"),
        "{refused}"
    );
    let model = compile(&[("a.proto", &text.replace("Missing", ".a.M"))]).unwrap();
    let service = &model.targets().next().unwrap().services[0];
    assert!(
        matches!(&service.kind, ServiceKind::Actor(s) if s.state_type.as_deref() == Some("a.M"))
    );
}

#[test]
fn a_folder_means_all_protos_below_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("b/c")).unwrap();
    for path in ["z.proto", "b/c/a.proto", "b/notes.txt"] {
        let message = path.replace(['/', '.'], "_");
        let text = format!("syntax = \"proto3\";\nmessage M_{message} {{}}\n");
        fs::write(folder.path().join(path), text).unwrap();
    }
    let here = folder.path().to_owned();
    let model = sources::compile(std::slice::from_ref(&here), std::slice::from_ref(&here)).unwrap();
    let targets: Vec<&str> = model.targets().map(|file| file.path.as_str()).collect();
    assert_eq!(targets, ["b/c/a.proto", "z.proto"]);
}

#[test]
fn a_file_that_cannot_be_found_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let compile = |proto: &Path, include: &Path| {
        let refused = sources::compile(&[proto.to_owned()], &[include.to_owned()]);
        refused.unwrap_err().to_string()
    };
    let missing = compile(Path::new("nope.proto"), folder.path());
    assert!(missing.starts_with("nope.proto does not exist, neither here nor below"), "{missing}");
    let empty = compile(folder.path(), folder.path());
    assert!(empty.ends_with("contains no .proto files"), "{empty}");
    let outside = folder.path().join("outside.proto");
    fs::write(&outside, "syntax = \"proto3\";\n").unwrap();
    let refused = compile(&outside, &incrementor());
    let advice = format!("-I {}", folder.path().display());
    assert!(refused.contains("is not in any include path"), "{refused}");
    assert!(refused.contains(&advice), "{refused}");
}
