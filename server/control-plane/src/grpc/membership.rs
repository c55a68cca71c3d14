//! `callboard.peer.v1.MembershipService`: who belongs to the cluster, and who is alive.

use callboard_proto::peer::v1::{
    GreetRequest, GreetResponse, HandOverRequest, HandOverResponse, JoinRequest, JoinResponse,
    ListLeasesRequest, ListLeasesResponse, RenewLeaseRequest, RenewLeaseResponse,
    membership_service_server::{MembershipService, MembershipServiceServer},
};
use callboard_transport::{peer::PeerNode, status::to_status};
use callboard_types::{CallError, ErrorKind, NodeId, Tick};
use tonic::{Request, Response, Status};

use super::peer::check;
use crate::{
    entrance::Entrance,
    lease::Timings,
    machine::{Command, command::AllocateNode},
    steward::hand_over,
};

/// Largest message: names and addresses.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// Longest name or address of a node that joins, in bytes.
const NAME_BYTES_MAX: usize = 512;

/// Serves other nodes: before this node is a member it only says so.
#[derive(Clone, Debug)]
pub struct Membership {
    entrance: Entrance,
    timings: Timings,
}

impl Membership {
    pub(crate) fn new(entrance: Entrance, timings: Timings) -> Self {
        Self { entrance, timings }
    }

    /// The service to add to the cluster's listener, with its limits. The listener must be guarded by
    /// [`callboard_transport::peer::PeerGuard`].
    #[must_use]
    pub fn into_server(self) -> MembershipServiceServer<Self> {
        MembershipServiceServer::new(self).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Gives the node of a folder its number.
    async fn admit(&self, request: JoinRequest) -> Result<JoinResponse, CallError> {
        let member = self.entrance.member()?;
        let names = [&request.folder_id, &request.address, &request.peer_address];
        if names.iter().any(|name| name.is_empty() || name.len() > NAME_BYTES_MAX) {
            return Err(CallError::new(
                ErrorKind::InvalidArgument,
                "a node that joins names its folder, its gateway's address and its peer address; one of them is missing \
                 or too long",
            ));
        }
        if member.proposer.replicated.read().machine.cluster_id().is_empty() {
            let text =
                "the cluster is just beginning, or this node has not heard of it yet; try again";
            return Err(CallError::new(ErrorKind::StoreUnavailable, text));
        }
        let folder_id = request.folder_id.clone();
        let command = Command::AllocateNode(AllocateNode {
            folder_id: request.folder_id,
            address: request.address,
            peer_address: request.peer_address,
            commands_min: request.commands_min,
            commands_max: request.commands_max,
        });
        member.proposer.propose(&command).await?;
        let node = member.proposer.replicated.read().machine.node_of_folder(&folder_id);
        let (Some(node), Some(own)) = (node, self.entrance.peers().myself()) else {
            // Removed at once: whoever did it wants it.
            let text = "the node was removed while it joined; try again";
            return Err(CallError::new(ErrorKind::StoreUnavailable, text));
        };
        Ok(JoinResponse {
            cluster_id: own.cluster_id.clone(),
            group: own.group.clone(),
            node_id: node.0,
            ask_instead: String::new(),
        })
    }
}

#[tonic::async_trait]
impl MembershipService for Membership {
    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let joined = self.admit(request.into_inner()).await;
        joined.map(Response::new).map_err(|error| to_status(&error))
    }

    async fn renew_lease(
        &self,
        request: Request<RenewLeaseRequest>,
    ) -> Result<Response<RenewLeaseResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let (node, member) = check(&self.entrance, request.envelope.as_ref(), &extensions)?;
        Ok(Response::new(member.confirmer.renew(node, request).await))
    }

    async fn greet(
        &self,
        request: Request<GreetRequest>,
    ) -> Result<Response<GreetResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let proved = extensions.get::<PeerNode>().map_or(NodeId::ZERO, |peer| peer.0);
        if proved != NodeId(request.node_id) {
            let text = "a node greets in its own name only";
            return Err(to_status(&CallError::new(ErrorKind::PeerRefused, text)));
        }
        Ok(Response::new(self.entrance.greet(&request, Tick::now())))
    }

    async fn list_leases(
        &self,
        request: Request<ListLeasesRequest>,
    ) -> Result<Response<ListLeasesResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let (_, member) = check(&self.entrance, request.envelope.as_ref(), &extensions)?;
        if member.proposer.leadership().is_none() {
            return Ok(Response::new(ListLeasesResponse::default()));
        }
        let mut applied_at_least = 0;
        if request.confirm {
            match member.proposer.read_index().await {
                Some(index) => applied_at_least = index,
                None => return Ok(Response::new(ListLeasesResponse::default())),
            }
        }
        let leases = member.confirmer.roll().leases(&self.timings, Tick::now());
        Ok(Response::new(ListLeasesResponse { leading: true, leases, applied_at_least }))
    }

    async fn hand_over(
        &self,
        request: Request<HandOverRequest>,
    ) -> Result<Response<HandOverResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let (_, member) = check(&self.entrance, request.envelope.as_ref(), &extensions)?;
        match hand_over(&member.proposer, request.to_node).await {
            Ok(to_node) => Ok(Response::new(HandOverResponse { leading: true, to_node })),
            Err(error) if error.kind == ErrorKind::NotOwner => {
                Ok(Response::new(HandOverResponse::default()))
            }
            Err(error) => Err(to_status(&error)),
        }
    }
}
