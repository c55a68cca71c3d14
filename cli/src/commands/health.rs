//! `callboard health`: what a container's health check runs.

use clap::Args;
use serde::Serialize;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

use crate::{
    args::Global,
    failure::{Exit, Failure, Retry},
    output::Noun,
};

/// Whose health is asked for.
#[derive(Args)]
pub(crate) struct HealthArgs {
    /// A service of grpc.health.v1: "liveness", "readiness", or a gRPC service; empty for the node
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
    service: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Health {
    service: String,
    status: &'static str,
    server: String,
}

impl Noun for Health {
    const KIND: &'static str = "Health";
    const COLUMNS: &'static [&'static str] = &["SERVICE", "STATUS", "SERVER"];

    fn cells(&self) -> Vec<String> {
        let service = if self.service.is_empty() { "node" } else { &self.service };
        vec![service.into(), self.status.into(), self.server.clone()]
    }

    fn name(&self) -> String {
        self.status.into()
    }
}

// === impl HealthArgs ===

impl HealthArgs {
    /// Prints the status; anything but SERVING is exit code 4.
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let connection = global.connect().await?;
        let request = HealthCheckRequest { service: self.service.clone() };
        let answer = connection.answer(connection.health().check(request)).await?;
        let status = answer.status();
        global.printer().one(&Health {
            service: self.service,
            status: status.as_str_name(),
            server: connection.address().to_owned(),
        })?;
        if status == ServingStatus::Serving {
            return Ok(());
        }
        let message = format!("{} is {}", connection.address(), status.as_str_name());
        Err(Failure::new(Exit::Unavailable, "NOT_SERVING", message)
            .retry(Retry::Safe)
            .advice("a node that starts or drains does not serve; look into its log"))
    }
}
