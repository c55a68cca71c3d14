//! Feeds committed commands to the pure machine, and publishes what it made of them.
//!
//! The state lives in memory. It comes back after a restart from the snapshot on disk and the log after it, so applying
//! needs no disk of its own.

use std::{io, sync::Arc};

use futures::{Stream, StreamExt};
use openraft::{
    EntryPayload, OptionalSend,
    storage::{ApplyResponder, EntryResponder, RaftSnapshotBuilder, RaftStateMachine},
};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use super::{
    cadence::Cadence,
    codec::{self, CodecError},
    snapshot_store::{SnapshotBytes, SnapshotStore},
    types::{Entry, LogId, Membership, Reply, Snapshot, SnapshotMeta, TypeConfig},
};
use crate::{
    machine::{
        Applied, Command, Machine,
        stored::{Stored, StoredKnown, StoredPlain, v1::StoredV1},
    },
    metrics,
    view::Publisher,
};

/// What the cluster agreed on so far. Shared with [`crate::Handle`], which only reads.
pub(crate) type Replicated = Arc<RwLock<State>>;

/// The machine and where in the log it stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) machine: Machine,
    /// The index of the last entry that changed anything that views show. The same on every node.
    pub(crate) version: u64,
    /// The index of the last entry that changed schedules.
    pub(crate) schedules_version: u64,
    pub(crate) membership: Membership,
    applied: Option<LogId>,
}

/// openraft's state machine. One per node.
pub(crate) struct StateMachine {
    state: Replicated,
    snapshots: SnapshotStore,
    publisher: Publisher,
    cadence: Cadence,
}

/// The format of a [`StoredState`]. Format 3 held a [`StoredKnown`] in the machine's place; formats 2 and 1 had no version
/// of schedules, and held a [`StoredPlain`] and a [`StoredV1`].
const SNAPSHOT_FORMAT: u8 = 4;
const KNOWN_FORMAT: u8 = 3;
const PLAIN_FORMAT: u8 = 2;

/// A state to be written down.
#[derive(Serialize, Deserialize)]
struct StoredState {
    version: u64,
    schedules_version: u64,
    machine: Stored,
}

/// Writes a snapshot of the state as it was when the builder was made.
pub(crate) struct SnapshotBuilder {
    state: State,
    snapshots: SnapshotStore,
    cadence: Cadence,
}

// === impl State ===

impl State {
    /// Up to where in the log everything is in this state; 0 before the first entry.
    pub(crate) fn applied_index(&self) -> u64 {
        self.applied.as_ref().map_or(0, |log_id| log_id.index)
    }

    /// A state that was put together from somewhere else than the log.
    pub(crate) fn rebuilt(machine: Machine, membership: Membership, applied: LogId) -> Self {
        Self {
            machine,
            version: applied.index,
            schedules_version: applied.index,
            membership,
            applied: Some(applied),
        }
    }

    /// Written down, with a checksum.
    pub(crate) fn sealed(&self) -> Vec<u8> {
        let machine = Stored::from(&self.machine);
        if let Some(plain) = machine.as_plain() {
            return codec::seal_format(PLAIN_FORMAT, &(self.version, plain));
        }
        let (version, schedules_version) = (self.version, self.schedules_version);
        if let Some(known) = machine.as_known() {
            return codec::seal_format(KNOWN_FORMAT, &(version, schedules_version, known));
        }
        let stored = StoredState { version, schedules_version, machine };
        codec::seal_format(SNAPSHOT_FORMAT, &stored)
    }

    pub(crate) fn meta(&self) -> SnapshotMeta {
        SnapshotMeta { last_log_id: self.applied, last_membership: self.membership.clone() }
    }

    /// What the command would come to, without changing anything.
    pub(crate) fn try_out(&self, command: Command) -> Applied {
        // A machine is made of shared parts: a copy costs a few pointers per type.
        self.machine.clone().apply(command)
    }

    /// Applies one entry. Tells what the proposer is to be told.
    fn apply(&mut self, entry: Entry) -> io::Result<Reply> {
        let log_id = entry.log_id;
        let (mut outcome, mut results) = (Ok(()), Vec::new());
        match entry.payload {
            EntryPayload::Blank => {}
            EntryPayload::Normal(proposal) => {
                let command = proposal.command().map_err(|error| {
                    let text =
                        format!("command {} of the log cannot be applied: {error}", log_id.index);
                    io::Error::new(io::ErrorKind::InvalidData, text)
                })?;
                metrics::command_applied(command.name());
                let applied = self.machine.apply(command);
                if applied.changed && applied.results.is_empty() {
                    self.version = log_id.index;
                } else if applied.changed {
                    self.schedules_version = log_id.index;
                }
                (outcome, results) = (applied.outcome, applied.results);
            }
            EntryPayload::Membership(membership) => {
                self.membership = Membership::new(Some(log_id), membership);
                self.version = log_id.index;
            }
        }
        self.applied = Some(log_id);
        let schedules_version = self.schedules_version;
        Ok(Reply { version: self.version, outcome, results, schedules_version })
    }
}

