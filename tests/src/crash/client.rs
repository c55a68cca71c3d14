//! Clients: each makes one call after the other, retries it as an SDK does until it has an answer, and writes down
//! what it sent and what it was told. Now and then one asks again for what it knows already, or asks twice at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use callboard_proto::{
    gateway::v1::{
        GetStateRequest, InvokeMode, InvokeRequest, InvokeResponse, invoke_request::Argument,
        invoke_response::Reply,
    },
    types::v1::ActorId,
};
use callboard_types::{CallError, Millis, Retry};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{Options, QUIET_MAX, host, ledger, link::Link};
use crate::check::{Add, Answer, Entry, Outcome, Read, Receipt};

/// Deadline of each attempt.
const ATTEMPT_TIMEOUT_MS: u32 = 5_000;

/// First and longest pause before a retry. Shorter than an SDK's, to press harder.
const BACKOFF_MS: (u64, u64) = (5, 400);

/// Ledgers that get a third of all calls, so that some of them are always busy.
const BUSY_LEDGERS: u32 = 4;

/// What the clients of one run share.
pub struct Shared {
    link: Link,
    begun: Instant,
    /// The number of the next add.
    next_add: AtomicU64,
    /// Adds that were acknowledged. Faults wait for it to rise.
    pub acknowledged: AtomicU64,
    /// Set when no new calls are to be made.
    pub stopping: AtomicBool,
    ledgers: u32,
    async_percent: u32,
    volatile: bool,
    pause: Duration,
}

/// What one client wrote down.
#[derive(Debug, Default)]
pub struct Log {
    /// Its adds.
    pub adds: Vec<(u64, Add)>,
    /// Its reads.
    pub reads: Vec<Read>,
    /// Attempts, of adds and reads.
    pub attempts: u64,
    /// Attempts that ended without an answer, or with one that allows a retry.
    pub retried: u64,
    /// Adds that had no answer when the client gave up.
    pub unanswered: Vec<u64>,
    /// Answers that no client should get, in words.
    pub unexpected: Vec<String>,
}

