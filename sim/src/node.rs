//! A node: the machines under test, put together as a server puts them together, with messages in the place of I/O.
//!
//! * `control`: consensus, the control machine, renewals, what a leader does.
//! * `owner`: claims, activations, commits, releases of the shards that the node owns.
//! * `gateway`: custody of callers' requests until an owner answered them.

mod actor;
mod control;
mod gateway;
mod owner;

use std::rc::Rc;

use callboard_control_plane::machine::Machine;
use callboard_types::{NodeId, SessionId, TypeDefinition};

use crate::{
    bugs::Bug,
    clock::Clock,
    coverage::Coverage,
    history::History,
    message::{Attempt, Ended, Message, Outgoing},
    net::Place,
    raft::{Entry, Raft},
    rng::Rng,
};
use control::Control;
use gateway::Gateway;
use owner::Owner;

pub(crate) use control::life_of;
pub(crate) use control::{joins, started};

/// How often a node looks after what nothing wakes it for, in microseconds.
pub(crate) const TICK: u64 = 50_000;

/// What everything inside a simulation may use at a moment.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    /// True time, in microseconds.
    pub(crate) now: u64,
    /// Chance.
    pub(crate) rng: &'a mut Rng,
    /// What is broken on purpose.
    pub(crate) bug: Option<Bug>,
    /// What happened.
    pub(crate) history: &'a mut History,
    /// What was seen.
    pub(crate) coverage: &'a mut Coverage,
    /// The machine after each index, as the first node had it.
    pub(crate) agreed: &'a mut Vec<Machine>,
    /// What is to happen.
    pub(crate) out: &'a mut Vec<Outgoing>,
}

/// What the parts of a node know of each other.
#[derive(Debug)]
pub(crate) struct Facts {
    /// The node, counted from 0.
    pub(crate) me: usize,
    /// Its life.
    pub(crate) life: u64,
    /// Its clocks.
    pub(crate) clock: Clock,
    /// Its hosts' sessions.
    pub(crate) hosts: Vec<SessionId>,
    /// The types, by id.
    pub(crate) types: Rc<[TypeDefinition]>,
}

/// A node.
#[derive(Debug)]
pub(crate) struct Node {
    /// What it is.
    pub(crate) facts: Facts,
    /// False while its process is dead.
    pub(crate) alive: bool,
    /// What it agrees on with others.
    pub(crate) control: Control,
    owner: Owner,
    gateway: Gateway,
    next_session: u64,
}

impl Facts {
    /// The node's number in the cluster.
    #[must_use]
    pub(crate) fn id(&self) -> NodeId {
        node_id(self.me)
    }
}

/// The number that a node has in the cluster.
#[must_use]
pub(crate) fn node_id(node: usize) -> NodeId {
    NodeId(node as u64 + 1)
}

impl Node {
    /// A node that is part of a cluster whose log so far is known to all.
    #[must_use]
    pub(crate) fn new(facts: Facts, raft: (usize, usize, Vec<Entry>), machine: Machine) -> Self {
        let (voters, nodes, log) = raft;
        let applied = log.len();
        let raft = Raft::new(facts.me, voters, nodes, log);
        Self {
            alive: true,
            control: Control::new(raft, machine, applied),
            owner: Owner::default(),
            gateway: Gateway::new(facts.life),
            next_session: 1,
            facts,
        }
    }

    /// Ends the process. What it had in memory is gone.
    pub(crate) fn crash(&mut self) {
        self.alive = false;
        self.control.crash();
        self.owner = Owner::default();
    }

    /// Starts the process anew.
    pub(crate) fn start(&mut self, hosts: usize) {
        self.alive = true;
        self.facts.life += 1;
        self.gateway = Gateway::new(self.facts.life);
        self.facts.hosts.clear();
        self.connect_hosts(hosts);
    }

    /// Hosts open sessions.
    pub(crate) fn connect_hosts(&mut self, hosts: usize) {
        for _ in 0..hosts {
            self.facts.hosts.push(SessionId(self.next_session));
            self.next_session += 1;
        }
    }

    /// A host breaks off. Its turns are run again; its answers may still arrive.
    pub(crate) fn lose_host(&mut self, stage: &mut Stage<'_>) {
        if let Some(session) = self.facts.hosts.pop() {
            self.owner.session_lost(&self.facts, session, stage);
            self.settle(stage);
        }
    }

    /// Time passes.
    pub(crate) fn tick(&mut self, stage: &mut Stage<'_>) {
        self.control.tick(&self.facts, &self.owner.wishes(), stage);
        self.owner.tick(&self.facts, stage);
        self.settle(stage);
    }

    /// Takes a message.
    pub(crate) fn receive(&mut self, from: Place, message: Message, stage: &mut Stage<'_>) {
        let life = self.facts.life;
        match message {
            Message::Raft(message) => {
                let Place::Node(from) = from else { return };
                self.control.on_raft(&self.facts, from, message, stage);
            }
            Message::Propose(command) => self.control.on_propose(command, stage),
            Message::Renew { life, number } => {
                let Place::Node(from) = from else { return };
                self.control.on_renew(&self.facts, from, life, number, stage);
            }
            Message::Renewed { life: of, number, index } if of == life => {
                self.control.on_renewed(number, index, stage);
            }
            Message::Call { request } => self.gateway.take(request),
            Message::Forward(attempt) => self.owner.take(*attempt),
            Message::Forwarded { life: of, custody, number, end } if of == life => {
                self.gateway.on_end(custody, number, end, stage);
            }
            Message::Answered { life: of, shard, answer } if of == life => {
                self.owner.on_stored(&self.facts, shard, *answer, stage);
            }
            Message::Results { life: of, shard, key, session, ends } if of == life => {
                self.owner.on_results(&self.facts, shard, key, session, ends, stage);
            }
            _ => {}
        }
        self.settle(stage);
    }

    /// Lets the parts hand things to each other until nothing is left to hand over.
    fn settle(&mut self, stage: &mut Stage<'_>) {
        if self.control.take_changed() {
            self.owner.follow(&self.facts, &self.control, stage);
        }
        self.owner.settle(&self.facts, &self.control, stage);
        loop {
            let sent = self.gateway.route(&self.facts, &self.control, stage);
            for (to, attempt) in sent {
                self.forward(to, attempt, stage);
            }
            self.owner.settle(&self.facts, &self.control, stage);
            let ended = self.owner.take_ended();
            if ended.is_empty() {
                return;
            }
            for (attempt, end) in ended {
                self.answer(&attempt, end, stage);
            }
        }
    }

    fn forward(&mut self, to: usize, attempt: Attempt, stage: &mut Stage<'_>) {
        if to == self.facts.me {
            self.owner.take(attempt);
        } else {
            let message = Message::Forward(Box::new(attempt));
            stage.out.push(Outgoing::Send { to: Place::Node(to), message });
        }
    }

    fn answer(&mut self, attempt: &Attempt, end: Ended, stage: &mut Stage<'_>) {
        let Attempt { custody, number, gateway, life, .. } = *attempt;
        if gateway != self.facts.me {
            let message = Message::Forwarded { life, custody, number, end };
            stage.out.push(Outgoing::Send { to: Place::Node(gateway), message });
        } else if life == self.facts.life {
            self.gateway.on_end(custody, number, end, stage);
        }
    }
}
