//! The nemesis: carries out what the plan says, on whom it hurts.
//!
//! Faults of the network overlap freely. Of the nodes' processes one is in trouble at a time, and so is the database:
//! with more, nothing would be served, and nothing shown.

mod membership;
mod network;
mod processes;

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use tokio::sync::{Mutex, RwLock};

use super::{
    Error, RECOVERY_MAX,
    actors::{self, REGISTER},
    cast::Cast,
    client::Shared,
    history::Event,
    node::Node,
    plan::{Kind, Planned, Round},
};
use crate::net::Port;

/// How long a probe may go without an answer.
const PROBE_MS: u32 = 2_000;

/// Makes faults.
pub struct Nemesis<'a> {
    cast: &'a Cast,
    shared: &'a Shared,
    /// Ports of the cluster's nodes.
    members: RwLock<Vec<Port>>,
    /// Held while a node's process is in trouble.
    node_trouble: Mutex<()>,
    /// Held while a node's clock is wrong: the time is what most clocks say.
    clock_trouble: Mutex<()>,
    /// Ports of nodes that may have ended by themselves, because their disk was full.
    excused: Mutex<Vec<Port>>,
    /// What must not be, in words.
    findings: Mutex<Vec<String>>,
    /// How long it took after each round until everything served.
    recoveries: Mutex<Vec<Duration>>,
}

impl<'a> Nemesis<'a> {
    /// A nemesis for a cast and its clients.
    #[must_use]
    pub fn new(cast: &'a Cast, shared: &'a Shared) -> Self {
        let members: Vec<Port> = (1..=cast.started).collect();
        for port in &members {
            shared.use_node(*port, true);
        }
        Self {
            cast,
            shared,
            members: RwLock::new(members),
            node_trouble: Mutex::new(()),
            clock_trouble: Mutex::new(()),
            excused: Mutex::new(Vec::new()),
            findings: Mutex::new(Vec::new()),
            recoveries: Mutex::new(Vec::new()),
        }
    }

    /// Carries out a round: all its faults, then healing, then proof that everything serves again.
    ///
    /// # Errors
    /// If a fault cannot be made or healed, or the cluster does not serve in time afterwards.
    pub async fn round(&self, round: &Round) -> Result<(), Error> {
        let [first, second] = &round.lanes;
        tokio::try_join!(self.lane(first), self.lane(second))?;
        self.heal().await?;
        let took = self.serves().await?;
        self.recoveries.lock().await.push(took);
        self.cast.recorder.say(format!("everything serves {} ms after healing", took.as_millis()));
        Ok(())
    }

    /// What must not be, and how long recoveries took.
    pub async fn report(&self) -> (Vec<String>, Vec<Duration>) {
        let findings = std::mem::take(&mut *self.findings.lock().await);
        (findings, std::mem::take(&mut *self.recoveries.lock().await))
    }

    async fn lane(&self, faults: &[Planned]) -> Result<(), Error> {
        for fault in faults {
            tokio::time::sleep(Duration::from_millis(fault.after_ms)).await;
            self.fault(fault).await?;
        }
        Ok(())
    }

    async fn fault(&self, fault: &Planned) -> Result<(), Error> {
        let mut random = StdRng::seed_from_u64(fault.seed);
        let lasts = Duration::from_millis(fault.lasts_ms);
        match fault.kind {
            Kind::PairPartition
            | Kind::OneWayPartition
            | Kind::Minority
            | Kind::IsolateLeader
            | Kind::IsolateOwner
            | Kind::IsolateDatabase
            | Kind::Reset
            | Kind::Loss
            | Kind::Delay => self.disturb(fault, &mut random).await,
            Kind::KillNode => self.kill_node(fault, lasts, &mut random).await,
            Kind::PauseNode => self.pause_node(fault, lasts, &mut random).await,
            Kind::StopInCommit => self.stop_in_commit(fault, lasts, &mut random).await,
            Kind::ClockJump => self.jump_clock(fault, lasts, &mut random).await,
            Kind::DiskFull => self.fill_disk(fault, lasts, &mut random).await,
            Kind::RollingNodes => self.roll_nodes(fault, lasts).await,
            Kind::KillHost => self.kill_host(fault, lasts, &mut random).await,
            Kind::RollingHosts => self.roll_hosts(fault, lasts).await,
            Kind::DrainNode => self.drain_node(fault, lasts, &mut random).await,
            Kind::ReplaceNode => self.replace_node(fault, lasts, &mut random).await,
            Kind::KillDatabase => self.kill_database(fault, lasts).await,
            Kind::RestartDatabase => self.restart_database(fault, lasts).await,
        }
    }

