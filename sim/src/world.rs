//! One simulation: nodes, network, store, callers and faults, as events in the order of true time.

mod setup;
mod strike;

use std::{cmp::Ordering, collections::BinaryHeap};

use callboard_control_plane::machine::Machine;

use crate::{
    bugs::Bug,
    callers::{ACTORS, Callers},
    coverage::{Coverage, Seen},
    faults::Fault,
    history::History,
    message::{Ended, Message, Outgoing},
    net::{LAG, LATE, Net, Place},
    node::{Node, Stage, TICK},
    raft::RaftMessage,
    rng::Rng,
    store::{Request as Asked, Store},
};

/// When faults may begin, and when the last one is over, in microseconds.
const FAULTS: (u64, u64) = (1_000_000, 10_000_000);
/// When probes are sent: everything must have settled by then.
const PROBES_AT: u64 = 14_000_000;
/// When the probes must have been answered.
const END: u64 = 20_000_000;
/// Callers besides the probes.
const CALLERS: usize = 4;

/// What happens at a time.
#[derive(Debug)]
enum What {
    /// A message arrives. `life` of the sender, for messages that a dead process did not get out any more.
    Arrives { from: Place, to: Place, message: Message },
    /// A node looks after itself.
    Tick(usize),
    /// Callers look after themselves.
    Callers,
    /// A caller makes its next call.
    Next(usize),
    /// A fault begins.
    Strike(usize),
    /// A fault is over.
    Mend(usize),
    /// Probes are sent.
    Probe,
}

#[derive(Debug)]
struct Event {
    at: u64,
    order: u64,
    what: What,
}

