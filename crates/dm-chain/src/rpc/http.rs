//! JSON-RPC over HTTP, with limits that alloy's own transport does not have.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use alloy::{
    rpc::json_rpc::{RequestPacket, ResponsePacket},
    transports::{TransportError, TransportErrorKind, TransportFut},
};
use reqwest::{Client, Response, Url, redirect::Policy};
use tower::Service;

/// Longest answer that is read, in bytes. The longest that this crate asks for
/// is a block with the hashes of its transactions.
const MAX_ANSWER: usize = 4 << 20;
/// Longest part of an error page that is kept, in bytes.
const MAX_ERROR_TEXT: usize = 2_000;
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A transport that reads bounded answers, follows no redirect, and keeps the
/// URL, which may contain a key, out of its errors.
#[derive(Clone)]
pub(super) struct HttpTransport {
    client: Client,
    url: Url,
}

impl HttpTransport {
    /// A transport to this URL.
    ///
    /// # Errors
    /// Where the system's TLS or resolver cannot be set up.
    pub(super) fn new(url: Url) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .build()?;
        Ok(Self { client, url })
    }

    async fn exchange(self, request: RequestPacket) -> Result<ResponsePacket, TransportError> {
        let answer = self
            .client
            .post(self.url)
            .headers(request.headers())
            .json(&request)
            .send()
            .await
            .map_err(|error| TransportErrorKind::custom(error.without_url()))?;
        let status = answer.status();
        let body = read_bounded(answer).await?;
        match serde_json::from_slice(&body) {
            // The status says more of the endpoint than the error in the body.
            Ok(ResponsePacket::Single(answer)) if answer.is_error() && !status.is_success() => {
                let body = String::from_utf8_lossy(&body).into_owned();
                Err(TransportErrorKind::http_error(status.as_u16(), body))
            }
            Ok(packet) => Ok(packet),
            Err(_) if !status.is_success() => {
                Err(TransportErrorKind::http_error(status.as_u16(), beginning(&body)))
            }
            Err(error) => Err(TransportError::deser_err(error, beginning(&body))),
        }
    }
}

impl Service<RequestPacket> for HttpTransport {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: RequestPacket) -> Self::Future {
        Box::pin(self.clone().exchange(request))
    }
}

async fn read_bounded(mut answer: Response) -> Result<Vec<u8>, TransportError> {
    let mut body = Vec::new();
    loop {
        let piece = answer.chunk().await;
        match piece.map_err(|error| TransportErrorKind::custom(error.without_url()))? {
            None => return Ok(body),
            Some(piece) if body.len() + piece.len() > MAX_ANSWER => {
                return Err(TransportErrorKind::non_retryable_str("the answer is too long"));
            }
            Some(piece) => body.extend_from_slice(&piece),
        }
    }
}

fn beginning(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(MAX_ERROR_TEXT)]).into_owned()
}
