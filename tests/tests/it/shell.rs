//! A shell beside a node that is a process of its own, with hosts that the test plays.
//!
//! Commands block the thread they are run on: such tests need another one for their hosts.

use callboard_tests::local::{Definition, ScriptedHost, connect};
use serde_json::Value;
use tonic::transport::Channel;

use crate::node::Node;

/// A shell, and the node that its commands go to.
pub(crate) struct Shell(Node);

// === impl Shell ===

impl Shell {
    /// Starts a node.
    pub(crate) fn start() -> Self {
        Self(Node::start())
    }

    /// A channel to the node.
    pub(crate) async fn channel(&self) -> Channel {
        connect(self.0.address().parse().expect("an address")).await
    }

    /// A host of a type, registered and ready.
    pub(crate) async fn host(&self, definition: Definition) -> ScriptedHost {
        let mut host = ScriptedHost::connect(self.channel().await, 100).await;
        host.register("default", vec![definition]).await.expect("registered");
        host
    }

    /// Runs a command; its exit code, what it prints, and what it says beside that.
    pub(crate) fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = self.0.callboard(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    /// Runs a command that must succeed and print nothing; what it says.
    #[track_caller]
    pub(crate) fn says(&self, arguments: &[&str]) -> String {
        let (exit, stdout, stderr) = self.run(arguments);
        assert_eq!((exit, stdout.as_str()), (Some(0), ""), "{stderr}");
        stderr
    }

    /// Runs a command that must succeed and print one JSON document.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let (exit, stdout, stderr) = self.run(&[&["-o", "json"], arguments].concat());
        assert_eq!(exit, Some(0), "{stderr}");
        serde_json::from_str(&stdout).expect("stdout is one JSON document")
    }

    /// Runs a command that must fail; its exit code and its reason.
    #[track_caller]
    pub(crate) fn fails(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let (exit, stdout, stderr) = self.run(&[&["-o", "json"], arguments].concat());
        assert_eq!(stdout, "", "stdout is for data only");
        let error: Value = serde_json::from_str(&stderr)
            .unwrap_or_else(|_| panic!("stderr is one JSON document: {stderr}"));
        (exit, error["reason"].as_str().unwrap_or_default().to_owned())
    }
}
