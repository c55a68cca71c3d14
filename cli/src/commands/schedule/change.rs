//! `callboard schedule update NAME TYPE/KEY ACTION`.

use callboard_proto::control::v1::UpdateScheduleRequest;
use clap::Args;

use super::{
    shown::Schedule,
    times::{Call, Times},
};
use crate::{args::Global, failure::Failure};

/// What to have called from now on, and when. It takes the place of everything that was asked for before.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    callboard schedule update report Report/daily Send --cron '0 7 * * *' --zone Europe/Berlin\n  \
    callboard schedule update poll Feed/news Refresh --every 5m --if-generation 2")]
pub(crate) struct UpdateArgs {
    /// The schedule's name
    #[arg(value_name = "NAME")]
    name: String,

    #[command(flatten)]
    call: Call,

    #[command(flatten)]
    times: Times,

    /// Only if the schedule still has this generation, as `callboard schedule get` shows it
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    if_generation: u64,
}

// === impl UpdateArgs ===

impl UpdateArgs {
    /// Changes the schedule and shows it.
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let request = UpdateScheduleRequest {
            system: global.system.clone(),
            name: self.name,
            spec: Some(self.call.fill(self.times.spec()?)?),
            if_generation: self.if_generation,
        };
        let connection = global.connect().await?;
        let answer = connection.answer(connection.schedules().update_schedule(request)).await?;
        Ok(global.printer().one(&Schedule::from_answer(answer.schedule)?)?)
    }
}
