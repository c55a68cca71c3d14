//! Why a command failed: what happened, whether a retry is safe, what to do, and the exit code that says so to scripts.

use std::{collections::BTreeMap, io, time::Duration};

use serde::Serialize;
use tonic::{Code, Status};
use tonic_types::{ErrorDetail, StatusExt as _};

use crate::output::{self, API_VERSION, Document, Format};

/// The domain of `google.rpc.ErrorInfo` details that Callboard wrote.
const ERROR_DOMAIN: &str = "callboard.io";

/// What the process reports to its parent. The numbers are part of the command line's contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Something that no other code names.
    Other = 1,
    /// The command line is wrong.
    Usage = 2,
    /// No such system, type, actor, action or state.
    NotFound = 3,
    /// No server, or the server cannot serve the call now.
    Unavailable = 4,
    /// The time allowed for the call is over.
    Deadline = 5,
    /// Something that the call relies on is not so.
    Conflict = 6,
    /// The server does not let this caller do it.
    Denied = 7,
    /// The actor's own code answered with an error.
    Actor = 8,
    /// Interrupted by the user.
    Interrupted = 130,
}

/// Whether the same command may be given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Retry {
    /// It would fail the same way.
    Never,
    /// The call was not run.
    Safe,
    /// The call may have run; only the same request id makes a retry safe.
    SameId,
}

/// A failed command.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    exit: Exit,
    code: String,
    reason: String,
    message: String,
    retry: Retry,
    retry_after: Option<Duration>,
    advice: Option<String>,
    metadata: BTreeMap<String, String>,
    /// Nobody reads our output any more, as in `callboard … | head`: that is no failure.
    closed_pipe: bool,
}

// === impl Failure ===

impl Failure {
    /// A failure found on this side of the wire.
    pub(crate) fn new(exit: Exit, reason: &str, message: impl Into<String>) -> Self {
        let code = match exit {
            Exit::Usage => Code::InvalidArgument,
            Exit::NotFound => Code::NotFound,
            Exit::Unavailable => Code::Unavailable,
            Exit::Deadline => Code::DeadlineExceeded,
            Exit::Conflict => Code::FailedPrecondition,
            Exit::Denied => Code::PermissionDenied,
            Exit::Interrupted => Code::Cancelled,
            Exit::Other | Exit::Actor => Code::Unknown,
        };
        Self {
            exit,
            code: code_name(code).into(),
            reason: reason.into(),
            message: message.into(),
            retry: Retry::Never,
            retry_after: None,
            advice: None,
            metadata: BTreeMap::new(),
            closed_pipe: false,
        }
    }

