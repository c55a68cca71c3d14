//! The SDK conformance suite: a scripted fake server plays scenarios against the conformance program of an SDK.
//!
//! The contract stands in `tests/conformance.md`. Nothing here uses Callboard's own server, so an SDK and the server cannot
//! agree on a mistake. A scenario is an async function that gets a [`stage::Stage`] and answers a [`check::Check`]; each
//! starts its own program and its own fake server, so that none can disturb another.

pub mod calls;
pub mod channels;
pub mod check;
pub mod gateway;
pub mod program;
pub mod server;
pub mod session;
pub mod stage;
pub mod tools;

mod batches;
mod client_calls;
mod client_channels;
mod client_failover;
mod client_retries;
mod client_tools;
mod cluster;
mod control;
mod handshake;
mod lifecycle;
mod nested;
mod settings;
mod turns;
mod workflow;

use std::fmt;

use stage::{Playing, Stage};
use tokio::time::Instant;

/// One scenario.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// What it is about.
    pub group: &'static str,
    /// What holds if it passes, as a sentence.
    pub name: &'static str,
    /// Plays it.
    pub play: fn(Stage) -> Playing,
}

/// Lists scenarios as `"sentence" => function`.
macro_rules! scenarios {
    ($group:literal: $($name:literal => $play:path,)+) => {
        &[$($crate::conformance::Scenario {
            group: $group,
            name: $name,
            play: |stage| Box::pin($play(stage)),
        },)+]
    };
}
use scenarios;

/// Every scenario, in the order in which they are played.
pub fn all() -> Vec<Scenario> {
    [
        handshake::SCENARIOS,
        turns::SCENARIOS,
        batches::SCENARIOS,
        control::SCENARIOS,
        nested::SCENARIOS,
        workflow::SCENARIOS,
        settings::SCENARIOS,
        lifecycle::SCENARIOS,
        cluster::SCENARIOS,
        client_calls::SCENARIOS,
        client_retries::SCENARIOS,
        client_failover::SCENARIOS,
        client_channels::SCENARIOS,
        client_tools::SCENARIOS,
    ]
    .concat()
}

/// How many scenarios passed and failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Passed.
    pub passed: usize,
    /// Failed.
    pub failed: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Plays the scenarios whose group or name contains `only` against `command`, and hands `print` one line for each.
///
/// # Errors
/// If the command cannot be started, or says no Hello on its first start: then no scenario makes sense.
pub async fn run(
    command: &[String],
    only: &str,
    mut print: impl FnMut(&str),
) -> Result<Summary, check::Failure> {
    stage::warm_up(command).await?;
    let mut summary = Summary::default();
    for scenario in all() {
        let title = format!("{}: {}", scenario.group, scenario.name);
        if !title.contains(only) {
            continue;
        }
        let start = Instant::now();
        let stage = Stage::new(command)?;
        let log = stage.log();
        let outcome = (scenario.play)(stage).await;
        let millis = start.elapsed().as_millis();
        match outcome {
            Ok(()) => {
                summary.passed += 1;
                print(&format!("ok      {title} ({millis} ms)"));
            }
            Err(failure) => {
                summary.failed += 1;
                print(&format!("FAILED  {title} ({millis} ms)\n        {failure}{}", log.tail()));
            }
        }
    }
    Ok(summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_ends_before_its_hello_is_shown_with_what_it_printed() {
        let command = ["sh", "-c", "echo cannot find the SDK >&2; exit 3"].map(str::to_owned);
        let failure = run(&command, "", |_| {}).await.unwrap_err().to_string();
        assert!(failure.contains("ended before its Hello"), "{failure}");
        assert!(failure.contains("cannot find the SDK"), "{failure}");
    }

    #[test]
    fn every_action_that_scenarios_use_is_described() {
        let text = include_str!("../conformance.md");
        for (action, _) in handshake::ACTIONS {
            assert!(text.contains(&format!("| `{action}` |")), "{action} is not in conformance.md");
        }
    }

    #[test]
    fn scenarios_can_be_told_apart() {
        let mut names: Vec<&str> = all().iter().map(|scenario| scenario.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
