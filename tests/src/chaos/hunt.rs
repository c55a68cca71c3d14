//! The test of the chaos test: nodes that have a bug on purpose, and faults that bring it to light. A bug that is not
//! found in time means that the test would not find it in earnest either.

use std::time::Duration;

use callboard_types::planted::Bug;

use super::{Error, Options, plan::Kind, run};

/// How long faults are made in one attempt.
const ATTEMPT: Duration = Duration::from_secs(25);

/// A bug that was found.
#[derive(Debug)]
pub struct Found {
    /// How many runs it took.
    pub runs: u64,
    /// How long that took.
    pub took: Duration,
    /// The first promise that was broken.
    pub finding: String,
}

/// The faults that bring a bug to light.
#[must_use]
pub fn faults(bug: Bug) -> &'static [Kind] {
    match bug {
        Bug::NoStoredOutcome => &[Kind::KillHost, Kind::Reset],
        // What is answered too early must then be lost: commits wait for a database that nobody reaches, and the node
        // that answered dies.
        Bug::ReplyBeforeCommit | Bug::ReadUncommitted => {
            &[Kind::IsolateDatabase, Kind::KillNode, Kind::KillDatabase]
        }
        Bug::LeaseNotChecked | Bug::NoTakeoverWait => {
            &[Kind::Minority, Kind::IsolateOwner, Kind::IsolateLeader]
        }
    }
}

/// Runs a cluster with the bug again and again, each time with another seed, until a checker finds it.
///
/// # Errors
/// If a run could not be carried out.
pub async fn hunt(options: &Options, bug: Bug) -> Result<Option<Found>, Error> {
    let begun = super::now();
    let patience = options.duration;
    for runs in 1.. {
        let folder = options.folder.join(format!("{}-{runs}", bug.name()));
        std::fs::create_dir_all(&folder).map_err(Error::io("making a run's folder"))?;
        let options = Options {
            folder,
            seed: options.seed + runs,
            duration: ATTEMPT,
            kinds: faults(bug).to_vec(),
            planted: Some(bug.name().into()),
            ..options.clone()
        };
        let summary = run::run(&options).await?;
        if let Some(finding) = summary.broken_promises().first() {
            return Ok(Some(Found { runs, took: begun.elapsed(), finding: finding.clone() }));
        }
        if begun.elapsed() > patience {
            break;
        }
    }
    Ok(None)
}
