//! Consensus, the control machine and leases of a node, and what it does while it leads.

use std::rc::Rc;

use callboard_control_plane::{
    lease::{Grant, Heard, Holder, Keeper, Standing, Timings},
    machine::{
        COMMAND_VERSIONS, Command, Machine,
        command::{
            AllocateNode, HostedChanged, NodeStarted, NodeUp, NodesDown, PlanMoves, RaiseEpochs,
            Released, SetNodeState,
        },
        planner::plan,
    },
};
use callboard_types::{Lease, NodeId, NodeState, Tick};

use super::{Facts, Stage, node_id, owner::Wishes};
use crate::{
    bugs::Bug,
    coverage::Seen,
    message::{Message, Outgoing},
    net::Place,
    raft::{Raft, RaftMessage, ReadTag},
};

/// How often wishes are proposed again, in microseconds.
const PROPOSE_EVERY: u64 = 200_000;
/// How often a leader plans, in microseconds.
const PLAN_EVERY: u64 = 300_000;
/// A pause between two looks after which a leader trusts no silence, in microseconds.
const STALL: u64 = 1_000_000;
/// Shards on their way at a time.
const MOVES: usize = 2;
/// How long hosts may be away before the node stops being eligible, in microseconds.
const GRACE: u64 = 300_000;

/// A node's share in what the cluster agrees on.
#[derive(Debug)]
pub(crate) struct Control {
    raft: Raft,
    machine: Machine,
    applied: usize,
    changed: bool,
    holder: Holder,
    keeper: Keeper,
    /// The term in which it became leader, if it leads.
    leads_in: Option<u64>,
    lease: Lease,
    renew_at: u64,
    confirmed_at: u64,
    propose_at: u64,
    plan_at: u64,
    hosts_gone_since: Option<u64>,
    ticked_at: u64,
    /// True while the node is asked to give its shards away.
    pub(crate) draining: bool,
}

/// The first life of a node.
#[must_use]
pub(crate) fn life_of(node: usize) -> u64 {
    (node as u64 + 1) * 1_000
}

fn keeper_timings(bug: Option<Bug>) -> Timings {
    let sound = Timings::default();
    sound.check().expect("the defaults are sound");
    if bug == Some(Bug::NoTakeoverWait) {
        let (lease, margin) = (2 * sound.renewal, std::time::Duration::ZERO);
        return Timings { lease, margin, ..sound };
    }
    sound
}

impl Control {
    pub(super) fn new(raft: Raft, machine: Machine, applied: usize) -> Self {
        Self {
            raft,
            machine,
            applied,
            changed: true,
            holder: Holder::new(Timings::default()),
            keeper: Keeper::new(Timings::default()),
            leads_in: None,
            lease: Lease::lapsed(),
            renew_at: 0,
            confirmed_at: 0,
            propose_at: 0,
            plan_at: 0,
            hosts_gone_since: None,
            ticked_at: 0,
            draining: false,
        }
    }

    pub(super) fn crash(&mut self) {
        self.raft.crash(self.applied);
        // The state comes back from a snapshot.
        use callboard_control_plane::machine::stored::Stored;
        self.machine = Machine::from(Stored::from(&self.machine));
        self.changed = true;
        self.holder = Holder::new(Timings::default());
        self.keeper.deposed();
        self.leads_in = None;
        self.lease = Lease::lapsed();
        self.draining = false;
    }

    /// What was agreed on, as far as the node knows.
    #[must_use]
    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    /// How much of the log the node applied.
    #[must_use]
    pub(crate) fn applied(&self) -> u64 {
        self.applied as u64
    }

    /// True if the node believes that it leads.
    #[must_use]
    pub(crate) fn leads(&self) -> bool {
        self.raft.leads()
    }

    /// The node's term.
    #[must_use]
    pub(crate) fn term(&self) -> u64 {
        self.raft.term()
    }

    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// What the node's machine says about the node.
    pub(super) fn standing(&self, facts: &Facts) -> Standing {
        let member = self.machine.member(facts.id());
        let is_in =
            member.is_some_and(|it| it.life() == facts.life && it.state() != NodeState::Down);
        if is_in { Standing::Member } else { Standing::Out }
    }

    /// True if an answer that no commit covers may leave at this moment.
    pub(super) fn may_answer(&self, facts: &Facts, stage: &Stage<'_>) -> bool {
        self.lease.holds_at(lease_tick(facts, stage))
    }

    pub(super) fn tick(&mut self, facts: &Facts, wishes: &Wishes, stage: &mut Stage<'_>) {
        let draw = stage.rng.next();
        if stage.now > self.ticked_at + STALL && self.leads() {
            self.keeper.paused(facts.clock.tick(stage.now));
        }
        self.ticked_at = stage.now;
        self.raft.tick(stage.now, draw);
        self.after_raft(facts, stage);
        if stage.now >= self.renew_at {
            self.renew_at = stage.now + 250_000;
            if self.confirmed_at + 1_000_000 < stage.now {
                stage.coverage.saw(Seen::Unconfirmed);
            }
            let number = self.holder.sent(lease_tick(facts, stage));
            if let Some(leader) = self.raft.leader() {
                let message = Message::Renew { life: facts.life, number };
                stage.out.push(Outgoing::Send { to: Place::Node(leader), message });
            }
        }
        if stage.now >= self.propose_at {
            self.propose_at = stage.now + PROPOSE_EVERY;
            for command in self.wanted(facts, wishes, stage) {
                self.propose(command, stage);
            }
        }
        if self.raft.leads() {
            self.steward(facts, stage);
        }
    }

