//! The flags that say when and what a schedule calls.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use callboard_proto::control::v1::{
    Overlap, ScheduleSpec,
    schedule_spec::{Argument, When},
};
use clap::{Args, ValueEnum};

use crate::{
    actor_ref::ActorRef,
    commands::invoke::{argument_text, name_and_value},
    failure::Failure,
    payload,
};

/// Which times a schedule has.
#[derive(Args)]
pub(super) struct Times {
    /// Once, at this time, as 2027-01-31T09:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time, group = "when")]
    at: Option<i64>,

    /// Once, after this time, for example 90s or 2h
    #[arg(long = "in", value_name = "DURATION", value_parser = humantime::parse_duration, group = "when")]
    delay: Option<Duration>,

    /// Again and again at this interval, for example 500ms or 15m
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, group = "when")]
    every: Option<Duration>,

    /// Again and again by a cron line: five fields, six with seconds first, or @daily and its like
    #[arg(long, value_name = "LINE", group = "when")]
    cron: Option<String>,

    /// The time zone of the cron line, for example Europe/Berlin; UTC if left out
    #[arg(long, value_name = "ZONE", conflicts_with_all = ["at", "delay", "every"], requires = "cron")]
    zone: Option<String>,

    /// Put each occurrence off by up to this long
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    jitter: Option<Duration>,

    /// No occurrence before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<i64>,

    /// No occurrence after this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<i64>,

    /// End after this many firings
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    times: Option<u64>,

    /// What to do when an occurrence is due while the one before it still runs
    #[arg(long, value_enum, value_name = "POLICY")]
    overlap: Option<OverlapFlag>,

    /// Occurrences that are later than this count as missed; a minute if left out
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    catch_up: Option<Duration>,
}

/// What a schedule calls.
#[derive(Args)]
pub(super) struct Call {
    /// The actor, as TYPE/KEY, or TYPE alone for a NAMED actor
    #[arg(value_name = "TYPE/KEY")]
    actor: ActorRef,

    /// The action, exactly as the actor defines it
    action: String,

    /// The argument as JSON; @FILE reads a file, - reads stdin
    #[arg(short, long, value_name = "JSON|@FILE|-")]
    data: Option<String>,

    /// Text that travels with each call; may be given many times
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    metadata: Vec<(String, String)>,
}

/// The policies by the names that people type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OverlapFlag {
    /// It is missed.
    Skip,
    /// It waits; of several that wait, one is made up for.
    Queue,
    /// It is called at once.
    Allow,
}

// === impl Times ===

impl Times {
    /// The spec without a call.
    ///
    /// # Errors
    /// A usage error if no time is given.
    pub(super) fn spec(&self) -> Result<ScheduleSpec, Failure> {
        let when = match (self.at, self.delay, self.every, &self.cron) {
            (Some(at), ..) => When::AtMs(at),
            (_, Some(delay), ..) => When::DelayMs(millis(delay)),
            (_, _, Some(every), _) => When::IntervalMs(millis(every)),
            (.., Some(line)) => When::Cron(line.clone()),
            (None, None, None, None) => {
                return Err(Failure::usage("a schedule needs its times".to_owned())
                    .advice("say one of --at, --in, --every and --cron"));
            }
        };
        let overlap = match self.overlap {
            None => Overlap::Unspecified,
            Some(OverlapFlag::Skip) => Overlap::Skip,
            Some(OverlapFlag::Queue) => Overlap::Queue,
            Some(OverlapFlag::Allow) => Overlap::Allow,
        };
        Ok(ScheduleSpec {
            when: Some(when),
            time_zone: self.zone.clone().unwrap_or_default(),
            jitter_ms: self.jitter.map_or(0, millis),
            overlap: overlap.into(),
            catchup_window_ms: self.catch_up.map_or(0, millis),
            starts_at_ms: self.from.unwrap_or_default(),
            ends_at_ms: self.until.unwrap_or_default(),
            max_firings: self.times.unwrap_or_default(),
            ..ScheduleSpec::default()
        })
    }
}

// === impl Call ===

impl Call {
    /// Fills in whom a spec calls, and how.
    pub(super) fn fill(&self, spec: ScheduleSpec) -> Result<ScheduleSpec, Failure> {
        // The schedule's own system is the target's as well.
        let target = self.actor.in_system("");
        let argument = argument_text(self.data.as_deref())?;
        let argument = argument.map(|text| payload::from_text(&text)).transpose()?;
        Ok(ScheduleSpec {
            target: Some(target),
            action: self.action.clone(),
            argument: argument.map(Argument::Json),
            metadata: self.metadata.iter().cloned().collect(),
            ..spec
        })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Reads a point in time.
pub(super) fn time(text: &str) -> Result<i64, String> {
    let time: SystemTime = humantime::parse_rfc3339_weak(text)
        .map_err(|error| format!("write it as 2027-01-31T09:00:00Z: {error}"))?;
    let since = time.duration_since(UNIX_EPOCH).map_err(|_| "it is before 1970".to_owned())?;
    i64::try_from(since.as_millis()).map_err(|error| error.to_string())
}
