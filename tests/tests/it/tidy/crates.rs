//! Crates: who may depend on whom, and on which library.

use std::{collections::BTreeMap, process::Command};

use serde_json::Value;

use super::{report, root};

/// Libraries that stay behind one door, and the crates that are the door.
const QUARANTINED: [(&str, &[&str]); 7] = [
    ("sea-orm", &["callboard-statestore-sql", "callboard-migrations"]),
    ("sea-orm-migration", &["callboard-statestore-sql", "callboard-migrations"]),
    ("sqlx", &["callboard-statestore-sql", "callboard-migrations"]),
    ("openraft", &["callboard-control-plane"]),
    ("redb", &["callboard-control-plane"]),
    ("axum", &["callboard-server"]),
    ("protox", &["callboard-proto", "callboard-sdk-gen", "callboard-bench"]),
];

/// The crates of ours that a crate may use outside its tests. Crates that assemble or test others are not listed.
const MAY_USE: [(&str, &[&str]); 8] = [
    ("callboard-proto", &[]),
    ("callboard-types", &[]),
    ("callboard-transport", &["callboard-proto", "callboard-types"]),
    ("callboard-statestore", &["callboard-types"]),
    ("callboard-migrations", &["callboard-types"]),
    (
        "callboard-statestore-sql",
        &["callboard-migrations", "callboard-statestore", "callboard-types"],
    ),
    ("callboard-control-plane", &["callboard-proto", "callboard-transport", "callboard-types"]),
    (
        "callboard-data-plane",
        &["callboard-proto", "callboard-statestore", "callboard-transport", "callboard-types"],
    ),
];

/// The two planes meet in the view and in ports, not even in tests.
const PLANES: [&str; 2] = ["callboard-control-plane", "callboard-data-plane"];

struct Dependency {
    name: String,
    /// True unless only tests use it.
    ships: bool,
}

fn dependencies() -> BTreeMap<String, Vec<Dependency>> {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version=1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo describes the workspace");
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: Value = serde_json::from_slice(&metadata.stdout).expect("metadata is JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    list(&metadata["packages"])
        .iter()
        .map(|package| {
            let dependencies = list(&package["dependencies"]).into_iter().map(|dependency| {
                Dependency { name: text(&dependency["name"]), ships: dependency["kind"] != "dev" }
            });
            (text(&package["name"]), dependencies.collect())
        })
        .collect()
}

#[test]
fn imports_point_inwards() {
    let crates = dependencies();
    let mut violations = Vec::new();
    for (name, allowed) in MAY_USE {
        let own = crates.get(name).unwrap_or_else(|| panic!("{name} is not in the workspace"));
        let foreign = own
            .iter()
            .filter(|dependency| dependency.ships && dependency.name.starts_with("callboard-"))
            .filter(|dependency| !allowed.contains(&dependency.name.as_str()));
        violations.extend(foreign.map(|dependency| format!("{name} uses {}", dependency.name)));
    }
    report("a crate uses only crates nearer to the vocabulary", &violations);
}

#[test]
fn the_planes_never_meet() {
    let crates = dependencies();
    for (plane, other) in [(PLANES[0], PLANES[1]), (PLANES[1], PLANES[0])] {
        let meets = crates[plane].iter().any(|dependency| dependency.name == other);
        assert!(!meets, "{plane} depends on {other}: they meet in the view and in ports");
    }
}

#[test]
fn libraries_stay_behind_their_door() {
    let mut violations = Vec::new();
    for (name, dependencies) in dependencies() {
        for (library, doors) in QUARANTINED {
            let uses = dependencies.iter().any(|item| item.ships && item.name == library);
            if uses && !doors.contains(&name.as_str()) {
                violations.push(format!("{name} uses {library}, which only {doors:?} may"));
            }
        }
    }
    report("one crate knows a library, and the others know that crate", &violations);
}
