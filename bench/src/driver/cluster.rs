//! A cluster of nodes on loopback that share a PostgreSQL server, for the rows about more than one node.

use std::path::PathBuf;

use callboard_proto::control::v1::{
    GetClusterStatusRequest, GetClusterStatusResponse, cluster_service_client::ClusterServiceClient,
};
use tokio::time::{Duration, sleep, timeout};

use crate::{
    driver::{
        Bench,
        postgres::Postgres,
        process::{Node, Peer, free_port},
    },
    error::Error,
    wire,
};

/// How long a cluster may take to agree on something, starts of nodes included.
const AGREE: Duration = Duration::from_secs(60);

/// How often its status is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Nodes with one store. All of them end with it.
pub(crate) struct Cluster {
    slots: Vec<Slot>,
    database: String,
}

/// A place for a node: where it listens, where its data is, and the node, if it runs.
struct Slot {
    port: u16,
    admin_port: u16,
    peer_port: u16,
    data: PathBuf,
    node: Option<Node>,
}

impl Cluster {
    /// Starts nodes on an empty database, and waits until all of them serve. With one node it is no cluster, but the
    /// same store without a second node.
    pub(crate) async fn start(
        bench: &Bench,
        postgres: &Postgres,
        name: &str,
        count: usize,
    ) -> Result<Self, Error> {
        let mut slots = Vec::new();
        for number in 1..=count {
            let data = bench.folder(&format!("{name}-{number}"));
            let (port, admin_port, peer_port) = (free_port()?, free_port()?, free_port()?);
            slots.push(Slot { port, admin_port, peer_port, data, node: None });
        }
        let mut cluster = Self { slots, database: postgres.database() };
        for at in 0..count {
            cluster.spawn(bench, at)?;
        }
        for at in 0..count {
            cluster.until_ready(at).await?;
        }
        Ok(cluster)
    }

    /// Starts the node of a place, again or for the first time.
    pub(crate) fn spawn(&mut self, bench: &Bench, at: usize) -> Result<(), Error> {
        let slot = &self.slots[at];
        let mut settings = vec![
            format!("listen.gateway=127.0.0.1:{}", slot.port),
            format!("listen.admin=127.0.0.1:{}", slot.admin_port),
            format!("store.url={}", self.database),
        ];
        if self.slots.len() > 1 {
            let peers: Vec<String> =
                self.slots.iter().map(|slot| format!("127.0.0.1:{}", slot.peer_port)).collect();
            settings.push(format!("listen.peer=127.0.0.1:{}", slot.peer_port));
            settings.push(format!("cluster.peers={}", peers.join(",")));
            settings.push(format!("cluster.bootstrap_expect={}", self.slots.len()));
            settings.push("cluster.secret=a secret of the bench alone".to_owned());
        }
        let node = Node::serve(&bench.node_bin, &slot.data, slot.port, &settings)?;
        self.slots[at].node = Some(node);
        Ok(())
    }

    /// Waits until the node of a place serves.
    pub(crate) async fn until_ready(&mut self, at: usize) -> Result<(), Error> {
        let slot = &mut self.slots[at];
        let node = slot.node.take().ok_or_else(|| Error::failed("the node does not run"))?;
        slot.node = Some(node.until_ready(&slot.data).await?);
        Ok(())
    }

    /// The gateways' addresses, of nodes that run or not.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.slots.iter().map(|slot| format!("127.0.0.1:{}", slot.port)).collect()
    }

    /// host:port of the gateway of a place.
    pub(crate) fn address(&self, at: usize) -> String {
        format!("127.0.0.1:{}", self.slots[at].port)
    }

    /// CPU time of all nodes that run.
    pub(crate) fn cpu(&self) -> Result<Duration, Error> {
        self.slots.iter().filter_map(|slot| slot.node.as_ref()).map(Node::cpu).sum()
    }

    /// Kills the node of a place as a crash would.
    pub(crate) async fn kill(&mut self, at: usize) -> Result<(), Error> {
        match self.slots[at].node.take() {
            Some(node) => node.stop().await,
            None => Err(Error::failed("the node does not run")),
        }
    }

    /// Ends the node of a place in order: it drains first.
    pub(crate) async fn end_in_order(&mut self, at: usize) -> Result<(), Error> {
        match self.slots[at].node.take() {
            Some(node) => node.end_in_order().await,
            None => Err(Error::failed("the node does not run")),
        }
    }

    /// What a node says about the cluster.
    pub(crate) async fn status(&self, at: usize) -> Result<GetClusterStatusResponse, Error> {
        let channel = wire::connect(&self.address(at)).await?;
        let mut client = ClusterServiceClient::new(channel);
        Ok(client.get_cluster_status(GetClusterStatusRequest {}).await?.into_inner())
    }

    /// Waits until a node's view of the cluster is as wanted.
    pub(crate) async fn until(
        &self,
        at: usize,
        what: &str,
        wanted: impl Fn(&GetClusterStatusResponse) -> bool,
    ) -> Result<GetClusterStatusResponse, Error> {
        let looking = async {
            loop {
                let status = self.status(at).await?;
                if wanted(&status) {
                    return Ok(status);
                }
                sleep(LOOK).await;
            }
        };
        timeout(AGREE, looking)
            .await
            .unwrap_or_else(|_| Err(Error::failed(format!("{what} did not happen in time"))))
    }

    /// Waits until shards are spread over all nodes within one per type of the bench.
    pub(crate) async fn until_balanced(&self) -> Result<(), Error> {
        let balanced = |status: &GetClusterStatusResponse| {
            let owned = || status.nodes.iter().map(|node| node.shards_owned);
            owned().sum::<u32>() > 0
                && owned().max().unwrap_or_default() - owned().min().unwrap_or_default() <= 2
        };
        self.until(0, "an even spread of shards", balanced).await.map(drop)
    }

    /// The place of the leader.
    pub(crate) async fn leader(&self, ask: usize) -> Result<usize, Error> {
        let status = self.until(ask, "an election", |status| status.leader_id != 0).await?;
        let leader = status.nodes.iter().find(|node| node.node_id == status.leader_id);
        let leader = leader.ok_or_else(|| Error::failed("the leader is not a node"))?;
        let at = self.addresses().iter().position(|address| *address == leader.address);
        at.ok_or_else(|| Error::failed("the leader is none of the bench's nodes"))
    }

    /// A bench host at each of some nodes.
    pub(crate) async fn hosts(&self, bench: &Bench, at: &[usize]) -> Result<Vec<Peer>, Error> {
        let mut hosts = Vec::new();
        for at in at {
            hosts.push(bench.host(&self.address(*at)).await?);
        }
        Ok(hosts)
    }

    /// Ends every node at once.
    pub(crate) async fn stop(mut self) -> Result<(), Error> {
        for slot in &mut self.slots {
            if let Some(node) = slot.node.take() {
                node.stop().await?;
            }
        }
        Ok(())
    }
}
