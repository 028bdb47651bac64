//! Where the chain is: any alloy transport, or a URL.

use std::sync::{Mutex, PoisonError};

use alloy::{
    rpc::{
        client::{ClientBuilder, RpcClient},
        json_rpc::{RpcRecv, RpcSend},
    },
    transports::{
        TransportError, TransportErrorKind,
        ws::{WebSocketConfig, WsConnect},
    },
};
use reqwest::Url;

use super::http::HttpTransport;

/// Longest WebSocket message that is read, in bytes.
const MAX_MESSAGE: usize = 4 << 20;

/// The text is no URL of a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// No URL at all.
    #[error("is no URL: {0}")]
    Format(String),
    /// A URL with another scheme than http, https, ws and wss.
    #[error("must begin with http, https, ws or wss, not {0}")]
    Scheme(String),
    /// TLS or the resolver of this machine cannot be set up.
    #[error("cannot be used on this machine: {0}")]
    Setup(String),
}

/// A way to a chain. Connections are made when they are needed, so that a
/// chain may be away when the node starts.
pub(crate) enum Connection {
    /// A client that looks after its connections itself.
    Ready(RpcClient),
    /// One WebSocket, made again after it broke.
    WebSocket {
        /// Where to.
        target: WsConnect,
        /// The present one.
        current: Mutex<Option<RpcClient>>,
    },
}

impl Connection {
    /// The way to an http, https, ws or wss URL. Nothing is sent yet.
    ///
    /// # Errors
    /// [`InvalidUrl`], with a reason that completes "`<field>` …".
    pub(crate) fn to_url(url: &str) -> Result<Self, InvalidUrl> {
        let url = Url::parse(url).map_err(|error| InvalidUrl::Format(error.to_string()))?;
        match url.scheme() {
            "http" | "https" => {
                let transport = HttpTransport::new(url)
                    .map_err(|error| InvalidUrl::Setup(error.without_url().to_string()))?;
                Ok(Self::Ready(RpcClient::new(transport, false)))
            }
            "ws" | "wss" => {
                let limits = WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE));
                Ok(Self::WebSocket {
                    target: WsConnect::new(url).with_config(limits).with_max_retries(0),
                    current: Mutex::new(None),
                })
            }
            other => Err(InvalidUrl::Scheme(other.to_owned())),
        }
    }

    /// Sends one request and waits for its answer; connects where it must.
    pub(super) async fn request<P: RpcSend, R: RpcRecv>(
        &self,
        method: &'static str,
        params: P,
    ) -> Result<R, TransportError> {
        self.client().await?.request(method, params).await
    }

    async fn client(&self) -> Result<RpcClient, TransportError> {
        let (target, current) = match self {
            Self::Ready(client) => return Ok(client.clone()),
            Self::WebSocket { target, current } => (target, current),
        };
        let present = current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(client) = present {
            return Ok(client);
        }
        let client = ClientBuilder::default()
            .ws(target.clone())
            .await
            // The error of a WebSocket may show the URL and so a key in it.
            .map_err(|_| TransportErrorKind::custom_str("no WebSocket connection"))?;
        *current.lock().unwrap_or_else(PoisonError::into_inner) = Some(client.clone());
        Ok(client)
    }

    /// Forgets a connection that failed, so that the next request makes a new one.
    pub(super) fn forget(&self) {
        if let Self::WebSocket { current, .. } = self {
            *current.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}
