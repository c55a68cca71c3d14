//! Actors that talk to each other, beside as many plain calls in the same run.

use crate::{
    driver::{
        Bench,
        table::{Row, thousands},
    },
    error::Error,
};

/// What an effect may cost, as a multiple of a plain durable call.
const EFFECT_MAX: f64 = 1.5;

/// Pipes of three steps per second.
const PIPES_PER_SECOND_MIN: f64 = 3_000.0;

/// Runs of the pipe.
const PIPE_RUNS: usize = 10;

/// What the last run must reach of the first.
const LAST_RUN_MIN: f64 = 0.95;

/// Subscribers of one channel.
const SUBSCRIBERS: u64 = 10_000;

/// What a subscriber may cost, as a multiple of a plain asynchronous call.
const SUBSCRIBER_MAX: f64 = 1.2;

/// Durable turns that each tell another durable actor something.
pub(crate) async fn measure_effects(bench: &Bench) -> Result<Vec<Row>, Error> {
    let calls = bench.scale.calls();
    let stage = bench.stage(&bench.folder("effects")).await?;
    let tell = "--concurrency 256 --type BenchDurable --action Tell";
    // Both sides are in memory before anything counts.
    stage.spend(bench, tell, calls / 4).await?;
    let plain =
        stage.spend(bench, "--concurrency 256 --type BenchDurable --action Count", calls).await?;
    let told = stage.spend(bench, tell, calls).await?;
    stage.stop().await?;
    let ratio = (told.us - plain.us) / plain.us;
    Ok(vec![
        Row::load("durable Count, stream, 256", &plain.measured.report)
            .with_node_us(Some(plain.us)),
        Row::load("durable Tell of one other durable actor, 256", &told.measured.report)
            .with_node_us(Some(told.us)),
        Row::figure("  CPU of an effect over that of a plain call", format!("{ratio:.2} x"))
            .asks("≤ 1.5 x", ratio <= EFFECT_MAX),
    ])
}

/// A pipe of three steps over durable actors, again and again.
pub(crate) async fn measure_pipe(bench: &Bench) -> Result<Vec<Row>, Error> {
    let stage = bench.stage(&bench.folder("pipe")).await?;
    let line = format!(
        "--mode stream --concurrency 256 --type BenchDurable --action Pipe --warmup {} --seconds {}",
        bench.scale.warmup, bench.scale.seconds
    );
    let mut runs = Vec::new();
    for _ in 0..PIPE_RUNS {
        runs.push(stage.load(bench, &line).await?);
    }
    stage.stop().await?;
    let (first, last) = (&runs[0], &runs[PIPE_RUNS - 1]);
    let slowest = runs.iter().map(|run| run.report.per_second).fold(f64::INFINITY, f64::min);
    let ratio = last.report.per_second / first.report.per_second;
    Ok(vec![
        Row::load("pipe over three durable actors, 256, first run", &first.report)
            .with_node_us(first.node_us)
            .asks("≥ 3,000/s", first.report.per_second >= PIPES_PER_SECOND_MIN),
        Row::load("  tenth run", &last.report).with_node_us(last.node_us),
        Row::figure("  slowest of ten", format!("{}/s", thousands(slowest))),
        Row::figure("  tenth over first", format!("{ratio:.2} x"))
            .asks("≥ 0.95 x", ratio >= LAST_RUN_MIN),
    ])
}

/// Messages to a channel that every stored actor of a type hears exactly once.
pub(crate) async fn measure_broadcast(bench: &Bench) -> Result<Vec<Row>, Error> {
    let messages = bench.scale.calls() / SUBSCRIBERS;
    let stage = bench.stage(&bench.folder("broadcast")).await?;
    let subscribers = format!("--concurrency 256 --type BenchSubscriber --keys {SUBSCRIBERS}");
    let make = format!("--action Count --key-order once {subscribers}");
    stage.spend(bench, &make, SUBSCRIBERS).await?;
    // The first message finds its subscribers in the store.
    stage.publish(1, SUBSCRIBERS).await?;
    let plain = format!("--action Count --accept {subscribers}");
    let plain = stage.spend(bench, &plain, messages * SUBSCRIBERS).await?;
    let heard = stage.publish(messages, SUBSCRIBERS).await?;
    stage.stop().await?;
    let ratio = heard / plain.us;
    let name = format!("{messages} broadcasts to {} subscribers", thousands(SUBSCRIBERS as f64));
    Ok(vec![
        Row::load("durable Count, accepted only, 256", &plain.measured.report)
            .with_node_us(Some(plain.us)),
        Row::figure(name, "each heard once").with_node_us(Some(heard)),
        Row::figure("  CPU of a subscriber over that of such a call", format!("{ratio:.2} x"))
            .asks("≤ 1.2 x", ratio <= SUBSCRIBER_MAX),
    ])
}
