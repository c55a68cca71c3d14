//! What was acknowledged is durable before its caller hears of it and stays; what was refused for good never happened.

use super::Violation;
use crate::history::{End, History};

/// Checks it.
///
/// # Errors
/// An acknowledgement that does not hold.
pub(crate) fn check(history: &History) -> Result<(), Violation> {
    let durable = history.durable_actors();
    let adds = (0_u32..).zip(&history.operations);
    let adds = adds.filter(|(_, it)| !it.reads && durable.contains(&it.actor));
    for (number, operation) in adds {
        let stored = history.stored(operation.actor);
        match &operation.ended {
            Some((at, End::Added(place))) => {
                if place.checked_sub(1).and_then(|place| stored.get(place)) != Some(&number) {
                    return Err(format!(
                        "add {number} was acknowledged as number {place} of {:?}, which holds {stored:?}",
                        operation.actor
                    ));
                }
                let mut commits = history.commits.iter().take_while(|commit| commit.at <= *at);
                if !commits.any(|it| it.actor == operation.actor && it.adds.contains(&number)) {
                    return Err(format!("add {number} was acknowledged before it was committed"));
                }
            }
            Some((_, End::Failed)) if stored.contains(&number) => {
                return Err(format!("add {number} was refused for good, and it is stored"));
            }
            _ => {}
        }
    }
    Ok(())
}
