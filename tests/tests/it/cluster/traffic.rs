//! Hosts on every node, and callers that retry as SDKs do, with the books to check what they were told.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use callboard_proto::{
    gateway::v1::{InvokeRequest, InvokeResponse},
    host::v1::node_frame,
    types::v1::Durability,
};
use callboard_tests::local::{
    caller::{Caller, call, text},
    host::{ScriptedHost, definition, hello, result, state_of},
};
use callboard_types::{CallError, Retry, Tick};
use tokio::{sync::Notify, task::JoinHandle};
use tonic::transport::{Channel, Endpoint};

use super::counter;

/// How long one call may be retried: an SDK's default deadline.
const DEADLINE: Duration = Duration::from_secs(30);
/// The first pause between attempts, and the longest, in milliseconds.
const PAUSE: (u64, u64) = (10, 500);

fn channel(address: &str) -> Channel {
    Endpoint::from_shared(format!("http://{address}"))
        .expect("an address is a URI")
        .tcp_nodelay(true)
        .connect_timeout(Duration::from_secs(1))
        .http2_keep_alive_interval(Duration::from_secs(1))
        .keep_alive_timeout(Duration::from_secs(2))
        .keep_alive_while_idle(true)
        .connect_lazy()
}

/// Hosts of a counter, one session to each node, opened again whenever it ends.
pub(super) struct Hosts(Vec<JoinHandle<()>>);

// === impl Hosts ===

impl Hosts {
    /// Starts a host per address. Returns once each has registered.
    pub(super) async fn start(addresses: &[String]) -> Self {
        Self::start_working(addresses, Duration::ZERO).await
    }

    /// Starts hosts whose turns take a while.
    pub(super) async fn start_working(addresses: &[String], work: Duration) -> Self {
        let mut tasks = Vec::new();
        for address in addresses {
            let registered = Arc::new(Notify::new());
            let host = forever(channel(address), Arc::clone(&registered), work);
            tasks.push(tokio::spawn(host));
            registered.notified().await;
        }
        Self(tasks)
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

async fn forever(channel: Channel, registered: Arc<Notify>, work: Duration) {
    loop {
        // A task of its own: a session that ends in the middle of its beginning is one more to open again.
        let session = tokio::spawn(session(channel.clone(), Arc::clone(&registered), work));
        let _ = session.await;
        tokio::time::sleep(Duration::from_millis(rand::random_range(20..200))).await;
    }
}

async fn session(channel: Channel, registered: Arc<Notify>, work: Duration) {
    let Ok(mut host) = ScriptedHost::try_connect(channel, hello(256)).await else {
        return;
    };
    let types = vec![definition("Counter", Durability::Durable, &["add", "total?"])];
    if host.register("default", types).await.is_err() {
        return;
    }
    registered.notify_one();
    while let Some(frame) = host.next().await {
        let node_frame::Frame::Run(run) = frame else {
            continue;
        };
        tokio::time::sleep(work).await;
        let mut state = state_of(&run);
        let mut results = Vec::new();
        for turn in &run.turns {
            let (reply, next) = counter(turn, state.clone());
            results.push(result(turn.turn_id, &reply, next.as_deref()));
            state = next.or(state);
        }
        host.send(results).await;
    }
}

/// A caller that knows several nodes and goes to another one when one cannot answer.
#[derive(Clone)]
pub(super) struct Client {
    nodes: Arc<[Caller]>,
    next: Arc<AtomicUsize>,
}

// === impl Client ===

impl Client {
    pub(super) fn new(addresses: &[String]) -> Self {
        let nodes = addresses.iter().map(|address| Caller::new(channel(address))).collect();
        Self { nodes, next: Arc::default() }
    }

    /// Makes a call, again and again with the same id, for as long as an SDK would.
    pub(super) async fn insist(&self, call: InvokeRequest) -> Result<InvokeResponse, CallError> {
        let (begun, mut pause) = (Tick::now(), PAUSE.0);
        loop {
            let at = self.next.load(Ordering::Relaxed) % self.nodes.len();
            let mut attempt = call.clone();
            let left = DEADLINE.saturating_sub(since(begun));
            attempt.timeout_ms = u32::try_from(left.as_millis()).unwrap_or(u32::MAX).max(1);
            let answer = tokio::time::timeout(left, self.nodes[at].invoke(attempt)).await;
            let error = match answer {
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(error)) => error,
                Err(_) => CallError::new(
                    callboard_types::ErrorKind::DeadlineExceeded,
                    "no node answered in time",
                ),
            };
            if error.retry() == Retry::Never || since(begun) >= DEADLINE {
                return Err(error);
            }
            // Another node: this one may be gone.
            self.next.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(rand::random_range(0..=pause))).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }
}

fn since(begun: Tick) -> Duration {
    Duration::from_micros(Tick::now().micros_since(begun))
}

/// Callers that add to counters all the time.
pub(super) struct Traffic {
    client: Client,
    stop: Arc<AtomicBool>,
    /// Adds that were acknowledged, by caller.
    served: Arc<[AtomicU64]>,
    callers: Vec<JoinHandle<Books>>,
}

/// What one caller did.
#[derive(Default)]
struct Books {
    /// Per key: what was acknowledged, and what may have been applied.
    keys: BTreeMap<String, (i64, i64)>,
    errors: Vec<CallError>,
    longest: Duration,
}

/// What all callers did, and what the actors say.
pub(super) struct Report {
    pub(super) failed: usize,
    served: u64,
    longest: Duration,
    wrong: Vec<String>,
    errors: Vec<CallError>,
}

// === impl Traffic ===

impl Traffic {
    /// Starts callers that share the nodes and the keys.
    pub(super) async fn start(addresses: &[String], keys: usize, callers: usize) -> Self {
        let (stop, client) = (Arc::new(AtomicBool::new(false)), Client::new(addresses));
        let served: Arc<[AtomicU64]> = (0..callers).map(|_| AtomicU64::new(0)).collect();
        let started = (0..callers).map(|number| {
            // Each begins at another node, and moves on by itself.
            let client = Client::new(addresses);
            client.next.store(number, Ordering::Relaxed);
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            tokio::spawn(add_forever(client, number, keys, stop, served))
        });
        let callers = started.collect();
        Self { client, stop, callers, served }
    }

