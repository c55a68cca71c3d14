//! Faults begin and end.

use super::{What, World, setup::HOSTS};
use crate::{
    coverage::Seen,
    faults::Fault,
    net::{LAG, Place},
};

impl World {
    pub(super) fn strike(&mut self, number: usize) {
        let leader = self.leader();
        let fault = &mut self.faults[number];
        if fault.kind == Seen::IsolateLeader {
            fault.node = leader;
        }
        let Fault { kind, node, other, ends, .. } = *fault;
        self.coverage.saw(kind);
        // A machine that is moved loses its peers and its time together.
        let moved = matches!(kind, Seen::IsolateLeader | Seen::IsolateNode | Seen::PauseLong);
        if moved && self.rng.chance(400) {
            self.coverage.saw(Seen::ClockStep);
            self.step_clock(node);
        }
        match kind {
            Seen::PauseShort | Seen::PauseLong => {
                self.paused[node].0 = self.paused[node].0.max(ends);
            }
            Seen::Crash => self.crash(node),
            Seen::CrashAll => (0..self.nodes.len()).for_each(|node| self.crash(node)),
            Seen::HostCrash => {
                self.on_node(node, |node, stage| node.lose_host(stage));
                self.nodes[node].connect_hosts(1);
            }
            Seen::HostsLeave => {
                while !self.nodes[node].facts.hosts.is_empty() {
                    self.on_node(node, |node, stage| node.lose_host(stage));
                }
            }
            Seen::ClockStep => self.step_clock(node),
            Seen::Drain => self.nodes[node].control.draining = true,
            Seen::Lag => {
                self.net.lagging.insert(node, ends + 2 * LAG);
                self.change_net(kind, node, other, true);
            }
            _ => self.change_net(kind, node, other, true),
        }
    }

    pub(super) fn mend(&mut self, number: usize) {
        let Fault { kind, node, other, .. } = self.faults[number];
        match kind {
            Seen::PauseShort | Seen::PauseLong => self.resume(node),
            Seen::Crash => self.restart(node),
            Seen::CrashAll => (0..self.nodes.len()).for_each(|node| self.restart(node)),
            Seen::HostsLeave if self.nodes[node].facts.hosts.is_empty() => {
                self.nodes[node].connect_hosts(HOSTS);
            }
            Seen::Drain => self.nodes[node].control.draining = false,
            Seen::HostCrash | Seen::HostsLeave | Seen::ClockStep => {}
            _ => self.change_net(kind, node, other, false),
        }
    }

    fn step_clock(&mut self, node: usize) {
        let by = i64::try_from(self.rng.between(0, 8_000_000)).expect("seconds");
        self.nodes[node].facts.clock.stepped += by - 6_000_000;
    }

    fn crash(&mut self, node: usize) {
        self.nodes[node].crash();
        // What a process that stood still had not read is gone with it.
        self.paused[node].1.retain(|what| matches!(what, What::Tick(_)));
    }

    fn restart(&mut self, node: usize) {
        if !self.nodes[node].alive {
            self.nodes[node].start(HOSTS);
        }
    }

    fn resume(&mut self, node: usize) {
        if self.is_paused(node) {
            return;
        }
        for what in std::mem::take(&mut self.paused[node].1) {
            self.schedule(self.now, what);
        }
    }

    fn change_net(&mut self, kind: Seen, node: usize, other: usize, on: bool) {
        let others = (0..self.nodes.len()).filter(|one| *one != node);
        let place = Place::Node(node);
        match kind {
            Seen::PartitionPair => self.net.set(place, Place::Node(other), on),
            Seen::PartitionOneWay if on => {
                self.net.cut.insert((place, Place::Node(other)));
            }
            Seen::PartitionOneWay => {
                self.net.cut.remove(&(place, Place::Node(other)));
            }
            Seen::PartitionGroups => {
                let end = self.nodes.len();
                for (a, b) in (0..=other).flat_map(|a| (other + 1..end).map(move |b| (a, b))) {
                    self.net.set(Place::Node(a), Place::Node(b), on);
                }
            }
            Seen::IsolateLeader | Seen::IsolateNode | Seen::Zombie | Seen::Lag => {
                others.for_each(|other| self.net.set(place, Place::Node(other), on));
                if kind == Seen::Zombie {
                    change(&mut self.net.late, node, on);
                }
            }
            Seen::StoreCut => self.net.set(place, Place::Store, on),
            Seen::StoreDown => {
                let all = 0..self.nodes.len();
                all.for_each(|node| self.net.set(Place::Node(node), Place::Store, on));
            }
            Seen::LostVerdicts => change(&mut self.net.deaf, node, on),
            Seen::LateCommits => change(&mut self.net.late, node, on),
            Seen::Loss => self.net.loss = if on { 200 } else { 0 },
            Seen::Delay => self.net.delay = if on { 300_000 } else { crate::net::DELAY },
            _ => unreachable!("{kind:?} is no fault of the network"),
        }
    }
}

fn change(set: &mut std::collections::BTreeSet<usize>, node: usize, on: bool) {
    if on {
        set.insert(node);
    } else {
        set.remove(&node);
    }
}
