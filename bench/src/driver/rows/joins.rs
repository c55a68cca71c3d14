//! How soon every node knows what was registered at one, and what callers feel of many hosts and types that come at once.

use std::time::Duration;

use callboard_proto::{
    control::v1::{GetActorTypeRequest, actor_types_service_client::ActorTypesServiceClient},
    types::v1::{ActionDefinition, ActorTypeDefinition, Durability, Kind},
};
use tokio::{task::JoinSet, time::sleep};
use tonic::{Code, transport::Channel};

use crate::{
    driver::{
        Bench,
        cluster::Cluster,
        postgres::Postgres,
        probe::{Probe, Seen},
        table::Row,
    },
    error::Error,
    host::Session,
    measure, wire,
};

/// How often something is registered to see how soon others know it.
const REGISTRATIONS: usize = 200;

/// How often they are asked.
const LOOK: Duration = Duration::from_micros(500);

/// Hosts that join at once.
const HOSTS: usize = 1_000;

/// Hosts that are joining at any time.
const JOINING: usize = 32;

/// Types that are registered at once, and how many a frame has.
const TYPES: usize = 10_000;
const TYPES_OF_FRAME: usize = 250;

/// How long callers are watched while nothing happens.
const AT_REST: Duration = Duration::from_secs(3);

/// How long they are watched after what happened: shards of new types are still given to nodes.
const AFTER: Duration = Duration::from_secs(3);

/// How many turns a host takes at a time.
const CREDITS: u32 = 64;

/// Three nodes with hosts and callers, and what joins them.
pub(super) async fn measure(bench: &Bench) -> Result<Vec<Row>, Error> {
    let postgres = Postgres::start();
    let cluster = Cluster::start(bench, &postgres, "joins", 3).await?;
    let hosts = cluster.hosts(bench, &[0, 1, 2]).await?;
    cluster.until_balanced().await?;
    let mut crowd = Crowd::default();

    let mut rows = vec![propagation(&cluster, &mut crowd).await?];
    let probe = Probe::start(&cluster.addresses())?;
    sleep(AT_REST).await;
    let rest = probe.stop().await?;
    rows.extend(felt("calls while nothing joins", &rest));

    let probe = Probe::start(&cluster.addresses())?;
    let begun = measure::now();
    let joined = (0..HOSTS).map(|number| (number, vec![definition("Crowd")]));
    crowd.join(&cluster, joined.collect()).await?;
    rows.push(Row::figure("1,000 hosts join one type", seconds(begun.elapsed())));
    sleep(AFTER).await;
    rows.extend(felt("calls meanwhile", &probe.stop().await?));

    let probe = Probe::start(&cluster.addresses())?;
    let begun = measure::now();
    let frames = (0..TYPES / TYPES_OF_FRAME).map(|frame| {
        let types = (0..TYPES_OF_FRAME).map(|number| definition(&format!("Type{frame}x{number}")));
        (frame, types.collect())
    });
    crowd.join(&cluster, frames.collect()).await?;
    rows.push(Row::figure("10,000 types are registered", seconds(begun.elapsed())));
    sleep(AFTER).await;
    rows.extend(felt("calls meanwhile", &probe.stop().await?));
    drop((crowd, hosts));
    cluster.stop().await?;
    Ok(rows)
}

/// From the node's answer to a host that registered a type, until the other nodes know that type.
async fn propagation(cluster: &Cluster, crowd: &mut Crowd) -> Result<Row, Error> {
    let mut nodes = Vec::new();
    for address in cluster.addresses() {
        nodes.push(wire::connect(&address).await?);
    }
    let mut times = Vec::new();
    for number in 0..REGISTRATIONS {
        let at = number % nodes.len();
        let name = format!("News{number}");
        let mut session = Session::open(&cluster.address(at), CREDITS).await?;
        session.register(vec![definition(&name)]).await?;
        let begun = measure::now();
        for (_, other) in nodes.iter().enumerate().filter(|(other, _)| *other != at) {
            while !knows(other, &name).await? {
                sleep(LOOK).await;
            }
        }
        times.push(begun.elapsed());
        crowd.keep(session);
    }
    times.sort_unstable();
    let p99 = times[times.len() * 99 / 100];
    Ok(Row::figure("a type is known to all nodes, p99", millis(p99))
        .asks("< 50 ms", p99 < Duration::from_millis(50)))
}

async fn knows(node: &Channel, name: &str) -> Result<bool, Error> {
    let request = GetActorTypeRequest { system: String::new(), r#type: name.to_owned() };
    match ActorTypesServiceClient::new(node.clone()).get_actor_type(request).await {
        Ok(_) => Ok(true),
        Err(status) if status.code() == Code::NotFound => Ok(false),
        Err(status) => Err(status.into()),
    }
}

/// Hosts of this process. They leave with it.
#[derive(Default)]
struct Crowd(JoinSet<()>);

impl Crowd {
    /// Answers a session's pings for as long as it lasts.
    fn keep(&mut self, mut session: Session) {
        self.0.spawn(async move {
            // It ends with its node.
            let _ = session.run_turns().await;
        });
    }

    /// Lets hosts join, each at one of the nodes with its types, a few at a time.
    async fn join(
        &mut self,
        cluster: &Cluster,
        hosts: Vec<(usize, Vec<ActorTypeDefinition>)>,
    ) -> Result<(), Error> {
        let addresses = cluster.addresses();
        let mut joining = JoinSet::new();
        for (number, types) in hosts {
            while joining.len() >= JOINING {
                self.joined(joining.join_next().await)?;
            }
            let address = addresses[number % addresses.len()].clone();
            joining.spawn(async move {
                let mut session = Session::open(&address, CREDITS).await?;
                session.register(types).await?;
                Ok(session)
            });
        }
        while let Some(joined) = joining.join_next().await {
            self.joined(Some(joined))?;
        }
        Ok(())
    }

    fn joined(
        &mut self,
        joined: Option<Result<Result<Session, Error>, tokio::task::JoinError>>,
    ) -> Result<(), Error> {
        if let Some(joined) = joined {
            self.keep(joined.map_err(|_| Error::failed("a host panicked"))??);
        }
        Ok(())
    }
}

/// A type that nobody calls.
fn definition(name: &str) -> ActorTypeDefinition {
    let action = ActionDefinition { name: "Echo".into(), ..Default::default() };
    ActorTypeDefinition {
        name: name.into(),
        kind: Kind::Unnamed as i32,
        durability: Durability::Volatile as i32,
        actions: vec![action],
        ..Default::default()
    }
}

/// What callers of other actors felt.
fn felt(name: &str, seen: &Seen) -> [Row; 3] {
    let refused = seen.repeated();
    [
        Row::figure(format!("  {name}: p99"), millis(seen.p99()))
            .asks("< 250 ms", seen.p99() < Duration::from_millis(250)),
        Row::figure("  longest", millis(seen.longest())),
        Row::figure("  refused, of all", format!("{refused} of {}", seen.count()))
            .asks("0", refused == 0),
    ]
}

fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
