//! What more than one node costs, and how long their loss is felt.

use std::time::Duration;

use crate::{
    driver::{
        Bench, Measured,
        cluster::Cluster,
        postgres::Postgres,
        probe::{Probe, Seen},
        table::Row,
    },
    error::Error,
    measure::{self, Report},
};

/// How long probes run before and after what happens, so that they see the cluster at rest too.
const AROUND: Duration = Duration::from_secs(2);

/// A lease of a node, in the default settings.
const LEASE: Duration = Duration::from_secs(2);

/// The margin that a leader waits after it, and the longest election.
const MARGIN_AND_ELECTION: Duration = Duration::from_millis(200 + 600);

/// Volatile calls through a node that owns nothing, beside the same calls at the owner.
pub(crate) async fn measure_forwarding(bench: &Bench) -> Result<Vec<Row>, Error> {
    let postgres = Postgres::start();
    let cluster = Cluster::start(bench, &postgres, "forwarding", 3).await?;
    // The only node with hosts owns every shard.
    let hosts = cluster.hosts(bench, &[1]).await?;
    let line = format!(
        "--mode stream --concurrency 256 --warmup {} --seconds {}",
        bench.scale.warmup, bench.scale.seconds
    );
    let local = cluster_load(bench, &cluster, 1, &line).await?;
    let forwarded = cluster_load(bench, &cluster, 0, &line).await?;
    drop(hosts);
    cluster.stop().await?;
    let us = |measured: &Measured| measured.node_us.unwrap_or(f64::INFINITY);
    let ratio = us(&forwarded) / us(&local);
    Ok(vec![
        Row::load("volatile Echo at its owner, one of three nodes", &local.report)
            .with_node_us(local.node_us),
        Row::load("volatile Echo, forwarded", &forwarded.report).with_node_us(forwarded.node_us),
        Row::figure("  CPU of all nodes per call, forwarded over local", format!("{ratio:.2} x"))
            .asks("≤ 2 x", ratio <= 2.0),
    ])
}

/// Callers of the rows about durable adds, over all nodes. With few, the commits of three nodes are small.
const ADDERS: [usize; 2] = [256, 1_024];

/// Durable adds through three nodes, beside one node on the same server with as many callers.
pub(crate) async fn measure_durable(bench: &Bench) -> Result<Vec<Row>, Error> {
    let postgres = Postgres::start();
    let mut ones = Vec::new();
    let alone = Cluster::start(bench, &postgres, "alone", 1).await?;
    let host = alone.hosts(bench, &[0]).await?;
    for callers in ADDERS {
        ones.push(cluster_load(bench, &alone, 0, &adds(bench, callers)).await?);
    }
    drop(host);
    alone.stop().await?;

    let cluster = Cluster::start(bench, &postgres, "three", 3).await?;
    let hosts = cluster.hosts(bench, &[0, 1, 2]).await?;
    cluster.until_balanced().await?;
    let mut rows = Vec::new();
    for (callers, one) in ADDERS.into_iter().zip(ones) {
        let three = adds_through_three(bench, &cluster, callers).await?;
        let ratio = three.per_second / one.report.per_second;
        let one_name = format!("durable Add, one node on PostgreSQL, {callers}");
        let name = format!("durable Add, three nodes on PostgreSQL, {callers} over all");
        rows.push(Row::load(one_name, &one.report).with_node_us(one.node_us));
        rows.push(Row::load(name, &three));
        rows.push(
            Row::figure("  three nodes over one", format!("{ratio:.2} x"))
                .asks("≥ 0.6 x", ratio >= 0.6),
        );
    }
    drop(hosts);
    cluster.stop().await?;
    Ok(rows)
}

/// A load of durable adds.
fn adds(bench: &Bench, callers: usize) -> String {
    let (warmup, seconds) = (bench.scale.warmup, bench.scale.seconds.max(5));
    format!(
        "--mode stream --concurrency {callers} --type BenchDurable --action Add --warmup {warmup} --seconds {seconds}"
    )
}

/// The same load, in equal parts at three nodes: their sum, and the 99th percentile of the slowest.
async fn adds_through_three(
    bench: &Bench,
    cluster: &Cluster,
    callers: usize,
) -> Result<Report, Error> {
    let lines = [0, 1, 2].map(|at| adds(bench, (callers + 2 - at) / 3));
    let (a, b, c) = tokio::try_join!(
        cluster_load(bench, cluster, 0, &lines[0]),
        cluster_load(bench, cluster, 1, &lines[1]),
        cluster_load(bench, cluster, 2, &lines[2]),
    )?;
    let per_second = [&a, &b, &c].map(|one| one.report.per_second).iter().sum::<f64>();
    let slowest = [&a, &b, &c].map(|one| one.report.p99_us).into_iter().fold(0.0, f64::max);
    Ok(Report { per_second, p99_us: slowest, ..a.report })
}