// === impl StateMachine ===

impl StateMachine {
    pub(crate) fn new(
        state: Replicated,
        snapshots: SnapshotStore,
        publisher: Publisher,
        cadence: Cadence,
    ) -> Self {
        Self { state, snapshots, publisher, cadence }
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotBytes;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, Membership), io::Error> {
        let state = self.state.read();
        Ok((state.applied, state.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        let mut replies: Vec<(ApplyResponder<TypeConfig>, Reply)> = Vec::new();
        let (mut count, mut bytes) = (0, 0);
        while let Some(entry) = entries.next().await {
            let (entry, responder) = entry?;
            count += 1;
            bytes += match &entry.payload {
                EntryPayload::Normal(proposal) => proposal.as_bytes().len(),
                EntryPayload::Blank | EntryPayload::Membership(_) => 0,
            };
            let reply = self.state.write().apply(entry)?;
            replies.extend(responder.map(|responder| (responder, reply)));
        }
        // The view first: whoever is told that a command was applied may look at once.
        self.publisher.publish(&self.state.read());
        for (responder, reply) in replies {
            responder.send(reply);
        }
        self.cadence.applied(count, bytes);
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        self.cadence.began();
        SnapshotBuilder {
            state: self.state.read().clone(),
            snapshots: self.snapshots.clone(),
            cadence: self.cadence.clone(),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotBytes,
    ) -> Result<(), io::Error> {
        // Decoded before it is saved: a damaged one must not take the place of a good one.
        let stored = read(&snapshot).map_err(|error| {
            let text = format!(
                "the control plane's snapshot cannot be used: {error}. Restore the data folder, or remove the node \
                 and let it join again with an empty one"
            );
            io::Error::new(io::ErrorKind::InvalidData, text)
        })?;
        self.cadence.began();
        self.cadence.written(snapshot.len());
        let (snapshots, saved) = (self.snapshots.clone(), meta.clone());
        blocking(move || snapshots.save(&saved, &snapshot)).await?;
        {
            let mut state = self.state.write();
            *state = State {
                machine: stored.machine.into(),
                version: stored.version,
                schedules_version: stored.schedules_version,
                membership: meta.last_membership.clone(),
                applied: meta.last_log_id,
            };
        }
        self.publisher.publish(&self.state.read());
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        let snapshots = self.snapshots.clone();
        blocking(move || snapshots.load()).await
    }
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = SnapshotBytes;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let (state, snapshots) = (self.state.clone(), self.snapshots.clone());
        let cadence = self.cadence.clone();
        blocking(move || {
            let bytes = SnapshotBytes::from(state.sealed());
            let meta = state.meta();
            snapshots.save(&meta, &bytes)?;
            metrics::snapshot_built(bytes.len());
            cadence.written(bytes.len());
            Ok(Snapshot { meta, snapshot: bytes })
        })
        .await
    }
}

/// Runs disk work off the runtime's threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// True if the bytes are a snapshot that this version can install. Checked before openraft is handed one: a failing
/// installation stops the node.
pub(crate) fn is_whole(snapshot: &[u8]) -> bool {
    read(snapshot).is_ok()
}

/// The machine and the view's version of a sealed state.
pub(crate) fn from_sealed(snapshot: &[u8]) -> Result<(Machine, u64), CodecError> {
    read(snapshot).map(|stored| (stored.machine.into(), stored.version))
}

/// Decodes a snapshot of this format or one before.
fn read(snapshot: &[u8]) -> Result<StoredState, CodecError> {
    match codec::unseal_format(snapshot)? {
        (SNAPSHOT_FORMAT, body) => codec::decode_body(body),
        (KNOWN_FORMAT, body) => {
            let (version, schedules_version, machine): (u64, u64, StoredKnown) =
                codec::decode_body(body)?;
            Ok(StoredState { version, schedules_version, machine: machine.into() })
        }
        (PLAIN_FORMAT, body) => {
            let (version, machine): (u64, StoredPlain) = codec::decode_body(body)?;
            Ok(StoredState { version, schedules_version: 0, machine: machine.into() })
        }
        (1, body) => {
            let (version, machine): (u64, StoredV1) = codec::decode_body(body)?;
            let machine = StoredPlain::from(machine).into();
            Ok(StoredState { version, schedules_version: 0, machine })
        }
        (format, _) => Err(CodecError::UnknownFormat(format)),
    }
}

#[cfg(test)]
mod tests;
