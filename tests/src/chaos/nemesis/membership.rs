//! Changes of membership: a node gives its shards away for a while, or another takes its place for good.

use std::time::Duration;

use rand::{Rng, rngs::StdRng, seq::IndexedRandom};

use super::{Error, Nemesis};
use crate::{
    chaos::{cluster, plan::Planned},
    net::Port,
};

/// How long a change may take, with other faults going on.
const CHANGE_MAX: Duration = Duration::from_secs(40);

/// Pause between attempts.
const AGAIN: Duration = Duration::from_millis(300);

impl Nemesis<'_> {
    /// Takes the shards from a node, and lets it have some again after a while.
    pub(super) async fn drain_node(
        &self,
        fault: &Planned,
        lasts: Duration,
        random: &mut StdRng,
    ) -> Result<(), Error> {
        let port = self.any_member(random).await?;
        self.begins(fault, format!("node {port} is drained"));
        let drained = self.ask(port, cluster::Change::Drain).await;
        tokio::time::sleep(lasts).await;
        // Healing would not do it, and a cluster of drained nodes shows little.
        let undrained = self.ask(port, cluster::Change::Undrain).await;
        self.ends(fault, format!("drained: {}; undrained: {}", word(&drained), word(&undrained)));
        Ok(())
    }

    /// Lets a new node join, and removes an old one.
    pub(super) async fn replace_node(
        &self,
        fault: &Planned,
        lasts: Duration,
        random: &mut StdRng,
    ) -> Result<(), Error> {
        let _trouble = self.node_trouble.lock().await;
        let members = self.members.read().await.clone();
        let spare: Vec<Port> =
            (1..=self.cast.nodes.len() as Port).filter(|port| !members.contains(port)).collect();
        let (Some(old), Some(new)) =
            (members.choose(random).copied(), spare.choose(random).copied())
        else {
            return Err(Error::failed("nobody can take a node's place"));
        };
        self.begins(fault, format!("node {new} joins, and node {old} is removed"));
        {
            let mut node = self.cast.node(new)?.lock().await;
            node.wipe_disk()?;
            node.joins();
            node.start()?;
        }
        if !self.joined(new).await {
            // With a majority cut off nobody can join. The newcomer goes, and leaves nothing behind.
            self.cast.node(new)?.lock().await.process().kill().await?;
            let removed = self.ask(new, cluster::Change::Remove).await;
            self.ends(fault, format!("it did not join in time; removed: {}", word(&removed)));
            return Ok(());
        }
        self.members.write().await.push(new);
        self.shared.use_node(new, true);
        tokio::time::sleep(lasts + Duration::from_millis(random.random_range(0..1_000))).await;
        match self.ask(old, cluster::Change::Remove).await {
            Ok(()) => {
                self.shared.use_node(old, false);
                self.members.write().await.retain(|port| *port != old);
                let mut node = self.cast.node(old)?.lock().await;
                node.process().kill().await?;
                node.wipe_disk()?;
                self.ends(fault, "done");
            }
            Err(error) => self.ends(fault, format!("the old one stays: {error}")),
        }
        Ok(())
    }

    /// Waits until the cluster counts a node as its own.
    async fn joined(&self, new: Port) -> bool {
        let give_up = crate::chaos::now() + CHANGE_MAX;
        while crate::chaos::now() < give_up {
            let members = self.members.read().await.clone();
            let status = cluster::any_status(&members).await;
            if status.is_some_and(|status| cluster::is_up(&status, new)) {
                return true;
            }
            tokio::time::sleep(AGAIN).await;
        }
        false
    }

    /// Asks the cluster for a change until it agrees. Any member can be asked.
    async fn ask(&self, port: Port, change: cluster::Change) -> Result<(), Error> {
        let give_up = crate::chaos::now() + CHANGE_MAX;
        let mut last = Error::failed("nobody was asked");
        while crate::chaos::now() < give_up {
            let members = self.members.read().await.clone();
            for asked in members.iter().filter(|asked| **asked != port) {
                match cluster::change(*asked, port, change).await {
                    Ok(()) => return Ok(()),
                    Err(error) => last = error,
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
        Err(last)
    }
}

fn word(outcome: &Result<(), Error>) -> String {
    outcome.as_ref().err().map_or_else(|| "yes".to_owned(), ToString::to_string)
}
