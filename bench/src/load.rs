//! The load generator: callers that send, wait, and record how long it took. A failed call is a failure of the run,
//! never a retry: what the SDKs do to hide failures is not what is measured here.

mod calls;
mod streaming;
mod unary;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use callboard_proto::{
    gateway::v1::{InvokeRequest, gateway_service_client::GatewayServiceClient},
    types::v1::ActorId,
};
use tonic::{Code, transport::Channel};

use crate::{
    cli::{KeyOrder, LoadArgs, Mode},
    error::Error,
    load::calls::Calls,
    measure::{self, Recorder, Report},
    wire::{self, MESSAGE_BYTES_MAX},
};

/// How long the calls in flight at the end of the measured time may take before they count as lost.
const DRAIN: Duration = Duration::from_secs(30);

/// What the callers of one generator share. All of them run on one thread, so the lock is never waited for.
#[derive(Clone)]
pub(crate) struct Shared {
    recorder: Arc<Mutex<Recorder>>,
}

impl Shared {
    fn recorder(&self) -> MutexGuard<'_, Recorder> {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the load.
pub(crate) async fn run(args: &LoadArgs) -> Result<Report, Error> {
    let channel = wire::connect(&args.server).await?;
    if args.mode != Mode::Echo && args.ready_seconds > 0 {
        wait_until_served(args, &channel).await?;
    }
    let shared = Shared { recorder: Arc::new(Mutex::new(Recorder::new())) };
    match args.mode {
        Mode::Echo | Mode::Unary => unary::run(args, &channel, &shared).await?,
        Mode::Stream => streaming::run(args, &channel, &shared).await?,
    }
    let mut report = shared.recorder().report();
    if report.calls == 0 && report.errors == 0 {
        report.errors = 1;
        report.error_kinds.insert("no call ended inside the measured time".into(), 1);
    }
    Ok(report)
}

/// A client for the gateway that takes large batches.
fn gateway(channel: &Channel) -> GatewayServiceClient<Channel> {
    GatewayServiceClient::new(channel.clone())
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

/// Calls until a call succeeds: the host may still be starting. The key is one that no load uses.
async fn wait_until_served(args: &LoadArgs, channel: &Channel) -> Result<(), Error> {
    let give_up = measure::now() + Duration::from_secs(args.ready_seconds);
    let mut calls = Calls::new(args);
    loop {
        let probe = InvokeRequest {
            actor: Some(ActorId {
                system: String::new(),
                r#type: args.actor_type.clone(),
                key: "probe".into(),
            }),
            ..calls.request(0)
        };
        match gateway(channel).invoke(probe).await {
            Ok(_) => return Ok(()),
            Err(status) if measure::now() >= give_up || status.code() == Code::Unimplemented => {
                return Err(status.into());
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Waits for the end of warm-up and of the measured time, and marks both in the recorder. A load that goes once
/// through its keys has no warm-up, and ends by itself if it is faster.
async fn mark_time(
    args: &LoadArgs,
    shared: &Shared,
    ended: impl Future<Output = ()>,
) -> Result<(), Error> {
    if args.key_order == KeyOrder::Random {
        tokio::time::sleep(Duration::from_secs(args.warmup)).await;
    }
    shared.recorder().start(measure::now())?;
    tokio::select! {
        () = tokio::time::sleep(Duration::from_secs(args.seconds)) => {}
        () = ended => {}
    }
    shared.recorder().stop(measure::now())?;
    Ok(())
}
