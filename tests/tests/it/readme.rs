//! The README's quickstart, played as it is written: once per language, in a folder that looks like a fresh clone.
//!
//! A fenced block takes part if the line before it is a comment `<!-- test:STORY VERB -->`. STORY is a language, or
//! `all`. The verbs: `run` (a command that must succeed), `output` (what the last command printed), `file NAME` (what a
//! file contains), `background` (a command that goes on in a terminal of its own until the story ends).
//! `<!-- test:all kill -->` stands without a block: everything in the background is killed and started again.

mod story;

use story::Story;

#[test]
fn the_quickstart_works_in_typescript() {
    Story::of("typescript").play();
}

#[test]
fn the_quickstart_works_in_python() {
    Story::of("python").play();
}

#[test]
fn the_quickstart_works_in_java() {
    Story::of("java").play();
}

#[test]
fn every_file_that_the_readme_names_exists() {
    let root = crate::tidy::root();
    let readme = std::fs::read_to_string(root.join("README.md")).expect("there is a README");
    let targets = readme.match_indices("](").map(|(begin, _)| {
        let rest = &readme[begin + 2..];
        &rest[..rest.find(')').unwrap_or(0)]
    });
    let missing: Vec<&str> = targets
        .filter(|target| !target.contains("://") && !target.starts_with('#'))
        .filter(|target| !root.join(target.split('#').next().unwrap_or_default()).exists())
        .collect();
    assert!(missing.is_empty(), "README.md links to {missing:?}");
}
