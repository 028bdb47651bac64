use std::{
    fmt,
    task::{Context, Poll},
};

use alloy::{
    rpc::json_rpc::{RequestPacket, Response, ResponsePacket, ResponsePayload, SerializedRequest},
    transports::{TransportError, TransportFut},
};
use futures::future::join_all;
use tower::Service;

use super::EmbeddedChain;

/// Carries the requests of an alloy client to an [`EmbeddedChain`] in the same
/// process, without sockets.
///
/// ```no_run
/// # async fn example(chain: dm_chain::embedded::EmbeddedChain) {
/// use alloy::{providers::ProviderBuilder, rpc::client::RpcClient};
///
/// let provider = ProviderBuilder::new().connect_client(RpcClient::new(chain.transport(), true));
/// # let _ = provider;
/// # }
/// ```
#[derive(Clone)]
pub struct EmbeddedTransport(EmbeddedChain);

impl EmbeddedTransport {
    pub(super) fn new(chain: EmbeddedChain) -> Self {
        Self(chain)
    }

    async fn carry(self, packet: RequestPacket) -> ResponsePacket {
        match packet {
            RequestPacket::Single(request) => ResponsePacket::Single(self.answer(&request).await),
            RequestPacket::Batch(requests) => {
                ResponsePacket::Batch(join_all(requests.iter().map(|request| self.answer(request))).await)
            }
        }
    }

    async fn answer(&self, request: &SerializedRequest) -> Response {
        let payload = match self.0.methods().answer(request.method(), request.params()).await {
            Ok(result) => ResponsePayload::Success(result),
            Err(error) => ResponsePayload::Failure(error.into()),
        };
        Response {
            id: request.id().clone(),
            payload,
        }
    }
}

impl Service<RequestPacket> for EmbeddedTransport {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, packet: RequestPacket) -> Self::Future {
        let transport = self.clone();
        Box::pin(async move { Ok(transport.carry(packet).await) })
    }
}

impl fmt::Debug for EmbeddedTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmbeddedTransport")
    }
}