    /// The command line is wrong in a way that only running it shows.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "USAGE", message)
    }

    /// Sets whether the command may be given again.
    pub(crate) fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Sets what the person can do about it.
    pub(crate) fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Adds to what the person can do about it.
    pub(crate) fn advice_also(mut self, advice: &str) -> Self {
        self.advice = Some(match self.advice.take() {
            Some(first) => format!("{first}; {advice}"),
            None => advice.to_owned(),
        });
        self
    }

    /// Whether the call may have run and must keep its request id on a retry.
    pub(crate) fn needs_same_id(&self) -> bool {
        self.retry == Retry::SameId
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// True if the reader of our output went away.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        self.closed_pipe
    }

    /// Writes the failure to stderr: text for people, one JSON line where the data would have been JSON.
    pub(crate) fn report(&self, format: Format, color: bool) {
        match format {
            Format::Table | Format::Name => output::say(&self.text(color)),
            Format::Json | Format::Jsonl => output::say(&self.json()),
        }
    }

    fn text(&self, color: bool) -> String {
        let label = if color { "\u{1b}[1;31merror:\u{1b}[0m" } else { "error:" };
        let mut text = format!("{label} {}", self.message);
        if !self.reason.is_empty() && self.exit != Exit::Usage {
            // "UNKNOWN" is what a failure on this side of the wire has for want of a code.
            let code = if self.code == "UNKNOWN" { "" } else { &self.code };
            text.push_str(&format!(" [{}]", format!("{code} {}", self.reason).trim()));
        }
        match self.retry {
            Retry::Never => {}
            Retry::Safe => text.push_str("\n  retry: safe, the call was not run"),
            Retry::SameId => {
                text.push_str(
                    "\n  retry: safe only with the same request id, the call may have run",
                );
            }
        }
        if let Some(after) = self.retry_after {
            text.push_str(&format!(" (wait {})", humantime::format_duration(after)));
        }
        if let Some(advice) = &self.advice {
            text.push_str(&format!("\n  what to do: {advice}"));
        }
        text
    }

    fn json(&self) -> String {
        let report = Report {
            exit_code: self.exit as u8,
            code: &self.code,
            reason: &self.reason,
            message: &self.message,
            retry: self.retry,
            retry_after_ms: self.retry_after.map(|after| after.as_millis()),
            from_actor: self.exit == Exit::Actor,
            what_to_do: self.advice.as_deref(),
            metadata: &self.metadata,
        };
        let document = Document { api_version: API_VERSION, kind: "Error", value: &report };
        serde_json::to_string(&document).unwrap_or_else(|_| self.message.clone())
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    exit_code: u8,
    code: &'a str,
    reason: &'a str,
    message: &'a str,
    retry: Retry,
    retry_after_ms: Option<u128>,
    from_actor: bool,
    what_to_do: Option<&'a str>,
    metadata: &'a BTreeMap<String, String>,
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        // Only a status that was made on this side has a source: the connection broke while the call was under way.
        let broken = std::error::Error::source(&status).is_some();
        let code = if broken { Code::Unavailable } else { status.code() };
        let details = status.get_error_details_vec();
        // The actor's own code may attach an ErrorInfo too, so the domain decides.
        let info = details.iter().find_map(|detail| match detail {
            ErrorDetail::ErrorInfo(info) if info.domain == ERROR_DOMAIN => Some(info),
            _ => None,
        });
        let retry_after = details.iter().find_map(|detail| match detail {
            ErrorDetail::RetryInfo(info) => info.retry_delay.filter(|delay| !delay.is_zero()),
            _ => None,
        });
        let fact = |name: &str| info.and_then(|info| info.metadata.get(name)).map(String::as_str);
        let from_actor = fact("from_actor") == Some("true");
        let retry = match fact("retry") {
            Some("RETRY_SAFE") => Retry::Safe,
            Some("RETRY_SAME_ID") => Retry::SameId,
            Some(_) => Retry::Never,
            // Not Callboard's own answer: a proxy's or the transport's, so nobody knows whether the call ran.
            None if code == Code::Unavailable => Retry::SameId,
            None => Retry::Never,
        };
        let reason = info.map(|info| info.reason.clone()).unwrap_or_default();
        let mut metadata: BTreeMap<_, _> =
            info.into_iter().flat_map(|info| info.metadata.clone()).collect();
        // These two are said in fields of their own.
        metadata.remove("retry");
        metadata.remove("from_actor");
        Self {
            exit: exit_of(code, from_actor),
            code: code_name(code).into(),
            advice: advice_for(&reason).map(Into::into),
            reason,
            message: if broken {
                format!("the connection broke before the answer came: {}", status.message())
            } else {
                status.message().to_owned()
            },
            retry,
            retry_after,
            metadata,
            closed_pipe: false,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let closed_pipe = error.kind() == io::ErrorKind::BrokenPipe;
        Self { closed_pipe, ..Self::new(Exit::Other, "IO", error.to_string()) }
    }
}

/// One exit code per kind of failure; an error of the actor's own code stands above its gRPC code.
fn exit_of(code: Code, from_actor: bool) -> Exit {
    if from_actor {
        return Exit::Actor;
    }
    match code {
        Code::NotFound => Exit::NotFound,
        Code::Unavailable | Code::ResourceExhausted => Exit::Unavailable,
        Code::DeadlineExceeded => Exit::Deadline,
        Code::FailedPrecondition | Code::Aborted | Code::AlreadyExists => Exit::Conflict,
        Code::Unauthenticated | Code::PermissionDenied => Exit::Denied,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::InvalidArgument
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss => Exit::Other,
    }
}

