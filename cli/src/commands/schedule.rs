//! `callboard schedule …`.

mod change;
mod list;
mod make;
mod named;
mod preview;
mod shown;
mod times;

use clap::Subcommand;

use crate::{args::Global, failure::Failure};

/// What can be asked about schedules.
#[derive(Subcommand)]
pub(crate) enum ScheduleCommand {
    /// Have an action called once or again and again
    // Boxed: these have many flags, and the others have none.
    Create(Box<make::CreateArgs>),
    /// Give a schedule other times, or another call; it keeps its counters
    Update(Box<change::UpdateArgs>),
    /// List the schedules of the system by name
    List(list::ListArgs),
    /// Show a schedule, when it is due next, and how often it fired
    Get(named::NamedArgs),
    /// Keep a schedule from firing
    Pause(named::NamedArgs),
    /// Let a schedule fire again; what was due meanwhile counts as missed
    Resume(named::NamedArgs),
    /// Fire a schedule now, beside its own times
    Trigger(named::TriggerArgs),
    /// Delete a schedule
    Delete(named::DeleteArgs),
    /// Say when times would fire, without making a schedule
    Preview(preview::PreviewArgs),
}

// === impl ScheduleCommand ===

impl ScheduleCommand {
    /// Runs the verb.
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::Create(args) => args.run(global).await,
            Self::Update(args) => args.run(global).await,
            Self::List(args) => args.run(global).await,
            Self::Get(args) => args.get(global).await,
            Self::Pause(args) => args.pause(global).await,
            Self::Resume(args) => args.resume(global).await,
            Self::Trigger(args) => args.run(global).await,
            Self::Delete(args) => args.run(global).await,
            Self::Preview(args) => args.run(global).await,
        }
    }
}
