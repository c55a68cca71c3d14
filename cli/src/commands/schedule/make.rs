//! `callboard schedule create NAME TYPE/KEY ACTION`.

use callboard_proto::control::v1::CreateScheduleRequest;
use clap::Args;
use uuid::Uuid;

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

    /// Names the request: the same one again makes nothing anew, even if the schedule has fired or was deleted since. Drawn
    /// anew if left out
    #[arg(long, value_name = "REQUEST_ID")]
    key: Option<String>,
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
            request_id: self.key.unwrap_or_else(|| Uuid::now_v7().to_string()),
        };
        let connection = global.connect().await?;
        global.talk().detail(&format!("request id {}", request.request_id));
        let answer = connection.answer(connection.schedules().create_schedule(request)).await?;
        if answer.gone {
            global.talk().note("an earlier attempt made it, and it has fired or was deleted since");
        }
        Ok(global.printer().one(&Schedule::from_answer(answer.schedule)?)?)
    }
}
