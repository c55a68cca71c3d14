//! One reading of the README, turned into a shell script and run.

use std::{
    fmt::Write as _,
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::{
    node,
    tidy::{self, root},
};

/// A step of the quickstart.
enum Step {
    Run(String),
    Output(String),
    File { name: String, text: String },
    Background(String),
    Kill,
}

/// The README as a reader of one language follows it.
pub(super) struct Story {
    language: &'static str,
    steps: Vec<Step>,
}

// === impl Story ===

impl Story {
    /// Reads the steps of a language, and those of all, in the README's order.
    pub(super) fn of(language: &'static str) -> Self {
        let readme = fs::read_to_string(root().join("README.md")).expect("there is a README");
        let mut lines = readme.lines();
        let mut steps = Vec::new();
        while let Some(line) = lines.next() {
            let Some(directive) = line.trim().strip_prefix("<!-- test:") else {
                continue;
            };
            let directive = directive.trim_end_matches("-->").trim();
            let (story, verb) = directive.split_once(' ').expect("a directive is STORY VERB");
            let ours = story == "all" || story == language;
            if verb == "kill" {
                steps.extend(ours.then_some(Step::Kill));
                continue;
            }
            let fence = lines.next().unwrap_or_default();
            assert!(fence.starts_with("```"), "no block follows the directive {directive:?}");
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            if ours {
                steps.push(step(verb, block.join("\n")));
            }
        }
        assert!(steps.iter().any(|step| matches!(step, Step::Output(_))), "nothing is checked");
        Self { language, steps }
    }

    /// Runs the steps. Fails with the transcript.
    pub(super) fn play(&self) {
        let stage = Stage::prepare(self.language);
        let script = self.script();
        fs::write(stage.folder.join("story.sh"), script.replace("7070", &stage.port.to_string()))
            .expect("the stage can be written to");
        let output = Command::new("bash")
            .arg("../story.sh")
            .current_dir(stage.folder.join("clone"))
            .env("CALLBOARD_SERVER", format!("127.0.0.1:{}", stage.port))
            .env("CALLBOARD__LISTEN__GATEWAY", format!("127.0.0.1:{}", stage.port))
            .env("CALLBOARD__LISTEN__ADMIN", "127.0.0.1:0")
            .env("PATH", node::tool_path())
            .stdin(Stdio::null())
            .output()
            .expect("bash runs");
        assert!(
            output.status.success(),
            "the {} quickstart does not do what the README says\n{}\n{}",
            self.language,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
    }

    fn script(&self) -> String {
        let mut script = PRELUDE.to_owned();
        let mut background = 0;
        for step in &self.steps {
            match step {
                Step::Run(text) => add(&mut script, "run", text),
                Step::Output(text) => add(&mut script, "printed", text),
                Step::File { name, text } => add(&mut script, &format!("file {name}"), text),
                Step::Background(text) => {
                    background += 1;
                    add(&mut script, &format!("background {background}"), text);
                }
                Step::Kill => script.push_str("kill_and_start_again\n"),
            }
        }
        script
    }
}

fn step(verb: &str, block: String) -> Step {
    match verb.split_once(' ') {
        Some(("file", name)) => Step::File { name: name.to_owned(), text: block },
        None if verb == "run" => Step::Run(block),
        None if verb == "output" => Step::Output(block),
        None if verb == "background" => Step::Background(block),
        _ => panic!("README.md: {verb:?} is no verb of a test directive"),
    }
}

/// Calls a function of the prelude with a block as its input.
fn add(script: &mut String, function: &str, block: &str) {
    writeln!(script, "{function} <<'END_OF_BLOCK'\n{block}\nEND_OF_BLOCK")
        .expect("a string takes everything");
}

/// What the steps are written in. Commands run in one shell, so that `cd` and `export` last as they do for a reader.
const PRELUDE: &str = include_str!("story/prelude.sh");

/// A folder for one story, and what it needs around it.
struct Stage {
    folder: PathBuf,
    port: u16,
}

// === impl Stage ===

impl Stage {
    /// Makes a folder with what a fresh clone has in it.
    fn prepare(language: &str) -> Self {
        let folder = node::target().join("readme").join(language);
        let _ = fs::remove_dir_all(&folder);
        for path in tidy::paths() {
            let copy = folder.join("clone").join(&path);
            fs::create_dir_all(copy.parent().expect("a file lies in a folder"))
                .expect("target/ can be written to");
            fs::copy(root().join(&path), copy).expect("target/ can be written to");
        }
        Self { folder, port: callboard_tests::ports::free() }
    }
}
