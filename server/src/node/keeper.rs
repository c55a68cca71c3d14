//! Readiness: what probes and balancers are told.

use std::{sync::Arc, time::Duration};

use callboard_data_plane::plane::Handle as DataHandle;
use callboard_types::{ClusterView, Lease, Tick};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::telemetry;

/// How often readiness is looked at, and metrics are put in order.
const KEEPER_INTERVAL: Duration = Duration::from_millis(500);

/// Keeps readiness honest: the node is ready while commits work, it knows who leads, and its lease holds. A lease is only
/// extended once the node's view has caught up with what a majority agreed on, so the view is never older than that.
pub(super) struct Keeper {
    pub(super) data: DataHandle,
    pub(super) view: watch::Receiver<Arc<ClusterView>>,
    pub(super) lease: Lease,
    pub(super) health: HealthReporter,
    pub(super) ready: watch::Sender<bool>,
    /// Cancelled when the node begins to stop; readiness is over then.
    pub(super) leaving: CancellationToken,
}

impl Keeper {
    pub(super) async fn run(self) {
        loop {
            let pause = tokio::time::sleep(KEEPER_INTERVAL);
            if self.leaving.run_until_cancelled(pause).await.is_none() {
                return self.tell(false).await;
            }
            self.look().await;
            // Histograms keep every sample until somebody puts them into buckets, whether or not anybody scrapes.
            telemetry::metrics().run_upkeep();
        }
    }

    pub(super) async fn look(&self) {
        let ready = self.data.store_is_up()
            && self.view.borrow().leader.is_some()
            && self.lease.holds_at(Tick::now());
        self.tell(ready).await;
    }

    async fn tell(&self, ready: bool) {
        if self.ready.send_replace(ready) != ready {
            let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
            self.health.set_service_status("readiness", status).await;
            self.health.set_service_status("", status).await;
        }
    }
}
