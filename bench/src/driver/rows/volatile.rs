//! Calls that no store stands behind: what routing, mailboxes and sessions cost beside a bare echo.

use crate::{
    driver::{Bench, table::Row},
    error::Error,
};

/// The router without actors, for scale.
pub(crate) async fn measure_router(bench: &Bench) -> Result<Vec<Row>, Error> {
    let echo_1 = bench.echo(1).await?;
    let echo_256 = bench.echo(256).await?;
    let one_thread = bench.echo_one_thread(256).await?;
    let (router, address) = bench.server(&["router"]).await?;
    let host = bench.host(&address).await?;
    let line = format!(
        "--mode stream --concurrency 256 --warmup {} --seconds {}",
        bench.scale.warmup, bench.scale.seconds
    );
    let measured = bench.load(&address, None, &line).await;
    host.stop().await?;
    router.stop().await?;
    let report = measured?.report;
    Ok(vec![
        Row::load("echo unary, 1 in flight", &echo_1),
        Row::load("echo unary, 256 in flight", &echo_256),
        Row::load("echo unary, 256, server on one thread", &one_thread)
            .beside_echo(&one_thread, &echo_256),
        Row::load("router without actors, stream, 256", &report).beside_echo(&report, &echo_256),
    ])
}

/// Volatile actors over the stream and unary.
pub(crate) async fn measure(
    bench: &Bench,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Vec<Row>, Error> {
    let stage = bench.stage(&bench.folder("volatile")).await?;
    let timing = format!("--warmup {} --seconds {}", bench.scale.warmup, bench.scale.seconds);
    let mut rows = Vec::new();
    if wanted("volatile-stream-256") || wanted("volatile-add-stream-256") {
        let echo = bench.echo(256).await?;
        for (action, row, binding) in
            [("Echo", "volatile-stream-256", true), ("Add", "volatile-add-stream-256", false)]
        {
            if !wanted(row) {
                continue;
            }
            let line = format!("--mode stream --concurrency 256 --action {action} {timing}");
            let measured = stage.load(bench, &line).await?;
            let report = &measured.report;
            let row = Row::load(format!("volatile {action}, stream, 256"), report)
                .beside_echo(report, &echo)
                .with_node_us(measured.node_us);
            if binding {
                let p99 = Row::figure(
                    "  its p99 beside the echo's",
                    format!("{:.2} x", report.p99_us / echo.p99_us),
                );
                rows.push(row.asks("≥ 4 x echo", report.per_second >= 4.0 * echo.per_second));
                rows.push(p99.asks("p99 ≤ echo's", report.p99_us <= echo.p99_us));
            } else {
                rows.push(row);
            }
        }
    }
    if wanted("volatile-unary-64") {
        let echo = bench.echo(64).await?;
        let line = format!("--mode unary --concurrency 64 --action Echo {timing}");
        let measured = stage.load(bench, &line).await?;
        let report = &measured.report;
        rows.push(Row::load("echo unary, 64 in flight", &echo));
        rows.push(
            Row::load("volatile Echo, unary, 64", report)
                .beside_echo(report, &echo)
                .with_node_us(measured.node_us)
                .asks("≥ 0.75 x echo", report.per_second >= 0.75 * echo.per_second),
        );
        rows.push(
            Row::figure(
                "  its p99 beside the echo's",
                format!("{:.2} x", report.p99_us / echo.p99_us),
            )
            .asks("p99 ≤ 2 x echo's", report.p99_us <= 2.0 * echo.p99_us),
        );
    }
    stage.stop().await?;
    Ok(rows)
}
