//! How a node with an empty folder becomes a member: it begins a cluster, alone or with others, or it joins one.
//!
//! It asks for as long as it takes: the others may be started later. What it learns is written down before consensus
//! begins, and every step may be repeated, so that a start that is cut off begins again where it was.

use std::{collections::BTreeMap, time::Duration};

use callboard_proto::peer::v1::{GreetRequest, GreetResponse, JoinRequest, JoinResponse};
use callboard_types::{Retry, Tick};
use futures::future::join_all;

use crate::{
    Error, FirstStart, Options,
    entrance::{Entrance, FOUNDING_MILLIS},
    identity::Identity,
    machine::COMMAND_VERSIONS,
    options::Seeds,
};

/// How long a node may take to say who it is.
const GREET_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a member may take to let a node in: its command may have to wait for an election.
const JOIN_TIMEOUT: Duration = Duration::from_secs(12);
/// First pause between two rounds, in milliseconds.
const PAUSE_MIN: u64 = 50;
/// Longest pause between two rounds, in milliseconds.
const PAUSE_MAX: u64 = 2_000;

/// A node that has no name yet.
pub(crate) struct Newcomer<'a> {
    pub(crate) options: &'a Options,
    pub(crate) entrance: &'a Entrance,
}

/// Somebody who answered.
struct Seen {
    address: String,
    answer: GreetResponse,
}

impl Newcomer<'_> {
    /// Finds out who the node is. Returns when it is decided, however long that takes.
    pub(crate) async fn settle(&self) -> Result<Identity, Error> {
        match &self.options.first_start {
            FirstStart::Bootstrap => Ok(Identity::founder()),
            FirstStart::Join { seeds } => self.until_member(seeds, None).await,
            FirstStart::Expect { count, seeds } => self.until_member(seeds, Some(*count)).await,
            FirstStart::Recover { .. } => {
                Err(Error::Options("a recovered control plane names itself".into()))
            }
        }
    }

    async fn until_member(
        &self,
        seeds: &Seeds,
        expected: Option<usize>,
    ) -> Result<Identity, Error> {
        let mut pause = PAUSE_MIN;
        loop {
            let began = Tick::now();
            let seen = self.look_around(seeds, false).await;
            if let Some(identity) = self.join(&seen).await? {
                return Ok(identity);
            }
            if let Some(count) = expected
                && self.is_founder(&seen, count)
                && self.found(seeds, count, began).await
            {
                return Ok(Identity::founder());
            }
            tracing::info!(
                seen = seen.len(),
                expected,
                seeds = ?seeds.current(),
                "no cluster lets this node in yet; asking again"
            );
            tokio::time::sleep(with_jitter(pause)).await;
            pause = (pause * 2).min(if expected.is_some() { PAUSE_MAX / 8 } else { PAUSE_MAX });
        }
    }

    /// Asks everybody at once. Each other node once, whatever addresses it has.
    async fn look_around(&self, seeds: &Seeds, founding: bool) -> Vec<Seen> {
        let request = GreetRequest {
            folder_id: self.entrance.folder_id().into(),
            peer_address: self.options.peer_address.clone(),
            founding,
            ..GreetRequest::default()
        };
        let addresses = seeds.current();
        let asking = addresses.into_iter().map(|address| {
            let request = request.clone();
            async move {
                match self.entrance.peers().greet(&address, request, GREET_TIMEOUT).await {
                    Ok(answer) => Some(Seen { address, answer }),
                    Err(error) => {
                        tracing::debug!(%error, address, "no answer from a seed");
                        None
                    }
                }
            }
        });
        let answers = join_all(asking).await.into_iter().flatten();
        let others = answers.filter(|seen| seen.answer.folder_id != self.entrance.folder_id());
        let by_folder: BTreeMap<String, Seen> =
            others.map(|seen| (seen.answer.folder_id.clone(), seen)).collect();
        by_folder.into_values().collect()
    }

    /// Asks those who have a cluster to let this node in.
    async fn join(&self, seen: &[Seen]) -> Result<Option<Identity>, Error> {
        let request = JoinRequest {
            node_id: 0,
            address: self.options.address.clone(),
            peer_address: self.options.peer_address.clone(),
            folder_id: self.entrance.folder_id().into(),
            commands_min: COMMAND_VERSIONS.0,
            commands_max: COMMAND_VERSIONS.1,
        };
        for member in seen.iter().filter(|seen| !seen.answer.cluster_id.is_empty()) {
            let address = &member.address;
            match self.entrance.peers().join(address, request.clone(), JOIN_TIMEOUT).await {
                Ok(answer) if !answer.cluster_id.is_empty() && answer.node_id != 0 => {
                    let JoinResponse { cluster_id, group, node_id, .. } = answer;
                    return Ok(Some(Identity::member(cluster_id, group, node_id)));
                }
                Ok(_) => tracing::warn!(address, "a member answered without a name for this node"),
                Err(error) if error.retry() == Retry::Never => {
                    let address = address.clone();
                    return Err(Error::NotAdmitted { address, reason: error.message });
                }
                Err(error) => {
                    tracing::warn!(%error, address, "the cluster did not let this node in");
                }
            }
        }
        Ok(None)
    }

    /// True if it is on this node to begin the cluster: enough are there, and nobody has a smaller folder.
    fn is_founder(&self, seen: &[Seen], count: usize) -> bool {
        let own = self.entrance.folder_id();
        seen.len() + 1 >= count && seen.iter().all(|seen| own < seen.answer.folder_id.as_str())
    }

    /// Has enough others promise to begin no other cluster. False if they did not, or took too long.
    async fn found(&self, seeds: &Seeds, count: usize, began: Tick) -> bool {
        if !self.entrance.promise(self.entrance.folder_id(), Tick::now()) {
            return false;
        }
        let seen = self.look_around(seeds, true).await;
        let promised = seen.iter().filter(|seen| seen.answer.promised).count();
        let nobody_has_one = seen.iter().all(|seen| seen.answer.cluster_id.is_empty());
        let in_time = Tick::now() < began.plus_millis(FOUNDING_MILLIS);
        promised + 1 >= count && nobody_has_one && in_time
    }
}

/// Half of it to all of it, so that nodes which were started together do not ask in step.
fn with_jitter(millis: u64) -> Duration {
    let random = u64::from(uuid::Uuid::now_v7().as_bytes()[15]);
    Duration::from_millis(millis / 2 + millis * random / 512)
}
