//! Loads whose calls nobody waits for: what counts is when the host has seen the last of them.

use std::time::Duration;

use callboard_proto::{
    gateway::v1::{
        InvokeRequest, PublishRequest, gateway_service_client::GatewayServiceClient,
        invoke_response::Reply, publish_request::Message,
    },
    types::v1::ActorId,
};
use tokio::time::{sleep, timeout};

use crate::{
    driver::{Bench, Measured, Stage},
    error::Error,
    host::{
        actors::{CHANNEL, TALLY, VOLATILE},
        tally::Tally,
    },
    payload, wire,
};

/// How often the tally is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// How long the host's tally may stand still.
const STILL_MAX: Duration = Duration::from_secs(60);

/// How long the node is watched after the last call, for what it does once deliveries are over.
const SETTLE: Duration = Duration::from_secs(1);

/// A load and what the node spent until nothing of it was left.
pub(crate) struct Spent {
    /// What the generator saw.
    pub(crate) measured: Measured,
    /// CPU time of the node in microseconds for each counted turn.
    pub(crate) us: f64,
}

impl Stage {
    /// What the host has counted.
    pub(crate) async fn tally(&self) -> Result<Tally, Error> {
        let channel = wire::connect(self.node.address()).await?;
        let request = InvokeRequest {
            actor: Some(ActorId {
                system: String::new(),
                r#type: VOLATILE.into(),
                key: "tally".into(),
            }),
            action: TALLY.into(),
            ..Default::default()
        };
        match GatewayServiceClient::new(channel).invoke(request).await?.into_inner().reply {
            Some(Reply::Payload(reply)) => Ok(serde_json::from_slice(&reply.data)?),
            _ => Err(Error::failed("the host answered no tally")),
        }
    }

    /// Waits until the host has counted so many.
    pub(crate) async fn until_counted(&self, count: u64) -> Result<Tally, Error> {
        let mut seen = self.tally().await?;
        loop {
            let still = seen.count;
            let moving = async {
                while seen.count == still && seen.count < count {
                    sleep(LOOK).await;
                    seen = self.tally().await?;
                }
                Ok::<(), Error>(())
            };
            if timeout(STILL_MAX, moving).await.is_err() {
                let text = format!("{} of {count} calls have come, and no more do", seen.count);
                return Err(Error::failed(text));
            }
            if seen.count >= count {
                return Ok(seen);
            }
        }
    }

    /// Runs a load of so many calls, each of which makes the host count once.
    pub(crate) async fn spend(
        &self,
        bench: &Bench,
        line: &str,
        calls: u64,
    ) -> Result<Spent, Error> {
        let line = format!(
            "--mode stream --calls {calls} --warmup 0 --seconds 600 --ready-seconds 0 {line}"
        );
        let counted = self.tally().await?.count;
        let before = self.node.cpu()?;
        let measured = self.load(bench, &line).await?;
        let us = self.until_spent(counted, before, calls).await?;
        Ok(Spent { measured, us })
    }

    /// Publishes so many messages one after the other, each of which makes the host count once per subscriber.
    pub(crate) async fn publish(&self, messages: u64, subscribers: u64) -> Result<f64, Error> {
        let channel = wire::connect(self.node.address()).await?;
        let mut client = GatewayServiceClient::new(channel);
        let counted = self.tally().await?.count;
        let before = self.node.cpu()?;
        for _ in 0..messages {
            let request = PublishRequest {
                channel: CHANNEL.into(),
                message: Some(Message::Payload(payload::counter(1))),
                ..Default::default()
            };
            client.publish(request).await?;
        }
        self.until_spent(counted, before, messages * subscribers).await
    }

    async fn until_spent(&self, counted: u64, before: Duration, calls: u64) -> Result<f64, Error> {
        self.until_counted(counted + calls).await?;
        sleep(SETTLE).await;
        let spent = self.node.cpu()? - before;
        Ok(spent.as_secs_f64() * 1e6 / calls as f64)
    }
}
