//! A control plane that is rebuilt: from a backup of what the cluster had agreed on, or from nothing but the epochs that
//! the state store has.
//!
//! The cluster keeps its name, because the store has it. Its consensus group gets another one, so that nodes of the
//! control plane that was lost are refused by the new one wherever they turn up. They come back with empty folders.

use std::{collections::BTreeMap, sync::Arc};

use callboard_types::{Epoch, Millis, NodeId, ShardId};
use openraft::{BasicNode, impls::leader_id_adv::LeaderId};
use serde::{Deserialize, Serialize};

use crate::{
    Error, FirstStart, Options,
    identity::Identity,
    machine::{
        COMMAND_VERSIONS, Command, Machine,
        command::{AllocateNode, NodesDown, RaiseEpochs, Raised, RemoveNode},
    },
    raft::{
        codec,
        snapshot_store::SnapshotStore,
        state_machine::{State, from_sealed},
        types::{LogId, Membership},
    },
};

/// The format of a [`Backup`].
const BACKUP_FORMAT: u8 = 1;
/// The first bytes of a backup, so that another file is not taken for one.
const MAGIC: &str = "callboard control plane backup";

/// What a backup holds. Sealed: it ends with a checksum.
#[derive(Serialize, Deserialize)]
struct Backup {
    magic: String,
    cluster_id: String,
    /// By the clock of the node that made it, in Unix milliseconds.
    taken_at: i64,
    /// A sealed snapshot of the state.
    state: Vec<u8>,
}

/// What a backup says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupInfo {
    /// The cluster that it was made of.
    pub cluster_id: String,
    /// When it was made, by the clock of the node that made it.
    pub taken_at: Millis,
    /// The version of the view that it holds.
    pub view_version: u64,
    /// How many actor types it knows.
    pub types: usize,
}

/// Writes down a state.
pub(crate) fn backup(state: &State) -> Vec<u8> {
    let backup = Backup {
        magic: MAGIC.into(),
        cluster_id: state.machine.cluster_id().into(),
        taken_at: Millis::now().0,
        state: state.sealed(),
    };
    codec::seal_format(BACKUP_FORMAT, &backup)
}

/// Reads what a backup says about itself, and checks that it is whole.
///
/// # Errors
/// [`Error::Backup`] if it is damaged, of a newer version, or no backup.
pub fn inspect(bytes: &[u8]) -> Result<BackupInfo, Error> {
    let (backup, machine, version) = read(bytes)?;
    Ok(BackupInfo {
        cluster_id: backup.cluster_id,
        taken_at: Millis(backup.taken_at),
        view_version: version,
        types: machine.types().count(),
    })
}

fn read(bytes: &[u8]) -> Result<(Backup, Machine, u64), Error> {
    let unusable = |error: codec::CodecError| Error::Backup(error.to_string());
    let (format, body) = codec::unseal_format(bytes).map_err(unusable)?;
    if format != BACKUP_FORMAT {
        return Err(unusable(codec::CodecError::UnknownFormat(format)));
    }
    let backup: Backup = codec::decode_body(body).map_err(unusable)?;
    if backup.magic != MAGIC {
        return Err(Error::Backup("it is something else".into()));
    }
    let (machine, version) = from_sealed(&backup.state).map_err(unusable)?;
    Ok((backup, machine, version))
}

/// Makes the files of the first node of a recovered control plane. Returns its name.
pub(crate) fn prepare(
    options: &Options,
    folder_id: &str,
    snapshots: &SnapshotStore,
) -> Result<Identity, Error> {
    let FirstStart::Recover { cluster_id, backup, epochs } = &options.first_start else {
        return Err(Error::Options("nothing is to be recovered".into()));
    };
    let Some(backup) = backup else {
        if cluster_id.is_empty() {
            return Err(Error::Options(
                "without a backup, name the cluster: the state store has its id".into(),
            ));
        }
        // Types come back when hosts register them, and epochs rise when the store refuses the first claims.
        return Ok(Identity::recovered(cluster_id.clone(), 1, true));
    };
    let (backup, machine, version) = read(backup)?;
    if !cluster_id.is_empty() && backup.cluster_id != *cluster_id {
        return Err(Error::Backup(format!(
            "it was made of cluster {}, and the state store belongs to cluster {cluster_id}",
            backup.cluster_id
        )));
    }
    let (machine, node) = rebuild(machine, options, folder_id, epochs)?;
    // As if this node had agreed on all of it alone, in a term before every election of the new group.
    let log_id = LogId::new(LeaderId { term: 0, node_id: node.0 }, version + 1);
    let nodes = BTreeMap::from([(node.0, BasicNode::new(&options.peer_address))]);
    let members = openraft::Membership::new(vec![[node.0].into()], nodes)
        .map_err(|error| Error::Backup(error.to_string()))?;
    let membership = Membership::new(Some(log_id), members);
    let state = State::rebuilt(machine, membership, log_id);
    let sealed: Arc<[u8]> = state.sealed().into();
    snapshots
        .save(&state.meta(), &sealed)
        .map_err(|source| Error::DataFolder { path: options.data_dir.clone(), source })?;
    Ok(Identity::recovered(backup.cluster_id, node.0, false))
}

/// Takes the nodes of the lost control plane out, lets this one in, and lifts every epoch above what is stored.
fn rebuild(
    mut machine: Machine,
    options: &Options,
    folder_id: &str,
    epochs: &[(ShardId, Epoch)],
) -> Result<(Machine, NodeId), Error> {
    let lost: Vec<(NodeId, u64)> =
        machine.members().map(|(node, member)| (node, member.life())).collect();
    let mut commands = vec![
        Command::NodesDown(NodesDown { nodes: lost.clone() }),
        Command::AllocateNode(AllocateNode {
            folder_id: folder_id.into(),
            address: options.address.clone(),
            peer_address: options.peer_address.clone(),
            commands_min: COMMAND_VERSIONS.0,
            commands_max: COMMAND_VERSIONS.1,
        }),
    ];
    commands.extend(lost.iter().map(|(node, _)| Command::RemoveNode(RemoveNode { node: *node })));
    let raised = epochs.iter().filter_map(|(shard, above)| {
        let mut types = machine.types();
        let found = types.find(|it| it.system == shard.system && it.name == shard.actor_type)?;
        // Not the stored one itself: a shard that is at it would stay there.
        Some(Raised { type_id: found.id, shard: shard.number, above: above.next() })
    });
    commands.push(Command::RaiseEpochs(RaiseEpochs { shards: raised.collect() }));
    for command in commands {
        machine.apply(command).outcome.map_err(|error| Error::Backup(error.message))?;
    }
    let node = machine.node_of_folder(folder_id).expect("it was just let in");
    Ok((machine, node))
}
