//! What a schedule must be like to be taken.

use callboard_types::{ActorId, CallError, ErrorKind, Millis, limits};

use super::times::{LAST, Times};
use crate::machine::schedules::{Spec, When};

/// Largest argument of a scheduled call, in bytes: every node holds it in memory for as long as the schedule lives.
pub(crate) const ARGUMENT_BYTES_MAX: usize = 16 * 1024;
/// Shortest interval, in milliseconds.
pub(crate) const INTERVAL_MIN_MS: u64 = 100;
/// Longest interval and delay, in milliseconds: a hundred years.
const INTERVAL_MAX_MS: u64 = 100 * 366 * 24 * 3_600 * 1_000;
/// Largest jitter, in milliseconds.
pub(crate) const JITTER_MAX_MS: u64 = 24 * 3_600 * 1_000;
/// Longest cron line and zone name, in bytes.
const LINE_BYTES_MAX: usize = 256;

/// Checks the name of a schedule.
pub(crate) fn name(name: &str) -> Result<(), CallError> {
    let fits = (1..=limits::NAME_BYTES_MAX).contains(&name.len());
    if fits && !name.chars().any(char::is_control) {
        return Ok(());
    }
    wrong(format!(
        "a schedule's name has 1 to {} bytes and no control characters",
        limits::NAME_BYTES_MAX
    ))
}

/// Checks the id of a request.
pub(crate) fn request_id(id: &str) -> Result<(), CallError> {
    if id.len() <= limits::REQUEST_ID_BYTES_MAX {
        return Ok(());
    }
    wrong(format!("a request id has at most {} bytes", limits::REQUEST_ID_BYTES_MAX))
}

/// Checks everything about a spec that does not depend on the time.
pub(crate) fn spec(spec: &Spec) -> Result<(), CallError> {
    call(spec)?;
    if spec.action.starts_with('$') {
        return wrong("actions that begin with $ are Callboard's own".into());
    }
    if spec.metadata.iter().any(|(name, _)| name.starts_with("callboard-")) {
        return wrong("metadata names that begin with callboard- are Callboard's own".into());
    }
    when(spec)
}

/// Checks a single delayed call.
pub(crate) fn once(spec: &Spec) -> Result<(), CallError> {
    call(spec)?;
    instant(&spec.when)
}

/// Checks the call.
fn call(spec: &Spec) -> Result<(), CallError> {
    let system = if spec.system.is_empty() { "default" } else { &spec.system };
    ActorId::parse(system, &spec.actor_type, &spec.key)?;
    let action = &spec.action;
    let fits = (1..=limits::ACTION_BYTES_MAX).contains(&action.len());
    if !fits || action.chars().any(char::is_control) {
        return wrong(format!(
            "an action's name has 1 to {} bytes and no control characters",
            limits::ACTION_BYTES_MAX
        ));
    }
    let argument = &spec.argument;
    if argument.data.len() > ARGUMENT_BYTES_MAX {
        let text = format!(
            "the argument of a scheduled call has at most {ARGUMENT_BYTES_MAX} bytes; this one has {}. Store it \
             elsewhere, and schedule a call that names it",
            argument.data.len()
        );
        return Err(CallError::new(ErrorKind::PayloadTooLarge, text));
    }
    let metadata = spec.metadata.iter().map(|(name, value)| name.len() + value.len());
    let names = argument.content_type.len() + argument.type_url.len();
    let bytes = metadata.sum::<usize>() + names;
    if bytes > limits::METADATA_BYTES_MAX || spec.metadata.len() > limits::METADATA_ENTRIES_MAX {
        let text = format!(
            "metadata has at most {} entries and {} bytes",
            limits::METADATA_ENTRIES_MAX,
            limits::METADATA_BYTES_MAX
        );
        return Err(CallError::new(ErrorKind::MetadataTooLarge, text));
    }
    Ok(())
}

/// Checks the times.
pub(crate) fn when(spec: &Spec) -> Result<(), CallError> {
    match &spec.when {
        When::Every(interval) if !(INTERVAL_MIN_MS..=INTERVAL_MAX_MS).contains(interval) => {
            return wrong(format!(
                "an interval has {INTERVAL_MIN_MS} ms to a hundred years; {interval} ms it cannot be"
            ));
        }
        When::Cron { line, zone } if line.len() > LINE_BYTES_MAX || zone.len() > LINE_BYTES_MAX => {
            return wrong(format!("a cron line has at most {LINE_BYTES_MAX} bytes"));
        }
        when => instant(when)?,
    }
    for (what, time) in [("starts_at", spec.starts_at), ("ends_at", spec.ends_at)] {
        time.map_or(Ok(()), |time| moment(what, time))?;
    }
    if let (Some(starts), Some(ends)) = (spec.starts_at, spec.ends_at)
        && ends < starts
    {
        return wrong("the schedule ends before it starts".into());
    }
    if u64::from(spec.jitter_ms) > JITTER_MAX_MS {
        return wrong(format!("jitter_ms is at most {JITTER_MAX_MS}, a day"));
    }
    // Whether the line and the zone can be read.
    Times::of("", "", spec, Millis(0)).map(|_| ())
}

/// Refuses a time that no calendar here reaches.
pub(crate) fn moment(what: &str, time: Millis) -> Result<(), CallError> {
    if (Millis(0)..=LAST).contains(&time) {
        return Ok(());
    }
    wrong(format!("{what} is not within the years 1970 to 9999"))
}

/// Checks a single time.
fn instant(when: &When) -> Result<(), CallError> {
    match when {
        When::At(at) if *at <= Millis(0) || *at > LAST => {
            wrong("the time is not within the years 1970 to 9999".into())
        }
        When::After(delay) if *delay > INTERVAL_MAX_MS => {
            wrong("a delay is at most a hundred years".into())
        }
        _ => Ok(()),
    }
}

/// Refuses a single time that would be missed as soon as it was made.
pub(crate) fn future(spec: &Spec, now: Millis) -> Result<(), CallError> {
    let window = i64::try_from(spec.window_ms).unwrap_or(i64::MAX);
    match spec.when {
        When::At(at) if at.plus(window) < now => wrong(format!(
            "the time is {} ms ago, which is more than the catch-up window of {} ms; name a later one",
            now.0 - at.0,
            spec.window_ms
        )),
        _ => Ok(()),
    }
}

/// A spec without any time.
pub(crate) fn never(spec: &Spec) -> CallError {
    let text = match &spec.when {
        When::Cron { line, .. } => format!(
            "\"{}\" never fires within the schedule's bounds: no such day exists, or it ends first; \
             `callboard schedule preview` shows the times of a line",
            line.escape_debug()
        ),
        _ => "the schedule would never fire: it starts after its time, or ends before it".into(),
    };
    CallError::new(ErrorKind::InvalidArgument, text)
}

fn wrong(text: String) -> Result<(), CallError> {
    Err(CallError::new(ErrorKind::InvalidArgument, text + "; nothing was done"))
}
