//! A process that dies: its commits stay, its folder is free.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use callboard_statestore::Error;
use callboard_statestore_sql::{SqlStore, SqliteOptions};
use tempfile::TempDir;

use super::{commit, open, revision, sending, sequences, turn};

const FOLDER: &str = "CALLBOARD_TEST_STORE_FOLDER";

/// Not a test of its own: the process that the tests below start and kill. Commits one turn after the other, each with
/// an outbox row, and prints each revision once it is acknowledged.
#[tokio::test]
#[ignore = "started by the tests that kill it"]
#[expect(clippy::print_stdout, reason = "its output is what the parent reads")]
async fn the_process_that_is_killed() {
    let folder = std::env::var_os(FOLDER).expect("started by a parent");
    let store = open(Path::new(&folder)).await;
    for previous in revision(&store, "a").await.. {
        commit(
            &store,
            vec![sending("a", previous, previous + 1), turn("b", previous, &[9; 3_000])],
        )
        .await;
        println!("committed {}", previous + 1);
    }
}

fn start(folder: &Path) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--ignored", "--exact", "--nocapture", "kill::the_process_that_is_killed"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("start");
    let output = BufReader::new(child.stdout.take().expect("piped"));
    (child, output)
}

/// Reads acknowledged revisions until there were `count`, and returns the last.
fn acknowledged(output: &mut BufReader<ChildStdout>, count: usize) -> u64 {
    let mut last = 0;
    let mut line = String::new();
    let mut seen = 0;
    while seen < count {
        line.clear();
        let read = output.read_line(&mut line).expect("read");
        assert!(read > 0, "the process ended by itself");
        if let Some(number) = line.trim().strip_prefix("committed ") {
            last = number.parse().expect("a number");
            seen += 1;
        }
    }
    last
}

#[tokio::test]
async fn a_killed_process_keeps_its_commits_and_frees_its_folder() {
    let folder = TempDir::new().expect("a folder");
    for round in 0..5 {
        let (mut child, mut output) = start(folder.path());
        let seen = acknowledged(&mut output, 20 + round * 13);
        let options = SqliteOptions::new(folder.path());
        let Err(Error::Refused(why)) = SqlStore::open_sqlite(options).await else {
            panic!("two processes opened one folder");
        };
        assert!(why.contains(&folder.path().display().to_string()), "{why}");
        assert!(why.contains(&format!("process {}", child.id())), "{why}");
        child.kill().expect("kill");
        // What it still printed was acknowledged too.
        let rest = output.lines().map_while(Result::ok);
        let last = rest
            .filter_map(|line| line.strip_prefix("committed ")?.parse().ok())
            .fold(seen, u64::max);
        child.wait().expect("wait");
        let store = open(folder.path()).await;
        let (a, b) = (revision(&store, "a").await, revision(&store, "b").await);
        assert!(a >= last, "{last} was acknowledged, {a} is stored");
        assert!(a <= last + 1 && a == b, "nothing happens by halves: {a}, {b}, {last}");
        assert_eq!(sequences(&store).await, (1..=a).collect::<Vec<_>>(), "one row for each turn");
        store.close().await;
    }
}
