//! `callboard cluster status`.

use std::io::{self, Write};

use callboard_proto::control::v1::{
    self as control, GetClusterStatusRequest, GetClusterStatusResponse,
};
use clap::Args;
use serde::Serialize;

use crate::{
    args::Global,
    commands::cluster::watch,
    failure::Failure,
    output::{self, Noun},
};

/// Once, or for as long as somebody looks.
#[derive(Args)]
pub(crate) struct StatusArgs {
    /// Go on and tell what happens: nodes that join, leave, go down, come back, drain or lead, and shards that move
    #[arg(long, short)]
    watch: bool,
}

/// A cluster, as one of its nodes sees it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cluster {
    cluster_id: String,
    /// The node that answered.
    node_id: u64,
    leader_id: u64,
    term: u64,
    view_version: u64,
    command_version: u32,
    lease_held: bool,
    leader_answered: bool,
    nodes: Vec<Node>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    node_id: u64,
    state: &'static str,
    role: &'static str,
    address: String,
    peer_address: String,
    version: String,
    shards_owned: u32,
    shards_leaving: u32,
    shards_arriving: u32,
    renewed_ago_ms: Option<u64>,
    lease_remaining_ms: Option<u64>,
    view_version: u64,
}

impl From<GetClusterStatusResponse> for Cluster {
    fn from(status: GetClusterStatusResponse) -> Self {
        let leader = status.leader_id;
        Self {
            cluster_id: status.cluster_id,
            node_id: status.node_id,
            leader_id: leader,
            term: status.term,
            view_version: status.view_version,
            command_version: status.cluster_version,
            lease_held: status.lease_held,
            leader_answered: status.leader_answered,
            nodes: status.nodes.into_iter().map(|node| Node::new(node, leader)).collect(),
        }
    }
}

impl Node {
    fn new(node: control::Node, leader: u64) -> Self {
        let role = match (node.node_id == leader, node.voter) {
            (true, _) => "leader",
            (false, true) => "voter",
            (false, false) => "learner",
        };
        Self {
            node_id: node.node_id,
            state: match node.state() {
                control::NodeState::Up => "up",
                control::NodeState::Draining => "draining",
                control::NodeState::Down => "down",
                control::NodeState::Unspecified => "unknown",
            },
            role,
            address: node.address,
            peer_address: node.peer_address,
            version: node.version,
            shards_owned: node.shards_owned,
            shards_leaving: node.shards_leaving,
            shards_arriving: node.shards_arriving,
            renewed_ago_ms: node.renewed_ago_ms,
            lease_remaining_ms: node.lease_remaining_ms,
            view_version: node.view_version,
        }
    }

    fn cells(&self) -> Vec<String> {
        let or_dash = |text: &str| if text.is_empty() { "-".into() } else { text.to_owned() };
        let moving = match (self.shards_leaving, self.shards_arriving) {
            (0, 0) => "-".to_owned(),
            (leaving, arriving) => format!("-{leaving} +{arriving}"),
        };
        let lease = self.lease_remaining_ms.map_or("-".to_owned(), |left| format!("{left}ms"));
        vec![
            self.node_id.to_string(),
            self.state.to_owned(),
            self.role.to_owned(),
            self.shards_owned.to_string(),
            moving,
            lease,
            or_dash(&self.version),
            or_dash(&self.address),
            or_dash(&self.peer_address),
        ]
    }
}

impl Cluster {
    const NODE_COLUMNS: [&'static str; 9] = [
        "NODE",
        "STATE",
        "ROLE",
        "SHARDS",
        "MOVING",
        "LEASE",
        "VERSION",
        "ADDRESS",
        "PEER ADDRESS",
    ];

    /// How many shards a node owns; 0 if it is not there.
    pub(super) fn shards_of(&self, node: u64) -> u32 {
        self.nodes.iter().find(|it| it.node_id == node).map_or(0, |node| node.shards_owned)
    }
}

impl Noun for Cluster {
    const KIND: &'static str = "Cluster";
    const COLUMNS: &'static [&'static str] = &["CLUSTER", "LEADER", "NODES"];

    fn cells(&self) -> Vec<String> {
        let leader = self.leader_id.to_string();
        vec![self.cluster_id.clone(), leader, self.nodes.len().to_string()]
    }

    fn name(&self) -> String {
        self.cluster_id.clone()
    }

    fn describe(&self, out: &mut dyn Write) -> io::Result<()> {
        let leader = match self.leader_id {
            0 => "none is known; nothing can be changed, and leases run out".to_owned(),
            leader if self.leader_answered => format!("node {leader}, term {}", self.term),
            leader => format!("node {leader}, term {}; it does not answer now", self.term),
        };
        let seen_by = format!("node {}, view {}", self.node_id, self.view_version);
        let lease = if self.lease_held { "held" } else { "not held: this node serves nothing now" };
        let rows = [
            ("cluster", self.cluster_id.clone()),
            ("leader", leader),
            ("seen by", seen_by),
            ("its lease", lease.to_owned()),
        ];
        output::pairs(out, rows.into_iter().map(|(label, text)| (label.to_owned(), text)))?;
        writeln!(out)?;
        output::columns(out, &Self::NODE_COLUMNS, self.nodes.iter().map(Node::cells))
    }
}

