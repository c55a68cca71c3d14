//! Faults of processes, and of what belongs to them: their time, their clock, their disk.

use std::time::Duration;

use rand::{Rng, rngs::StdRng, seq::IndexedRandom};

use super::{Error, Nemesis};
use crate::{chaos::plan::Planned, net::Port};

/// How often a node is stopped in the hope that it has a transaction open.
const COMMIT_TRIES: u32 = 60;

/// How far a clock jumps, in seconds.
const JUMP: i64 = 3_600;

impl Nemesis<'_> {
    pub(super) async fn kill_node(
        &self,
        fault: &Planned,
        lasts: Duration,
        random: &mut StdRng,
    ) -> Result<(), Error> {
        let _trouble = self.node_trouble.lock().await;
        let port = self.any_member(random).await?;
        self.begins(fault, format!("node {port} is killed"));
        let node = self.cast.node(port)?;
        self.note_end(port).await?;
        node.lock().await.process().kill().await?;
        tokio::time::sleep(lasts).await;
        node.lock().await.start()?;
        self.ends(fault, "it starts again");
        Ok(())
    }

    pub(super) async fn pause_node(
        &self,
        fault: &Planned,
        lasts: Duration,
        random: &mut StdRng,
    ) -> Result<(), Error> {
        let _trouble = self.node_trouble.lock().await;
        let port = self.any_member(random).await?;
        self.begins(fault, format!("node {port} stands still"));
        let node = self.cast.node(port)?;
        node.lock().await.process().pause()?;
        tokio::time::sleep(lasts).await;
        node.lock().await.process().resume()?;
        self.ends(fault, "it goes on");
        Ok(())
    }

    /// Stops a node at a moment at which it has a transaction open, and lets it lie there longer than its lease.
    pub(super) async fn stop_in_commit(
        &self,
        fault: &Planned,
        lasts: Duration,
        random: &mut StdRng,
    ) -> Result<(), Error> {
        let Some(database) = &self.cast.database else {
            return Ok(());
        };
        let _trouble = self.node_trouble.lock().await;
        for _ in 0..COMMIT_TRIES {
            let port = self.any_member(random).await?;
            let node = self.cast.node(port)?;
            node.lock().await.process().pause()?;
            // The database may be down meanwhile; then nobody commits.
            let open = database.lock().await.transactions_of(port).await.unwrap_or(0);
            if open > 0 {
                let what = format!("node {port} stands still with {open} transactions open");
                self.begins(fault, what);
                tokio::time::sleep(lasts).await;
                node.lock().await.process().resume()?;
                self.ends(fault, "it goes on");
                return Ok(());
            }
            node.lock().await.process().resume()?;
            tokio::time::sleep(Duration::from_millis(random.random_range(5..40))).await;
        }
        self.cast.recorder.say("no node was caught with a transaction open");
        Ok(())
    }

    pub(super) async fn jump_clock(
        &self,
        fault: &Planned,
        lasts: Duration,
        random: &mut StdRng,
    ) -> Result<(), Error> {
        let _trouble = self.clock_trouble.lock().await;
        let port = self.any_member(random).await?;
        let seconds = if random.random_bool(0.5) { JUMP } else { -JUMP };
        self.begins(fault, format!("the clock of node {port} jumps by {seconds} s"));
        self.cast.node(port)?.lock().await.clock().set(seconds)?;
        tokio::time::sleep(lasts).await;
        self.cast.node(port)?.lock().await.clock().set(0)?;
        self.ends(fault, "it jumps back");
        Ok(())
    }

    pub(super) async fn fill_disk(
        &self,
        fault: &Planned,
        lasts: Duration,
        random: &mut StdRng,
    ) -> Result<(), Error> {
        let _trouble = self.node_trouble.lock().await;
        let port = self.any_member(random).await?;
        self.begins(fault, format!("the disk of node {port} is full"));
        self.note_end(port).await?;
        self.excused.lock().await.push(port);
        self.cast.node(port)?.lock().await.fill_disk()?;
        tokio::time::sleep(lasts).await;
        let mut node = self.cast.node(port)?.lock().await;
        node.empty_disk()?;
        let ended = node.process().ended()?;
        // A node whose disk is full may end, and is started again as a supervisor would.
        node.start()?;
        let became = ended.map_or("it kept running".into(), |status| format!("it ended: {status}"));
        self.ends(fault, became);
        Ok(())
    }

    pub(super) async fn roll_nodes(&self, fault: &Planned, pause: Duration) -> Result<(), Error> {
        let _trouble = self.node_trouble.lock().await;
        self.begins(fault, "all nodes leave and come back, one after the other");
        let members = self.members.read().await.clone();
        for port in members {
            self.note_end(port).await?;
            let well = self.cast.node(port)?.lock().await.leave().await?;
            if !well {
                self.cast.recorder.say(format!("node {port} did not leave in good order"));
            }
            tokio::time::sleep(pause).await;
            self.cast.node(port)?.lock().await.start()?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        self.ends(fault, "all are back");
        Ok(())
    }

    /// Looks whether a node ended by itself before it is made to end.
    async fn note_end(&self, port: Port) -> Result<(), Error> {
        let mut node = self.cast.node(port)?.lock().await;
        self.revive(port, &mut node).await
    }

    pub(super) async fn kill_host(
        &self,
        fault: &Planned,
        lasts: Duration,
        random: &mut StdRng,
    ) -> Result<(), Error> {
        let all = random.random_ratio(1, 4);
        let one = self.cast.hosts.choose(random);
        let hosts: Vec<_> = match all {
            true => self.cast.hosts.iter().collect(),
            false => one.into_iter().collect(),
        };
        let mut names = Vec::new();
        for host in &hosts {
            let mut host = host.lock().await;
            host.kill().await?;
            names.push(host.name().to_owned());
        }
        self.begins(fault, format!("hosts are killed: {}", names.join(", ")));
        tokio::time::sleep(lasts).await;
        for host in hosts {
            host.lock().await.start()?;
        }
        self.ends(fault, "they start again");
        Ok(())
    }

    pub(super) async fn roll_hosts(&self, fault: &Planned, pause: Duration) -> Result<(), Error> {
        self.begins(fault, "all hosts leave and come back, one after the other");
        for host in &self.cast.hosts {
            let mut host = host.lock().await;
            if !host.leave().await? {
                let text = format!("host {} did not leave in good order", host.name());
                self.cast.recorder.say(text);
            }
            tokio::time::sleep(pause).await;
            host.start()?;
        }
        self.ends(fault, "all are back");
        Ok(())
    }

    pub(super) async fn kill_database(
        &self,
        fault: &Planned,
        lasts: Duration,
    ) -> Result<(), Error> {
        let Some(database) = &self.cast.database else {
            return Ok(());
        };
        let mut database = database.lock().await;
        self.begins(fault, "the database is killed");
        database.kill().await?;
        tokio::time::sleep(lasts).await;
        database.start().await?;
        self.ends(fault, "it is back");
        Ok(())
    }

    pub(super) async fn restart_database(
        &self,
        fault: &Planned,
        lasts: Duration,
    ) -> Result<(), Error> {
        let Some(database) = &self.cast.database else {
            return Ok(());
        };
        let mut database = database.lock().await;
        self.begins(fault, "the database is restarted");
        database.stop().await?;
        tokio::time::sleep(lasts).await;
        database.start().await?;
        self.ends(fault, "it is back");
        Ok(())
    }
}
