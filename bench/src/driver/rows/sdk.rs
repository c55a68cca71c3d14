//! Echo turns through the node to a host of each SDK.

use crate::{
    driver::{
        Bench,
        process::Node,
        sdk_hosts::{self, SdkHost},
        table::Row,
    },
    error::Error,
};

/// Measures each host of the list. A host that cannot be measured fails alone.
pub(crate) async fn measure(bench: &Bench) -> Result<Vec<Row>, Error> {
    let hosts = sdk_hosts::read(&bench.hosts)?;
    let mut rows = Vec::new();
    for host in &hosts {
        rows.push(match measure_host(bench, host).await {
            Ok(row) => row,
            Err(error) => {
                Row::figure(format!("{} host", host.name), error.to_string()).asks("runs", false)
            }
        });
    }
    Ok(rows)
}

async fn measure_host(bench: &Bench, sdk: &SdkHost) -> Result<Row, Error> {
    let echo = bench.echo(sdk.in_flight).await?;
    let node = Node::start(&bench.node_bin, &bench.folder(&format!("sdk-{}", sdk.name))).await?;
    let host = sdk.start(node.address(), &bench.folder(&format!("sdk-{}.log", sdk.name)))?;
    let line = format!(
        "--mode stream --concurrency {} --type {} --action {} --json {} --ready-seconds 120 \
         --warmup {} --seconds {}",
        sdk.in_flight,
        sdk.actor_type,
        sdk.action,
        sdk.json,
        bench.scale.warmup,
        bench.scale.seconds
    );
    let measured = bench.load(node.address(), Some(&node), &line).await;
    host.stop().await?;
    node.stop().await?;
    let measured = measured?;
    let report = &measured.report;
    let name = format!("{} host, {}/{}, {}", sdk.name, sdk.actor_type, sdk.action, sdk.in_flight);
    let mut row = Row::load(name, report).beside_echo(report, &echo).with_node_us(measured.node_us);
    row.asked = format!("runtime alone: {}", sdk.runtime_alone);
    Ok(row)
}
