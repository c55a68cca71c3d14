//! Dead letters of a run. A turn all of whose hosts were lost is given up; what was accepted or set going must then be a
//! letter, and must take effect, once, when an operator retries it.

use std::time::Duration;

use callboard_proto::control::v1::DeadLetter;

use super::{
    Options, cast,
    client::Shared,
    history::{Event, Recorder},
};

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// The one reason for which something may be given up.
const CRASHED: &str = "TURN_CRASHED_HOST";

/// What became of a run's letters.
#[derive(Debug, Default)]
pub struct Letters {
    /// How many were retried.
    pub retried: usize,
    /// Letters that may not be.
    pub findings: Vec<String>,
}

/// Retries whatever becomes a letter until something else has been done.
pub async fn retry_until(
    done: impl Future<Output = ()>,
    options: &Options,
    shared: &Shared,
    recorder: &Recorder,
) -> Letters {
    let mut letters = Letters::default();
    let mut done = std::pin::pin!(done);
    let mut ports = cast::node_ports(options.nodes).into_iter().cycle();
    loop {
        tokio::select! {
            () = &mut done => return letters,
            () = tokio::time::sleep(LOOK) => {}
        }
        let Some(link) = ports.next().and_then(|port| shared.usable_link(port)) else { continue };
        // A look that fails, and a retry that is not accepted, come again.
        for letter in link.dead_letters().await.unwrap_or_default() {
            let words = describe(&letter);
            if link.retry_dead_letter(letter.id).await.is_err() {
                continue;
            }
            recorder.note(Event::Note { text: format!("retried: {words}") });
            letters.retried += 1;
            if letter.error.is_none_or(|error| error.reason != CRASHED) {
                letters.findings.push(format!("given up without a reason to: {words}"));
            }
        }
    }
}

fn describe(letter: &DeadLetter) -> String {
    let name = |id: &Option<callboard_proto::types::v1::ActorId>| {
        id.as_ref().map_or(String::new(), |id| format!("{}/{}", id.r#type, id.key))
    };
    let error = letter.error.as_ref();
    format!(
        "the letter of {} from {} to {}, after {} attempts: {}",
        letter.request_id,
        name(&letter.source),
        name(&letter.target),
        letter.attempts,
        error.map_or("", |error| &error.reason),
    )
}
