//! Schedules between their proto form and the machine's.

use callboard_proto::{
    control::v1::{
        self as pb,
        schedule_spec::{Argument as PbArgument, When as PbWhen},
    },
    types::v1::{ActorId, Payload},
};
use callboard_types::{CallError, ErrorKind, Kind, Millis, TypeDefinition, shard::key_hash};

use super::json;
use crate::machine::schedules::{Argument, Overlap, Schedule, Spec, When};

/// Occurrences that are later than this are missed, unless the spec says otherwise, in milliseconds.
const WINDOW_DEFAULT_MS: u64 = 60_000;

/// Reads a spec. Its key may be empty still: see [`key`].
pub(super) fn spec(from: pb::ScheduleSpec) -> Result<Spec, CallError> {
    let target = from.target.unwrap_or_default();
    let mut metadata: Vec<(String, String)> = from.metadata.into_iter().collect();
    metadata.sort();
    let millis = |what: &str, value: u64| {
        u32::try_from(value).map_err(|_| wrong(format!("{what} is at most a day")))
    };
    let overlap = match pb::Overlap::try_from(from.overlap) {
        Ok(pb::Overlap::Unspecified | pb::Overlap::Skip) => Overlap::Skip,
        Ok(pb::Overlap::Queue) => Overlap::Queue,
        Ok(pb::Overlap::Allow) => Overlap::Allow,
        Err(_) => return Err(wrong(format!("there is no overlap policy {}", from.overlap))),
    };
    let is_cron = matches!(from.when, Some(PbWhen::Cron(_)));
    if !is_cron && !from.time_zone.is_empty() {
        return Err(wrong("a time zone is for cron lines; leave it out".into()));
    }
    let when = match from.when {
        Some(PbWhen::AtMs(at)) => When::At(Millis(at)),
        Some(PbWhen::DelayMs(delay)) => When::After(delay),
        Some(PbWhen::IntervalMs(interval)) => When::Every(interval),
        Some(PbWhen::Cron(line)) => When::Cron { line, zone: from.time_zone },
        None => {
            let text =
                "a schedule needs its times: set one of at_ms, delay_ms, interval_ms and cron";
            return Err(wrong(text.into()));
        }
    };
    Ok(Spec {
        system: target.system,
        actor_type: target.r#type,
        key: target.key,
        action: from.action,
        argument: argument(from.argument)?,
        metadata,
        when,
        jitter_ms: millis("jitter_ms", from.jitter_ms)?,
        overlap,
        window_ms: if from.catchup_window_ms == 0 {
            WINDOW_DEFAULT_MS
        } else {
            from.catchup_window_ms
        },
        starts_at: (from.starts_at_ms != 0).then_some(Millis(from.starts_at_ms)),
        ends_at: (from.ends_at_ms != 0).then_some(Millis(from.ends_at_ms)),
        max_firings: (from.max_firings != 0).then_some(from.max_firings),
    })
}

/// JSON is kept as text: whoever makes the call knows what the action takes then.
fn argument(from: Option<PbArgument>) -> Result<Argument, CallError> {
    Ok(match from {
        None => Argument::default(),
        Some(PbArgument::Payload(payload)) => Argument {
            content_type: payload.content_type,
            type_url: payload.type_url,
            data: payload.data.to_vec(),
        },
        Some(PbArgument::Json(value)) => Argument {
            content_type: "application/json".into(),
            type_url: String::new(),
            data: json::text(value)?,
        },
    })
}

/// The key of a target that names none: that of the only actor of a NAMED type, or any instance of a pool.
pub(super) fn key(target: Option<&TypeDefinition>, spec: &Spec, name: &str) -> String {
    match target {
        Some(target) if target.kind == Kind::Pooled => {
            (key_hash(name) % u64::from(target.shards.max(1))).to_string()
        }
        Some(target) if target.kind == Kind::Unnamed => String::new(),
        _ => spec.actor_type.clone(),
    }
}

/// Writes a schedule as it stands.
pub(super) fn schedule(from: &Schedule) -> pb::Schedule {
    let (counters, (last_fired, last_error)) = (from.counters(), from.last());
    pb::Schedule {
        system: from.system().to_string(),
        name: from.name().to_string(),
        spec: Some(spec_to_proto(from.spec())),
        paused: from.paused_at().is_some(),
        generation: from.generation(),
        next_ms: from.next().map_or(0, |next| next.due().0),
        fired: counters.fired,
        missed: counters.missed,
        failed: counters.failed,
        last_fired_ms: last_fired.map_or(0, |at| at.0),
        last_error: last_error.to_string(),
        created_ms: from.made().0,
    }
}

/// Writes a schedule of which nothing is known any more but what was asked for.
pub(super) fn gone(system: &str, name: String, spec: Spec) -> pb::Schedule {
    let (system, spec) = (system.to_owned(), Some(spec_to_proto(spec)));
    pb::Schedule { system, name, spec, ..pb::Schedule::default() }
}

fn spec_to_proto(from: Spec) -> pb::ScheduleSpec {
    let target = ActorId { system: from.system, r#type: from.actor_type, key: from.key };
    let Argument { content_type, type_url, data } = from.argument;
    let has_argument = !content_type.is_empty() || !type_url.is_empty() || !data.is_empty();
    let payload = Payload { content_type, type_url, data: data.into() };
    let (when, time_zone) = match from.when {
        When::At(at) => (PbWhen::AtMs(at.0), String::new()),
        When::After(delay) => (PbWhen::DelayMs(delay), String::new()),
        When::Every(interval) => (PbWhen::IntervalMs(interval), String::new()),
        When::Cron { line, zone } => (PbWhen::Cron(line), zone),
    };
    let overlap = match from.overlap {
        Overlap::Skip => pb::Overlap::Skip,
        Overlap::Queue => pb::Overlap::Queue,
        Overlap::Allow => pb::Overlap::Allow,
    };
    pb::ScheduleSpec {
        target: Some(target),
        action: from.action,
        argument: has_argument.then_some(PbArgument::Payload(payload)),
        metadata: from.metadata.into_iter().collect(),
        when: Some(when),
        time_zone,
        jitter_ms: from.jitter_ms.into(),
        overlap: overlap.into(),
        catchup_window_ms: from.window_ms,
        starts_at_ms: from.starts_at.map_or(0, |at| at.0),
        ends_at_ms: from.ends_at.map_or(0, |at| at.0),
        max_firings: from.max_firings.unwrap_or_default(),
    }
}

fn wrong(text: String) -> CallError {
    CallError::new(ErrorKind::InvalidArgument, text + "; nothing was done")
}
