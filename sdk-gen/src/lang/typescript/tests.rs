//! The committed output is the golden file: what is generated now must be what the compilers and the SDK's own tests saw.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::TypeScript;
use crate::{
    cli::{GenArgs, run},
    error::Error,
    frontend::sources,
    generate,
    lang::{Layer, Options, OutputFile},
};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn up_to_date(out: &str, layer: &str, include: &[&str], protos: &[&str]) {
    let root = repository();
    let include: Vec<PathBuf> = include.iter().map(|path| root.join(path)).collect();
    let args = GenArgs {
        lang: "typescript".to_owned(),
        out: root.join(out),
        protos: protos.iter().map(PathBuf::from).collect(),
        include,
        layer: layer.to_owned(),
        plugin_opt: Vec::new(),
        descriptor_set: None,
        check: true,
    };
    if let Err(error) = run(&args) {
        panic!("run sdks/typescript/scripts/generate.sh: {error}");
    }
}

#[test]
fn the_protocol_layer_of_the_sdk_is_up_to_date() {
    up_to_date(
        "sdks/typescript/src/gen",
        "messages",
        &["proto", "sdks/typescript/proto"],
        &[
            "callboard/type/v1/type.proto",
            "callboard/options/v1/options.proto",
            "callboard/gateway/v1/gateway.proto",
            "callboard/host/v1/host.proto",
            "callboard/control/v1/control.proto",
            "callboard/control/v1/dead_letters.proto",
            "callboard/control/v1/schedules.proto",
            "google/rpc/status.proto",
        ],
    );
}

#[test]
fn the_examples_are_up_to_date() {
    up_to_date(
        "examples/incrementor/typescript/gen",
        "all",
        &["examples/incrementor"],
        &["incrementor.proto"],
    );
}

#[test]
fn everything_that_a_proto_may_hold_is_printed_as_before() {
    up_to_date(
        "sdks/typescript/typetests/gen",
        "all",
        &["sdks/typescript/typetests/proto"],
        &[
            "unpackaged.proto",
            "acme/common/shared.proto",
            "acme/v1/legacy.proto",
            "acme/v1/matrix.proto",
        ],
    );
}

fn print(text: &str, options: &Options) -> Result<Vec<OutputFile>, Error> {
    let folder = tempfile::tempdir().expect("a folder for the protos");
    fs::write(folder.path().join("a.proto"), text).expect("the proto is written");
    let model = sources::compile(&[PathBuf::from("a.proto")], &[folder.path().to_owned()])?;
    generate(&model, &TypeScript, options)
}

fn actor(rpc: &str) -> String {
    format!(
        "syntax = \"proto3\";\nimport \"callboard/options/v1/options.proto\";\nmessage M {{}}\nservice S {{\n  \
         option (callboard.options.v1.actor) = {{}};\n  rpc {rpc}(M) returns (M);\n}}\n"
    )
}

#[test]
fn an_action_that_the_base_class_needs_the_name_of_is_refused_with_its_place() {
    for (rpc, name) in [("Initial", "initial"), ("Then", "then")] {
        let refused =
            print(&actor(rpc), &Options::default()).expect_err("the name is taken").to_string();
        assert!(refused.starts_with("a.proto:6:3: "), "{refused}");
        assert!(refused.contains(name), "{refused}");
    }
}

#[test]
fn imports_end_as_asked() {
    for (extension, import) in [("js", "./a_pb.js"), ("ts", "./a_pb.ts"), ("none", "./a_pb")] {
        let mut options = Options { layer: Layer::Actor, ..Options::default() };
        options.parameters.insert("import_extension".to_owned(), extension.to_owned());
        let files = print(&actor("Add"), &options).expect("the proto is fine");
        let [file] = files.as_slice() else {
            panic!("one file of actors, not {}", files.len());
        };
        assert_eq!(file.path, "a_actor.ts");
        assert!(file.content.contains(&format!("from \"{import}\";")));
    }
}
