//! Machines are pure: they are handed time and ids, and return effects. The same input gives the same output.

use super::{report, rust};

/// What a machine would need to reach the world, each with the way it gets the same thing.
const IMPURE: [(&str, &str); 12] = [
    ("tokio", "return an effect; the shell runs it"),
    ("tonic::", "return an effect; the shell sends it"),
    ("sea_orm", "return an effect; the shell commits it"),
    ("std::fs", "return an effect; the shell writes it"),
    ("std::net", "return an effect; the shell sends it"),
    ("std::thread", "return an effect; the shell runs it"),
    ("SystemTime", "take the time as an argument"),
    ("Instant", "take the time as an argument"),
    ("Tick::now", "take the time as an argument"),
    ("Millis::now", "take the time as an argument"),
    ("rand::", "take what is random as an argument"),
    ("Uuid::now", "take the id as an argument"),
];

#[test]
fn machines_touch_nothing_outside_themselves() {
    let machines = rust().filter(|source| {
        source.path.starts_with("server/")
            && (source.file_name() == "machine.rs" || source.path.contains("/machine/"))
            && !(source.file_name() == "tests.rs" || source.path.contains("/tests/"))
    });
    let mut violations = Vec::new();
    for source in machines {
        let code = source.tests_begin();
        for (number, line) in source.lines().take_while(|(number, _)| *number < code) {
            let line = line.split("//").next().unwrap_or_default();
            for (word, instead) in IMPURE.iter().filter(|(word, _)| line.contains(word)) {
                violations.push(format!("{}:{number} uses {word}: {instead}", source.path));
            }
        }
    }
    report("a machine uses std's data structures, serde and callboard-types only", &violations);
}
