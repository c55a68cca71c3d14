//! How soon `callboard dev` serves, and what it holds when nobody calls.

use std::time::Duration;

use crate::{
    driver::{Bench, process::Node, table::Row},
    error::Error,
};

/// Starts of each kind; the median counts.
const STARTS: usize = 5;

/// How long a node rests before its memory is read.
const REST: Duration = Duration::from_secs(2);

const READY_MAX: Duration = Duration::from_millis(500);
const IDLE_BYTES_MAX: u64 = 50 << 20;

/// Starts nodes on empty folders, and again on the same folders.
pub(crate) async fn measure(bench: &Bench) -> Result<Vec<Row>, Error> {
    let mut fresh = Vec::new();
    let mut again = Vec::new();
    for start in 0..STARTS {
        let data = bench.folder(&format!("start-{start}"));
        for ready_after in [&mut fresh, &mut again] {
            let node = Node::start(&bench.node_bin, &data).await?;
            ready_after.push(node.ready_after());
            node.stop().await?;
        }
    }
    let ready = |name: &str, mut times: Vec<Duration>| {
        times.sort();
        let median = times[times.len() / 2];
        let worst = times[times.len() - 1];
        Row::figure(name, format!("{} ms, worst {} ms", median.as_millis(), worst.as_millis()))
            .asks("ready < 500 ms", median < READY_MAX)
    };
    let node = Node::start(&bench.node_bin, &bench.folder("start-0")).await?;
    tokio::time::sleep(REST).await;
    let resident = node.resident_bytes()?;
    node.stop().await?;
    Ok(vec![
        ready("dev ready, empty folder", fresh),
        ready("dev ready, after a kill", again),
        Row::figure("dev idle", format!("{} MiB", resident >> 20))
            .asks("RSS < 50 MiB", resident < IDLE_BYTES_MAX),
    ])
}
