//! Rebuilds a control plane that was lost, in the data folder of one node, from what the state store knows.
//!
//! Every node must be stopped: nothing here can see one that still runs. If one does, it commits nothing from here on:
//! every shard in the store is claimed for nobody, one epoch higher, before the new control plane is made. What that one
//! grants is refused by the store until it is higher still, whether it knew a type from a backup or not.

use std::{io, path::Path, sync::Arc};

use callboard_control_plane::{
    ControlPlane, FirstStart, machine::command::EPOCH_MAX, recover::inspect,
};
use callboard_statestore::{Claimed, ShardClaim, StateStore as _};
use callboard_statestore_sql::SqlStore;
use callboard_transport::peer::PeerIdentity;
use callboard_types::{Epoch, NodeId, ShardId};

use crate::{
    Config,
    node::{self, Error},
};

/// What was rebuilt.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The cluster's name: the one that the store has.
    pub cluster_id: String,
    /// The number of the node whose folder it is.
    pub node: u64,
    /// Shards whose epochs the store knows.
    pub shards: usize,
}

/// Shards that are claimed at once.
const BATCH: usize = 1_000;

/// Rebuilds the control plane of a node with these settings. Its data folder must be empty; an SQLite store may be in it.
/// `backup` is what `ControlPlane`'s backup returned, if there is such a thing.
///
/// # Errors
/// The folder is in use, the backup is damaged, the store has no cluster or another one than the backup, or what keeps
/// any of them from being used. If it is about what was given, the folder and the store are as before.
pub async fn run(config: &Config, backup: Option<Vec<u8>>) -> Result<Recovered, Error> {
    check_folder(&config.node.data, config.store.is_shared())?;
    let made_of = backup.as_deref().map(inspect).transpose()?.map(|info| info.cluster_id);
    let store = node::open_store(config).await?;
    let recovered = rebuild(config, backup, made_of, &store).await;
    store.close().await;
    recovered
}

/// Refuses a folder that another node may have used. Only its database may be there, if it is the node's own.
fn check_folder(data: &Path, must_be_empty: bool) -> Result<(), Error> {
    let shown = data.display();
    if data.join("control/identity.json").exists() {
        return Err(Error::Cluster(format!(
            "{shown} has a control plane; start it with `callboard serve`, or name an empty folder"
        )));
    }
    let unreadable = |error| Error::Cluster(format!("{shown} cannot be read: {error}"));
    let entries = match std::fs::read_dir(data) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(unreadable)?,
    };
    for entry in entries {
        let name = entry.map_err(unreadable)?.file_name();
        // A control plane without an identity was never finished; the other one comes with every ext4 volume.
        if must_be_empty && name != "control" && name != "lost+found" {
            let name = name.display();
            return Err(Error::Cluster(format!("{shown} is not empty: {name} is in it")));
        }
    }
    Ok(())
}

/// Takes every shard from whoever has it. Returns the epochs that the store has then.
async fn fence(
    store: &SqlStore,
    stored: Vec<(ShardId, Epoch)>,
) -> Result<Vec<(ShardId, Epoch)>, Error> {
    if let Some((shard, epoch)) = stored.iter().find(|(_, epoch)| *epoch >= EPOCH_MAX) {
        return Err(Error::Cluster(format!(
            "the store names epoch {epoch} for shard {shard}, which no cluster can have reached: \
             its row in shard_fence is damaged"
        )));
    }
    // No node has number 0, so no node's claim can be taken for this one.
    let nobodys = |(shard, epoch): (ShardId, Epoch)| ShardClaim {
        shard,
        epoch: epoch.next(),
        node: NodeId::ZERO,
    };
    let claims: Vec<ShardClaim> = stored.into_iter().map(nobodys).collect();
    for batch in claims.chunks(BATCH) {
        let answers = store.claim(batch).await?;
        if answers.iter().any(|answer| matches!(answer, Claimed::Lost { .. })) {
            return Err(Error::Cluster(
                "a node still runs and took a shard just now: stop every node, then try again"
                    .to_owned(),
            ));
        }
    }
    Ok(claims.into_iter().map(|claim| (claim.shard, claim.epoch)).collect())
}

async fn rebuild(
    config: &Config,
    backup: Option<Vec<u8>>,
    made_of: Option<String>,
    store: &SqlStore,
) -> Result<Recovered, Error> {
    let Some(cluster_id) = store.cluster_id().await? else {
        return Err(Error::Cluster(
            "the store does not belong to a cluster: there is nothing to recover. Restore the \
             database first, and name it with store.url"
                .to_owned(),
        ));
    };
    if let Some(made_of) = made_of.filter(|made_of| *made_of != cluster_id) {
        return Err(Error::Cluster(format!(
            "the backup was made of cluster {made_of}, and the state store belongs to cluster \
             {cluster_id}"
        )));
    }
    let epochs = fence(store, store.highest_epochs().await?).await?;
    let shards = epochs.len();
    let advertised = |given: &str, bound: std::net::SocketAddr| match given {
        "" => bound.to_string(),
        given => given.to_owned(),
    };
    let listen = &config.listen;
    let address = advertised(&listen.advertise, listen.gateway);
    let peer = match config.is_clustered() {
        true => advertised(&listen.advertise_peer, listen.peer),
        false => String::new(),
    };
    let identity = match config.is_clustered() {
        true => {
            let secret = config.cluster.read_secret().map_err(|error| node::settings(&error))?;
            Some(PeerIdentity::new(secret))
        }
        false => None,
    };
    let mut options = node::timings(config, address);
    if let Some(identity) = identity {
        (options.peer, options.peer_address) = (identity, peer);
    }
    options.first_start = FirstStart::Recover {
        cluster_id: cluster_id.clone(),
        backup: backup.map(Arc::from),
        epochs,
    };
    // It is started once, so that whoever starts the node next meets a control plane that has worked.
    let (control, handle) = ControlPlane::start(options).await?;
    let recovered = Recovered { cluster_id, node: handle.node().0, shards };
    control.shutdown().await;
    Ok(recovered)
}
