//! Faults of the network.

use std::time::Duration;

use rand::{Rng, rngs::StdRng};

use super::{Error, Nemesis};
use crate::{
    chaos::{
        cast::{CLIENTS, DATABASE, FIRST_HOST},
        client, cluster,
        plan::{Kind, Planned},
    },
    net::{Effect, Port, Ports, Rule, rules::between},
};

impl Nemesis<'_> {
    /// Puts a fault of the network in force for its time.
    pub(super) async fn disturb(&self, fault: &Planned, random: &mut StdRng) -> Result<(), Error> {
        let (what, rules) = self.network_fault(fault.kind, random).await?;
        self.begins(fault, what);
        self.cast.switch.rules().set(fault.number, rules);
        tokio::time::sleep(Duration::from_millis(fault.lasts_ms)).await;
        self.cast.switch.rules().end(fault.number);
        self.ends(fault, "");
        Ok(())
    }

    async fn network_fault(
        &self,
        kind: Kind,
        random: &mut StdRng,
    ) -> Result<(String, Vec<Rule>), Error> {
        Ok(match kind {
            Kind::PairPartition => {
                let (one, other) = self.two_members(random).await?;
                let rules = between(Ports::of([one]), Ports::of([other]), Effect::Cut);
                (format!("nodes {one} and {other} do not hear each other"), rules)
            }
            Kind::OneWayPartition => {
                let (from, to) = self.two_members(random).await?;
                let rule =
                    Rule { from: Ports::of([from]), to: Ports::of([to]), effect: Effect::Cut };
                (format!("node {to} does not hear node {from}"), vec![rule])
            }
            Kind::Minority => {
                let alone = self.any_member(random).await?;
                self.apart(alone, random, "node")
            }
            Kind::IsolateLeader => {
                let members = self.members.read().await.clone();
                match cluster::leader(&members).await {
                    Some(leader) => self.apart(leader, random, "the leader, node"),
                    None => {
                        let alone = self.any_member(random).await?;
                        self.apart(alone, random, "no leader was found; node")
                    }
                }
            }
            Kind::IsolateOwner => {
                let members = self.members.read().await.clone();
                let hot = client::hot_ledger(self.cast.recorder.seconds());
                match cluster::owner(&members, &hot).await {
                    Some(owner) => self.apart(owner, random, "the owner of a busy ledger, node"),
                    None => {
                        let alone = self.any_member(random).await?;
                        self.apart(alone, random, "no owner was found; node")
                    }
                }
            }
            Kind::IsolateDatabase => {
                let from = if random.random_bool(0.3) {
                    Ports::ALL
                } else {
                    Ports::of([self.any_member(random).await?])
                };
                let what = format!("the database is cut off from {}", name(from));
                (what, between(Ports::of([DATABASE]), from, Effect::Cut))
            }
            Kind::Reset => {
                let node = self.any_member(random).await?;
                let (to, whom) = match random.random_range(0..4) {
                    0 => (Ports::of([DATABASE]), "the database"),
                    1 => (Ports::of([CLIENTS]), "clients"),
                    2 => (Ports::of(FIRST_HOST..CLIENTS), "hosts"),
                    _ => (Ports::ALL, "everybody"),
                };
                let what = format!("connections between node {node} and {whom} are reset");
                (what, between(Ports::of([node]), to, Effect::Reset))
            }
            Kind::Loss => {
                let permille = random.random_range(20..250);
                let among = self.some(random).await?;
                let what = format!("{permille} of 1000 frames of {} are lost", name(among));
                (what, between(among, Ports::ALL, Effect::Loss(permille)))
            }
            Kind::Delay => {
                let (least, jitter) = (random.random_range(5..80), random.random_range(0..120));
                let among = self.some(random).await?;
                let what =
                    format!("frames of {} take {least} ms and up to {jitter} ms more", name(among));
                let rule =
                    Rule { from: among, to: Ports::ALL, effect: Effect::Delay(least, jitter) };
                (what, vec![rule])
            }
            _ => return Err(Error::failed(format!("{kind} is no fault of the network"))),
        })
    }

    /// One node or everybody.
    async fn some(&self, random: &mut StdRng) -> Result<Ports, Error> {
        let all = random.random_bool(0.4);
        Ok(if all { Ports::ALL } else { Ports::of([self.any_member(random).await?]) })
    }

    /// Cuts a node off: from the other nodes only, so that it can still do harm, or from everybody.
    fn apart(&self, alone: Port, random: &mut StdRng, who: &str) -> (String, Vec<Rule>) {
        let node = Ports::of([alone]);
        if random.random_bool(0.6) {
            let nodes = self.cast.others().others();
            let rules = between(node, nodes, Effect::Cut);
            return (format!("{who} {alone}, is cut off from the other nodes only"), rules);
        }
        let rules = between(node, node.others(), Effect::Cut);
        (format!("{who} {alone}, is cut off from everybody"), rules)
    }
}

fn name(ports: Ports) -> String {
    let nodes: Vec<String> =
        (1..FIRST_HOST).filter(|port| ports.contains(*port)).map(|port| port.to_string()).collect();
    match nodes.as_slice() {
        [node] => format!("node {node}"),
        _ => "everybody".into(),
    }
}
