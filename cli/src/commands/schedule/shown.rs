//! A schedule as `callboard schedule` shows it.

use std::time::Duration;

use callboard_proto::control::v1::{
    self as control, Overlap,
    schedule_spec::{Argument, When},
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    actor_ref::name_of,
    failure::{Exit, Failure},
    output::{self, Noun},
    payload,
};

/// One schedule.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Schedule {
    system: String,
    name: String,
    actor: String,
    action: String,
    /// As it is kept; protobuf arguments as base64.
    argument: Value,
    when: String,
    paused: bool,
    generation: u64,
    next_ms: i64,
    fired: u64,
    missed: u64,
    failed: u64,
    last_fired_ms: i64,
    last_error: String,
    created_ms: i64,
    jitter_ms: u64,
    overlap: &'static str,
    catch_up_ms: u64,
    starts_at_ms: i64,
    ends_at_ms: i64,
    max_firings: u64,
}

impl Schedule {
    /// What a node answered.
    pub(super) fn from_answer(answer: Option<control::Schedule>) -> Result<Self, Failure> {
        answer.map(Self::from).ok_or_else(|| {
            let text = "the node answered without the schedule; it runs another version";
            Failure::new(Exit::NotFound, "UNKNOWN_SCHEDULE", text)
        })
    }
}

impl From<control::Schedule> for Schedule {
    fn from(item: control::Schedule) -> Self {
        let spec = item.spec.unwrap_or_default();
        let overlap = match spec.overlap() {
            Overlap::Queue => "queue",
            Overlap::Allow => "allow",
            Overlap::Unspecified | Overlap::Skip => "skip",
        };
        Self {
            system: item.system,
            name: item.name,
            actor: spec.target.as_ref().map(name_of).unwrap_or_default(),
            action: spec.action,
            argument: match spec.argument {
                None => Value::Null,
                Some(Argument::Json(value)) => payload::to_json(value),
                Some(Argument::Payload(kept)) => payload::readable(&kept, &[]),
            },
            when: when(spec.when, &spec.time_zone),
            paused: item.paused,
            generation: item.generation,
            next_ms: item.next_ms,
            fired: item.fired,
            missed: item.missed,
            failed: item.failed,
            last_fired_ms: item.last_fired_ms,
            last_error: item.last_error,
            created_ms: item.created_ms,
            jitter_ms: spec.jitter_ms,
            overlap,
            catch_up_ms: spec.catchup_window_ms,
            starts_at_ms: spec.starts_at_ms,
            ends_at_ms: spec.ends_at_ms,
            max_firings: spec.max_firings,
        }
    }
}

/// The times in words.
fn when(when: Option<When>, zone: &str) -> String {
    let duration = |ms| humantime::format_duration(Duration::from_millis(ms)).to_string();
    match when {
        None => "-".into(),
        Some(When::AtMs(at)) => format!("at {}", output::time(at)),
        Some(When::DelayMs(delay)) => format!("once after {}", duration(delay)),
        Some(When::IntervalMs(interval)) => format!("every {}", duration(interval)),
        Some(When::Cron(line)) if zone.is_empty() => format!("{line} (UTC)"),
        Some(When::Cron(line)) => format!("{line} ({zone})"),
    }
}

impl Noun for Schedule {
    const KIND: &'static str = "Schedule";
    const COLUMNS: &'static [&'static str] =
        &["NAME", "CALLS", "WHEN", "NEXT", "FIRED", "MISSED", "FAILED", "LAST FIRED", "LAST ERROR"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            format!("{} {}", self.actor, self.action),
            self.when.clone(),
            if self.paused { "paused".into() } else { output::time(self.next_ms) },
            self.fired.to_string(),
            self.missed.to_string(),
            self.failed.to_string(),
            output::time(self.last_fired_ms),
            if self.last_error.is_empty() { "-".into() } else { self.last_error.clone() },
        ]
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

#[cfg(test)]
mod tests {
    use callboard_proto::types::v1::{ActorId, Payload};

    use super::*;
    use crate::output::{Format, Printer};

    fn printed(format: Format) -> String {
        let spec = control::ScheduleSpec {
            target: Some(ActorId {
                r#type: "Report".into(),
                key: "daily".into(),
                ..ActorId::default()
            }),
            action: "Send".into(),
            argument: Some(Argument::Payload(Payload {
                content_type: "application/json".into(),
                type_url: String::new(),
                data: br#"{"copies":2}"#.to_vec().into(),
            })),
            when: Some(When::Cron("0 9 * * MON-FRI".into())),
            time_zone: "Europe/Berlin".into(),
            catchup_window_ms: 60_000,
            ..control::ScheduleSpec::default()
        };
        let schedule = Schedule::from(control::Schedule {
            system: "default".into(),
            name: "report".into(),
            spec: Some(spec),
            generation: 2,
            next_ms: 1_763_632_800_000,
            fired: 3,
            missed: 1,
            created_ms: 1_763_000_000_000,
            ..control::Schedule::default()
        });
        let mut out = Vec::new();
        let mut printer = Printer::new(format, &mut out);
        printer.list(&[schedule], false).expect("a vector takes everything");
        String::from_utf8(out).expect("output is text")
    }

    #[test]
    fn the_json_contract_of_schedules_holds() {
        insta::assert_snapshot!(printed(Format::Json), @r#"
        {
          "apiVersion": "callboard.io/cli/v1",
          "kind": "ScheduleList",
          "items": [
            {
              "system": "default",
              "name": "report",
              "actor": "Report/daily",
              "action": "Send",
              "argument": {
                "copies": 2
              },
              "when": "0 9 * * MON-FRI (Europe/Berlin)",
              "paused": false,
              "generation": 2,
              "nextMs": 1763632800000,
              "fired": 3,
              "missed": 1,
              "failed": 0,
              "lastFiredMs": 0,
              "lastError": "",
              "createdMs": 1763000000000,
              "jitterMs": 0,
              "overlap": "skip",
              "catchUpMs": 60000,
              "startsAtMs": 0,
              "endsAtMs": 0,
              "maxFirings": 0
            }
          ],
          "truncated": false
        }
        "#);
    }

    #[test]
    fn schedules_are_listed_in_columns_for_people() {
        insta::assert_snapshot!(printed(Format::Table), @"
        NAME    CALLS              WHEN                             NEXT                  FIRED  MISSED  FAILED  LAST FIRED  LAST ERROR
        report  Report/daily Send  0 9 * * MON-FRI (Europe/Berlin)  2025-11-20T10:00:00Z  3      1       0       -           -
        ");
    }
}
