//! What a host sends: registrations, results, calls made inside turns, credit, signs of life.

use std::{collections::HashSet, sync::Arc};

use callboard_proto::host::v1::{
    ConnectRequest, Drained, HostFrame, NodeFrame, Ping, Register, Registered, TurnCall,
    TurnCallResult, TurnResult, host_frame::Frame as FromHost, node_frame::Frame, turn_call_result,
};
use callboard_types::{CallError, ErrorKind, TypeDefinition, actor_id::check_name, limits};
use tokio::time::MissedTickBehavior;
use tonic::Streaming;

use super::{Hosts, SessionEntry, protocol};
use crate::{
    grpc::convert,
    metrics,
    ports::Hosting,
    session::SessionLink,
    worker::{Message, SessionCall},
};

/// The reading half of a session. Dropping it tells the workers that the session is gone.
pub(super) struct Reader {
    hosts: Hosts,
    link: Arc<SessionLink>,
    /// What was registered, as (system, type).
    offered: HashSet<(String, String)>,
    /// Pings that were sent, and the latest that was answered.
    pings: u64,
    pongs: u64,
    /// True if the host said that no successor is to be expected.
    leaves_for_good: bool,
}

/// Frames of one message, sorted by the worker that they concern.
#[derive(Default)]
struct Sorted {
    results: Vec<Vec<TurnResult>>,
    calls: Vec<Vec<SessionCall>>,
}

impl Reader {
    pub(super) fn new(hosts: Hosts, link: Arc<SessionLink>) -> Self {
        let entry = SessionEntry { link: Arc::clone(&link), types: Vec::new() };
        hosts.sessions.change(|sessions| drop(sessions.insert(link.id.0, entry.clone())));
        Self { hosts, link, offered: HashSet::new(), pings: 0, pongs: 0, leaves_for_good: false }
    }

    pub(super) async fn run(
        mut self,
        mut stream: Streaming<ConnectRequest>,
        early: Vec<HostFrame>,
    ) {
        if let Err(error) = self.take(early).await {
            return self.end(&error);
        }
        let mut ping = tokio::time::interval(self.hosts.ping);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ping.reset();
        loop {
            let taken = tokio::select! {
                message = stream.message() => match message {
                    Ok(Some(message)) => self.take(message.frames).await,
                    Ok(None) => return,
                    Err(status) => Err(protocol(status.message())),
                },
                _ = ping.tick() => self.ping(),
            };
            if let Err(error) = taken {
                return self.end(&error);
            }
            if self.link.is_closed() {
                return;
            }
        }
    }

    fn end(&self, error: &CallError) {
        tracing::warn!(session = %self.link.id, sdk = %self.link.info.sdk, %error, "session ended");
    }

    fn ping(&mut self) -> Result<(), CallError> {
        if self.pings > self.pongs + 1 {
            return Err(protocol("the host left two pings unanswered"));
        }
        self.pings += 1;
        self.send(Frame::Ping(Ping { nonce: self.pings }));
        Ok(())
    }

    fn send(&self, frame: Frame) {
        self.link.send(vec![NodeFrame { frame: Some(frame) }]);
    }

