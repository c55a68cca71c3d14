//! A node as the cluster knows it.

use std::{collections::BTreeMap, ops::RangeInclusive, sync::Arc};

use callboard_types::{CallError, ErrorKind, NodeId, NodeState};

/// The members by number.
pub(super) type Members = BTreeMap<NodeId, Member>;

/// One node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub(super) address: Arc<str>,
    pub(super) peer_address: Arc<str>,
    pub(super) folder_id: Arc<str>,
    pub(super) life: u64,
    /// False from when it missed its lease, or was let in, until it shows itself.
    pub(super) up: bool,
    /// True from when it was asked to give its shards away until it starts anew or is asked to take shards again.
    pub(super) draining: bool,
    pub(super) commands: (u32, u32),
}

impl Member {
    /// A node of which nothing is known but its gateway: how the first command version described nodes.
    pub(super) fn of_version_one(address: Arc<str>) -> Self {
        Self {
            address,
            peer_address: "".into(),
            folder_id: "".into(),
            life: 0,
            up: true,
            draining: false,
            commands: (1, 1),
        }
    }

    /// host:port of its gateway, as callers and hosts reach it.
    #[must_use]
    pub fn address(&self) -> &Arc<str> {
        &self.address
    }

    /// host:port at which other nodes reach it; empty on a node that was always alone.
    #[must_use]
    pub fn peer_address(&self) -> &Arc<str> {
        &self.peer_address
    }

    /// Names its data folder; empty if the first command version made the record.
    #[must_use]
    pub fn folder_id(&self) -> &Arc<str> {
        &self.folder_id
    }

    /// Which life of the node the cluster knows; 0 if it has not started since it was let in.
    #[must_use]
    pub fn life(&self) -> u64 {
        self.life
    }

    /// What the cluster thinks of it.
    #[must_use]
    pub fn state(&self) -> NodeState {
        match (self.up, self.draining) {
            (false, _) => NodeState::Down,
            (true, true) => NodeState::Draining,
            (true, false) => NodeState::Up,
        }
    }

    /// True if it was asked to give its shards away, also while it is down.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// The command versions that it can apply.
    #[must_use]
    pub fn commands(&self) -> RangeInclusive<u32> {
        self.commands.0..=self.commands.1
    }

    /// True if it serves and takes shards.
    #[must_use]
    pub fn takes_shards(&self) -> bool {
        self.state() == NodeState::Up
    }
}

/// True if the node is a member that is not down: what it owns may be served at this moment.
pub(super) fn is_live(members: &Members, node: NodeId) -> bool {
    members.get(&node).is_some_and(|member| member.up)
}

/// True if the node may be given shards.
pub(super) fn takes_shards(members: &Members, node: NodeId) -> bool {
    members.get(&node).is_some_and(Member::takes_shards)
}

/// Refuses a node that cannot apply what the cluster agrees on.
pub(super) fn check_commands(commands: (u32, u32), cluster: u32) -> Result<(), CallError> {
    let (min, max) = commands;
    if min > max {
        return Err(CallError::new(
            ErrorKind::InvalidArgument,
            format!("a node cannot know the command versions {min} to {max}"),
        ));
    }
    if (min..=max).contains(&cluster) {
        return Ok(());
    }
    let advice = if max < cluster {
        "start the node with a newer version of callboard"
    } else {
        "bring the other nodes to a newer version first"
    };
    Err(CallError::new(
        ErrorKind::PeerRefused,
        format!(
            "the cluster speaks command version {cluster}, and this node knows {min} to {max}; {advice}"
        ),
    )
    .with("cluster_version", cluster))
}

/// The command names a node that is not there.
pub(super) fn no_such_node(node: NodeId) -> CallError {
    CallError::new(
        ErrorKind::InvalidArgument,
        format!(
            "the cluster has no node {node}. If it was removed, give it an empty data folder and let it join again"
        ),
    )
    .with("node", node)
}
