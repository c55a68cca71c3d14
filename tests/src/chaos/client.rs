//! Clients: each makes one call after the other, and retries it as an SDK does until it has an answer, on whichever node
//! it finds. Now and then one asks again for what it knows already, or asks twice at once.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use callboard_proto::{
    gateway::v1::{
        GetStateRequest, InvokeMode, InvokeRequest, InvokeResponse, invoke_request::Argument,
        invoke_response,
    },
    types::v1::ActorId,
};
use callboard_types::{CallError, Millis, Retry};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    Error, GIVE_UP, Options,
    actors::{self, COUNTER, LEDGER, REGISTER, TALLY},
    history::{Act, Event, Recorder, Reply},
    node,
    talk::{self, TELLER},
};
use crate::{crash::link::Link, net::Port};

/// Deadline of each attempt.
const ATTEMPT_MS: u32 = 4_000;

/// What a node says whose clock is far from the caller's: the call is too old, or from the future.
const EXPIRED: &str = "REQUEST_EXPIRED";

/// What it says of the end of a chain whose last call is too old by its clock.
const NOT_KEPT: &str = "OUTCOME_NOT_KEPT";

/// First and longest pause before a retry. Shorter than an SDK's, to press harder.
const BACKOFF_MS: (u64, u64) = (10, 500);

/// Pause before another node is asked for a state.
const READ_AGAIN: Duration = Duration::from_millis(20);

/// How long the keys of a kind are used before new ones take their place, so that no actor's history grows too long.
const LEDGER_SECONDS: f64 = 60.0;
const REGISTER_SECONDS: f64 = 20.0;

/// How many keys of each kind are in use at a time.
const LEDGERS: u32 = 32;
const REGISTERS: u32 = 12;
const COUNTERS: u32 = 16;

/// What the clients of one run share.
pub struct Shared {
    links: Vec<(Port, Link)>,
    /// Ports of nodes that clients may use now.
    usable: AtomicU64,
    recorder: Arc<Recorder>,
    next_call: AtomicU64,
    /// What registers were last seen to hold, so that swaps have a chance.
    registers: Mutex<HashMap<String, u64>>,
    /// Calls answered so far.
    pub answered: AtomicU64,
    /// Set when no new calls are to be made.
    pub stopping: AtomicBool,
    pause: Duration,
    /// Of a hundred calls, how many set something going.
    pub talk: u32,
}

impl Shared {
    /// What the clients of a run share, with ways to the nodes at these ports.
    ///
    /// # Errors
    /// If an address is none.
    pub fn new(options: &Options, ports: &[Port], recorder: Arc<Recorder>) -> Result<Self, Error> {
        let link = |port: &Port| Ok::<_, Error>((*port, Link::new(&node::gateway(*port))?));
        Ok(Self {
            links: ports.iter().map(link).collect::<Result<_, _>>()?,
            usable: AtomicU64::new(0),
            recorder,
            next_call: AtomicU64::new(1),
            registers: Mutex::new(HashMap::new()),
            answered: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            pause: Duration::from_secs(1) * options.clients / options.rate.max(1),
            talk: options.talk,
        })
    }

    /// The history.
    #[must_use]
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// The port of a node that clients may use now.
    pub fn pick_port(&self, random: &mut StdRng) -> Option<Port> {
        self.pick(random).map(|(port, _)| port)
    }

    /// A number that no other call has.
    pub fn next_call(&self) -> u64 {
        self.next_call.fetch_add(1, Ordering::Relaxed)
    }

    /// Lets clients use a node, or tells them not to.
    pub fn use_node(&self, port: Port, usable: bool) {
        if usable {
            self.usable.fetch_or(1 << port, Ordering::Relaxed);
        } else {
            self.usable.fetch_and(!(1 << port), Ordering::Relaxed);
        }
    }

    /// The way to a node.
    #[must_use]
    pub fn link(&self, port: Port) -> Option<&Link> {
        self.links.iter().find(|(at, _)| *at == port).map(|(_, link)| link)
    }

    /// The way to a node that clients may use now.
    #[must_use]
    pub fn usable_link(&self, port: Port) -> Option<&Link> {
        let usable = self.usable.load(Ordering::Relaxed) >> port & 1 == 1;
        self.link(port).filter(|_| usable)
    }

