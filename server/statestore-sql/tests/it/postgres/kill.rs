//! A node's process that dies: its commits stay, and it leaves nothing behind that stands in the next owner's way.

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
};

use callboard_statestore::{Claimed, ShardClaim, StateStore};
use callboard_types::{Epoch, Millis, NodeId};

use super::{Postgres, open};
use crate::{claim, commit, revision, sending, sequences, turn};

const URL: &str = "CALLBOARD_TEST_STORE_URL";
const EPOCH: &str = "CALLBOARD_TEST_STORE_EPOCH";

fn takeover(epoch: u64) -> ShardClaim {
    ShardClaim { epoch: Epoch(epoch), node: NodeId(epoch), ..claim() }
}

/// Not a test of its own: the process that the test below starts and kills. Commits one turn after the other, each
/// with an outbox row, and prints each revision once it is acknowledged.
#[tokio::test]
#[ignore = "started by the test that kills it"]
#[expect(clippy::print_stdout, reason = "its output is what the parent reads")]
async fn the_process_that_is_killed() {
    let url = std::env::var(URL).expect("started by a parent");
    let epoch = std::env::var(EPOCH).expect("started by a parent").parse().expect("a number");
    let options = callboard_statestore_sql::PostgresOptions::new(url);
    let store = callboard_statestore_sql::SqlStore::open_postgres(options).await.expect("open");
    store.claim(&[takeover(epoch)]).await.expect("claim");
    for previous in revision(&store, "a").await.. {
        let sent = sending("a", previous, previous + 1);
        let mut turns = vec![sent, turn("b", previous, &[9; 3_000])];
        turns.iter_mut().for_each(|turn| turn.epoch = Epoch(epoch));
        commit(&store, turns).await;
        println!("committed {}", previous + 1);
    }
}

fn start(url: &str, epoch: u64) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--ignored", "--exact", "--nocapture", "postgres::kill::the_process_that_is_killed"])
        .env(URL, url)
        .env(EPOCH, epoch.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start");
    let output = BufReader::new(child.stdout.take().expect("piped"));
    (child, output)
}

#[tokio::test]
async fn a_killed_process_keeps_its_commits_and_is_taken_over_at_once() {
    let url = Postgres::shared().database();
    // Opened first, so that the children find the schema ready.
    let next = open(&url).await;
    for round in 1..6_u64 {
        let (mut child, mut output) = start(&url, 2 * round);
        let mut last = 0;
        let mut seen = 0;
        let mut line = String::new();
        while seen < 10 + round * 7 {
            line.clear();
            assert!(output.read_line(&mut line).expect("read") > 0, "it ended by itself");
            if let Some(number) = line.trim().strip_prefix("committed ") {
                (last, seen) = (number.parse().expect("a number"), seen + 1);
            }
        }
        child.kill().expect("kill");
        // What it still printed was acknowledged too.
        let rest = output.lines().map_while(Result::ok);
        let last = rest
            .filter_map(|line| line.strip_prefix("committed ")?.parse().ok())
            .fold(last, u64::max);
        child.wait().expect("wait");
        let held = next.claim(&[takeover(2 * round + 1)]).await.expect("claim at once");
        assert_eq!(held, [Claimed::Held { low_water: Millis(0) }]);
        let (a, b) = (revision(&next, "a").await, revision(&next, "b").await);
        assert!(a >= last, "{last} was acknowledged, {a} is stored");
        assert!(a <= last + 1 && a == b, "nothing happens by halves: {a}, {b}, {last}");
        assert_eq!(sequences(&next).await, (1..=a).collect::<Vec<_>>(), "one row for each turn");
    }
}