    fn begins(&self, fault: &Planned, what: impl Into<String>) {
        self.cast.recorder.note(Event::Fault {
            fault: fault.number,
            kind: fault.kind.name().into(),
            what: what.into(),
        });
    }

    fn ends(&self, fault: &Planned, what: impl Into<String>) {
        self.cast.recorder.note(Event::Healed { fault: fault.number, what: what.into() });
    }

    async fn finding(&self, text: String) {
        self.cast.recorder.say(format!("FINDING: {text}"));
        self.findings.lock().await.push(text);
    }

    async fn any_member(&self, random: &mut StdRng) -> Result<Port, Error> {
        let members = self.members.read().await;
        members.choose(random).copied().ok_or_else(|| Error::failed("the cluster has no nodes"))
    }

    async fn two_members(&self, random: &mut StdRng) -> Result<(Port, Port), Error> {
        let members = self.members.read().await;
        let two: Vec<Port> = members.choose_multiple(random, 2).copied().collect();
        match two.as_slice() {
            [one, other] if random.random_bool(0.5) => Ok((*one, *other)),
            [one, other] => Ok((*other, *one)),
            _ => Err(Error::failed("the cluster has fewer than two nodes")),
        }
    }

    /// Ends all faults, and starts whoever is down.
    ///
    /// # Errors
    /// If somebody cannot be started.
    pub async fn heal(&self) -> Result<(), Error> {
        self.cast.switch.rules().heal();
        if let Some(database) = &self.cast.database {
            database.lock().await.start().await?;
        }
        for port in self.members.read().await.iter().copied() {
            let mut node = self.cast.node(port)?.lock().await;
            node.process().resume()?;
            node.clock().set(0)?;
            node.empty_disk()?;
            self.revive(port, &mut node).await?;
        }
        for host in &self.cast.hosts {
            host.lock().await.start()?;
        }
        self.excused.lock().await.clear();
        Ok(())
    }

    /// Starts a node that is down, and says so if it ended without being told to.
    async fn revive(&self, port: Port, node: &mut Node) -> Result<(), Error> {
        if let Some(status) = node.process().ended()? {
            if self.excused.lock().await.contains(&port) {
                let text = format!("node {port} ended ({status}); its disk was full");
                self.cast.recorder.say(text);
            } else {
                let tail = node.process().log_tail();
                self.finding(format!("node {port} ended by itself: {status}\n{tail}")).await;
            }
        }
        node.start()
    }

    /// Waits until every node answers a call, to an actor wherever it may be. Returns how long that took.
    ///
    /// # Errors
    /// If one does not in time, with the ends of all nodes' logs.
    pub async fn serves(&self) -> Result<Duration, Error> {
        let begun = super::now();
        for port in self.members.read().await.iter().copied() {
            let mut probe = 0;
            loop {
                probe += 1;
                let Err(error) = self.probe(port, probe).await else {
                    break;
                };
                if begun.elapsed() > RECOVERY_MAX {
                    let logs = self.logs().await;
                    return Err(Error::failed(format!(
                        "node {port} does not serve {RECOVERY_MAX:?} after everything was healed: {error}\n{logs}"
                    )));
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(begun.elapsed())
    }

    async fn probe(&self, port: Port, number: u32) -> Result<(), Error> {
        let link = self
            .shared
            .link(port)
            .ok_or_else(|| Error::failed(format!("there is no way to node {port}")))?;
        let call = callboard_proto::gateway::v1::InvokeRequest {
            actor: Some(actors::id(REGISTER, &format!("probe-{port}-{}", number % 64))),
            action: "read".into(),
            timeout_ms: PROBE_MS,
            ..Default::default()
        };
        match link.unary(call).await {
            Ok(_) => Ok(()),
            Err(error) => Err(Error::failed(error.to_string())),
        }
    }

    async fn logs(&self) -> String {
        let mut logs = String::new();
        for port in self.members.read().await.iter().copied() {
            if let Ok(node) = self.cast.node(port) {
                let tail = node.lock().await.process().log_tail();
                logs.push_str(&format!("the end of the log of node {port}:\n{tail}\n"));
            }
        }
        logs
    }
}
