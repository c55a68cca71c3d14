//! protoc, buf and `callboard gen` write identical files: for every example, and for the matrix.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use callboard_sdk_gen::cli::{GenArgs, run};

const LANGUAGES: &[&str] = &["typescript", "python", "java"];
const PLUGIN: &str = env!("CARGO_BIN_EXE_protoc-gen-callboard");

/// Files by path below an output folder.
type Tree = BTreeMap<String, String>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository")
}

fn read(folder: &Path, prefix: &str, wanted: &str, tree: &mut Tree) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        let name = path.file_name().expect("entries have names").to_string_lossy().into_owned();
        if path.is_dir() {
            read(&path, &format!("{prefix}{name}/"), wanted, tree);
        } else if name.ends_with(wanted) && name != "callboard-gen.json" {
            let text = fs::read_to_string(&path).expect("text");
            tree.insert(format!("{prefix}{name}"), text);
        }
    }
}

fn tree(folder: &Path) -> Tree {
    let mut tree = Tree::new();
    read(folder, "", "", &mut tree);
    tree
}

/// The protos of a folder, as imports write them.
fn protos(folder: &Path) -> Vec<String> {
    let mut tree = Tree::new();
    read(folder, "", ".proto", &mut tree);
    tree.into_keys().collect()
}

fn sh(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said));
}

fn by_callboard_gen(lang: &str, folder: &Path, out: &Path) -> Tree {
    let args = GenArgs {
        lang: lang.to_owned(),
        out: out.to_owned(),
        include: vec![folder.to_owned()],
        layer: "all".to_owned(),
        plugin_opt: Vec::new(),
        descriptor_set: None,
        check: false,
        protos: protos(folder).into_iter().map(PathBuf::from).collect(),
    };
    run(&args).unwrap_or_else(|error| panic!("{error}"));
    // A second run finds nothing to do.
    let again = run(&GenArgs { check: true, ..args }).unwrap_or_else(|error| panic!("{error}"));
    assert!(again.written.is_empty() && again.removed.is_empty(), "{again:?}");
    tree(out)
}

fn protoc() -> Command {
    let mut command = Command::new(root().join("tests/scripts/protoc.sh"));
    command
        .arg(format!("-I{}", root().join("proto").display()))
        .arg(format!("-I{}", root().join("sdk-gen/proto").display()));
    command
}

fn by_protoc(lang: &str, folder: &Path, out: &Path) -> Tree {
    fs::create_dir_all(out).expect("a folder");
    sh(protoc()
        .arg(format!("-I{}", folder.display()))
        .arg(format!("--plugin=protoc-gen-callboard={PLUGIN}"))
        .arg(format!("--callboard_out={}", out.display()))
        .arg(format!("--callboard_opt=lang={lang},layer=all"))
        .args(protos(folder)));
    tree(out)
}

fn by_descriptor_set(lang: &str, folder: &Path, out: &Path) -> Tree {
    fs::create_dir_all(out).expect("a folder");
    let set = out.with_extension("binpb");
    sh(protoc()
        .arg(format!("-I{}", folder.display()))
        .args(["--include_imports", "--include_source_info"])
        .arg(format!("--descriptor_set_out={}", set.display()))
        .args(protos(folder)));
    let args = GenArgs {
        lang: lang.to_owned(),
        out: out.to_owned(),
        include: Vec::new(),
        layer: "all".to_owned(),
        plugin_opt: Vec::new(),
        descriptor_set: Some(set),
        check: false,
        protos: Vec::new(),
    };
    run(&args).unwrap_or_else(|error| panic!("{error}"));
    tree(out)
}

/// A buf workspace of the given folder beside Callboard's protos; buf reads no module outside its workspace.
fn workspace(folder: &Path, at: &Path) {
    for (from, to) in [
        (root().join("proto"), "callboard"),
        (root().join("sdk-gen/proto"), "spawn"),
        (folder.to_owned(), "input"),
    ] {
        for proto in protos(&from) {
            let target = at.join(to).join(&proto);
            fs::create_dir_all(target.parent().expect("a parent")).expect("a folder");
            fs::copy(from.join(&proto), target).expect("copied");
        }
    }
    let modules = "version: v2\nmodules:\n  - path: callboard\n  - path: spawn\n  - path: input\n";
    fs::write(at.join("buf.yaml"), modules).expect("written");
}

fn by_buf(lang: &str, workspace: &Path, out: &Path) -> Tree {
    let script = root().join("tests/scripts/buf.sh");
    let path = Command::new(script).arg("path").output().expect("bash runs the script");
    let buf = String::from_utf8(path.stdout).expect("a path");
    let template = format!(
        "{{\"version\":\"v2\",\"plugins\":[{{\"local\":[\"{PLUGIN}\"],\"out\":\"{}\",\
         \"opt\":[\"lang={lang}\",\"layer=all\"]}}]}}",
        out.display()
    );
    // The default strategy runs the plugin once for each folder.
    sh(Command::new(buf.trim()).current_dir(workspace).args([
        "generate",
        "input",
        "--template",
        &template,
    ]));
    tree(out)
}