impl Shared {
    /// What the clients of a run share. Their clock starts now.
    #[must_use]
    pub fn new(options: &Options, link: Link) -> Self {
        let clients = u32::try_from(options.clients).unwrap_or(u32::MAX);
        Self {
            link,
            begun: super::now(),
            next_add: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            ledgers: options.ledgers.max(1),
            async_percent: options.async_percent,
            volatile: options.volatile,
            pause: Duration::from_secs(1) * clients / options.rate.max(1),
        }
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The name of a ledger.
#[must_use]
pub fn ledger_name(number: u32) -> String {
    format!("ledger-{number:04}")
}

/// A ledger's id.
#[must_use]
pub fn actor(name: &str) -> ActorId {
    ActorId { system: String::new(), r#type: ledger::TYPE.into(), key: name.into() }
}

/// Makes calls until the run stops, and returns what it saw.
pub async fn run(shared: Arc<Shared>, seed: u64) -> Log {
    let mut client = Client { shared, random: StdRng::seed_from_u64(seed), log: Log::default() };
    while !client.shared.stopping.load(Ordering::Relaxed) {
        let pause = client.shared.pause.mul_f64(client.random.random_range(0.5..1.5));
        let next = tokio::time::Instant::now() + pause;
        if client.random.random_ratio(1, 8) {
            client.read().await;
        } else {
            client.add().await;
        }
        tokio::time::sleep_until(next).await;
    }
    client.log
}

struct Client {
    shared: Arc<Shared>,
    random: StdRng,
    log: Log,
}

impl Client {
    async fn add(&mut self) {
        let number = self.shared.next_add.fetch_add(1, Ordering::Relaxed);
        let ledger = self.pick_ledger();
        let amount = self.random.random_range(1..100);
        let call = self.call(&ledger, number, amount);
        let add = Add { ledger, amount, invoked_ns: self.shared.now_ns(), answers: Vec::new() };
        let place = self.log.adds.len();
        self.log.adds.push((number, add));
        if self.random.random_ratio(1, 50) {
            // Nobody listens to this attempt; the server must see that both are one call.
            let (link, twin) = (self.shared.link.clone(), call.clone());
            tokio::spawn(async move { link.unary(twin).await });
        }
        if !self.settle(&call, place).await {
            self.log.unanswered.push(number);
            return;
        }
        self.shared.acknowledged.fetch_add(1, Ordering::Relaxed);
        if self.random.random_ratio(1, 33) {
            self.settle(&call, place).await;
        }
    }

    fn call(&mut self, ledger: &str, number: u64, amount: u32) -> InvokeRequest {
        let entry = Entry { add: number, amount };
        let asynchronous = self.random.random_ratio(self.shared.async_percent.min(100), 100);
        let mode = if asynchronous { InvokeMode::Async } else { InvokeMode::Sync };
        InvokeRequest {
            actor: Some(actor(ledger)),
            action: ledger::ADD.into(),
            argument: Some(Argument::Payload(host::payload(ledger::encode_entry(entry)))),
            request_id: uuid::Uuid::now_v7().to_string(),
            created_at_ms: Millis::now().0,
            timeout_ms: ATTEMPT_TIMEOUT_MS,
            metadata: Default::default(),
            mode: mode as i32,
            delay_ms: 0,
            due_at_ms: 0,
        }
    }

    fn pick_ledger(&mut self) -> String {
        let bound = if self.random.random_ratio(1, 3) {
            BUSY_LEDGERS.min(self.shared.ledgers)
        } else {
            self.shared.ledgers
        };
        ledger_name(self.random.random_range(0..bound))
    }

    /// Sends a call until it is answered for good, and writes the answer down. False if no answer came in time.
    async fn settle(&mut self, call: &InvokeRequest, place: usize) -> bool {
        let give_up = super::now() + QUIET_MAX;
        let mut backoff = BACKOFF_MS.0;
        while super::now() < give_up {
            self.log.attempts += 1;
            let error = match self.attempt(call).await {
                Ok(response) => {
                    let outcome = self.outcome(call, response);
                    self.answered(place, outcome);
                    return true;
                }
                Err(error) => error,
            };
            if error.retry() == Retry::Never {
                let reason = error.reason().to_owned();
                // A turn whose host was killed three times is given up, and says so for ever. Nothing else ends a call.
                if reason != "TURN_CRASHED_HOST" {
                    self.log.unexpected.push(format!("{reason}: {}", error.message));
                }
                self.answered(place, Outcome::Refused(reason));
                return true;
            }
            self.log.retried += 1;
            let advised = u64::from(error.retry_after_ms).min(BACKOFF_MS.1);
            let pause = self.random.random_range(advised..=advised.max(backoff));
            tokio::time::sleep(Duration::from_millis(pause)).await;
            backoff = (backoff * 2).min(BACKOFF_MS.1);
        }
        false
    }

    async fn attempt(&mut self, call: &InvokeRequest) -> Result<InvokeResponse, CallError> {
        if self.random.random_ratio(1, 4) {
            self.shared.link.unary(call.clone()).await
        } else {
            self.shared.link.stream(call.clone()).await
        }
    }

    fn outcome(&mut self, call: &InvokeRequest, response: InvokeResponse) -> Outcome {
        if !response.durable && !self.shared.volatile {
            let what = format!("the answer to {} does not say that it is durable", call.request_id);
            self.log.unexpected.push(what);
        }
        if call.mode() == InvokeMode::Async {
            return Outcome::Accepted;
        }
        match receipt(response.reply) {
            Some(receipt) => Outcome::Applied(receipt),
            None => {
                let what = format!("the reply to {} is no receipt", call.request_id);
                self.log.unexpected.push(what);
                Outcome::Accepted
            }
        }
    }

    fn answered(&mut self, place: usize, outcome: Outcome) {
        let returned_ns = self.shared.now_ns();
        self.log.adds[place].1.answers.push(Answer { returned_ns, outcome });
    }

    /// Reads a ledger once, by its own action or past its host. A read that fails is no finding: its retries are the
    /// caller's, and the next read comes soon.
    async fn read(&mut self) {
        let ledger = self.pick_ledger();
        let invoked_ns = self.shared.now_ns();
        self.log.attempts += 1;
        let seen = if self.random.random_ratio(1, 2) {
            self.read_by_action(&ledger).await
        } else {
            self.read_past_host(&ledger).await
        };
        match seen {
            Ok(Some(seen)) => self.log.reads.push(Read {
                ledger,
                invoked_ns,
                returned_ns: self.shared.now_ns(),
                seen,
            }),
            Ok(None) => self.log.unexpected.push(format!("a read of {ledger} shows no ledger")),
            Err(error)
                if error.retry() == Retry::Never && error.kind.reason() != "UNKNOWN_TYPE" =>
            {
                let what = format!("a read: {}: {}", error.reason(), error.message);
                self.log.unexpected.push(what);
            }
            Err(_) => self.log.retried += 1,
        }
    }

    async fn read_by_action(&mut self, ledger: &str) -> Result<Option<Receipt>, CallError> {
        let call = InvokeRequest {
            actor: Some(actor(ledger)),
            action: ledger::READ.into(),
            timeout_ms: ATTEMPT_TIMEOUT_MS,
            ..InvokeRequest::default()
        };
        let response = self.attempt(&call).await?;
        Ok(receipt(response.reply))
    }

    async fn read_past_host(&mut self, ledger: &str) -> Result<Option<Receipt>, CallError> {
        let request = GetStateRequest { actor: Some(actor(ledger)), as_json: false };
        let state = self.shared.link.get_state(request).await?.state;
        Ok(Some(ledger::receipt(&state.unwrap_or_default().data)))
    }
}

fn receipt(reply: Option<Reply>) -> Option<Receipt> {
    match reply {
        Some(Reply::Payload(payload)) => ledger::decode_receipt(&payload.data),
        Some(Reply::Json(_)) | None => None,
    }
}
