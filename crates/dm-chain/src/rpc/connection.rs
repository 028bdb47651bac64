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

#[cfg(feature = "ethers")]
use super::ethers::EthersConnection;
use super::http::HttpTransport;

/// Longest WebSocket message that is read, in bytes.
const MAX_MESSAGE: usize = 4 << 20;

/// The text is no URL of a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
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
    /// ethers-rs.
    #[cfg(feature = "ethers")]
    Ethers(EthersConnection),
    /// One WebSocket, made again after it broke.
    WebSocket {
        /// Where to.
        target: WsConnect,
        /// The present one.
        current: Mutex<Option<RpcClient>>,
    },
}

/// Makes the way to a URL.
pub(crate) type Connect = fn(Url) -> Result<Connection, InvalidUrl>;

impl Connection {
    /// The way to an http, https, ws or wss URL, by alloy. Nothing is sent yet.
    ///
    /// # Errors
    /// [`InvalidUrl`], with a reason that completes "`<field>` …".
    pub(crate) fn to_url(url: Url) -> Result<Self, InvalidUrl> {
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

    /// The way to an http or https URL, by ethers-rs. Nothing is sent yet.
    ///
    /// # Errors
    /// [`InvalidUrl::Scheme`] for others.
    #[cfg(feature = "ethers")]
    pub(crate) fn to_url_with_ethers(url: Url) -> Result<Self, InvalidUrl> {
        match url.scheme() {
            "http" | "https" => Ok(Self::Ethers(EthersConnection::to_url(url))),
            other => Err(InvalidUrl::Scheme(other.to_owned())),
        }
    }

    /// Sends one request and waits for its answer; connects where it must.
    pub(super) async fn request<P: RpcSend, R: RpcRecv>(
        &self,
        method: &'static str,
        params: P,
    ) -> Result<R, TransportError> {
        match self {
            Self::Ready(client) => client.request(method, params).await,
            #[cfg(feature = "ethers")]
            Self::Ethers(connection) => connection.request(method, params).await,
            Self::WebSocket { target, current } => {
                let client = web_socket(target, current).await?;
                client.request(method, params).await
            }
        }
    }

    /// Forgets a connection that failed, so that the next request makes a new one.
    pub(super) fn forget(&self) {
        if let Self::WebSocket { current, .. } = self {
            *current.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

/// The present WebSocket, or a new one.
async fn web_socket(
    target: &WsConnect,
    current: &Mutex<Option<RpcClient>>,
) -> Result<RpcClient, TransportError> {
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