    /// Waits until this many more adds were acknowledged.
    pub(super) async fn until_served(&self, more: u64) {
        let total = || self.served.iter().map(|it| it.load(Ordering::Acquire)).sum::<u64>();
        let goal = total() + more;
        self.wait("adds are acknowledged", || total() >= goal).await;
    }

    /// Waits until every caller had adds acknowledged that began after now: as many as there are keys, so that all
    /// shards serve.
    pub(super) async fn until_served_by_everybody(&self) {
        let before: Vec<u64> = self.served.iter().map(|it| it.load(Ordering::Acquire)).collect();
        let goal = |at: usize| self.served[at].load(Ordering::Acquire) >= before[at] + 26;
        self.wait("every caller is served", || (0..before.len()).all(goal)).await;
    }

    async fn wait(&self, what: &str, is_so: impl Fn() -> bool) {
        let begun = Tick::now();
        while !is_so() {
            assert!(since(begun) < Duration::from_secs(120), "never so: {what}");
            assert!(!self.callers.iter().any(JoinHandle::is_finished), "a caller ended");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends the callers and compares their books with the actors.
    pub(super) async fn end(self) -> Report {
        self.stop.store(true, Ordering::Release);
        let mut report = Report {
            failed: 0,
            served: self.served.iter().map(|it| it.load(Ordering::Acquire)).sum(),
            longest: Duration::ZERO,
            wrong: Vec::new(),
            errors: Vec::new(),
        };
        let mut keys: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        for caller in self.callers {
            let books = caller.await.expect("a caller ends");
            for (key, (sure, maybe)) in books.keys {
                let all = keys.entry(key).or_default();
                (all.0, all.1) = (all.0 + sure, all.1 + maybe);
            }
            report.longest = report.longest.max(books.longest);
            report.errors.extend(books.errors);
        }
        report.failed = report.errors.len();
        for (key, (sure, maybe)) in keys {
            let reply = self.client.insist(call("Counter", &key, "total", "")).await;
            let total: i64 = text(&reply.expect("read")).parse().expect("a number");
            if total < sure || total > sure + maybe {
                report
                    .wrong
                    .push(format!("{key}: {total}, and {sure} to {} is right", sure + maybe));
            }
        }
        report
    }
}

async fn add_forever(
    client: Client,
    number: usize,
    keys: usize,
    stop: Arc<AtomicBool>,
    served: Arc<[AtomicU64]>,
) -> Books {
    let mut books = Books::default();
    let mut turn = number;
    while !stop.load(Ordering::Acquire) {
        let key = format!("k{}", turn % keys);
        turn += 1;
        let begun = Tick::now();
        let answer = client.insist(call("Counter", &key, "add", "1")).await;
        books.longest = books.longest.max(since(begun));
        let book = books.keys.entry(key).or_default();
        match answer {
            Ok(_) => {
                book.0 += 1;
                served[number].fetch_add(1, Ordering::AcqRel);
            }
            Err(error) => {
                book.1 += 1;
                books.errors.push(error);
            }
        }
    }
    books
}

// === impl Report ===

impl Report {
    /// Every acknowledged add is there, and none is there twice.
    pub(super) fn check(&self) {
        eprintln!(
            "{} adds served, {} failed, the longest took {:?}",
            self.served, self.failed, self.longest
        );
        assert!(self.wrong.is_empty(), "{:#?}", self.wrong);
        let first: Vec<_> = self.errors.iter().take(3).collect();
        assert!(self.errors.is_empty(), "{} calls failed: {first:#?}", self.errors.len());
    }
}