    async fn take(&mut self, frames: Vec<HostFrame>) -> Result<(), CallError> {
        let workers = self.hosts.router.workers().clone();
        let mut sorted = Sorted::default();
        sorted.results.resize_with(workers.count(), Vec::new);
        sorted.calls.resize_with(workers.count(), Vec::new);
        let mut answered = 0;
        for frame in frames {
            match frame.frame {
                Some(FromHost::Result(result)) => {
                    answered += 1;
                    let worker = workers.of_turn(result.turn_id);
                    sorted.results[worker].push(result);
                }
                Some(FromHost::Call(call)) => {
                    // Results before it in the message settle earlier turns; they must arrive first.
                    let worker = workers.of_turn(call.turn_id);
                    if let Some(call) = self.session_call(call) {
                        self.flush_results(worker, &mut sorted).await;
                        sorted.calls[worker].push(call);
                        self.flush_calls(worker, &mut sorted).await;
                    }
                }
                Some(FromHost::Register(register)) => self.register(register).await,
                Some(FromHost::Credit(credit)) => {
                    self.link.set_credits(credit.turns.min(limits::CREDITS_MAX));
                    workers.send_all(|| Message::CreditsChanged).await;
                }
                Some(FromHost::Pong(pong)) => {
                    self.pongs = self.pongs.max(pong.nonce.min(self.pings));
                }
                Some(FromHost::Drain(drain)) => {
                    self.leaves_for_good = drain.permanent;
                    self.link.start_draining();
                    // Workers hand out nothing more once they have seen this message.
                    self.passed_by_all().await;
                    self.send(Frame::Drained(Drained {}));
                }
                Some(FromHost::Hello(_)) => return Err(protocol("a host says Hello only once")),
                Some(FromHost::StateMissing(_)) => {
                    return Err(protocol("no state token was sent, so none can be missing"));
                }
                // A frame of a later minor version.
                None => {}
            }
        }
        self.link.release(answered);
        // The worker that gets the results looks by itself; others would not know that there is credit again.
        if answered > 0 && workers.count() > 1 && self.link.was_starved() {
            workers.send_all(|| Message::CreditsChanged).await;
        }
        for worker in 0..workers.count() {
            self.flush_results(worker, &mut sorted).await;
        }
        Ok(())
    }

    async fn flush_results(&self, worker: usize, sorted: &mut Sorted) {
        let results = std::mem::take(&mut sorted.results[worker]);
        if results.is_empty() {
            return;
        }
        let now = self.hosts.router.clock().now();
        let results = results.into_iter().map(|r| (r.turn_id, convert::turn_end(r, now))).collect();
        let session = Arc::clone(&self.link);
        self.hosts.router.workers().send(worker, Message::Results { session, results }).await;
    }

    async fn flush_calls(&self, worker: usize, sorted: &mut Sorted) {
        let calls = std::mem::take(&mut sorted.calls[worker]);
        let session = Arc::clone(&self.link);
        self.hosts.router.workers().send(worker, Message::SessionCalls { session, calls }).await;
    }

    /// Waits until every worker has dealt with what was sent before.
    async fn passed_by_all(&self) {
        let workers = self.hosts.router.workers();
        for worker in 0..workers.count() {
            let (to, passed) = tokio::sync::oneshot::channel();
            workers.send(worker, Message::Passed(to)).await;
            let _ = passed.await;
        }
    }

    fn session_call(&self, call: TurnCall) -> Option<SessionCall> {
        let (turn_id, call_index) = (call.turn_id, call.call_index);
        match convert::session_call(call) {
            Ok(call) => Some(call),
            Err(error) => {
                let error = turn_call_result::Outcome::Error(convert::error_to_proto(&error));
                let result = TurnCallResult { turn_id, call_index, outcome: Some(error) };
                self.send(Frame::CallResult(result));
                None
            }
        }
    }

    // === registration ===

    async fn register(&mut self, register: Register) {
        let register_id = register.register_id;
        match self.try_register(register).await {
            Ok((view_version, system, types)) => {
                let registered = Registered { register_id, error: None, view_version };
                self.send(Frame::Registered(registered));
                // Turns may come from here on, so the host hears of its registration first.
                self.offer(&system, types).await;
            }
            Err(error) => {
                tracing::warn!(session = %self.link.id, %error, "registration refused");
                let error = Some(convert::error_to_proto(&error));
                self.send(Frame::Registered(Registered { register_id, error, view_version: 0 }));
            }
        }
    }