/// The spelling that gRPC itself uses.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// What this tool in particular can do about a refusal; the server's message says the rest.
fn advice_for(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "UNKNOWN_SYSTEM" => "see what exists with `callboard systems list`",
        "UNKNOWN_TYPE" => "see what is registered with `callboard types list`, or start its host",
        "UNKNOWN_SCHEDULE" => "see what exists with `callboard schedule list`",
        "UNKNOWN_ACTION" => "see the type's actions with `callboard types describe TYPE`",
        "NO_HOST" => "start a host of the type; `callboard hosts list` shows who is connected",
        "MAILBOX_FULL" => "wait and give the command again, or call this actor less often",
        "REQUEST_ID_REUSED" => "use another --key, or repeat the first call exactly",
        "REQUEST_EXPIRED" => "check with a read whether the call ran, then use a new --key",
        "DEADLINE_EXCEEDED" => "allow more time with --timeout",
        "INIT_FAILED" => "the actor's init action fails; look into the host's log",
        "TURN_CRASHED_HOST" => "the action kills or blocks its host; look into the host's log",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    fn refused(code: Code, reason: &str, metadata: &[(&str, &str)]) -> Failure {
        let metadata: HashMap<String, String> =
            metadata.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let mut details = ErrorDetails::with_error_info(reason, ERROR_DOMAIN, metadata);
        details.set_retry_info(Some(Duration::from_millis(200)));
        Status::with_error_details(code, "no host of type Counter is connected", details).into()
    }

    #[test]
    fn every_kind_of_refusal_has_its_exit_code() {
        let expected = [
            (Code::NotFound, 3),
            (Code::Unavailable, 4),
            (Code::ResourceExhausted, 4),
            (Code::DeadlineExceeded, 5),
            (Code::FailedPrecondition, 6),
            (Code::Aborted, 6),
            (Code::Unauthenticated, 7),
            (Code::PermissionDenied, 7),
            (Code::Internal, 1),
        ];
        for (code, exit) in expected {
            assert_eq!(Failure::from(Status::new(code, "")).exit() as u8, exit, "{code:?}");
        }
    }

    #[test]
    fn an_error_of_the_actors_own_code_is_exit_code_8_whatever_its_grpc_code() {
        let failure = refused(Code::NotFound, "NO_SUCH_ACCOUNT", &[("from_actor", "true")]);
        assert_eq!(failure.exit(), Exit::Actor);
    }

    #[test]
    fn people_read_what_happened_whether_to_retry_and_what_to_do() {
        let failure = refused(Code::Unavailable, "NO_HOST", &[("retry", "RETRY_SAFE")]);
        insta::assert_snapshot!(failure.text(false), @"
        error: no host of type Counter is connected [UNAVAILABLE NO_HOST]
          retry: safe, the call was not run (wait 200ms)
          what to do: start a host of the type; `callboard hosts list` shows who is connected
        ");
    }

    #[test]
    fn scripts_read_the_same_facts_as_one_json_line() {
        let failure = refused(
            Code::Unknown,
            "OUTCOME_UNKNOWN",
            &[("retry", "RETRY_SAME_ID"), ("limit", "8")],
        );
        insta::assert_snapshot!(failure.json(), @r#"
        {"apiVersion":"callboard.io/cli/v1","kind":"Error","exitCode":1,"code":"UNKNOWN","reason":"OUTCOME_UNKNOWN","message":"no host of type Counter is connected","retry":"same_id","retryAfterMs":200,"fromActor":false,"whatToDo":null,"metadata":{"limit":"8"}}
        "#);
    }

    #[test]
    fn details_of_another_domain_are_not_taken_for_ours() {
        let details = ErrorDetails::with_error_info("X", "example.com", HashMap::new());
        let failure = Failure::from(Status::with_error_details(Code::Internal, "m", details));
        assert_eq!(failure.reason, "");
    }
}
