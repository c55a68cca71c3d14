//! Words that have no place in a tracked file.

use super::{Source, report, rust, sources};

/// Work that was left for later. The words are put together here so that this file does not contain them.
const LEFT_OVER: [&str; 8] = [
    concat!("FIX", "ME"),
    concat!("TO", "DO"),
    concat!("XX", "X"),
    concat!("HA", "CK"),
    concat!("to", "do!("),
    concat!("unimpl", "emented!("),
    concat!("not yet ", "implemented"),
    concat!("lorem ", "ipsum"),
];

/// Folders of one machine.
const MACHINE_PATHS: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/tm", "p/")];

#[test]
fn nothing_is_left_for_later() {
    let mut violations = Vec::new();
    for source in sources() {
        for (number, line) in source.lines() {
            for word in LEFT_OVER.iter().filter(|word| contains_word(line, word)) {
                violations.push(format!("{}:{number} {word}", source.path));
            }
        }
    }
    report("finish it or leave it out", &violations);
}

/// True if `word` stands in `line` and is not part of a longer word.
fn contains_word(line: &str, word: &str) -> bool {
    let is_letter = |letter: char| letter.is_alphanumeric() || letter == '_';
    line.match_indices(word).any(|(begin, found)| {
        let before = line[..begin].chars().next_back();
        let after = line[begin + found.len()..].chars().next();
        let opens = word.ends_with('(');
        !before.is_some_and(is_letter) && (opens || !after.is_some_and(is_letter))
    })
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let mut violations = Vec::new();
    for source in sources() {
        for (number, line) in source.lines() {
            for path in MACHINE_PATHS.iter().filter(|path| begins_a_path(line, path)) {
                violations.push(format!("{}:{number} {path}", source.path));
            }
        }
    }
    report("a path of one machine means nothing on another", &violations);
}

fn begins_a_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(begin, _)| {
        let before = line[..begin].chars().next_back();
        !before.is_some_and(|letter| letter.is_alphanumeric() || "._-/~}*>)".contains(letter))
    })
}

#[test]
fn lock_files_do_not_name_a_registry() {
    let mut violations = Vec::new();
    for source in sources() {
        let name = source.file_name();
        let is_lock = name == "package-lock.json" || name.starts_with("requirements");
        if !is_lock && ![".npmrc", "pip.conf", "settings.xml"].contains(&name) {
            continue;
        }
        for (number, line) in source.lines() {
            let names = ["\"resolved\": \"http", "index-url", "registry=", "<mirror>"];
            if names.iter().any(|name| line.contains(name)) {
                violations.push(format!("{}:{number}", source.path));
            }
        }
    }
    report("which registry serves the packages is the machine's business", &violations);
}

#[test]
fn every_exception_to_a_lint_has_a_reason() {
    let violations: Vec<_> = rust().flat_map(|source| exceptions(source).into_iter()).collect();
    report("write #[expect(lint, reason = \"…\")]", &violations);
}

fn exceptions(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for attribute in [concat!("[exp", "ect("), concat!("[al", "low(")] {
        for (begin, _) in source.text.match_indices(attribute) {
            let rest = &source.text[begin..];
            let end = rest.find(")]").unwrap_or(rest.len());
            if !rest[..end].contains("reason =") {
                let line = source.text[..begin].lines().count();
                found.push(format!("{}:{line}", source.path));
            }
        }
    }
    found
}
