//! Reads see what was committed, all of it that anybody knew of when the read began, and nothing else: by true time, each
//! actor is a linearizable register.

use super::Violation;
use crate::history::{End, History, Operation};

/// Checks it.
///
/// # Errors
/// A read that saw too little or too much.
pub(crate) fn check(history: &History) -> Result<(), Violation> {
    for actor in history.durable_actors() {
        let of_actor = |operation: &&Operation| operation.actor == actor;
        let operations: Vec<&Operation> = history.operations.iter().filter(of_actor).collect();
        let stored = history.stored(actor);
        // (when it ended, how many adds were known by then to have happened)
        let known: Vec<(u64, usize)> = operations.iter().filter_map(|it| known_by(it)).collect();
        for read in operations.iter().filter(|it| it.reads) {
            let Some((ended, End::Read(seen))) = &read.ended else { continue };
            if !stored.starts_with(seen) {
                return Err(format!("a read of {actor:?} saw {seen:?}, and {stored:?} happened"));
            }
            let due = known.iter().filter(|(at, _)| *at < read.invoked).map(|(_, count)| *count);
            let due = due.max().unwrap_or_default();
            if seen.len() < due {
                return Err(format!(
                    "a read of {actor:?} that began at {} µs saw {} adds, and {due} were known",
                    read.invoked,
                    seen.len()
                ));
            }
            let commits = history.commits.iter().take_while(|commit| commit.at <= *ended);
            let commits = commits.filter(|commit| commit.actor == actor);
            let committed = commits.map(|commit| commit.adds.len()).last().unwrap_or_default();
            if seen.len() > committed {
                return Err(format!(
                    "a read of {actor:?} that ended at {ended} µs saw {} adds, and {committed} were committed",
                    seen.len()
                ));
            }
        }
    }
    Ok(())
}

fn known_by(operation: &Operation) -> Option<(u64, usize)> {
    match operation.ended.as_ref()? {
        (at, End::Added(place)) => Some((*at, *place)),
        (at, End::Read(seen)) => Some((*at, seen.len())),
        (_, End::Failed | End::Unknown) => None,
    }
}
