//! Calls that are registered to be made later: how fast they are taken, what they hold, and how soon they are made.

use std::{path::Path, time::Duration};

use crate::{
    driver::{
        Bench, Stage,
        cluster::Cluster,
        postgres::Postgres,
        process::{Node, free_port},
        table::{Row, thousands},
    },
    error::Error,
    measure::Report,
    payload,
};

/// Registrations per second, on one node and on three.
const REGISTRATIONS_MIN: [f64; 2] = [20_000.0, 10_000.0];

/// How long a registration may take, in microseconds.
const REGISTRATION_P99_US_MAX: f64 = 50_000.0;

/// Calls that are due at one instant.
const AT_ONCE: u64 = 10_000;

/// How late the last of them may be, in milliseconds.
const LAST_MS_MAX: i64 = 500;

/// Calls made per second while many are due.
const FIRINGS_MIN: f64 = 20_000.0;

/// Registrations on their way.
const IN_FLIGHT: usize = 512;

/// Between the end of the registrations and when they are due, in milliseconds.
const REST_MS: i64 = 2_000;

/// Schedules that are not due while anything is measured.
const LATER: &str = "--delay-ms 86400000";

/// A burst of calls that were due at one instant.
struct Burst {
    /// From when they were due to when the last ran, in milliseconds.
    last_ms: i64,
    /// Calls per second meanwhile.
    per_second: f64,
}

/// One node: registrations, firing with few and with many schedules pending, memory, and a start with all of them.
pub(crate) async fn measure(bench: &Bench) -> Result<Vec<Row>, Error> {
    let data = bench.folder("schedules");
    let pending = bench.scale.pending;
    let stage = stage(bench, &data).await?;
    let few = burst(bench, &stage, AT_ONCE, 1_000.0).await?;
    let before = stage.node.resident_bytes()?;
    let line = format!("{} {LATER} --key-order once --keys {pending} --seconds 600", registers());
    let registered = stage.load(bench, &line).await?;
    let after = stage.node.resident_bytes()?;
    let report = &registered.report;
    let many = burst(bench, &stage, AT_ONCE, report.per_second / 2.0).await?;
    let sustained = burst(bench, &stage, bench.scale.calls(), report.per_second / 2.0).await?;
    stage.host.stop().await?;
    stage.node.stop().await?;
    let node = node(bench, &data).await?;
    let (ready_after, again) = (node.ready_after(), node.resident_bytes()?);
    node.stop().await?;

    let count = thousands(pending as f64);
    let each = after.saturating_sub(before) as f64 / pending as f64;
    Ok(vec![
        Row::load(format!("schedules registered, {IN_FLIGHT} in flight"), report)
            .with_node_us(registered.node_us)
            .asks("≥ 20,000/s", report.per_second >= REGISTRATIONS_MIN[0]),
        Row::figure("  their p99", millis(report.p99_us / 1e3))
            .asks("≤ 50 ms", report.p99_us <= REGISTRATION_P99_US_MAX),
        Row::figure(
            format!("  {count} pending"),
            format!("RSS {} MiB, {each:.0} bytes each", after >> 20),
        ),
        Row::figure(
            "  restart with them",
            format!(
                "ready in {}, RSS {} MiB",
                millis(ready_after.as_secs_f64() * 1e3),
                again >> 20
            ),
        ),
        at_once("10,000 due at once: last fired after", &few),
        at_once(&format!("  with {count} more pending"), &many),
        Row::figure(
            format!("{} due at once, volatile", thousands(bench.scale.calls() as f64)),
            format!("{}/s", thousands(sustained.per_second)),
        )
        .asks("≥ 20,000/s", sustained.per_second >= FIRINGS_MIN),
    ])
}

/// Three nodes: registrations at all of them.
pub(crate) async fn measure_cluster(bench: &Bench) -> Result<Vec<Row>, Error> {
    let postgres = Postgres::start();
    let cluster = Cluster::start(bench, &postgres, "schedules-three", 3).await?;
    let hosts = cluster.hosts(bench, &[0, 1, 2]).await?;
    cluster.until_balanced().await?;
    let line = |concurrency: usize| {
        format!(
            "--mode stream --concurrency {concurrency} --action Count {LATER} --warmup {} --seconds {}",
            bench.scale.warmup, bench.scale.seconds
        )
    };
    let (first, second, third) =
        (line(IN_FLIGHT / 3 + 2), line(IN_FLIGHT / 3), line(IN_FLIGHT / 3));
    let addresses = [cluster.address(0), cluster.address(1), cluster.address(2)];
    let (a, b, c) = tokio::try_join!(
        bench.load(&addresses[0], None, &first),
        bench.load(&addresses[1], None, &second),
        bench.load(&addresses[2], None, &third),
    )?;
    drop(hosts);
    cluster.stop().await?;
    let all = [&a.report, &b.report, &c.report];
    let most = |of: fn(&Report) -> f64| all.iter().map(|report| of(report)).fold(0.0, f64::max);
    let report = Report {
        per_second: all.iter().map(|report| report.per_second).sum(),
        p50_us: most(|report| report.p50_us),
        p99_us: most(|report| report.p99_us),
        ..Report::default()
    };
    Ok(vec![
        Row::load(format!("schedules registered at three nodes, {IN_FLIGHT}"), &report)
            .asks("≥ 10,000/s", report.per_second >= REGISTRATIONS_MIN[1]),
        Row::figure("  their p99 at the slowest", millis(report.p99_us / 1e3))
            .asks("≤ 50 ms", report.p99_us <= REGISTRATION_P99_US_MAX),
    ])
}

/// A node that takes more schedules than one does by default, with a host.
async fn stage(bench: &Bench, data: &Path) -> Result<Stage, Error> {
    let node = node(bench, data).await?;
    let host = bench.host(node.address()).await?;
    Ok(Stage { node, host })
}

async fn node(bench: &Bench, data: &Path) -> Result<Node, Error> {
    let (port, admin_port) = (free_port()?, free_port()?);
    let settings = [
        format!("listen.gateway=127.0.0.1:{port}"),
        format!("listen.admin=127.0.0.1:{admin_port}"),
        "limits.schedules_per_system=100000000".to_owned(),
    ];
    Node::serve(&bench.node_bin, data, port, &settings)?.until_ready(data).await
}

fn registers() -> String {
    format!("--mode stream --concurrency {IN_FLIGHT} --action Count --warmup 0 --ready-seconds 0")
}

/// Registers calls that are due at one instant, at a rate that is surely reached, and waits until they have run.
async fn burst(bench: &Bench, stage: &Stage, calls: u64, rate: f64) -> Result<Burst, Error> {
    let counted = stage.tally().await?.count;
    let due = payload::now_ms() + REST_MS + (calls as f64 / rate * 1e3) as i64;
    let line = format!("{} --due-at-ms {due} --calls {calls} --seconds 600", registers());
    stage.load(bench, &line).await?;
    let left = due - payload::now_ms();
    if left < 0 {
        return Err(Error::failed("calls were due before all of them were registered"));
    }
    tokio::time::sleep(Duration::from_millis(left.unsigned_abs())).await;
    let last_ms = stage.until_counted(counted + calls).await?.last_ms - due;
    Ok(Burst { last_ms, per_second: calls as f64 * 1e3 / last_ms.max(1) as f64 })
}

fn at_once(name: &str, burst: &Burst) -> Row {
    Row::figure(name, millis(burst.last_ms as f64)).asks("≤ 500 ms", burst.last_ms <= LAST_MS_MAX)
}

fn millis(millis: f64) -> String {
    format!("{} ms", thousands(millis))
}