    /// The committed state of an actor, from whichever node answers first.
    ///
    /// # Errors
    /// If none does in time.
    pub async fn read(&self, actor: ActorId, give_up: Instant) -> Result<Bytes, Error> {
        let mut last = "no node could be used".to_owned();
        for (port, _) in self.links.iter().cycle() {
            if super::now() > give_up {
                break;
            }
            if let Some(link) = self.usable_link(*port) {
                match state_of(link, actor.clone()).await {
                    Ok(data) => return Ok(data),
                    Err(error) => last = error.to_string(),
                }
            }
            tokio::time::sleep(READ_AGAIN).await;
        }
        let (kind, key) = (&actor.r#type, &actor.key);
        Err(Error::failed(format!("{kind}/{key} cannot be read at the end: {last}")))
    }

    fn pick(&self, random: &mut StdRng) -> Option<(Port, Link)> {
        let usable = self.usable.load(Ordering::Relaxed);
        let links = self.links.iter().filter(|(port, _)| usable >> port & 1 == 1);
        let links: Vec<_> = links.collect();
        let index = random.random_range(0..links.len().max(1));
        links.get(index).map(|(port, link)| (*port, link.clone()))
    }

    fn expected(&self, actor: &str) -> u64 {
        let registers = self.registers.lock().unwrap_or_else(PoisonError::into_inner);
        registers.get(actor).copied().unwrap_or(0)
    }

    fn remember(&self, actor: &str, value: u64) {
        let mut registers = self.registers.lock().unwrap_or_else(PoisonError::into_inner);
        registers.insert(actor.to_owned(), value);
    }
}

/// The key of the ledger that gets most calls now.
#[must_use]
pub fn hot_ledger(seconds: f64) -> ActorId {
    actors::id(LEDGER, &ledger_key(seconds, 0))
}

fn ledger_key(seconds: f64, index: u32) -> String {
    format!("l{}-{index}", (seconds / LEDGER_SECONDS) as u64)
}

/// Makes calls until the run stops.
pub async fn run(shared: Arc<Shared>, number: u32, seed: u64) {
    let mut client = Client { number, random: StdRng::seed_from_u64(seed), shared };
    while !client.shared.stopping.load(Ordering::Relaxed) {
        let pause = client.shared.pause.mul_f64(client.random.random_range(0.5..1.5));
        let next = tokio::time::Instant::now() + pause;
        client.call().await;
        tokio::time::sleep_until(next).await;
    }
}

struct Client {
    number: u32,
    random: StdRng,
    shared: Arc<Shared>,
}

/// One logical call.
struct Call {
    number: u64,
    actor: ActorId,
    act: Act,
    asynchronous: bool,
    request: InvokeRequest,
}

impl Client {
    async fn call(&mut self) {
        let call = self.draw();
        let actor = format!("{}/{}", call.actor.r#type, call.actor.key);
        self.shared.recorder.note(Event::Call {
            call: call.number,
            client: self.number,
            actor: actor.clone(),
            act: call.act.clone(),
            asynchronous: call.asynchronous,
            request: call.request.request_id.clone(),
        });
        let stored = !matches!(call.act, Act::Total | Act::Get | Act::Count);
        if stored && self.random.random_ratio(1, 50) {
            // Nobody listens to this attempt; the cluster must see that both are one call.
            if let Some((_, link)) = self.shared.pick(&mut self.random) {
                let twin = call.request.clone();
                tokio::spawn(async move { link.unary(twin).await });
            }
        }
        let Some(reply) = self.settle(&call).await else {
            return;
        };
        self.shared.answered.fetch_add(1, Ordering::Relaxed);
        match (&call.act, &reply) {
            (_, Reply::Value { value })
            | (Act::Write { value } | Act::Swap { value, .. }, Reply::Written)
            | (Act::Swap { value, .. }, Reply::Swapped { swapped: true }) => {
                self.shared.remember(&actor, *value);
            }
            _ => {}
        }
        let again = if matches!(call.act, Act::Relay { .. }) { 4 } else { 33 };
        if stored && self.random.random_ratio(1, again) {
            self.settle(&call).await;
        }
    }

    fn draw(&mut self) -> Call {
        let number = self.shared.next_call();
        let seconds = self.shared.recorder.seconds();
        let random = &mut self.random;
        let drawn = match random.random_ratio(self.shared.talk, 100) {
            true => None,
            false => Some(random.random_range(0..90)),
        };
        let (kind, key, act) = match drawn {
            None => {
                let (key, act) = talk::draw(random, seconds);
                (TELLER, key, act)
            }
            Some(0..35) => (LEDGER, ledger_key(seconds, pick_ledger(random)), {
                Act::Add { amount: random.random_range(1..100) }
            }),
            Some(35..42) => (LEDGER, ledger_key(seconds, pick_ledger(random)), Act::Total),
            Some(42..64) => {
                let generation = (seconds / REGISTER_SECONDS) as u64;
                let key = format!("r{generation}-{}", random.random_range(0..REGISTERS));
                let expected = self.shared.expected(&format!("{REGISTER}/{key}"));
                let act = match random.random_range(0..3) {
                    0 => Act::Get,
                    1 => Act::Write { value: number },
                    _ => Act::Swap { expected, value: number },
                };
                (REGISTER, key, act)
            }
            Some(64..82) => (COUNTER, format!("c{}", random.random_range(0..COUNTERS)), Act::Count),
            _ => (TALLY, format!("t{}", random.random_range(0..COUNTERS)), Act::Count),
        };
        let asynchronous = matches!(act, Act::Add { .. }) && random.random_ratio(1, 10);
        let actor = actors::id(kind, &key);
        let (action, payload) = actors::request(number, &act);
        let mode = if asynchronous { InvokeMode::Async } else { InvokeMode::Sync };
        let request = InvokeRequest {
            actor: Some(actor.clone()),
            action: action.into(),
            argument: payload.map(Argument::Payload),
            request_id: uuid::Uuid::now_v7().to_string(),
            created_at_ms: Millis::now().0,
            timeout_ms: ATTEMPT_MS,
            mode: mode as i32,
            ..InvokeRequest::default()
        };
        Call { number, actor, act, asynchronous, request }
    }

    /// Sends a call until it is answered for good, and writes the answer down. `None` if no answer came in time.
    async fn settle(&mut self, call: &Call) -> Option<Reply> {
        let give_up = super::now() + GIVE_UP;
        let (mut backoff, mut attempts) = (BACKOFF_MS.0, 0);
        let mut last = "no node could be used".to_owned();
        let mut place = None;
        while super::now() < give_up {
            let way = place.take().or_else(|| self.shared.pick(&mut self.random));
            let mut advised = 0;
            if let Some((node, link)) = way {
                attempts += 1;
                match self.attempt(call, &link).await {
                    Ok(reply) => return Some(self.answered(call, node, attempts, reply)),
                    Err(error) if error.retry() == Retry::Never => {
                        let reason = error.reason().to_owned();
                        let reply = match reason.as_str() {
                            // An earlier attempt may have been applied: the client's own, or one that the
                            // gateway repeated at another owner.
                            EXPIRED | NOT_KEPT => Reply::Unknown { reason },
                            _ => Reply::Refused { reason: format!("{reason}: {}", error.message) },
                        };
                        return Some(self.answered(call, node, attempts, reply));
                    }
                    Err(error) => {
                        advised = u64::from(error.retry_after_ms).min(BACKOFF_MS.1);
                        last = format!("node {node}: {}: {}", error.reason(), error.message);
                        // Half of the time the same node is asked again, as a client with one connection does.
                        place = self.random.random_bool(0.5).then_some((node, link));
                    }
                }
            }
            let pause = self.random.random_range(advised..=advised.max(backoff));
            tokio::time::sleep(Duration::from_millis(pause)).await;
            backoff = (backoff * 2).min(BACKOFF_MS.1);
        }
        self.shared.recorder.note(Event::GaveUp { call: call.number, last });
        None
    }

    fn answered(&self, call: &Call, node: Port, attempts: u32, reply: Reply) -> Reply {
        let event = Event::Answer { call: call.number, node, attempts, reply: reply.clone() };
        self.shared.recorder.note(event);
        reply
    }

    async fn attempt(&mut self, call: &Call, link: &Link) -> Result<Reply, CallError> {
        if call.act == Act::Total && self.random.random_ratio(1, 3) {
            return past_host(call, link).await;
        }
        let request = call.request.clone();
        let response = match self.random.random_ratio(1, 4) {
            true => link.unary(request).await,
            false => link.stream(request).await,
        }?;
        Ok(understand(call, response))
    }
}

fn pick_ledger(random: &mut StdRng) -> u32 {
    // A third of all calls goes to a few ledgers, so that some are always busy.
    let bound = if random.random_ratio(1, 3) { 2 } else { LEDGERS };
    random.random_range(0..bound)
}

fn understand(call: &Call, response: InvokeResponse) -> Reply {
    if call.asynchronous {
        return match response.durable {
            true => Reply::Accepted,
            false => Reply::Refused { reason: "ACCEPTED_BUT_NOT_DURABLE".into() },
        };
    }
    let data = match response.reply {
        Some(invoke_response::Reply::Payload(payload)) => payload.data,
        Some(invoke_response::Reply::Json(_)) | None => Bytes::new(),
    };
    actors::reply(&call.act, &data).unwrap_or_else(|| Reply::Refused {
        reason: format!("NO_SUCH_REPLY: {}", String::from_utf8_lossy(&data)),
    })
}

/// The committed state of an actor as a node has it; nothing if nobody ever called it.
async fn state_of(link: &Link, actor: ActorId) -> Result<Bytes, CallError> {
    match link.get_state(GetStateRequest { actor: Some(actor), as_json: false }).await {
        Ok(response) => Ok(response.state.unwrap_or_default().data),
        Err(error) if error.reason() == "UNKNOWN_ACTOR" => Ok(Bytes::new()),
        Err(error) => Err(error),
    }
}

/// Reads a ledger's state without its host.
async fn past_host(call: &Call, link: &Link) -> Result<Reply, CallError> {
    Ok(actors::ledger(&state_of(link, call.actor.clone()).await?).map_or_else(
        || Reply::Refused { reason: "TORN_STATE".into() },
        |ledger| Reply::Receipt { count: ledger.entries.len() as u64, total: ledger.total },
    ))
}