    /// Sends a command to the leader. A lost one is wanted again.
    fn propose(&mut self, command: Command, stage: &mut Stage<'_>) {
        if let Some(leader) = self.raft.leader() {
            let message = Message::Propose(Rc::new(command));
            stage.out.push(Outgoing::Send { to: Place::Node(leader), message });
        }
    }

    /// What the node wants to be agreed on and is not.
    fn wanted(&mut self, facts: &Facts, wishes: &Wishes, stage: &Stage<'_>) -> Vec<Command> {
        let (node, mut commands) = (facts.id(), Vec::new());
        let Some(member) = self.machine.member(node) else {
            return vec![joins(facts.me)];
        };
        if member.life() != facts.life {
            return vec![started(node, facts.life, member.life())];
        }
        if member.is_draining() != self.draining {
            let command = SetNodeState { node, draining: self.draining };
            commands.push(Command::SetNodeState(command));
        }
        if !wishes.released.is_empty() {
            let shards = wishes.released.clone();
            commands.push(Command::Released(Released { node, shards }));
        }
        // A report of an owner of before is no reason to disturb the present one.
        let raised: Vec<_> = wishes.raised.clone();
        if !raised.is_empty() {
            commands.push(Command::RaiseEpochs(RaiseEpochs { shards: raised }));
        }
        commands.extend(self.hosts_changed(facts, stage.now));
        commands
    }

    fn hosts_changed(&mut self, facts: &Facts, now: u64) -> Option<Command> {
        let has_hosts = !facts.hosts.is_empty();
        let since = *self.hosts_gone_since.get_or_insert(now);
        if has_hosts {
            self.hosts_gone_since = None;
        } else if now < since + GRACE {
            return None;
        }
        let id = facts.id();
        let eligible = self.machine.eligibility();
        let wrong = eligible.filter(|(_, nodes)| nodes.contains(&id) != has_hosts);
        let types: Vec<_> = wrong
            .filter_map(|(type_id, _)| self.machine.type_by_id(type_id))
            .map(|view| (view.system.to_string(), view.name.to_string(), has_hosts))
            .collect();
        let command = HostedChanged { node: id, types };
        (!command.types.is_empty()).then_some(Command::HostedChanged(command))
    }

    /// What a leader looks after.
    fn steward(&mut self, facts: &Facts, stage: &mut Stage<'_>) {
        let nodes = self.keeper.due(facts.clock.tick(stage.now));
        if !nodes.is_empty() {
            self.on_propose(Rc::new(Command::NodesDown(NodesDown { nodes })), stage);
        }
        if stage.now >= self.plan_at {
            self.plan_at = stage.now + PLAN_EVERY;
            let moves = plan(&self.machine, MOVES);
            if !moves.is_empty() {
                self.on_propose(Rc::new(Command::PlanMoves(PlanMoves { moves })), stage);
            }
        }
    }

    /// Takes a command, if this node leads and the command would change anything.
    pub(super) fn on_propose(&mut self, command: Rc<Command>, stage: &mut Stage<'_>) {
        let admitted = self.machine.admits(&command);
        if admitted && self.machine.clone().apply(Command::clone(&command)).changed {
            self.raft.propose(command);
            self.send_raft(stage);
        }
    }

    pub(super) fn on_renew(
        &mut self,
        facts: &Facts,
        from: usize,
        life: u64,
        number: u64,
        stage: &mut Stage<'_>,
    ) {
        if !self.raft.leads() {
            return;
        }
        let node = node_id(from);
        match self.keeper.heard(node, life, facts.clock.tick(stage.now)) {
            Heard::Counts if stage.bug == Some(Bug::RenewalWithoutQuorum) => {
                let message = Message::Renewed { life, number, index: self.applied() };
                stage.out.push(Outgoing::Send { to: Place::Node(from), message });
            }
            Heard::Counts => {
                self.raft.read(ReadTag { node: from, life, number });
                self.send_raft(stage);
            }
            Heard::TooLate => {}
            Heard::Unwatched => {
                let member = self.machine.member(node);
                if member.is_some_and(|it| it.life() == life && it.state() == NodeState::Down) {
                    self.on_propose(Rc::new(Command::NodeUp(NodeUp { node, life })), stage);
                }
            }
        }
    }

    pub(super) fn on_renewed(&mut self, number: u64, index: u64, stage: &Stage<'_>) {
        let early = stage.bug == Some(Bug::LeaseBeforeApplied);
        let grant = self.holder.confirmed(number, if early { 0 } else { index });
        self.confirmed_at = stage.now;
        self.carry_out(grant);
    }

