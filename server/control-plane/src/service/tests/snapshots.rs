//! How often the state is written down.

use std::time::Duration;

use futures::future::join_all;
use openraft::async_runtime::watch::WatchReceiver;

use super::{
    fixture::{Node, PATIENCE, cluster},
    schedules::spec,
};
use crate::machine::schedules::When;

/// The index up to which the newest snapshot holds everything.
fn snapshot(node: &Node) -> Option<u64> {
    let metrics = node.handle.proposer.raft.metrics();
    metrics.borrow_watched().snapshot.map(|log_id| log_id.index)
}

/// Makes so many entries, each a change of one schedule.
fn change(node: &Node, entries: usize) {
    let schedules = node.handle.schedules();
    node.run(async {
        for entry in 0..entries {
            let done = if entry % 2 == 0 {
                schedules.pause("default", "s0").await
            } else {
                schedules.resume("default", "s0").await
            };
            done.expect("agreed");
        }
    });
}

#[test]
fn a_large_state_is_not_written_down_for_every_few_changes_and_none_is_lost() {
    let mut nodes = cluster(1, |options| options.snapshot_entries = 100);
    let node = &nodes[0];
    node.run(async {
        let schedules = node.handle.schedules();
        let made = (0..500).map(|number| async move {
            let mut large = spec(When::Every(3_600_000));
            large.argument.data = vec![7; 4 * 1024];
            let name = format!("s{number}");
            schedules.create("default", &name, large, false, "").await.expect("made");
        });
        join_all(made).await;
    });
    let made = node.handle.proposer.last_log_index();
    change(node, 100);
    node.run(async {
        let written = async {
            while snapshot(node).is_none_or(|index| index < made) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, written).await.expect("written once");
    });
    let first = snapshot(node);
    change(node, 201);
    assert_eq!(snapshot(node), first, "200 small entries are far less than two megabytes");
    nodes[0].stop();
    nodes[0].restart();
    let schedules = nodes[0].handle.schedules();
    assert!(schedules.get("default", "s0").expect("there").paused_at().is_some());
    assert!(schedules.get("default", "s499").is_some());
}