    /// Registers types. Returns a version of the view that contains them, and what to offer: system and types.
    async fn try_register(
        &mut self,
        register: Register,
    ) -> Result<(u64, String, Vec<TypeDefinition>), CallError> {
        let system = convert::system_or_default(&register.system).to_owned();
        check_name("system", &system)?;
        if register.types.is_empty() || register.types.len() > limits::REGISTER_TYPES_MAX {
            let error = protocol("a registration has 1 to REGISTER_TYPES_MAX types");
            return Err(error.with("limit", limits::REGISTER_TYPES_MAX));
        }
        if register.descriptor_set.len() > limits::DESCRIPTOR_SET_BYTES_MAX {
            let error = protocol("the descriptor set is too large");
            return Err(error.with("limit", limits::DESCRIPTOR_SET_BYTES_MAX));
        }
        let types: Vec<TypeDefinition> =
            register.types.into_iter().map(convert::definition).collect::<Result<_, _>>()?;
        check_descriptors(&types, &register.descriptor_set)?;
        let directory = Arc::clone(&self.hosts.directory);
        let version =
            directory.register_types(&system, types.clone(), register.descriptor_set).await?;
        let names: Vec<(String, String)> =
            types.iter().map(|definition| (system.clone(), definition.name.clone())).collect();
        directory.set_hosted(names.clone(), Hosting::Some).await;
        self.hosts.router.wait_for_view(version).await;
        self.offered.extend(names);
        let entry = SessionEntry {
            link: Arc::clone(&self.link),
            types: self.offered.iter().cloned().collect(),
        };
        self.hosts.sessions.change(|all| drop(all.insert(self.link.id.0, entry.clone())));
        Ok((version, system, types))
    }

    async fn offer(&self, system: &str, types: Vec<TypeDefinition>) {
        let catalog = Arc::clone(&self.hosts.router.catalog());
        let offered: Vec<(u32, Arc<TypeDefinition>)> = types
            .into_iter()
            .filter_map(|definition| {
                let found = catalog.type_of(system, &definition.name)?;
                Some((found.view.id, Arc::new(definition)))
            })
            .collect();
        let workers = self.hosts.router.workers();
        workers
            .send_all(|| Message::Offered {
                session: Arc::clone(&self.link),
                types: offered.clone(),
            })
            .await;
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.link.close();
        metrics::host_sessions(-1.0);
        let id = self.link.id;
        self.hosts.sessions.change(|sessions| drop(sessions.remove(&id.0)));
        let hosts = self.hosts.clone();
        let offered: Vec<(String, String)> = self.offered.drain().collect();
        let now = if self.leaves_for_good { Hosting::NoneForGood } else { Hosting::None };
        // The workers must hear of it however full they are, and this is no place to wait.
        tokio::spawn(async move {
            hosts.router.workers().send_all(|| Message::SessionClosed(id)).await;
            let lost: Vec<(String, String)> = offered
                .into_iter()
                .filter(|(system, name)| hosts.sessions.hosts_of(system, name) == 0)
                .collect();
            if !lost.is_empty() {
                hosts.directory.set_hosted(lost, now).await;
            }
        });
    }
}

/// Checks that the descriptor set can be read and describes the messages that the types name.
fn check_descriptors(types: &[TypeDefinition], set: &[u8]) -> Result<(), CallError> {
    let named = types.iter().flat_map(|definition| {
        let actions = definition.actions.values();
        let names = actions.flat_map(|action| [&action.input_type, &action.output_type]);
        names.chain([&definition.state_type]).filter(|name| !name.is_empty())
    });
    let named: HashSet<&String> = named.collect();
    if named.is_empty() && set.is_empty() {
        return Ok(());
    }
    let invalid = |what: String| CallError::new(ErrorKind::InvalidArgument, what);
    let pool = prost_reflect::DescriptorPool::decode(set)
        .map_err(|error| invalid(format!("the descriptor set cannot be read: {error}")))?;
    match named.into_iter().find(|name| pool.get_message_by_name(name).is_none()) {
        None => Ok(()),
        Some(missing) => Err(invalid(format!(
            "the descriptor set does not describe {missing}, which a type names; register it with \
             its dependencies"
        ))),
    }
}
