//! Callers that tell how long their calls took while something happened to the cluster. They repeat a call with the same
//! request id, at another node, until it is answered, as the SDKs do.

use std::time::Duration;

use callboard_proto::{
    gateway::v1::{InvokeRequest, gateway_service_client::GatewayServiceClient, invoke_request},
    types::v1::ActorId,
};
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use crate::{
    error::Error,
    measure,
    payload::{self, Ids},
};

/// Callers, each on a key of its own, so that shards of every node are looked at.
const CALLERS: u64 = 48;

/// Pause between two calls of a caller.
const PAUSE: Duration = Duration::from_millis(10);

/// Pause before a call is repeated.
const REPEAT: Duration = Duration::from_millis(5);

/// How long one call may take, repetitions included.
const PATIENCE: Duration = Duration::from_secs(30);

/// One logical call.
#[derive(Debug, Clone, Copy)]
struct Call {
    took: Duration,
    repeated: bool,
}

/// Running callers.
pub(crate) struct Probe {
    callers: JoinSet<Result<Vec<Call>, Error>>,
    stop: CancellationToken,
}

/// What they saw.
#[derive(Debug)]
pub(crate) struct Seen {
    calls: Vec<Call>,
}

impl Probe {
    /// Starts callers that add to durable actors through any of the addresses.
    pub(crate) fn start(addresses: &[String]) -> Result<Self, Error> {
        let stop = CancellationToken::new();
        let mut channels = Vec::new();
        for address in addresses {
            let endpoint = Endpoint::from_shared(format!("http://{address}"))?
                .tcp_nodelay(true)
                .connect_timeout(Duration::from_millis(500));
            channels.push(endpoint.connect_lazy());
        }
        let mut callers = JoinSet::new();
        for number in 0..CALLERS {
            callers.spawn(call_until(number, channels.clone(), stop.clone()));
        }
        Ok(Self { callers, stop })
    }

    /// Ends the callers and tells what they saw. A call that was never answered is an error.
    pub(crate) async fn stop(mut self) -> Result<Seen, Error> {
        self.stop.cancel();
        let mut calls = Vec::new();
        while let Some(ended) = self.callers.join_next().await {
            calls.extend(ended.map_err(|_| Error::failed("a caller panicked"))??);
        }
        Ok(Seen { calls })
    }
}

impl Seen {
    /// How many calls there were.
    pub(crate) fn count(&self) -> usize {
        self.calls.len()
    }

    /// The longest call, repetitions included.
    pub(crate) fn longest(&self) -> Duration {
        self.calls.iter().map(|call| call.took).max().unwrap_or_default()
    }

    /// 99 of 100 calls took no longer.
    pub(crate) fn p99(&self) -> Duration {
        let mut took: Vec<Duration> = self.calls.iter().map(|call| call.took).collect();
        took.sort_unstable();
        took.get(took.len() * 99 / 100).copied().unwrap_or_default()
    }

    /// Calls that were refused or cut off at least once.
    pub(crate) fn repeated(&self) -> usize {
        self.calls.iter().filter(|call| call.repeated).count()
    }
}

async fn call_until(
    number: u64,
    channels: Vec<Channel>,
    stop: CancellationToken,
) -> Result<Vec<Call>, Error> {
    let mut ids = Ids::new(number + 1);
    let mut calls = Vec::new();
    let mut at = number as usize % channels.len();
    while !stop.is_cancelled() {
        let now_ms = payload::now_ms();
        let request = InvokeRequest {
            actor: Some(ActorId {
                system: String::new(),
                r#type: "BenchDurable".into(),
                key: payload::key(1_000_000 + number),
            }),
            action: "Add".into(),
            argument: Some(invoke_request::Argument::Payload(payload::counter(1))),
            request_id: ids.next(now_ms),
            created_at_ms: now_ms,
            ..InvokeRequest::default()
        };
        let begun = measure::now();
        let mut repeated = false;
        loop {
            let mut client = GatewayServiceClient::new(channels[at].clone());
            match client.invoke(request.clone()).await {
                Ok(_) => break,
                Err(status) if begun.elapsed() > PATIENCE => return Err(status.into()),
                Err(_) => {
                    repeated = true;
                    at = (at + 1) % channels.len();
                    sleep(REPEAT).await;
                }
            }
        }
        calls.push(Call { took: begun.elapsed(), repeated });
        sleep(PAUSE).await;
    }
    Ok(calls)
}
