//! A PostgreSQL server for tests: started by `tests/scripts/postgres.sh`, private, with full durability, gone with the
//! process that uses it. Needs nothing but the standard library, so that tests of other crates can include this file.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

/// The server that the tests of one binary share. Each takes a database of its own.
static SHARED: LazyLock<Postgres> = LazyLock::new(Postgres::start);

/// A running server. Ends when it is dropped, or when this process does.
#[derive(Debug)]
pub struct Postgres {
    url: String,
    folder: PathBuf,
    databases: AtomicUsize,
    child: Child,
    /// The script runs until this is closed.
    _leash: ChildStdin,
}

impl Postgres {
    /// The server that all tests of this binary share: for tests that leave it alone.
    #[must_use]
    pub fn shared() -> &'static Self {
        &SHARED
    }

    /// Starts a server of one's own, for tests that stop or kill it.
    ///
    /// # Panics
    /// If no server can be installed or started. The reason is on standard error.
    #[must_use]
    pub fn start() -> Self {
        let mut child = Command::new(script())
            .arg("run")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start tests/scripts/postgres.sh");
        let leash = child.stdin.take().expect("piped");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = || {
            let mut line = String::new();
            output.read_line(&mut line).expect("read");
            assert!(!line.is_empty(), "PostgreSQL did not start; the reason is above");
            line.trim_end().to_owned()
        };
        let (url, folder) = (line(), line().into());
        Self { url, folder, databases: AtomicUsize::new(0), child, _leash: leash }
    }

    /// The address of the server's first database.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address of a new, empty database.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        // Tests of several binaries may share a server.
        let name = format!("test_{}_{number}", std::process::id());
        self.sql(&format!("CREATE DATABASE {name} TEMPLATE template0"));
        let (server, _) = self.url.rsplit_once('/').expect("an address names a database");
        format!("{server}/{name}")
    }

    /// Runs statements in the server's first database and returns what they print, without decoration.
    ///
    /// # Panics
    /// If a statement fails.
    pub fn sql(&self, statements: &str) -> String {
        sql(&self.url, statements)
    }

    /// Kills the server and everything that belongs to it, as a loss of power would.
    ///
    /// # Panics
    /// If it is not running.
    pub fn crash(&self) {
        self.run("crash");
    }

    /// Stops the server and keeps its data.
    ///
    /// # Panics
    /// If it cannot be stopped.
    pub fn halt(&self) {
        self.run("halt");
    }

    /// Starts the server again on the same port and the same data.
    ///
    /// # Panics
    /// If it does not start.
    pub fn again(&self) {
        self.run("again");
    }

    fn run(&self, what: &str) {
        let done = Command::new(script()).arg(what).arg(&self.folder).status().expect("start");
        assert!(done.success(), "postgres.sh {what} failed");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let stopped = Command::new(script()).arg("stop").arg(&self.folder).status();
        if !stopped.is_ok_and(|status| status.success()) {
            // The script still ends it when the leash is gone.
            return;
        }
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Runs statements in a database and returns what they print, without decoration.
///
/// # Panics
/// If a statement fails.
pub fn sql(url: &str, statements: &str) -> String {
    let done = Command::new(programs().join("psql"))
        .args(["-v", "ON_ERROR_STOP=1", "-qAtX", "-c", statements, url])
        .output()
        .expect("start psql");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).trim_end().to_owned()
}

/// The folder of the server's programs.
fn programs() -> &'static Path {
    static PROGRAMS: LazyLock<PathBuf> = LazyLock::new(|| {
        let found = Command::new(script()).arg("programs").output().expect("start postgres.sh");
        assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
        String::from_utf8_lossy(&found.stdout).trim_end().into()
    });
    &PROGRAMS
}

fn script() -> PathBuf {
    let mut folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    loop {
        let script = folder.join("tests/scripts/postgres.sh");
        if script.exists() {
            return script;
        }
        assert!(folder.pop(), "tests/scripts/postgres.sh is not in this repository");
    }
}
