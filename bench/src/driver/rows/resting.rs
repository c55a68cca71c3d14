//! Actors that nobody calls: what waking a stored one costs, and what an idle one holds.

use crate::{
    driver::{
        Bench, Stage,
        table::{Row, thousands},
    },
    error::Error,
    payload::PAYLOAD_BYTES,
};

const COLD_PER_SECOND_MIN: f64 = 20_000.0;
const COLD_P99_US_MAX: f64 = 3_000.0;
const IDLE_BYTES_MAX: f64 = 1_024.0;

/// Longest time that going once through all actors may take, in seconds.
const ONCE_SECONDS_MAX: u64 = 600;

/// Stores actors, wakes them in a new node at full speed and at a pace, and looks at what they hold.
pub(crate) async fn measure(bench: &Bench) -> Result<Vec<Row>, Error> {
    let data = bench.folder("resting");
    let actors = bench.scale.actors;
    let once =
        format!("--mode stream --key-order once --keys {actors} --seconds {ONCE_SECONDS_MAX}");
    let mut rows = Vec::new();

    let stage = bench.stage(&data).await?;
    let stored = stage
        .load(bench, &format!("{once} --concurrency 256 --type BenchDurable --action Add"))
        .await?;
    stage.stop().await?;
    rows.push(
        Row::load(format!("first Add of {} actors", thousands(actors as f64)), &stored.report)
            .with_node_us(stored.node_us),
    );

    let stage = bench.stage(&data).await?;
    let before = resident_after_probe(bench, &stage, "BenchDurable").await?;
    let woken = stage
        .load(bench, &format!("{once} --concurrency 256 --type BenchDurable --action Peek"))
        .await?;
    let after = stage.node.resident_bytes()?;
    stage.stop().await?;
    rows.push(
        Row::load("cold activations of stored actors, 256", &woken.report)
            .with_node_us(woken.node_us)
            .asks("≥ 20,000/s", woken.report.per_second >= COLD_PER_SECOND_MIN),
    );
    rows.push(idle("durable", actors, before, after));

    let paced_keys = 500 * bench.scale.paced;
    let stage = bench.stage(&data).await?;
    let paced = stage
        .load(
            bench,
            &format!(
                "--mode stream --key-order once --keys {paced_keys} --seconds {ONCE_SECONDS_MAX} \
                 --concurrency 256 --rate 500 --type BenchDurable --action Peek"
            ),
        )
        .await?;
    stage.stop().await?;
    rows.push(
        Row::load("cold activations at 500/s", &paced.report)
            .with_node_us(paced.node_us)
            .asks("p99 ≤ 3,000 us", paced.report.p99_us <= COLD_P99_US_MAX),
    );

    let stage = bench.stage(&bench.folder("resting-volatile")).await?;
    let before = resident_after_probe(bench, &stage, "BenchVolatile").await?;
    stage
        .load(bench, &format!("{once} --concurrency 256 --type BenchVolatile --action Add"))
        .await?;
    let after = stage.node.resident_bytes()?;
    rows.push(idle("volatile", actors, before, after));

    // States that came in different messages must not keep those messages alive.
    let churn = format!(
        "--mode stream --concurrency 256 --keys {actors} --type BenchVolatile --action Add --warmup 0 \
         --seconds {}",
        bench.scale.seconds
    );
    let churned = stage.load(bench, &churn).await?;
    let after = stage.node.resident_bytes()?;
    stage.stop().await?;
    let each = churned.report.calls as f64 / actors as f64;
    rows.push(idle(&format!("volatile, {each:.1} Adds later,"), actors, before, after));
    Ok(rows)
}

/// Memory of a node that has served a few calls, so that what every node needs is not counted as the actors'.
async fn resident_after_probe(
    bench: &Bench,
    stage: &Stage,
    actor_type: &str,
) -> Result<u64, Error> {
    let line = format!(
        "--mode stream --keys 64 --key-start 900000000 --concurrency 256 --type {actor_type} \
         --action Peek --warmup 0 --seconds 1"
    );
    stage.load(bench, &line).await?;
    stage.node.resident_bytes()
}

fn idle(kind: &str, actors: u64, before: u64, after: u64) -> Row {
    let each = after.saturating_sub(before) as f64 / actors as f64 - PAYLOAD_BYTES as f64;
    Row::figure(
        format!("{} idle {kind} actors", thousands(actors as f64)),
        format!("{each:.0} bytes each over state, RSS {} MiB", after >> 20),
    )
    .asks("≤ 1,024 bytes each", each <= IDLE_BYTES_MAX)
}
