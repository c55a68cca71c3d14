//! `callboard schedule create NAME TYPE/KEY ACTION`.

use callboard_proto::control::v1::CreateScheduleRequest;
use clap::Args;

use super::{
    shown::Schedule,
    times::{Call, Times},
};
use crate::{args::Global, failure::Failure};

/// What to have called, and when.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    callboard schedule create report Report/daily Send --cron '0 9 * * MON-FRI' --zone Europe/Berlin\n  \
    callboard schedule create poll Feed/news Refresh --every 15m --jitter 30s\n  \
    callboard schedule create goodbye Guest/u1 Remind -d '{\"text\": \"see you\"}' --in 2h")]
pub(crate) struct CreateArgs {
    /// The schedule's name; creating the same schedule again changes nothing
    #[arg(value_name = "NAME")]
    name: String,

    #[command(flatten)]
    call: Call,

    #[command(flatten)]
    times: Times,

    /// Make it paused
    #[arg(long)]
    paused: bool,
}

// === impl CreateArgs ===

impl CreateArgs {
    /// Makes the schedule and shows it.
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let request = CreateScheduleRequest {
            system: global.system.clone(),
            name: self.name,
            spec: Some(self.call.fill(self.times.spec()?)?),
            paused: self.paused,
        };
        let connection = global.connect().await?;
        let answer = connection.answer(connection.schedules().create_schedule(request)).await?;
        Ok(global.printer().one(&Schedule::from_answer(answer.schedule)?)?)
    }
}
