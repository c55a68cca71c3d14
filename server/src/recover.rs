//! Rebuilds a control plane that was lost, in the data folder of one node, from what the state store knows.
//!
//! Every node must be stopped: nothing here can see one that still runs. If one does, the store's fences keep it from
//! committing as soon as the rebuilt cluster grants its shards to others.

use std::sync::Arc;

use callboard_control_plane::{ControlPlane, FirstStart};
use callboard_transport::peer::PeerIdentity;

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

/// Rebuilds the control plane of a node with these settings. Its data folder must have none. `backup` is what
/// `ControlPlane`'s backup returned, if there is such a thing.
///
/// # Errors
/// The folder has a control plane, the store has no cluster or another one than the backup, or what keeps either from
/// being used. The folder is as before then.
pub async fn run(config: &Config, backup: Option<Vec<u8>>) -> Result<Recovered, Error> {
    if config.node.data.join("control/identity.json").exists() {
        return Err(Error::Cluster(format!(
            "{} has a control plane; start it with `callboard serve`, or name an empty folder",
            config.node.data.display()
        )));
    }
    let store = node::open_store(config).await?;
    let recovered = rebuild(config, backup, &store).await;
    store.close().await;
    recovered
}

async fn rebuild(
    config: &Config,
    backup: Option<Vec<u8>>,
    store: &callboard_statestore_sql::SqlStore,
) -> Result<Recovered, Error> {
    let Some(cluster_id) = store.cluster_id().await? else {
        return Err(Error::Cluster(
            "the store does not belong to a cluster: there is nothing to recover".to_owned(),
        ));
    };
    let epochs = store.highest_epochs().await?;
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
