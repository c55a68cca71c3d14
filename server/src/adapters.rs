//! What the data plane needs, said in the control plane's words.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use callboard_control_plane::Handle;
use callboard_data_plane::ports::{Directory, Hosting, Schedules};
use callboard_types::{
    CallError, ClusterView, DueCursor, Epoch, Lease, Millis, Occurrence, OccurrenceEnd, ShardId,
    TypeDefinition,
};
use tokio::sync::watch;

/// The control plane as the data plane's directory.
#[derive(Debug)]
pub(crate) struct ControlDirectory(pub(crate) Handle);

#[async_trait]
impl Directory for ControlDirectory {
    fn view(&self) -> watch::Receiver<Arc<ClusterView>> {
        self.0.view()
    }

    fn lease(&self) -> Lease {
        self.0.lease()
    }

    fn released(&self, shards: Vec<(ShardId, Epoch)>) {
        self.0.released(shards);
    }

    fn epoch_too_low(&self, stored: Vec<(ShardId, Epoch)>) {
        self.0.epoch_too_low(stored);
    }

    async fn register_types(
        &self,
        system: &str,
        types: Vec<TypeDefinition>,
        descriptor_set: Bytes,
    ) -> Result<u64, CallError> {
        if !self.0.view().borrow().has_system(system) {
            self.0.create_system(system).await?;
        }
        self.0.register_types(system, types, descriptor_set).await
    }

    fn schedules(&self) -> Arc<dyn Schedules> {
        Arc::new(ControlSchedules(self.0.schedules().clone()))
    }

    async fn set_hosted(&self, types: Vec<(String, String)>, hosting: Hosting) {
        let types = types.into_iter().map(|(system, name)| (system.into(), name.into()));
        let types = types.collect();
        match hosting {
            Hosting::Some => self.0.set_hosted(types, true).await,
            Hosting::None => self.0.set_hosted(types, false).await,
            Hosting::NoneForGood => self.0.hosts_left(types),
        }
    }
}

/// The control plane's schedules as the data plane's.
#[derive(Debug)]
struct ControlSchedules(callboard_control_plane::Schedules);

#[async_trait]
impl Schedules for ControlSchedules {
    fn changed(&self) -> watch::Receiver<u64> {
        self.0.changed()
    }

    fn due(&self, after: DueCursor, until: Millis, limit: usize) -> Vec<Occurrence> {
        self.0.due(after, until, limit)
    }

    fn next_due(&self, after: Millis) -> Option<Millis> {
        self.0.next_due(after)
    }

    async fn ended(&self, ends: Vec<OccurrenceEnd>) -> Result<(), CallError> {
        self.0.ended(ends).await
    }

    async fn once(&self, request_id: String, call: Occurrence) -> Result<String, CallError> {
        self.0.once(&request_id, &call).await
    }
}
