//! Where other nodes may be: from the settings, and from DNS, looked up again and again.
//!
//! What is found are hints, as host:port of peer listeners: who is there, and whether it belongs to the same cluster, is
//! found out by asking. So stale or foreign addresses do no harm, and the node itself may be among them.

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    config::LookupIpStrategy,
    proto::rr::{RData, RecordType},
};
use tokio::sync::watch;

/// How often names are looked up again. Kubernetes changes a headless service within seconds of a pod.
const INTERVAL: Duration = Duration::from_secs(2);
/// How long one question to a name server may take, and how often it is asked.
const QUESTION: (Duration, usize) = (Duration::from_secs(1), 2);
/// Addresses that one name gives at most; more nodes than that do not help anybody to join.
const ADDRESSES_MAX: usize = 64;

/// An entry of `cluster.peers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `host:port`. Names are looked up by the operating system whenever somebody connects.
    Address(String),
    /// `dns:name:port`: every address of a name, for example of a headless service.
    Dns {
        /// The name.
        name: String,
        /// The port at every address.
        port: u16,
    },
    /// `srv:_service._tcp.name`: hosts and ports by SRV records.
    Srv(String),
}

/// Looks places up.
pub struct Discovery {
    places: Vec<Place>,
    /// None if there is nothing to look up, or the system has no settings for it.
    resolver: Option<TokioResolver>,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "\"{text}\" is no place of a peer: write host:port, dns:name:port or \
                 srv:_service._tcp.name"
            )
        };
        if let Some(name) = text.strip_prefix("srv:") {
            let sound = name.starts_with('_') && name.contains("._tcp.") && !name.contains(':');
            return if sound { Ok(Self::Srv(name.to_owned())) } else { Err(wrong()) };
        }
        let rest = text.strip_prefix("dns:");
        let address = rest.unwrap_or(text);
        if !crate::config::is_host_and_port(address) {
            return Err(wrong());
        }
        match (rest, address.rsplit_once(':')) {
            (Some(_), Some((name, port))) if !name.starts_with('[') => {
                Ok(Self::Dns { name: name.to_owned(), port: port.parse().map_err(|_| wrong())? })
            }
            (None, _) => Ok(Self::Address(address.to_owned())),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discovery").field("places", &self.places).finish_non_exhaustive()
    }
}

// === impl Discovery ===

impl Discovery {
    /// Looks names up at the name servers of this machine.
    #[must_use]
    pub fn new(places: Vec<Place>) -> Self {
        let names = places.iter().any(|place| !matches!(place, Place::Address(_)));
        let resolver = names.then(|| {
            let builder = TokioResolver::builder_tokio();
            builder.and_then(|builder| Self::tuned(builder).build())
        });
        let resolver = resolver.transpose().unwrap_or_else(|error| {
            tracing::error!(%error, "no name server is known; names of peers cannot be looked up");
            None
        });
        Self { places, resolver }
    }

    fn tuned<P: hickory_resolver::ConnectionProvider>(
        mut builder: hickory_resolver::ResolverBuilder<P>,
    ) -> hickory_resolver::ResolverBuilder<P> {
        let options = builder.options_mut();
        (options.timeout, options.attempts) = QUESTION;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        // A node that joins must not be told for minutes that nobody is there.
        options.cache_size = 0;
        builder
    }

    /// Looks everything up once. Names that cannot be looked up now give nothing.
    pub async fn look(&self) -> Vec<String> {
        let found = futures::future::join_all(self.places.iter().map(|place| async move {
            self.addresses(place).await.unwrap_or_else(|error| {
                tracing::warn!(?place, %error, "peers cannot be looked up now; it is tried again");
                Vec::new()
            })
        }));
        // In the order of the settings, each once.
        let mut seen = BTreeSet::new();
        let all = found.await.into_iter().flatten();
        all.filter(|address| seen.insert(address.clone())).collect()
    }

    /// Looks up again and again and tells of changes, for as long as somebody listens. What was found is kept while a
    /// name server does not answer.
    pub async fn run(self, found: watch::Sender<Vec<String>>) {
        if self.resolver.is_none() {
            return;
        }
        loop {
            tokio::time::sleep(INTERVAL).await;
            if found.is_closed() {
                return;
            }
            let now = self.look().await;
            found.send_if_modified(|before| {
                let changed = !now.is_empty() && *before != now;
                if changed {
                    tracing::info!(peers = ?now, "the addresses of peers changed");
                    *before = now;
                }
                changed
            });
        }
    }

    async fn addresses(
        &self,
        place: &Place,
    ) -> Result<Vec<String>, hickory_resolver::net::NetError> {
        let (Some(resolver), place) = (&self.resolver, place) else {
            return Ok(match place {
                Place::Address(address) => vec![address.clone()],
                Place::Dns { .. } | Place::Srv(_) => Vec::new(),
            });
        };
        Ok(match place {
            Place::Address(address) => vec![address.clone()],
            Place::Dns { name, port } => addresses_of(resolver, name, *port).await?,
            Place::Srv(name) => {
                let lookup = resolver.lookup(name.as_str(), RecordType::SRV).await?;
                let mut all = Vec::new();
                for record in lookup.answers().iter().take(ADDRESSES_MAX) {
                    if let RData::SRV(srv) = &record.data {
                        // One host that cannot be found does not hide the others.
                        match addresses_of(resolver, &srv.target.to_string(), srv.port).await {
                            Ok(addresses) => all.extend(addresses),
                            Err(error) => {
                                tracing::debug!(target = %srv.target, %error, "no address");
                            }
                        }
                    }
                }
                all.sort();
                all
            }
        })
    }
}

async fn addresses_of(
    resolver: &TokioResolver,
    name: &str,
    port: u16,
) -> Result<Vec<String>, hickory_resolver::net::NetError> {
    let lookup = resolver.lookup_ip(name).await?;
    let mut addresses: Vec<IpAddr> = lookup.iter().take(ADDRESSES_MAX).collect();
    addresses.sort();
    Ok(addresses.into_iter().map(|ip| SocketAddr::new(ip, port).to_string()).collect())
}

#[cfg(test)]
mod tests;
