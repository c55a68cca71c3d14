//! The tools of the chaos test, tested: that the switch, the clocks and the disks do what they say.

use std::{io::ErrorKind, net::SocketAddr, path::Path, process::Command, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{Error, clock, clock::Clock};
use crate::net::{self, Effect, Namespace, Port, Ports, Rule, Switch, rules::between};

/// The party that echoes what it is sent.
const ECHO: Port = 1;

/// This process.
const HERE: Port = 2;

/// How long silence must last to be silence.
const SILENCE: Duration = Duration::from_millis(400);

/// Tests every tool in turn; returns the names of those that work. Namespaces must have been entered.
///
/// # Errors
/// The first tool that does not do what it says.
pub async fn run(folder: &Path) -> Result<Vec<&'static str>, Error> {
    let echo = Namespace::create()?;
    let switch = Switch::start(&[(ECHO, echo.clone()), (HERE, Namespace::own()?)], 1)?;
    let address = serve_echo(&echo)?;
    let (one, other) = (Ports::of([ECHO]), Ports::of([HERE]));

    let mut stream = connect(address).await?;
    let plain = round_trip(&mut stream, 300_000).await?;
    expect(plain.is_some(), "a switch without rules hands everything on")?;

    switch.rules().set(1, vec![Rule { from: one, to: other, effect: Effect::Delay(60, 20) }]);
    let delayed = round_trip(&mut stream, 1).await?;
    let least = Duration::from_millis(60);
    expect(delayed.is_some_and(|took| took >= least), "a delay takes its time")?;

    switch.rules().set(1, between(one, other, Effect::Loss(200)));
    let lossy = tokio::time::timeout(Duration::from_secs(60), round_trip(&mut stream, 100_000));
    let lossy = lossy.await.ok().transpose()?.flatten();
    expect(lossy.is_some(), "what is lost is sent again")?;
    let lost = switch.counters().lost.load(std::sync::atomic::Ordering::Relaxed);
    expect(lost > 0, "frames are lost")?;

    switch.rules().set(1, vec![Rule { from: one, to: other, effect: Effect::Cut }]);
    let cut = tokio::time::timeout(SILENCE, round_trip(&mut stream, 1)).await;
    expect(cut.is_err(), "nothing comes over a cable that is cut one way")?;
    switch.rules().heal();
    let mut late = [0; 1];
    let healed = tokio::time::timeout(Duration::from_secs(10), stream.read_exact(&mut late)).await;
    expect(matches!(healed, Ok(Ok(_))), "what was sent meanwhile comes when it is healed")?;

    switch.rules().set(1, between(one, other, Effect::Reset));
    let sent = stream.write_all(b"x").await;
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_exact(&mut late)).await;
    let broken = |error: &std::io::Error| error.kind() == ErrorKind::ConnectionReset;
    let reset =
        sent.as_ref().is_err_and(broken) || matches!(&read, Ok(Err(error)) if broken(error));
    expect(reset, "a reset ends a connection")?;
    let refused = TcpStream::connect(address).await;
    let kind = refused.as_ref().err().map(std::io::Error::kind);
    expect(kind == Some(ErrorKind::ConnectionRefused), "a reset refuses a new connection")?;
    switch.rules().heal();
    connect(address).await?;

    test_clock(folder)?;
    Ok(vec!["pass", "delay", "loss", "one-way cut", "healing", "reset", "refusal", "clock"])
}

fn expect(holds: bool, what: &str) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::failed(format!("does not hold: {what}"))) }
}

/// Echoes whatever comes, in another namespace.
fn serve_echo(namespace: &Namespace) -> Result<SocketAddr, Error> {
    let address = SocketAddr::from((net::address(ECHO), 4_000));
    let namespace = namespace.clone();
    let (ready, bound) = std::sync::mpsc::channel();
    // A thread of its own, because it moves to another namespace for good. It ends with the process.
    std::thread::spawn(move || {
        let listener = namespace
            .join_thread()
            .map_err(Error::from)
            .and_then(|()| std::net::TcpListener::bind(address).map_err(Error::io("listening")));
        // The starter waits for it.
        let _ = ready.send(listener);
    });
    let gone = |_| Error::failed("the thread that listens ended");
    let listener = bound.recv().map_err(gone)??;
    listener.set_nonblocking(true).map_err(Error::io("listening"))?;
    let listener = TcpListener::from_std(listener).map_err(Error::io("listening"))?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    Ok(address)
}

async fn connect(address: SocketAddr) -> Result<TcpStream, Error> {
    let stream = tokio::time::timeout(Duration::from_secs(10), TcpStream::connect(address))
        .await
        .map_err(|_| Error::failed("no connection comes up"))?
        .map_err(Error::io("connecting"))?;
    stream.set_nodelay(true).map_err(Error::io("connecting"))?;
    Ok(stream)
}

/// Sends bytes, reads them back, and says how long that took. `None` if other bytes came back.
async fn round_trip(stream: &mut TcpStream, bytes: usize) -> Result<Option<Duration>, Error> {
    let begun = super::now();
    let sent: Vec<u8> = (0..bytes).map(|index| index as u8).collect();
    let mut back = vec![0; bytes];
    let (mut from, mut to) = stream.split();
    let both = tokio::try_join!(from.read_exact(&mut back), to.write_all(&sent));
    both.map_err(Error::io("echoing"))?;
    Ok((back == sent).then(|| begun.elapsed()))
}

/// The wall clock of a process jumps, and jumps back.
fn test_clock(folder: &Path) -> Result<(), Error> {
    let library = clock::build(folder)?;
    let clock = Clock::create(&library, &folder.join("clock"))?;
    let year = || {
        let mut command = Command::new("date");
        command.arg("+%Y");
        clock.give_to(&mut command);
        let output = command.output().map_err(Error::io("running date"))?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        text.parse::<i32>().map_err(|_| Error::failed(format!("date says {text:?}")))
    };
    let now = year()?;
    clock.set(2 * 366 * 24 * 3_600)?;
    let then = year()?;
    expect(then >= now + 2, "a clock jumps")?;
    clock.set(0)?;
    expect(year()? == now, "a clock jumps back")
}
