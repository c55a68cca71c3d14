//! `callboard dead-letters …`: effects, and messages to channels, that could not be delivered, and accepted calls that were
//! given up.

use callboard_proto::control::v1::{
    DeadLetter, DropDeadLetterRequest, ListDeadLettersRequest, RetryDeadLetterRequest,
};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::{
    actor_ref::name_of,
    args::Global,
    failure::Failure,
    output::{self, Noun},
};

/// What can be done with dead letters.
#[derive(Subcommand)]
pub(crate) enum DeadLettersCommand {
    /// List dead letters of the system, the oldest first
    List(ListArgs),
    /// Deliver a dead letter again; it goes once its target, or every shard that listens to its channel, has it
    Retry(LetterArgs),
    /// Forget a dead letter
    Drop(LetterArgs),
}

/// Which letters.
#[derive(Args)]
pub(crate) struct ListArgs {
    /// Only those of this source type
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TYPE")]
    source: String,
    /// How many to show, at most 1,000
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: u32,
    /// Where the page before ended
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TOKEN")]
    after: String,
}

/// Which letter.
#[derive(Args)]
pub(crate) struct LetterArgs {
    /// Its name, as `list` shows it
    #[arg(value_name = "ID")]
    id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Letter {
    id: String,
    source: String,
    target: String,
    action: String,
    channel: String,
    request_id: String,
    reason: String,
    message: String,
    attempts: u32,
    created_at_ms: i64,
    died_at_ms: i64,
}

impl From<DeadLetter> for Letter {
    fn from(letter: DeadLetter) -> Self {
        let error = letter.error.unwrap_or_default();
        Self {
            id: letter.id,
            source: letter.source.as_ref().map(name_of).unwrap_or_default(),
            target: letter.target.as_ref().map(name_of).unwrap_or_default(),
            action: letter.action,
            channel: letter.channel,
            request_id: letter.request_id,
            reason: error.reason,
            message: error.message,
            attempts: letter.attempts,
            created_at_ms: letter.created_at_ms,
            died_at_ms: letter.died_at_ms,
        }
    }
}

impl Letter {
    /// Whom it was for, for people.
    fn whom(&self) -> String {
        if self.channel.is_empty() {
            self.target.clone()
        } else {
            format!("channel {}", self.channel)
        }
    }
}

impl Noun for Letter {
    const KIND: &'static str = "DeadLetter";
    const COLUMNS: &'static [&'static str] =
        &["ID", "SOURCE", "TARGET", "ACTION", "REASON", "ATTEMPTS", "DIED"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.clone(),
            self.source.clone(),
            self.whom(),
            if self.action.is_empty() { "-".into() } else { self.action.clone() },
            self.reason.clone(),
            self.attempts.to_string(),
            output::time(self.died_at_ms),
        ]
    }

    fn name(&self) -> String {
        self.id.clone()
    }
}

// === impl DeadLettersCommand ===

impl DeadLettersCommand {
    /// Runs the verb.
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let connection = global.connect().await?;
        match self {
            Self::List(args) => {
                let request = ListDeadLettersRequest {
                    system: global.system.clone(),
                    source_type: args.source,
                    page_size: args.limit,
                    page_token: args.after,
                };
                let mut letters = connection.dead_letters();
                let answer = connection.answer(letters.list_dead_letters(request)).await?;
                let letters: Vec<Letter> = answer.letters.into_iter().map(Letter::from).collect();
                Ok(global.printer().list(&letters, !answer.next_page_token.is_empty())?)
            }
            Self::Retry(args) => {
                let request = RetryDeadLetterRequest { id: args.id.clone() };
                connection.answer(connection.dead_letters().retry_dead_letter(request)).await?;
                global.talk().note(&format!("{} is accepted", args.id));
                Ok(())
            }
            Self::Drop(args) => {
                let request = DropDeadLetterRequest { id: args.id.clone() };
                connection.answer(connection.dead_letters().drop_dead_letter(request)).await?;
                global.talk().note(&format!("{} is forgotten", args.id));
                Ok(())
            }
        }
    }
}
