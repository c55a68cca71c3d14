//! Golden files: what each language makes of the matrix protos in `tests/matrix`, file by file.
//!
//! After a deliberate change of a back end, `INSTA_UPDATE=always cargo test -p callboard-sdk-gen --test golden` writes the
//! new ones; read their diff before committing it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use callboard_sdk_gen::{
    frontend::sources,
    lang::{Options, OutputFile, language},
};

fn matrix() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/matrix")
}

/// Every proto below the folder, as imports write it.
fn protos(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the matrix is there") {
        let path = entry.expect("a readable folder").path();
        let name = path.file_name().expect("entries have names").to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(protos(&path, &format!("{prefix}{name}/")));
        } else if name.ends_with(".proto") {
            found.push(PathBuf::from(format!("{prefix}{name}")));
        }
    }
    found.sort();
    found
}

fn generate(lang: &str, layer: &str) -> Vec<OutputFile> {
    let model = sources::compile(&protos(&matrix(), ""), &[matrix()])
        .unwrap_or_else(|error| panic!("{error}"));
    let options = Options { layer: layer.parse().expect("a layer"), ..Options::default() };
    let language = language(lang).expect("a language");
    callboard_sdk_gen::generate(&model, language, &options)
        .unwrap_or_else(|error| panic!("{error}"))
}

fn compare(lang: &str) {
    let files = generate(lang, "all");
    assert!(!files.is_empty(), "{lang} generates nothing");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(format!("golden/{lang}"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for file in &files {
            insta::assert_snapshot!(file.path.replace('/', "."), file.content);
        }
    });
    // A file that is no longer generated must not keep its golden file.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(lang);
    for entry in fs::read_dir(folder).expect("golden files") {
        let name = entry.expect("a readable folder").file_name().to_string_lossy().into_owned();
        let Some(path) = name.strip_suffix(".snap") else {
            continue;
        };
        let known = files.iter().any(|file| file.path.replace('/', ".") == path);
        assert!(known, "{lang} does not generate {path} any more; remove its golden file");
    }
}

#[test]
fn typescript_writes_what_it_wrote() {
    compare("typescript");
}

#[test]
fn python_writes_what_it_wrote() {
    compare("python");
}

#[test]
fn java_writes_what_it_wrote() {
    compare("java");
}

#[test]
fn every_file_says_that_it_is_generated_and_ends_with_one_line_end() {
    for lang in ["typescript", "python", "java"] {
        for file in generate(lang, "all") {
            let head: String = file.content.lines().take(3).collect();
            assert!(head.contains("@generated"), "{lang} {}", file.path);
            assert!(file.content.ends_with('\n'), "{lang} {}", file.path);
            assert!(!file.content.ends_with("\n\n"), "{lang} {}", file.path);
            let trailing = file.content.lines().any(|line| line.ends_with([' ', '\t']));
            assert!(!trailing, "{lang} {} has trailing spaces", file.path);
        }
    }
}

#[test]
fn layers_are_parts_of_the_whole() {
    for lang in ["typescript", "python", "java"] {
        let all = generate(lang, "all");
        for layer in ["messages", "actor"] {
            for file in generate(lang, layer) {
                assert!(all.contains(&file), "{lang} {layer}: {} is not in all", file.path);
            }
        }
    }
}
