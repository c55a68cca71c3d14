//! The baseline: a bare tonic unary echo. Every throughput figure is given as a ratio to it, so that figures from
//! different machines compare.

use tonic::{Request, Response, Status};

use crate::{
    cli::ListenArgs,
    error::Error,
    measure::{self, Event},
    wire::{
        self,
        echo::{
            EchoRequest, EchoResponse,
            echo_service_server::{EchoService, EchoServiceServer},
        },
    },
};

struct Echo;

#[tonic::async_trait]
impl EchoService for Echo {
    async fn echo(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        let payload = request.into_inner().payload;
        Ok(Response::new(EchoResponse { payload }))
    }
}

/// Serves until the process ends. Announces its address in an event.
pub(crate) async fn serve(args: &ListenArgs) -> Result<(), Error> {
    let (incoming, address) = wire::listen(args.port).await?;
    measure::emit(&Event::Listening { address: address.to_string() })?;
    wire::server().add_service(EchoServiceServer::new(Echo)).serve_with_incoming(incoming).await?;
    Ok(())
}
