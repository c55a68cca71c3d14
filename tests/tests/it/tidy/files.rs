//! Files: their size, their opening paragraph, their place.

use std::collections::BTreeSet;

use super::{Source, report, rust, sources};

/// Lines of one file, the unit tests at its end not counted.
const FILE_LINES_MAX: usize = 600;

/// Lines of a file of unit tests, which is read one story at a time.
const TESTS_LINES_MAX: usize = 800;

/// Columns of a comment; rustfmt holds code at 100 and leaves comments alone.
const COMMENT_COLUMNS_MAX: usize = 125;

/// What people write, beside Rust.
const LANGUAGES: [&str; 6] = ["ts", "py", "java", "sh", "proto", "mjs"];

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    let others = sources().iter().filter(|source| {
        !source.is_generated() && LANGUAGES.iter().any(|language| source.has_extension(language))
    });
    let limit = |source: &Source| match is_tests(&source.path) {
        true => TESTS_LINES_MAX,
        false => FILE_LINES_MAX,
    };
    let violations: Vec<_> = rust()
        .chain(others)
        .map(|source| (source, source.tests_begin() - 1))
        .filter(|(source, lines)| *lines > limit(source))
        .map(|(source, lines)| format!("{}: {lines} lines", source.path))
        .collect();
    let rule =
        format!("a file has at most {FILE_LINES_MAX} lines of code, {TESTS_LINES_MAX} of tests");
    report(&rule, &violations);
}

#[test]
fn comments_fit_the_screen() {
    let violations: Vec<_> = rust()
        .flat_map(|source| source.lines().map(move |line| (source, line)))
        .filter(|(_, (_, line))| line.trim_start().starts_with("//"))
        // An address cannot be broken.
        .filter(|(_, (_, line))| !line.contains("://"))
        .filter(|(_, (_, line))| line.chars().count() > COMMENT_COLUMNS_MAX)
        .map(|(source, (number, _))| format!("{}:{number}", source.path))
        .collect();
    report(&format!("a comment has at most {COMMENT_COLUMNS_MAX} columns"), &violations);
}

#[test]
fn every_module_says_what_it_is() {
    let violations: Vec<_> = rust()
        .filter(|source| !source.text.starts_with("//!"))
        // What a file of unit tests is about stands in the module that it tests.
        .filter(|source| !source.path.contains("/src/") || !is_tests(&source.path))
        .map(|source| source.path.clone())
        .collect();
    report("a Rust file begins with a //! paragraph", &violations);
}

fn is_tests(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

#[test]
fn every_python_module_says_what_it_is() {
    let violations: Vec<_> = sources()
        .iter()
        .filter(|source| source.has_extension("py") && !source.is_generated())
        .filter(|source| !source.text.trim().is_empty())
        .filter(|source| {
            let first = source.text.lines().find(|line| !line.starts_with("#!"));
            !first.is_some_and(|line| line.starts_with("\"\"\"") || line.starts_with("r\"\"\""))
        })
        .map(|source| source.path.clone())
        .collect();
    report("a Python file begins with a docstring", &violations);
}

#[test]
fn modules_are_named_files() {
    let violations: Vec<_> = rust()
        .filter(|source| source.file_name() == "mod.rs")
        .map(|source| source.path.clone())
        .collect();
    report("write foo.rs beside foo/, not foo/mod.rs", &violations);
}

#[test]
fn no_rust_file_is_an_orphan() {
    let paths: BTreeSet<&str> = rust().map(|source| source.path.as_str()).collect();
    let violations: Vec<_> = rust()
        .filter(|source| !is_root(source))
        .filter(|source| !parents(&source.path).iter().any(|path| declares(path, source, &paths)))
        .map(|source| source.path.clone())
        .collect();
    report("no other file declares this module", &violations);
}

/// Files that cargo itself finds.
fn is_root(source: &Source) -> bool {
    let found = ["lib.rs", "main.rs", "build.rs"].contains(&source.file_name());
    let folder = source.path.rsplit('/').nth(1).unwrap_or_default();
    found || ["bin", "examples", "benches", "tests"].contains(&folder)
}

/// Where the declaration of a module may stand: `a/b/c.rs` in `a/b.rs`, or in the roots of `a/b/`.
fn parents(path: &str) -> Vec<String> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    vec![format!("{folder}.rs"), format!("{folder}/lib.rs"), format!("{folder}/main.rs")]
}

fn declares(parent: &str, module: &Source, paths: &BTreeSet<&str>) -> bool {
    if !paths.contains(parent) {
        return false;
    }
    let name = module.file_name().trim_end_matches(".rs");
    let declaration = format!("mod {name};");
    rust()
        .find(|source| source.path == parent)
        .is_some_and(|source| source.lines().any(|(_, line)| line.trim().ends_with(&declaration)))
}

#[test]
fn every_script_is_called_by_something() {
    let violations: Vec<_> = sources()
        .iter()
        .filter(|source| source.path.starts_with("tests/scripts/"))
        .filter(|script| {
            let callers = sources().iter().filter(|source| source.path != script.path);
            !callers.into_iter().any(|source| source.text.contains(script.file_name()))
        })
        .map(|script| script.path.clone())
        .collect();
    report("nothing names this script", &violations);
}
