//! `callboard schedule preview`.

use callboard_proto::control::v1::PreviewScheduleRequest;
use clap::Args;
use serde::Serialize;

use super::times::{Times, time};
use crate::{
    args::Global,
    failure::Failure,
    output::{self, Noun},
};

/// Which times to tell.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    callboard schedule preview --cron '30 2 * * *' --zone Europe/Berlin --count 10\n  \
    callboard schedule preview --cron @monthly --after 2027-01-01T00:00:00Z")]
pub(crate) struct PreviewArgs {
    #[command(flatten)]
    times: Times,

    /// How many times to tell
    #[arg(short, long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    count: u32,

    /// From when on; now if left out
    #[arg(long, value_name = "TIME", value_parser = time)]
    after: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Firing {
    time_ms: i64,
    time: String,
}

impl Noun for Firing {
    const KIND: &'static str = "ScheduledTime";
    const COLUMNS: &'static [&'static str] = &["TIME"];

    fn cells(&self) -> Vec<String> {
        vec![self.time.clone()]
    }

    fn name(&self) -> String {
        self.time.clone()
    }
}

// === impl PreviewArgs ===

impl PreviewArgs {
    /// Tells the times.
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let request = PreviewScheduleRequest {
            spec: Some(self.times.spec()?),
            count: self.count,
            after_ms: self.after.unwrap_or_default(),
        };
        let connection = global.connect().await?;
        let answer = connection.answer(connection.schedules().preview_schedule(request)).await?;
        let firings: Vec<Firing> = answer
            .times_ms
            .into_iter()
            .map(|time_ms| Firing { time_ms, time: output::time(time_ms) })
            .collect();
        if firings.is_empty() {
            global.talk().note("it would never fire");
        }
        Ok(global.printer().list(&firings, false)?)
    }
}
