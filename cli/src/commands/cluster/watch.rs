//! `callboard cluster status --watch`, and waiting for something to be so.

use std::time::Duration;

use callboard_proto::control::v1::{ClusterEventKind, WatchClusterStatusRequest};
use callboard_types::Millis;
use serde::Serialize;
use tokio_stream::StreamExt;

use crate::{
    args::Global,
    commands::cluster::status::Cluster,
    connection::Connection,
    failure::{Exit, Failure, Retry},
    output::{self, Format, Noun},
};

/// Pause before a watch that broke is begun again.
const PAUSE: Duration = Duration::from_millis(500);

/// Something that happened.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    /// By this machine's clock, in Unix milliseconds.
    at_ms: i64,
    event: String,
    node_id: u64,
    text: String,
}

impl Noun for Event {
    const KIND: &'static str = "ClusterEvent";
    const COLUMNS: &'static [&'static str] = &["TIME", "EVENT", "TEXT"];

    fn cells(&self) -> Vec<String> {
        vec![output::time(self.at_ms), self.event.clone(), self.text.clone()]
    }

    fn name(&self) -> String {
        self.event.clone()
    }

    fn describe(&self, out: &mut dyn std::io::Write) -> std::io::Result<()> {
        writeln!(out, "{}  {:<16}  {}", output::time(self.at_ms), self.event, self.text)
    }
}

/// Shows the cluster, and then what happens to it. Ends with an interrupt, or with the node that it watches.
pub(super) async fn run(connection: &Connection, global: &Global) -> Result<(), Failure> {
    let request = WatchClusterStatusRequest {};
    let mut stream = connection.cluster().watch_cluster_status(request).await?.into_inner();
    let mut printer = global.printer();
    let mut first = true;
    while let Some(message) = stream.next().await {
        let message = message?;
        if let (true, Some(status)) = (first, message.status) {
            printer.one(&Cluster::from(status))?;
            if global.output == Format::Table {
                printer.text("\n")?;
            }
        }
        first = false;
        for event in message.events {
            let name = ClusterEventKind::try_from(event.kind).unwrap_or_default().as_str_name();
            let name = name.strip_prefix("CLUSTER_EVENT_KIND_").unwrap_or(name);
            printer.one(&Event {
                at_ms: Millis::now().0,
                event: name.to_lowercase().replace('_', "-"),
                node_id: event.node_id,
                text: event.text,
            })?;
        }
    }
    Err(Failure::new(Exit::Unavailable, "WATCH_ENDED", "the node ended the watch; is it stopping?")
        .retry(Retry::Safe)
        .advice("watch another node, with --server"))
}

/// Waits until a node sees the cluster in a state.
pub(super) async fn until(
    connection: &Connection,
    mut is_so: impl FnMut(&Cluster) -> bool,
) -> Result<(), Failure> {
    loop {
        let request = WatchClusterStatusRequest {};
        let mut stream = connection.cluster().watch_cluster_status(request).await?.into_inner();
        while let Some(Ok(message)) = stream.next().await {
            if message.status.is_some_and(|status| is_so(&Cluster::from(status))) {
                return Ok(());
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