    fn carry_out(&self, grant: Grant) {
        match grant {
            Grant::Unchanged => {}
            Grant::Extend(end) => self.lease.extend_to(end),
            Grant::Revoke => self.lease.revoke(),
        }
    }

    pub(super) fn on_raft(
        &mut self,
        facts: &Facts,
        from: usize,
        message: RaftMessage,
        stage: &mut Stage<'_>,
    ) {
        let draw = stage.rng.next();
        self.raft.receive(from, message, stage.now, draw);
        self.after_raft(facts, stage);
    }

    fn send_raft(&mut self, stage: &mut Stage<'_>) {
        for (to, message) in self.raft.out.drain(..) {
            let message = Message::Raft(message);
            stage.out.push(Outgoing::Send { to: Place::Node(to), message });
        }
    }

    fn after_raft(&mut self, facts: &Facts, stage: &mut Stage<'_>) {
        let leads_in = self.raft.leads().then(|| self.raft.term());
        let elected = leads_in.is_some() && leads_in != self.leads_in;
        if elected {
            self.ticked_at = stage.now;
            if self.raft.term() > 2 {
                stage.coverage.saw(Seen::LeaderChange);
            }
            self.keeper = Keeper::new(keeper_timings(stage.bug));
            self.keeper.elected(facts.clock.tick(stage.now));
        } else if leads_in.is_none() {
            self.keeper.deposed();
        }
        self.leads_in = leads_in;
        let before = self.applied;
        while self.applied < self.raft.committed() {
            self.apply_next(facts, stage);
        }
        if before < self.applied {
            let grant = self.holder.applied(self.applied(), self.standing(facts));
            self.carry_out(grant);
        }
        if leads_in.is_some() && (elected || before < self.applied) {
            self.keeper.members(facts.clock.tick(stage.now), up(&self.machine));
        }
        for ReadTag { node, life, number } in self.raft.confirmed() {
            let index = self.raft.committed() as u64;
            let message = Message::Renewed { life, number, index };
            stage.out.push(Outgoing::Send { to: Place::Node(node), message });
        }
        self.send_raft(stage);
    }

    fn apply_next(&mut self, facts: &Facts, stage: &mut Stage<'_>) {
        self.applied += 1;
        if let Some(command) = &self.raft.entry(self.applied).command {
            self.changed |= self.machine.apply(Command::clone(command)).changed;
        }
        let index = self.applied;
        if let Some(agreed) = stage.agreed.get(index) {
            if *agreed != self.machine && stage.history.diverged.is_none() {
                stage.history.diverged = Some((index, facts.me));
            }
            return;
        }
        assert_eq!(stage.agreed.len(), index, "nobody applies what nobody applied before it");
        let command = self.raft.entry(index).command.as_deref();
        record_change(stage, &self.machine, command);
        stage.agreed.push(self.machine.clone());
    }
}

/// Notes what an entry changed, once for all nodes.
fn record_change(stage: &mut Stage<'_>, after: &Machine, command: Option<&Command>) {
    let before = stage.agreed.last().expect("the log begins with agreed entries");
    let pairs = before.types().zip(after.types());
    let mut given_away = false;
    for (old, new) in pairs.filter(|(old, new)| old.shards != new.shards) {
        for (number, (old, owner)) in (0..).zip(old.shards.iter().zip(&*new.shards)) {
            if (old.node, old.epoch) != (owner.node, owner.epoch) {
                given_away |= old.node != owner.node;
                stage.history.owners.push(((new.id, number), owner.node, owner.epoch));
            }
        }
    }
    match command {
        Some(Command::NodesDown(_)) if given_away => stage.coverage.saw(Seen::Takeover),
        Some(Command::Released(_)) if given_away => stage.coverage.saw(Seen::Moved),
        Some(Command::NodeUp(_)) => stage.coverage.saw(Seen::CameBack),
        Some(Command::AllocateNode(_)) => stage.coverage.saw(Seen::Joined),
        _ => {}
    }
}

fn up(machine: &Machine) -> impl Iterator<Item = (NodeId, u64)> {
    let up = machine.members().filter(|(_, member)| member.state() != NodeState::Down);
    up.map(|(node, member)| (node, member.life()))
}

/// A command by which a node becomes a member.
pub(crate) fn joins(node: usize) -> Command {
    let (commands_min, commands_max) = COMMAND_VERSIONS;
    Command::AllocateNode(AllocateNode {
        folder_id: format!("folder {node}"),
        address: format!("gateway {node}"),
        peer_address: format!("peer {node}"),
        commands_min,
        commands_max,
    })
}

/// A command by which a node begins a life.
pub(crate) fn started(node: NodeId, life: u64, previous_life: u64) -> Command {
    let (commands_min, commands_max) = COMMAND_VERSIONS;
    Command::NodeStarted(NodeStarted {
        node,
        life,
        previous_life,
        address: format!("gateway {node}"),
        peer_address: format!("peer {node}"),
        commands_min,
        commands_max,
    })
}

fn lease_tick(facts: &Facts, stage: &Stage<'_>) -> Tick {
    if stage.bug == Some(Bug::WallClockLease) {
        return facts.clock.stepping_tick(stage.now);
    }
    facts.clock.tick(stage.now)
}