/// Losses and drains, as callers of durable actors at all nodes see them.
pub(crate) async fn measure_losses(bench: &Bench) -> Result<Vec<Row>, Error> {
    let postgres = Postgres::start();
    let mut cluster = Cluster::start(bench, &postgres, "losses", 3).await?;
    let mut hosts = cluster.hosts(bench, &[0, 1, 2]).await?;
    let spare = cluster.hosts(bench, &[0, 1, 2]).await?;
    cluster.until_balanced().await?;
    let mut rows = Vec::new();

    // A host of each node is killed; another of each node is there.
    let probe = Probe::start(&cluster.addresses())?;
    tokio::time::sleep(AROUND).await;
    hosts.clear();
    let seen = settle(probe).await?;
    rows.push(longest("a host of each node killed: longest call", &seen, 200));

    let leader = cluster.leader(0).await?;
    let follower = (leader + 1) % 3;
    let probe = Probe::start(&cluster.addresses())?;
    tokio::time::sleep(AROUND).await;
    cluster.kill(follower).await?;
    tokio::time::sleep(LEASE + AROUND).await;
    let seen = settle(probe).await?;
    let allowed = LEASE + Duration::from_secs(1);
    rows.push(longest("a follower killed: longest call", &seen, allowed.as_millis()));
    cluster.spawn(bench, follower)?;
    cluster.until_ready(follower).await?;
    let mut back = cluster.hosts(bench, &[follower]).await?;
    cluster.until_balanced().await?;

    let leader = cluster.leader(follower).await?;
    let witness = (leader + 1) % 3;
    let probe = Probe::start(&cluster.addresses())?;
    tokio::time::sleep(AROUND).await;
    let old = cluster.status(witness).await?.leader_id;
    cluster.kill(leader).await?;
    let begun = measure::now();
    cluster
        .until(witness, "an election", |status| status.leader_id != 0 && status.leader_id != old)
        .await?;
    let elected = begun.elapsed();
    tokio::time::sleep(LEASE + AROUND).await;
    let seen = settle(probe).await?;
    rows.push(
        Row::figure("the leader killed: a new one", millis(elected))
            .asks("< 1,000 ms", elected < Duration::from_secs(1)),
    );
    let allowed = LEASE + MARGIN_AND_ELECTION + Duration::from_secs(1);
    rows.push(longest("the leader killed: longest call", &seen, allowed.as_millis()));
    cluster.spawn(bench, leader)?;
    cluster.until_ready(leader).await?;
    back.extend(cluster.hosts(bench, &[leader]).await?);
    cluster.until_balanced().await?;

    rows.extend(drain(&mut cluster, (leader + 1) % 3).await?);
    drop((spare, back));
    cluster.stop().await?;
    Ok(rows)
}

/// A node ends in order while callers use the others.
async fn drain(cluster: &mut Cluster, at: usize) -> Result<Vec<Row>, Error> {
    let mut others = cluster.addresses();
    others.remove(at);
    let probe = Probe::start(&others)?;
    tokio::time::sleep(AROUND).await;
    cluster.end_in_order(at).await?;
    let seen = settle(probe).await?;
    let p99 = seen.p99();
    Ok(vec![
        Row::figure(
            "a node drained: calls refused, of all",
            format!("{} of {}", seen.repeated(), seen.count()),
        )
        .asks("0", seen.repeated() == 0),
        Row::figure("  p99 of calls meanwhile", millis(p99))
            .asks("< 250 ms", p99 < Duration::from_millis(250)),
        Row::figure("  longest call", millis(seen.longest())),
    ])
}

/// Lets probes see the cluster at rest once more and takes what they saw.
async fn settle(probe: Probe) -> Result<Seen, Error> {
    tokio::time::sleep(AROUND).await;
    probe.stop().await
}

fn longest(name: &str, seen: &Seen, allowed_ms: u128) -> Row {
    let took = seen.longest();
    Row::figure(name, millis(took))
        .asks(format!("≤ {allowed_ms} ms"), took.as_millis() <= allowed_ms)
}

fn millis(duration: Duration) -> String {
    format!("{:.0} ms", duration.as_secs_f64() * 1e3)
}

/// A load at one node, with the CPU time of all of them.
async fn cluster_load(
    bench: &Bench,
    cluster: &Cluster,
    at: usize,
    line: &str,
) -> Result<Measured, Error> {
    bench.load_with(&cluster.address(at), Some(&|| cluster.cpu()), line).await
}
