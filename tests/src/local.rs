//! A node in the test's own process, and scripted callers and hosts for it.
//!
//! The node is the real one, with SQLite in a temporary folder and ports of its own; only the other side of its streams
//! is played by the test, so that a test says exactly which frame comes when.

pub mod caller;
pub mod flow;
pub mod host;

use std::{net::SocketAddr, path::Path};

use callboard_server::{Config, Node};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

pub use caller::Caller;
pub use host::{Definition, ScriptedHost};

/// A node and the folder that it lives in.
#[derive(Debug)]
pub struct LocalNode {
    node: Option<Node>,
    config: Config,
    folder: TempDir,
}

impl LocalNode {
    /// Starts a node on free ports.
    pub async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    /// Starts a node whose settings are changed first.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut config = Config::dev(folder.path(), 0, 0);
        config.node.drain_ms = 5_000;
        change(&mut config);
        let node = Node::start(&config).await.expect("the node starts");
        Self { node: Some(node), config, folder }
    }

    /// The node.
    #[must_use]
    pub fn node(&self) -> &Node {
        self.node.as_ref().expect("the node runs")
    }

    /// Where callers and hosts connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.node().gateway_address()
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.folder.path()
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// A channel to the node.
    pub async fn channel(&self) -> Channel {
        connect(self.address()).await
    }

    /// A caller with a connection of its own.
    pub async fn caller(&self) -> Caller {
        Caller::new(self.channel().await)
    }

    /// A host that offers a type in system `default`, registered and ready.
    pub async fn host(&self, definition: Definition) -> ScriptedHost {
        let mut host = ScriptedHost::connect(self.channel().await, 1_000).await;
        host.register("default", vec![definition]).await.expect("registered");
        host
    }

    /// Stops the node in order and starts it again on the same folder.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.node = Some(Node::start(&self.config).await.expect("the node starts again"));
    }

    /// Stops the node without waiting for its calls, and starts it again on the same folder.
    pub async fn stop_hard(&mut self) {
        self.node.take().expect("the node runs").stop_within(std::time::Duration::ZERO).await;
        self.node = Some(Node::start(&self.config).await.expect("the node starts again"));
    }

    /// Starts a node that was stopped again on the same folder, with its settings changed first.
    pub async fn start_again(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
        self.node = Some(Node::start(&self.config).await.expect("the node starts again"));
    }

    /// Stops the node in order. True if every call ended in time.
    pub async fn stop(&mut self) -> bool {
        let node = self.node.take().expect("the node runs");
        node.stop().await
    }
}

/// Opens a channel as SDKs do: no Nagle, big windows.
pub async fn connect(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}"))
        .expect("an address is a URI")
        .tcp_nodelay(true)
        .initial_connection_window_size(16 * 1024 * 1024)
        .initial_stream_window_size(16 * 1024 * 1024)
        .connect()
        .await
        .expect("the node takes connections")
}
