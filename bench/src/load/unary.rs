//! Unary callers: each sends one call, waits for its reply, and sends the next.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use tokio::task::JoinSet;
use tonic::{Status, transport::Channel};

use crate::{
    cli::{LoadArgs, Mode},
    error::Error,
    load::{DRAIN, Shared, calls::Calls, gateway, mark_time},
    measure, payload,
    wire::echo::{EchoRequest, echo_service_client::EchoServiceClient},
};

/// Runs as many callers as the arguments say over one connection.
pub(crate) async fn run(args: &LoadArgs, channel: &Channel, shared: &Shared) -> Result<(), Error> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for caller in 0..args.concurrency {
        let (stop, shared, channel) = (Arc::clone(&stop), shared.clone(), channel.clone());
        let mut args = args.clone();
        args.seed = args.seed.wrapping_mul(1_000_003) + caller as u64;
        match args.mode {
            Mode::Echo => callers.spawn(async move { echo(&channel, &shared, &stop).await }),
            Mode::Unary | Mode::Stream => {
                callers.spawn(async move { invoke(&args, &channel, &shared, &stop).await })
            }
        };
    }
    mark_time(args, shared, std::future::pending()).await?;
    stop.store(true, Ordering::Relaxed);
    let drained = tokio::time::timeout(DRAIN, callers.join_all()).await;
    if drained.is_err() {
        shared.recorder().failure("calls were still unanswered at the end");
    }
    Ok(())
}

async fn echo(channel: &Channel, shared: &Shared, stop: &AtomicBool) {
    let mut client = EchoServiceClient::new(channel.clone());
    let payload = payload::counter(1).data;
    while !stop.load(Ordering::Relaxed) {
        let started = measure::now();
        let request = EchoRequest { payload: payload.clone() };
        record(shared, started, client.echo(request).await);
    }
}

async fn invoke(args: &LoadArgs, channel: &Channel, shared: &Shared, stop: &AtomicBool) {
    let mut client = gateway(channel);
    let mut calls = Calls::new(args);
    while !stop.load(Ordering::Relaxed) {
        let Some(request) = calls.next(payload::now_ms()) else {
            return;
        };
        let started = measure::now();
        record(shared, started, client.invoke(request).await);
    }
}

fn record<T>(shared: &Shared, started: Instant, outcome: Result<T, Status>) {
    let mut recorder = shared.recorder();
    match outcome {
        Ok(_) => recorder.success(started, measure::now()),
        Err(status) => recorder.failure(format_args!("{:?}: {}", status.code(), status.message())),
    }
}
