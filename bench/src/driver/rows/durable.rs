//! Durable adds beside what the store alone commits, and beside the echo.

use std::time::Duration;

use crate::{
    driver::{
        Bench,
        process::Peer,
        table::{Row, thousands},
    },
    error::Error,
    measure::{Event, Report},
};

/// CPU time that the node may take per durable add, in microseconds.
const NODE_US_MAX: f64 = 40.0;

/// What a call may add to one commit of the store, in microseconds.
const OVER_COMMIT_US_MAX: f64 = 200.0;

/// Adds per second that one hot key must take.
const HOT_KEY_PER_SECOND_MIN: f64 = 20_000.0;

/// 256 in flight over 1,000 keys, past one outcome window in the full measurement.
pub(crate) async fn measure_throughput(bench: &Bench) -> Result<Vec<Row>, Error> {
    let echo = bench.echo(256).await?;
    let store = store_alone(bench, 256, 1_000).await?;
    let stage = bench.stage(&bench.folder("durable")).await?;
    let line = format!(
        "--mode stream --concurrency 256 --type BenchDurable --action Add --warmup {} --seconds {}",
        bench.scale.warmup, bench.scale.durable
    );
    let measured = stage.load(bench, &line).await?;
    let store_after = store_alone(bench, 256, 1_000).await?;
    stage.stop().await?;
    let report = &measured.report;
    // The machine drifts over ten minutes, so the store is measured on both sides of the row.
    let ceiling = (store.per_second + store_after.per_second) / 2.0;
    let ratio = report.per_second / ceiling;
    let node_us = measured.node_us.unwrap_or(f64::INFINITY);
    Ok(vec![
        Row::load("store alone, 256 producers, before", &store).beside_echo(&store, &echo),
        Row::load("store alone, 256 producers, after", &store_after)
            .beside_echo(&store_after, &echo),
        Row::load("durable Add, stream, 256", report)
            .beside_echo(report, &echo)
            .with_node_us(measured.node_us)
            .asks("≥ 0.35 x echo (goal)", report.per_second >= 0.35 * echo.per_second),
        Row::figure(
            format!("  over {:.0} s, beside the store alone", report.seconds),
            format!("{ratio:.2} x"),
        )
        .asks("≥ 0.6 x store", ratio >= 0.6),
        Row::figure(
            "  its slowest ten seconds",
            format!("{}/s", thousands(report.slowest_per_second())),
        ),
        Row::figure("  node CPU per call", format!("{node_us:.1} us"))
            .asks("≤ 40 us", node_us <= NODE_US_MAX),
    ])
}

/// One caller on one key beside one commit at a time.
pub(crate) async fn measure_latency(bench: &Bench) -> Result<Vec<Row>, Error> {
    let store = store_alone(bench, 1, 1).await?;
    let stage = bench.stage(&bench.folder("durable-latency")).await?;
    let line = format!(
        "--mode stream --concurrency 1 --keys 1 --type BenchDurable --action Add --warmup {} --seconds {}",
        bench.scale.warmup, bench.scale.seconds
    );
    let measured = stage.load(bench, &line).await?;
    stage.stop().await?;
    let report = &measured.report;
    let over = report.p50_us - store.p50_us;
    Ok(vec![
        Row::load("store alone, one producer, one row", &store),
        Row::load("durable Add, one caller, one key", report).with_node_us(measured.node_us),
        Row::figure("  its p50 over one store commit", format!("{over:+.0} us"))
            .asks("≤ +200 us", over <= OVER_COMMIT_US_MAX),
    ])
}

/// 64 callers on one key: the turns of one actor share runs and commits.
pub(crate) async fn measure_hot_key(bench: &Bench) -> Result<Vec<Row>, Error> {
    let echo = bench.echo(64).await?;
    let stage = bench.stage(&bench.folder("durable-hot")).await?;
    let line = format!(
        "--mode stream --concurrency 64 --keys 1 --type BenchDurable --action Add --warmup {} --seconds {}",
        bench.scale.warmup, bench.scale.seconds
    );
    let measured = stage.load(bench, &line).await?;
    stage.stop().await?;
    let report = &measured.report;
    Ok(vec![
        Row::load("durable Add, 64 callers, one key", report)
            .beside_echo(report, &echo)
            .with_node_us(measured.node_us)
            .asks("≥ 20,000/s", report.per_second >= HOT_KEY_PER_SECOND_MIN),
    ])
}

/// What the store commits without a node around it, for the same rows and bytes per call.
async fn store_alone(bench: &Bench, concurrency: usize, keys: usize) -> Result<Report, Error> {
    let folder = tempfile::tempdir_in(bench.folder.path())?;
    let data = folder.path().display().to_string();
    let mut store = Peer::start(
        &bench.exe,
        &[
            "store",
            "--data",
            &data,
            "--concurrency",
            &concurrency.to_string(),
            "--keys",
            &keys.to_string(),
            "--warmup",
            &bench.scale.warmup.to_string(),
            "--seconds",
            &bench.scale.seconds.to_string(),
        ],
    )?;
    let patience = Duration::from_secs(bench.scale.seconds + 120);
    let report = store
        .wait_for(patience, |event| match event {
            Event::Done(report) => Some(*report),
            _ => None,
        })
        .await?;
    store.stop().await?;
    if report.errors > 0 {
        return Err(Error::failed(format!("the store alone failed: {:?}", report.error_kinds)));
    }
    Ok(report)
}
