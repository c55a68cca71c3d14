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
        // Whether an attempt ran is in doubt for whoever made it.
        Bug::DeliveryNotKept => &[Kind::Reset, Kind::KillNode, Kind::PairPartition],
        // What was let go too early is lost with the node that has not committed the rest.
        Bug::RowGoneEarly | Bug::WalkDoneEarly | Bug::FiringEndedEarly => {
            &[Kind::IsolateDatabase, Kind::KillNode, Kind::KillDatabase]
        }
        Bug::LinkNotStored => &[Kind::Reset],
        Bug::LeaseNotChecked | Bug::NoTakeoverWait => {
            &[Kind::Minority, Kind::IsolateOwner, Kind::IsolateLeader]
        }
    }
}

/// Of a hundred calls, how many set something going, if the bug has to do with that.
const fn talk(bug: Bug) -> Option<u32> {
    match bug {
        Bug::RowGoneEarly
        | Bug::DeliveryNotKept
        | Bug::LinkNotStored
        | Bug::WalkDoneEarly
        | Bug::FiringEndedEarly => Some(80),
        Bug::ReplyBeforeCommit
        | Bug::NoStoredOutcome
        | Bug::ReadUncommitted
        | Bug::LeaseNotChecked
        | Bug::NoTakeoverWait => None,
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
            talk: talk(bug).unwrap_or(options.talk),
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
