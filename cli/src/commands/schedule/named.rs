//! `callboard schedule get|pause|resume|trigger|delete NAME`.

use callboard_proto::control::v1::{
    DeleteScheduleRequest, GetScheduleRequest, PauseScheduleRequest, ResumeScheduleRequest,
    TriggerScheduleRequest,
};
use clap::Args;
use uuid::Uuid;

use super::shown::Schedule;
use crate::{args::Global, failure::Failure};

/// Which schedule is meant.
#[derive(Args)]
pub(crate) struct NamedArgs {
    /// The schedule's name
    #[arg(value_name = "NAME")]
    name: String,
}

/// Which schedule to delete.
#[derive(Args)]
pub(crate) struct DeleteArgs {
    /// The schedule's name
    #[arg(value_name = "NAME")]
    name: String,

    /// Names the request: the same one again does not delete what was made under the name since. Drawn anew if left out
    #[arg(long, value_name = "REQUEST_ID")]
    key: Option<String>,
}

/// Which schedule to fire.
#[derive(Args)]
pub(crate) struct TriggerArgs {
    /// The schedule's name
    #[arg(value_name = "NAME")]
    name: String,

    /// Names the trigger: the same one again does not fire twice. Drawn anew if left out
    #[arg(long, value_name = "REQUEST_ID")]
    key: Option<String>,
}

// === impl NamedArgs ===

impl NamedArgs {
    /// Shows the schedule.
    pub(super) async fn get(self, global: &Global) -> Result<(), Failure> {
        let (system, name) = (global.system.clone(), self.name);
        let connection = global.connect().await?;
        let request = GetScheduleRequest { system, name };
        let answer = connection.answer(connection.schedules().get_schedule(request)).await?;
        Ok(global.printer().one(&Schedule::from_answer(answer.schedule)?)?)
    }

    /// Pauses the schedule and shows it.
    pub(super) async fn pause(self, global: &Global) -> Result<(), Failure> {
        let (system, name) = (global.system.clone(), self.name);
        let connection = global.connect().await?;
        let request = PauseScheduleRequest { system, name };
        let answer = connection.answer(connection.schedules().pause_schedule(request)).await?;
        Ok(global.printer().one(&Schedule::from_answer(answer.schedule)?)?)
    }

    /// Ends a pause and shows the schedule.
    pub(super) async fn resume(self, global: &Global) -> Result<(), Failure> {
        let (system, name) = (global.system.clone(), self.name);
        let connection = global.connect().await?;
        let request = ResumeScheduleRequest { system, name };
        let answer = connection.answer(connection.schedules().resume_schedule(request)).await?;
        Ok(global.printer().one(&Schedule::from_answer(answer.schedule)?)?)
    }
}

// === impl DeleteArgs ===

impl DeleteArgs {
    /// Deletes the schedule.
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let done = format!("there is no schedule \"{}\" any more", self.name);
        let request = DeleteScheduleRequest {
            system: global.system.clone(),
            name: self.name,
            request_id: self.key.unwrap_or_else(|| Uuid::now_v7().to_string()),
        };
        let connection = global.connect().await?;
        global.talk().detail(&format!("request id {}", request.request_id));
        connection.answer(connection.schedules().delete_schedule(request)).await?;
        global.talk().note(&done);
        Ok(())
    }
}

// === impl TriggerArgs ===

impl TriggerArgs {
    /// Fires the schedule and shows it.
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let request = TriggerScheduleRequest {
            system: global.system.clone(),
            name: self.name,
            request_id: self.key.unwrap_or_else(|| Uuid::now_v7().to_string()),
        };
        let connection = global.connect().await?;
        global.talk().detail(&format!("request id {}", request.request_id));
        let answer = connection.answer(connection.schedules().trigger_schedule(request)).await?;
        Ok(global.printer().one(&Schedule::from_answer(answer.schedule)?)?)
    }
}
