//! The database: one PostgreSQL server with an address of its own, started and killed like every other party.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{Error, process::Process};
use crate::net::{self, Namespace, Port};

/// The port of the database.
const PORT: u16 = 5432;

/// The user and the name of the database.
const NAME: &str = "callboard";

/// How long it may take to start: after SIGKILL it first repeats its log, and waits for what it left behind.
const START_MAX: Duration = Duration::from_secs(60);

/// A PostgreSQL server.
#[derive(Debug)]
pub struct Database {
    port: Port,
    namespace: Namespace,
    bin: PathBuf,
    data: PathBuf,
    process: Process,
}

impl Database {
    /// Makes a new database in the run's folder, and starts it.
    ///
    /// # Errors
    /// If PostgreSQL is not installed or does not start.
    pub async fn create(port: Port, folder: &Path, namespace: Namespace) -> Result<Self, Error> {
        let bin = binaries()?;
        let data = folder.join("database");
        let mut command = Command::new(bin.join("initdb"));
        command
            .args(["--auth=trust", "--no-sync", "--encoding=UTF8", "--no-locale", "--username"])
            .arg(NAME)
            .arg("--pgdata")
            .arg(&data);
        namespace.confine_plain(&mut command);
        let output = command.output().map_err(Error::io("running initdb"))?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            return Err(Error::failed(format!("initdb failed: {}", words.trim())));
        }
        let append = |file: &str, text: &str| {
            let mut file = fs::File::options().append(true).open(data.join(file))?;
            file.write_all(text.as_bytes())
        };
        append("pg_hba.conf", "host all all 10.203.0.0/24 trust\n")
            .map_err(Error::io("configuring the database"))?;
        let process = Process::new("the database", &folder.join("database.log"));
        let mut database = Self { port, namespace, bin, data, process };
        database.start().await?;
        database.query("postgres", &format!("CREATE DATABASE {NAME}_store")).await?;
        Ok(database)
    }

    /// The address for nodes.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://{NAME}@{}:{PORT}/{NAME}_store", net::address(self.port))
    }

    /// Starts it, unless it runs, and waits until it answers.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn start(&mut self) -> Result<(), Error> {
        let give_up = super::now() + START_MAX;
        loop {
            // What SIGKILL left behind keeps a new server away for a moment; then it ends at once, and is tried again.
            self.process.start(self.command())?;
            match self.query("postgres", "SELECT 1").await {
                Ok(_) => return Ok(()),
                Err(error) if super::now() > give_up => {
                    let log = self.process.log_tail();
                    return Err(Error::failed(format!(
                        "the database does not start: {error}; the end of its log:\n{log}"
                    )));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.bin.join("postgres"));
        command.arg("-D").arg(&self.data);
        for setting in [
            format!("listen_addresses={}", net::address(self.port)),
            format!("port={PORT}"),
            "unix_socket_directories=".into(),
            "max_connections=150".into(),
            "shared_buffers=64MB".into(),
            // A database that is killed need not repeat minutes of work.
            "checkpoint_timeout=30s".into(),
            "log_line_prefix=%m %p %h ".into(),
            "log_lock_waits=on".into(),
        ] {
            command.arg("-c").arg(setting);
        }
        self.namespace.confine_plain(&mut command);
        command
    }

    /// Kills it with SIGKILL.
    ///
    /// # Errors
    /// If it is still there afterwards.
    pub async fn kill(&mut self) -> Result<(), Error> {
        self.process.kill().await
    }

    /// Stops it without waiting for its sessions.
    ///
    /// # Errors
    /// If it cannot be signalled.
    pub async fn stop(&mut self) -> Result<bool, Error> {
        self.process.stop(libc::SIGINT, START_MAX).await
    }

    /// How many transactions a party has open.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn transactions_of(&self, party: Port) -> Result<u64, Error> {
        let rows = self
            .query(
                "postgres",
                &format!(
                    "SELECT count(*) FROM pg_stat_activity WHERE xact_start IS NOT NULL \
                     AND client_addr = '{}'",
                    net::address(party)
                ),
            )
            .await?;
        rows.first()
            .and_then(|count| count.parse().ok())
            .ok_or_else(|| Error::failed("the database counts no transactions"))
    }

    /// Runs one statement past the switch, from the database's own namespace. Returns the first column.
    async fn query(&self, database: &str, statement: &str) -> Result<Vec<String>, Error> {
        let namespace = self.namespace.clone();
        let address = (net::address(self.port), PORT);
        let (database, statement) = (database.to_owned(), statement.to_owned());
        let (done, answer) = tokio::sync::oneshot::channel();
        // A thread of its own, because it moves to another namespace for good.
        std::thread::spawn(move || {
            let rows = namespace.join_thread().map_err(Error::from).and_then(|()| {
                query(TcpStream::connect(address), &database, &statement)
                    .map_err(Error::io("asking the database"))
            });
            // The asker may have been dropped meanwhile.
            let _ = done.send(rows);
        });
        answer.await.map_err(|_| Error::failed("the thread that asks the database panicked"))?
    }
}

/// Where PostgreSQL's programs are.
fn binaries() -> Result<PathBuf, Error> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    folders
        .into_iter()
        .find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
        .ok_or_else(|| {
            Error::failed("install PostgreSQL (initdb and postgres on PATH); Debian: postgresql")
        })
}

/// The simple part of PostgreSQL's protocol: one statement, its rows as text.
fn query(
    connected: std::io::Result<TcpStream>,
    database: &str,
    statement: &str,
) -> std::io::Result<Vec<String>> {
    let mut stream = connected?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut body = vec![0, 3, 0, 0];
    for word in ["user", NAME, "database", database] {
        body.extend_from_slice(word.as_bytes());
        body.push(0);
    }
    body.push(0);
    stream.write_all(&frame(None, &body)?)?;
    let mut text = statement.as_bytes().to_vec();
    text.push(0);
    let mut asked = false;
    let mut rows = Vec::new();
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let mut body = vec![0; length.saturating_sub(4)];
        stream.read_exact(&mut body)?;
        match head[0] {
            b'Z' if asked => return Ok(rows),
            b'Z' => {
                asked = true;
                stream.write_all(&frame(Some(b'Q'), &text)?)?;
            }
            b'D' => rows.push(first_column(&body)),
            b'E' => {
                let words = String::from_utf8_lossy(&body).replace('\0', " ");
                return Err(std::io::Error::other(words));
            }
            _ => {}
        }
    }
}

fn frame(kind: Option<u8>, body: &[u8]) -> std::io::Result<Vec<u8>> {
    let length = u32::try_from(body.len() + 4).map_err(std::io::Error::other)?;
    let mut out: Vec<u8> = kind.into_iter().collect();
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(body);
    Ok(out)
}

fn first_column(row: &[u8]) -> String {
    let length =
        row.get(2..6).and_then(|bytes| bytes.try_into().ok()).map_or(0, i32::from_be_bytes);
    let end = 6 + usize::try_from(length).unwrap_or(0);
    String::from_utf8_lossy(row.get(6..end).unwrap_or_default()).into_owned()
}