fn assert_same(what: &str, left: &Tree, right: &Tree) {
    let names = |tree: &Tree| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(left), names(right), "{what}");
    for (name, text) in left {
        let other = &right[name];
        let line = text.lines().zip(other.lines()).take_while(|(a, b)| a == b).count();
        let at = |text: &str| text.lines().nth(line).unwrap_or_default().to_owned();
        assert!(
            text == other,
            "{what}: {name} differs in line {}:\n{}\n{}",
            line + 1,
            at(text),
            at(other)
        );
    }
}

fn all_agree(folder: &Path) {
    let temporary = tempfile::tempdir().expect("a folder");
    let at = |name: String| temporary.path().join(name);
    workspace(folder, &at("workspace".to_owned()));
    for lang in LANGUAGES {
        let ours = by_callboard_gen(lang, folder, &at(format!("{lang}-gen")));
        assert!(!ours.is_empty(), "{lang} generates nothing for {}", folder.display());
        let what =
            |by: &str| format!("{lang} for {}: callboard gen against {by}", folder.display());
        assert_same(
            &what("protoc"),
            &ours,
            &by_protoc(lang, folder, &at(format!("{lang}-protoc"))),
        );
        let set = by_descriptor_set(lang, folder, &at(format!("{lang}-set")));
        assert_same(&what("a descriptor set"), &ours, &set);
        let buf = by_buf(lang, &at("workspace".to_owned()), &at(format!("{lang}-buf")));
        assert_same(&what("buf"), &ours, &buf);
    }
}

#[test]
fn protoc_and_buf_and_callboard_gen_agree_on_the_examples() {
    let mut folders = Vec::new();
    for entry in fs::read_dir(root().join("examples")).expect("examples") {
        let folder = entry.expect("a readable folder").path();
        let has_protos = fs::read_dir(&folder).is_ok_and(|entries| {
            entries.flatten().any(|e| e.file_name().to_string_lossy().ends_with(".proto"))
        });
        if has_protos {
            folders.push(folder);
        }
    }
    assert!(!folders.is_empty(), "no example has a proto");
    for folder in folders {
        // Only the protos at its top: below are languages with folders of their own.
        let top = tempfile::tempdir().expect("a folder");
        for entry in fs::read_dir(&folder).expect("a readable folder").flatten() {
            if entry.file_name().to_string_lossy().ends_with(".proto") {
                fs::copy(entry.path(), top.path().join(entry.file_name())).expect("copied");
            }
        }
        all_agree(top.path());
    }
}

#[test]
fn protoc_and_buf_and_callboard_gen_agree_on_the_matrix() {
    all_agree(&root().join("sdk-gen/tests/matrix"));
}

#[test]
fn the_plugin_reports_faults_the_way_compilers_show_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "syntax = \"proto3\";\nimport \"callboard/options/v1/options.proto\";\nservice S {
  option (callboard.options.v1.actor) = {};\n  rpc Do(stream M) returns (M);\n}\nmessage M {}\n";
    fs::write(folder.path().join("s.proto"), text).expect("written");
    let output = protoc()
        .arg(format!("-I{}", folder.path().display()))
        .arg(format!("--plugin=protoc-gen-callboard={PLUGIN}"))
        .arg(format!("--callboard_out={}", folder.path().display()))
        .args(["--callboard_opt=lang=python", "s.proto"])
        .output()
        .expect("bash runs the script");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("s.proto:5:3: action Do takes a stream"), "{said}");
}

#[test]
fn editions_reach_the_plugin_and_are_refused_without_a_panic() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "edition = \"2023\";\nmessage M { string x = 1; }\n";
    fs::write(folder.path().join("e.proto"), text).expect("written");
    let output = protoc()
        .arg(format!("-I{}", folder.path().display()))
        .arg(format!("--plugin=protoc-gen-callboard={PLUGIN}"))
        .arg(format!("--callboard_out={}", folder.path().display()))
        .args(["--callboard_opt=lang=python", "e.proto"])
        .output()
        .expect("bash runs the script");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("protobuf editions are not supported"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn bytes_that_are_no_request_fail_the_plugin() {
    use std::{io::Write, process::Stdio};
    let mut child = Command::new(PLUGIN)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the plugin starts");
    child.stdin.take().expect("piped").write_all(&[0x0a, 0xff, 0xff]).expect("written");
    let output = child.wait_with_output().expect("it ends");
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("no CodeGeneratorRequest"), "{said}");
}
