//! Once nothing goes wrong any more, everything is served again.

use super::Violation;
use crate::history::{End, History};

/// Checks it.
///
/// # Errors
/// A probe that was not answered.
pub(crate) fn check(history: &History) -> Result<(), Violation> {
    let probes = history.operations.iter().filter(|operation| operation.probe);
    let mut count = 0;
    for probe in probes {
        count += 1;
        let answered = matches!(probe.ended, Some((_, End::Added(_) | End::Read(_))));
        if !answered {
            return Err(format!(
                "{:?} was not served after the last fault: {:?}",
                probe.actor, probe.ended
            ));
        }
    }
    if count == 0 { Err("no probe was ever sent".into()) } else { Ok(()) }
}