/// A simulation under way.
#[derive(Debug)]
pub(crate) struct World {
    now: u64,
    order: u64,
    /// How many events happened.
    pub(crate) events: u64,
    queue: BinaryHeap<Event>,
    rng: Rng,
    bug: Option<Bug>,
    trace: bool,
    net: Net,
    store: Store,
    nodes: Vec<Node>,
    /// Until when each node stands still, and what waits for it.
    paused: Vec<(u64, Vec<What>)>,
    callers: Callers,
    faults: Vec<Fault>,
    agreed: Vec<Machine>,
    /// What happened.
    pub(crate) history: History,
    /// What was seen.
    pub(crate) coverage: Coverage,
    out: Vec<Outgoing>,
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Event {}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Event {
    /// The earliest is the greatest, as a heap wants it.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl World {
    /// Runs to the end.
    pub(crate) fn run(&mut self) {
        while let Some(Event { at, what, .. }) = self.queue.pop() {
            if at > END || self.is_done(at) {
                break;
            }
            self.now = at;
            self.events += 1;
            self.happen(what);
        }
    }

    /// True time, in microseconds.
    #[must_use]
    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    fn is_done(&self, at: u64) -> bool {
        at > PROBES_AT && self.callers.under_way.is_empty()
    }

    fn schedule(&mut self, at: u64, what: What) {
        self.order += 1;
        self.queue.push(Event { at, order: self.order, what });
    }

    fn happen(&mut self, what: What) {
        if self.trace {
            self.print(&what);
        }
        match what {
            What::Arrives { from, to: Place::Store, message } => self.at_store(from, message),
            What::Arrives { from, to: Place::Node(node), message } => {
                if self.is_paused(node) {
                    let what = What::Arrives { from, to: Place::Node(node), message };
                    self.paused[node].1.push(what);
                } else if self.nodes[node].alive {
                    self.on_node(node, |node, stage| node.receive(from, message, stage));
                }
            }
            What::Tick(node) => {
                if self.is_paused(node) {
                    return self.paused[node].1.push(What::Tick(node));
                }
                self.schedule(self.now + TICK, What::Tick(node));
                if self.nodes[node].alive {
                    self.on_node(node, Node::tick);
                }
            }
            What::Callers => self.on_callers(),
            What::Next(caller) => self.next_call(caller),
            What::Strike(fault) => self.strike(fault),
            What::Mend(fault) => self.mend(fault),
            What::Probe => {
                for actor in ACTORS {
                    for reads in [false, true] {
                        self.begin(CALLERS, (actor, reads), true);
                    }
                }
                self.on_callers_once();
            }
        }
    }

    fn is_paused(&self, node: usize) -> bool {
        self.now < self.paused[node].0
    }

    /// Lets a node do something, and sends what it wants sent.
    fn on_node(&mut self, node: usize, act: impl FnOnce(&mut Node, &mut Stage<'_>)) {
        let mut out = std::mem::take(&mut self.out);
        let mut stage = Stage {
            now: self.now,
            rng: &mut self.rng,
            bug: self.bug,
            history: &mut self.history,
            coverage: &mut self.coverage,
            agreed: &mut self.agreed,
            out: &mut out,
        };
        act(&mut self.nodes[node], &mut stage);
        for outgoing in out.drain(..) {
            match outgoing {
                Outgoing::Send { to, message } => self.send(Place::Node(node), to, message),
                Outgoing::Later { after, message } => {
                    let (from, to) = (Place::Node(node), Place::Node(node));
                    self.schedule(self.now + after, What::Arrives { from, to, message });
                }
                Outgoing::Tell { operation, end } => {
                    let is_first = self.callers.under_way.contains_key(&operation);
                    if !is_first && matches!(end, Ended::Replied(_)) {
                        self.coverage.saw(Seen::Repeated);
                    }
                    let told = self.callers.told(
                        self.now,
                        operation,
                        end,
                        &mut self.rng,
                        &mut self.history,
                    );
                    self.free(told);
                }
            }
        }
        self.out = out;
    }

    fn send(&mut self, from: Place, to: Place, message: Message) {
        let Some(mut takes) = self.net.travel(from, to, &mut self.rng) else { return };
        if let (Place::Node(node), Message::Ask(envelope)) = (from, &message) {
            let is_commit = matches!(envelope.request, Asked::Commit { .. });
            if is_commit && self.net.late.contains(&node) {
                takes = self.rng.between(takes, LATE);
            }
            let is_claim = matches!(envelope.request, Asked::Claim { .. });
            if is_claim && self.bug == Some(Bug::ServeBeforeFence) {
                takes += 1_000_000;
            }
        }
        if let (Place::Node(node), Message::Raft(RaftMessage::Append { .. })) = (to, &message)
            && self.net.lagging.get(&node).is_some_and(|until| self.now < *until)
        {
            takes = self.rng.between(takes, LAG);
        }
        self.schedule(self.now + takes, What::Arrives { from, to, message });
    }

    fn at_store(&mut self, from: Place, message: Message) {
        let Message::Ask(envelope) = message else { return };
        let (life, shard) = (envelope.life, envelope.shard);
        let observed = (&mut self.history, &mut self.coverage);
        if let Some(answer) = self.store.handle(self.now, *envelope, self.bug, observed) {
            let answer = Box::new(answer);
            self.send(Place::Store, from, Message::Answered { life, shard, answer });
        }
    }

    fn on_callers(&mut self) {
        self.schedule(self.now + TICK, What::Callers);
        self.on_callers_once();
    }

    fn on_callers_once(&mut self) {
        let (due, free) = self.callers.due(self.now, &mut self.history);
        for request in due {
            let twice = self.rng.chance(60);
            for _ in 0..1 + usize::from(twice) {
                let node = self.rng.below(self.nodes.len());
                let message = Message::Call { request: request.clone() };
                let takes = self.rng.between(200, 2_000);
                // Callers reach every node: what the nodes make of it is the question.
                let (from, to) = (Place::Node(node), Place::Node(node));
                self.schedule(self.now + takes, What::Arrives { from, to, message });
            }
        }
        free.into_iter().for_each(|caller| self.free(Some(caller)));
    }

    fn begin(&mut self, caller: usize, what: ((u32, u32, u32), bool), probe: bool) -> u32 {
        let wall = 1_800_000_000_000 + i64::try_from(self.now / 1_000).expect("seconds");
        self.callers.begin((self.now, wall), caller, what, probe, &mut self.history)
    }

    /// A caller has nothing to do: it calls again after a while.
    fn free(&mut self, caller: Option<usize>) {
        if let Some(caller) = caller.filter(|caller| *caller < CALLERS) {
            let pause = self.rng.between(1_000, 120_000);
            self.schedule(self.now + pause, What::Next(caller));
        }
    }

    fn next_call(&mut self, caller: usize) {
        if self.now < FAULTS.1 + 1_000_000 {
            let actor = ACTORS[self.rng.below(ACTORS.len())];
            let reads = self.rng.chance(400);
            self.begin(caller, (actor, reads), false);
            self.on_callers_once();
        }
    }

    fn leader(&self) -> usize {
        let leads = |node: &usize| self.nodes[*node].alive && self.nodes[*node].control.leads();
        let leaders = (0..self.nodes.len()).filter(leads);
        leaders.max_by_key(|node| self.nodes[*node].control.term()).unwrap_or(0)
    }

    #[expect(clippy::print_stdout, reason = "a trace is what the user asked for")]
    fn print(&self, what: &What) {
        let quiet = matches!(
            what,
            What::Tick(_)
                | What::Callers
                | What::Arrives { message: Message::Raft(_) | Message::Renew { .. }, .. }
        );
        if !quiet {
            println!("{:>10.3} ms  {what:?}", self.now as f64 / 1_000.0);
        }
    }
}
