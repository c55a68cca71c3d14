//! Named background tasks that say beforehand what their failure means and how they end.
//!
//! A [`Tasks`] belongs to whoever runs a node. It hands out one shutdown token; [`Tasks::shutdown`] ends the tasks it
//! started, and [`Tasks::failed`] tells the node that it cannot go on.

use std::{any::Any, fmt, future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::metrics::TASKS_FAILED;

/// What a task's error or panic means for the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// It is written to the log; the node serves on.
    Log,
    /// The node must stop: nobody else does this task's work.
    StopNode,
}

/// What happens to a task when the node shuts down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnShutdown {
    /// It watches the token and is waited for.
    Wait,
    /// It is dropped where it stands.
    Abort,
}

/// Why a node must stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{task} failed: {reason}")]
pub struct Failure {
    /// The task that failed.
    pub task: &'static str,
    /// What it said.
    pub reason: String,
}

/// Starts tasks and ends them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tasks(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    shutdown: CancellationToken,
    tracker: TaskTracker,
    failure: watch::Sender<Option<Failure>>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Tasks ===

impl Tasks {
    /// No tasks yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            shutdown: CancellationToken::new(),
            tracker: TaskTracker::new(),
            failure: watch::Sender::new(None),
        }))
    }

    /// Cancelled when shutdown begins. Tasks that are waited for end soon after.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.0.shutdown.clone()
    }

    /// Starts a task on the current runtime.
    #[allow(clippy::disallowed_methods, reason = "this is the one place that spawns tasks")]
    pub fn spawn<F, E>(
        &self,
        name: &'static str,
        on_error: OnError,
        on_shutdown: OnShutdown,
        task: F,
    ) where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display + Send + 'static,
    {
        let shared = Arc::clone(&self.0);
        let supervised = async move {
            let guarded = AssertUnwindSafe(task).catch_unwind();
            let ended = match on_shutdown {
                OnShutdown::Wait => guarded.await,
                OnShutdown::Abort => {
                    let Some(ended) = shared.shutdown.run_until_cancelled(guarded).await else {
                        return;
                    };
                    ended
                }
            };
            let reason = match ended {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.to_string(),
                Err(panic) => format!("it panicked: {}", panic_text(panic.as_ref())),
            };
            shared.record(name, on_error, reason);
        };
        tokio::spawn(self.0.tracker.track_future(supervised));
    }

    /// Completes once a task failed whose failure stops the node. Never completes otherwise.
    pub async fn failed(&self) -> Failure {
        let mut failure = self.0.failure.subscribe();
        let found = failure.wait_for(Option::is_some).await.expect("the sender lives in self");
        found.clone().expect("waited for it")
    }

    /// Cancels the token and waits for the tasks. False if some were still running after `patience`; they go on.
    pub async fn shutdown(&self, patience: Duration) -> bool {
        self.0.shutdown.cancel();
        self.0.tracker.close();
        tokio::time::timeout(patience, self.0.tracker.wait()).await.is_ok()
    }
}

// === impl Shared ===

impl Shared {
    fn record(&self, task: &'static str, on_error: OnError, reason: String) {
        ::metrics::counter!(TASKS_FAILED, "task" => task).increment(1);
        match on_error {
            OnError::Log => tracing::error!(task, reason, "a background task failed"),
            OnError::StopNode => {
                tracing::error!(task, reason, "a task failed that the node cannot do without");
                self.failure.send_if_modified(|first| {
                    let is_first = first.is_none();
                    first.get_or_insert(Failure { task, reason });
                    is_first
                });
            }
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_node_hears_of_a_task_that_it_cannot_do_without() {
        let tasks = Tasks::new();
        tasks.spawn("harmless", OnError::Log, OnShutdown::Abort, async { Err("a hiccup") });
        tasks.spawn("vital", OnError::StopNode, OnShutdown::Abort, async {
            if true {
                panic!("disk gone");
            }
            Ok::<_, String>(())
        });
        let failure = tasks.failed().await;
        assert_eq!(failure.task, "vital");
        assert!(failure.reason.contains("disk gone"), "{failure}");
    }

    #[tokio::test]
    async fn shutdown_waits_for_some_tasks_and_drops_others() {
        let tasks = Tasks::new();
        let (flushed, mut seen) = watch::channel(false);
        let token = tasks.token();
        tasks.spawn("flush", OnError::Log, OnShutdown::Wait, async move {
            token.cancelled().await;
            flushed.send_replace(true);
            Ok::<_, String>(())
        });
        tasks.spawn("endless", OnError::Log, OnShutdown::Abort, async {
            std::future::pending::<Result<(), String>>().await
        });
        assert!(tasks.shutdown(Duration::from_secs(5)).await, "both tasks ended");
        assert!(*seen.borrow_and_update(), "the first one did its work");
    }
}