// === impl StatusArgs ===

impl StatusArgs {
    /// Shows the cluster.
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let connection = global.connect().await?;
        if self.watch {
            return watch::run(&connection, global).await;
        }
        let request = GetClusterStatusRequest {};
        let status = connection.answer(connection.cluster().get_cluster_status(request)).await?;
        Ok(global.printer().one(&Cluster::from(status))?)
    }
}

#[cfg(test)]
mod tests {
    use crate::output::{Format, Printer};

    use super::*;

    fn printed(format: Format) -> String {
        let node = |node_id, state: control::NodeState, shards_owned| control::Node {
            node_id,
            address: format!("10.0.0.{node_id}:7070"),
            peer_address: format!("10.0.0.{node_id}:7072"),
            voter: true,
            state: state.into(),
            version: "0.1.0".into(),
            shards_owned,
            ..control::Node::default()
        };
        let up = |node_id, owned| control::Node {
            renewed_ago_ms: Some(120),
            lease_remaining_ms: Some(1_880),
            view_version: 41,
            ..node(node_id, control::NodeState::Up, owned)
        };
        let cluster = Cluster::from(GetClusterStatusResponse {
            cluster_id: "0193-abc".into(),
            node_id: 1,
            leader_id: 2,
            term: 7,
            view_version: 42,
            nodes: vec![
                control::Node { shards_arriving: 2, ..up(1, 30) },
                control::Node { shards_leaving: 2, ..up(2, 34) },
                node(3, control::NodeState::Down, 0),
            ],
            cluster_version: 1,
            lease_held: true,
            leader_answered: true,
        });
        let mut out = Vec::new();
        Printer::new(format, &mut out).one(&cluster).expect("a vector takes everything");
        String::from_utf8(out).expect("output is text")
    }

    #[test]
    fn people_see_who_leads_who_is_down_and_where_shards_go() {
        insta::assert_snapshot!(printed(Format::Table), @r"
        cluster:    0193-abc
        leader:     node 2, term 7
        seen by:    node 1, view 42
        its lease:  held

        NODE  STATE  ROLE    SHARDS  MOVING  LEASE   VERSION  ADDRESS        PEER ADDRESS
        1     up     voter   30      -0 +2   1880ms  0.1.0    10.0.0.1:7070  10.0.0.1:7072
        2     up     leader  34      -2 +0   1880ms  0.1.0    10.0.0.2:7070  10.0.0.2:7072
        3     down   voter   0       -       -       0.1.0    10.0.0.3:7070  10.0.0.3:7072
        ");
    }

    #[test]
    fn the_json_contract_of_a_cluster_holds() {
        insta::assert_snapshot!(printed(Format::Jsonl), @r#"
        {"apiVersion":"callboard.io/cli/v1","kind":"Cluster","clusterId":"0193-abc","nodeId":1,"leaderId":2,"term":7,"viewVersion":42,"commandVersion":1,"leaseHeld":true,"leaderAnswered":true,"nodes":[{"nodeId":1,"state":"up","role":"voter","address":"10.0.0.1:7070","peerAddress":"10.0.0.1:7072","version":"0.1.0","shardsOwned":30,"shardsLeaving":0,"shardsArriving":2,"renewedAgoMs":120,"leaseRemainingMs":1880,"viewVersion":41},{"nodeId":2,"state":"up","role":"leader","address":"10.0.0.2:7070","peerAddress":"10.0.0.2:7072","version":"0.1.0","shardsOwned":34,"shardsLeaving":2,"shardsArriving":0,"renewedAgoMs":120,"leaseRemainingMs":1880,"viewVersion":41},{"nodeId":3,"state":"down","role":"voter","address":"10.0.0.3:7070","peerAddress":"10.0.0.3:7072","version":"0.1.0","shardsOwned":0,"shardsLeaving":0,"shardsArriving":0,"renewedAgoMs":null,"leaseRemainingMs":null,"viewVersion":0}]}
        "#);
    }
}
