//! The types that openraft is told to use.

use std::fmt;

use callboard_types::CallError;
use openraft::type_config::alias;
use serde::{Deserialize, Serialize};

use super::codec::{self, CodecError};
use crate::machine::{Command, schedules::ChangeResult};

openraft::declare_raft_types!(
    /// Our choice of types.
    pub(crate) TypeConfig: D = Proposal, R = Reply
);

pub(crate) type Entry = alias::EntryOf<TypeConfig>;
pub(crate) type LogId = alias::LogIdOf<TypeConfig>;
pub(crate) type Vote = alias::VoteOf<TypeConfig>;
pub(crate) type Membership = alias::StoredMembershipOf<TypeConfig>;
pub(crate) type SnapshotMeta = alias::SnapshotMetaOf<TypeConfig>;
pub(crate) type Snapshot = alias::SnapshotOf<TypeConfig, super::snapshot_store::SnapshotBytes>;
pub(crate) type LeaderId = alias::CommittedLeaderIdOf<TypeConfig>;
pub(crate) type Raft = openraft::Raft<TypeConfig, super::state_machine::StateMachine>;

/// An encoded command. It stays encoded until it is applied, so that a log with a command of a newer version can be
/// kept and passed on; only applying it stops the node.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proposal(Vec<u8>);

/// What the proposer of a command is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reply {
    /// The view version that contains what was asked for.
    pub(crate) version: u64,
    /// Why the command was refused, if it was.
    pub(crate) outcome: Result<(), CallError>,
    /// What came of each change of schedules. See [`Reply::encode`].
    #[serde(skip)]
    pub(crate) results: Vec<ChangeResult>,
    /// The version of the schedules that contains the changes.
    #[serde(skip)]
    pub(crate) schedules_version: u64,
}

/// The format of a reply that has results. Only who proposed changes of schedules gets one, and so knows it.
const FORMAT_WITH_RESULTS: u8 = 2;

impl Reply {
    /// A reply to a command whose effect views show.
    pub(crate) fn new(version: u64, outcome: Result<(), CallError>) -> Self {
        Self { version, outcome, results: Vec::new(), schedules_version: 0 }
    }

    /// For another node. Replies without results look as they did before there were any.
    pub(crate) fn encode(&self) -> Vec<u8> {
        if self.results.is_empty() {
            return codec::encode(self);
        }
        codec::encode_format(FORMAT_WITH_RESULTS, &(self, self.schedules_version, &self.results))
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        match bytes.split_first() {
            Some((&FORMAT_WITH_RESULTS, body)) => {
                let (reply, schedules_version, results) = codec::decode_body(body)?;
                Ok(Self { results, schedules_version, ..reply })
            }
            _ => codec::decode(bytes),
        }
    }
}

impl Proposal {
    pub(crate) fn new(command: &Command) -> Self {
        Self(codec::encode(command))
    }

    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn command(&self) -> Result<Command, CodecError> {
        codec::decode(&self.0)
    }
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}
