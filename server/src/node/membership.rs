//! How a node becomes part of its cluster: what the control plane is told, and whether the store is that cluster's.

use std::time::Duration;

use callboard_control_plane::{FirstStart, Options, Seeds};
use callboard_statestore_sql::{PostgresOptions, SqlStore, SqliteOptions};
use callboard_transport::peer::PeerIdentity;
use callboard_types::NodeId;
use tokio::sync::watch;

use super::Error;
use crate::{
    Config, VERSION,
    discovery::{Discovery, Place},
};

/// How long a database may take to be there when a node starts: machines that boot together are not ready in order.
const STORE_PATIENCE: Duration = Duration::from_secs(30);
/// Pause before it is tried again.
const STORE_PAUSE: Duration = Duration::from_millis(500);
/// How long the first node of a cluster may take to write its name into the store, after it let others in.
const NAME_PATIENCE: Duration = Duration::from_secs(20);

/// Opens the state store. Waits for a database that is not there yet.
pub(crate) async fn open_store(config: &Config) -> Result<SqlStore, Error> {
    if !config.store.is_shared() {
        let options = match config.store.url.as_str() {
            "" => SqliteOptions::new(&config.node.data),
            url => SqliteOptions::from_url(url)?,
        };
        return Ok(SqlStore::open_sqlite(options).await?);
    }
    let mut options = PostgresOptions::new(&config.store.url);
    options.lease = Duration::from_millis(config.cluster.lease_ms);
    let attempts = async {
        loop {
            match SqlStore::open_postgres(options.clone()).await {
                Err(error @ callboard_statestore::Error::Unavailable(_)) => {
                    tracing::warn!(%error, "the state store is not there yet; it is tried again");
                    tokio::time::sleep(STORE_PAUSE).await;
                }
                opened => return opened,
            }
        }
    };
    match tokio::time::timeout(STORE_PATIENCE, attempts).await {
        Ok(opened) => Ok(opened?),
        Err(_) => Err(Error::Store(callboard_statestore::Error::Unavailable(format!(
            "{} did not answer for {} s; start it, or mend store.url",
            config.store.url_for_people(),
            STORE_PATIENCE.as_secs()
        )))),
    }
}

/// What every control plane is told, whoever the node is.
pub(crate) fn timings(config: &Config, address: String) -> Options {
    let cluster = &config.cluster;
    let millis = Duration::from_millis;
    let mut options = Options::new(&config.node.data, address);
    options.version = VERSION.to_owned();
    options.heartbeat = millis(cluster.heartbeat_ms);
    options.election = (millis(cluster.election_min_ms), millis(cluster.election_max_ms));
    options.lease = millis(cluster.lease_ms);
    options.lease_margin = millis(cluster.lease_margin_ms);
    options.renewal = millis(cluster.renewal_ms);
    options.host_grace = millis(cluster.host_grace_ms);
    options.remove_down_after =
        (cluster.remove_down_after_s > 0).then(|| Duration::from_secs(cluster.remove_down_after_s));
    options.voters_max = cluster.voters_max;
    options.schedules_per_system = config.limits.schedules_per_system;
    options
}

/// What the control plane of this node is told. `identity` is set if it has, or is to have, a cluster.
pub(super) async fn control_options(
    config: &Config,
    address: String,
    peer_address: String,
    identity: Option<&PeerIdentity>,
    store: &SqlStore,
) -> Result<Options, Error> {
    let mut options = timings(config, address);
    if let Some(identity) = identity {
        options.peer = identity.clone();
        options.peer_address = peer_address;
        options.first_start = first_start(config, store).await?;
    }
    Ok(options)
}

/// What a node with an empty folder becomes. A store that has a cluster is never given another one.
async fn first_start(config: &Config, store: &SqlStore) -> Result<FirstStart, Error> {
    let taken = store.cluster_id().await?;
    // The control plane writes it when it is a member, and never before.
    let is_new = !config.node.data.join("control/identity.json").exists();
    let places = config.cluster.peers.iter().map(|peer| peer.parse::<Place>());
    let places: Vec<Place> = places.collect::<Result<_, _>>().map_err(Error::Failed)?;
    if places.is_empty() {
        if let (Some(cluster), true) = (taken, is_new) {
            return Err(Error::Cluster(format!(
                "the store belongs to cluster {cluster} already, and this node would begin another \
                 one: name a node of that cluster with --join, rebuild it with `callboard cluster \
                 recover` if every node's folder is lost, or use an empty database"
            )));
        }
        return Ok(FirstStart::Bootstrap);
    }
    let discovery = Discovery::new(places);
    let (found, seen) = watch::channel(discovery.look().await);
    // It ends with the control plane, which holds the other end.
    tokio::spawn(discovery.run(found));
    let seeds = Seeds::watched(seen);
    let count = config.cluster.bootstrap_expect;
    if count == 0 {
        return Ok(FirstStart::Join { seeds });
    }
    if let (Some(cluster), true) = (&taken, is_new) {
        tracing::warn!(
            cluster,
            "the store has a cluster already, so this node only joins; if every node's folder is \
             lost, use `callboard cluster recover`"
        );
        return Ok(FirstStart::Join { seeds });
    }
    Ok(FirstStart::Expect { count, seeds })
}

/// Makes sure that the store is the cluster's. The first node writes the cluster's name into it; who comes later must find
/// it there, or it would keep its actors in a database of its own.
pub(super) async fn bind_store(store: &SqlStore, cluster: &str, node: NodeId) -> Result<(), Error> {
    /// The number of the node that began the cluster.
    const FOUNDER: NodeId = NodeId(1);

    let named = async {
        loop {
            match store.cluster_id().await {
                Ok(None) if node != FOUNDER => {}
                Ok(_) => return store.bind_cluster(cluster).await,
                Err(callboard_statestore::Error::Unavailable(_)) => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(STORE_PAUSE).await;
        }
    };
    match tokio::time::timeout(NAME_PATIENCE, named).await {
        Ok(bound) => Ok(bound?),
        Err(_) => Err(Error::Cluster(format!(
            "this node joined cluster {cluster}, and its store does not have that cluster's name: \
             set store.url to the database that the other nodes have"
        ))),
    }
}
