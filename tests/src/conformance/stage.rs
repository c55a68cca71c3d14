//! What a scenario is played on: the command, its log, and the start of servers and programs.

use std::{
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    time::Duration,
};

use super::{
    check::{Check, Failure},
    program::{Log, Mode, Program, Role},
    server::FakeServer,
    session::Session,
};

/// A scenario being played.
pub type Playing = Pin<Box<dyn Future<Output = Check> + Send>>;

/// How long the very first start may take, because the command may have to build itself.
const FIRST_START: Duration = Duration::from_secs(300);
/// How long any later start or reconnect may take.
pub const START: Duration = Duration::from_secs(15);

/// The stage of one scenario.
#[derive(Debug)]
pub struct Stage {
    command: Vec<String>,
    log: Log,
}

impl Stage {
    /// A stage for `command`.
    ///
    /// # Errors
    /// If the command is empty.
    pub fn new(command: &[String]) -> Result<Self, Failure> {
        if command.is_empty() {
            return Err(Failure("no command was given".to_owned()));
        }
        Ok(Stage { command: command.to_vec(), log: Log::default() })
    }

    /// Where the program's standard error goes.
    pub fn log(&self) -> Log {
        self.log.clone()
    }

    /// A fake server on a free port.
    ///
    /// # Errors
    /// If there is none.
    pub async fn server(&self) -> Result<FakeServer, Failure> {
        FakeServer::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// Starts the program against a server.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn program(&self, role: Role, server: &FakeServer) -> Result<Program, Failure> {
        self.program_at(role, Mode::Default, &server.address().to_string())
    }

    /// Starts the program against the servers at `addresses`, separated by commas.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn program_at(&self, role: Role, mode: Mode, addresses: &str) -> Result<Program, Failure> {
        Program::start(&self.command, role, mode, addresses, &self.log)
    }

    /// A server, a host program and its session before the handshake.
    ///
    /// # Errors
    /// If the host does not connect.
    pub async fn host(&self) -> Result<Host, Failure> {
        let mut server = self.server().await?;
        let program = self.program(Role::Host, &server)?;
        let session = server.session(START).await?;
        Ok(Host { server, program, session })
    }

    /// The same after the handshake: the host takes turns.
    ///
    /// # Errors
    /// If the host does not get there.
    pub async fn ready(&self) -> Result<Host, Failure> {
        let mut host = self.host().await?;
        host.session.handshake().await?;
        Ok(host)
    }
}

/// A host program and what it is connected to.
#[derive(Debug)]
pub struct Host {
    /// The server.
    pub server: FakeServer,
    /// The program.
    pub program: Program,
    /// Its present session.
    pub session: Session,
}

impl Host {
    /// Waits for the session after this one and shakes hands; `session` is then the new one.
    ///
    /// # Errors
    /// If the host does not come back.
    pub async fn reconnected(&mut self) -> Result<String, Failure> {
        self.session = self.server.session(START).await?;
        let (hello, _) = self.session.handshake().await?;
        Ok(hello.instance_id)
    }
}

/// Starts the command once and waits for its Hello, however long it builds.
///
/// # Errors
/// If no Hello comes; then with what the command printed.
pub async fn warm_up(command: &[String]) -> Check {
    let stage = Stage::new(command)?;
    let mut server = stage.server().await?;
    let mut program = stage.program(Role::Host, &server)?;
    let ended = program.ended(FIRST_START);
    let failure = tokio::select! {
        session = server.session(FIRST_START) => match session?.hello().await {
            Ok(_) => return Ok(()),
            Err(failure) => failure,
        },
        status = ended => Failure(format!("the command ended before its Hello: {status:?}")),
    };
    Err(Failure(format!("{failure}{}", stage.log.tail())))
}
