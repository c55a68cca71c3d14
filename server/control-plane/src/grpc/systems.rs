//! `callboard.control.v1.SystemsService`.

use std::sync::Arc;

use callboard_proto::control::v1::{
    ListSystemsRequest, ListSystemsResponse, System, systems_service_server::SystemsService,
};
use callboard_types::ClusterView;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::current;

/// Groups of actors.
#[derive(Clone, Debug)]
pub struct Systems {
    view: watch::Receiver<Arc<ClusterView>>,
}

impl Systems {
    /// Answers from this view.
    #[must_use]
    pub fn new(view: watch::Receiver<Arc<ClusterView>>) -> Self {
        Self { view }
    }
}

fn list(view: &ClusterView) -> ListSystemsResponse {
    let systems = view.systems.iter().map(|name| {
        let types = view.types.iter().filter(|view| view.system == *name).count();
        System { name: name.to_string(), types: u32::try_from(types).unwrap_or(u32::MAX) }
    });
    ListSystemsResponse { systems: systems.collect() }
}

#[tonic::async_trait]
impl SystemsService for Systems {
    async fn list_systems(
        &self,
        _request: Request<ListSystemsRequest>,
    ) -> Result<Response<ListSystemsResponse>, Status> {
        Ok(Response::new(list(&current(&self.view))))
    }
}
