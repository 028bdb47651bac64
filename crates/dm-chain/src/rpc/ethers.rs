//! JSON-RPC by ethers-rs.

use std::{borrow::Cow, fmt, sync::Arc};

use alloy::{
    rpc::json_rpc::{ErrorPayload, RpcError, RpcRecv, RpcSend},
    transports::{TransportError, TransportErrorKind},
};
use dm_core::ports::JsonRpc;
use ethers_providers::{Http, HttpClientError, JsonRpcClient};
use reqwest::Url;
use serde::Deserialize;
use serde_json::{json, value::RawValue};

/// A way to a chain by ethers-rs.
pub(crate) enum EthersConnection {
    /// To an http or https URL.
    Http(Http),
    /// To something in this process.
    Within(Arc<dyn JsonRpc>),
}

impl EthersConnection {
    /// The way to a URL. Nothing is sent yet.
    pub(super) fn to_url(url: Url) -> Self {
        Self::Http(Http::new(url))
    }

    /// Sends one request and waits for its answer.
    pub(super) async fn request<P: RpcSend, R: RpcRecv>(
        &self,
        method: &'static str,
        params: P,
    ) -> Result<R, TransportError> {
        match self {
            Self::Http(http) => http.request(method, params).await.map_err(failure),
            Self::Within(chain) => within(chain.as_ref(), method, params).await,
        }
    }
}

impl fmt::Debug for EthersConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EthersConnection")
    }
}

fn failure(error: HttpClientError) -> TransportError {
    match error {
        HttpClientError::JsonRpcError(error) => RpcError::ErrorResp(ErrorPayload {
            code: error.code,
            message: Cow::Owned(error.message),
            data: error
                .data
                .and_then(|data| serde_json::value::to_raw_value(&data).ok()),
        }),
        // The URL may contain a key.
        HttpClientError::ReqwestError(error) => TransportErrorKind::custom(error.without_url()),
        // ethers-rs does not say the status: what the page says has to do.
        HttpClientError::SerdeJson { err, text } => TransportError::deser_err(err, text),
    }
}

/// What comes back from a chain in this process.
#[derive(Deserialize)]
struct Response {
    #[serde(default)]
    result: Option<Box<RawValue>>,
    #[serde(default)]
    error: Option<ErrorPayload>,
}

async fn within<P: RpcSend, R: RpcRecv>(
    chain: &dyn JsonRpc,
    method: &'static str,
    params: P,
) -> Result<R, TransportError> {
    let params = serde_json::to_value(params).map_err(TransportErrorKind::custom)?;
    let params = if params.is_null() { json!([]) } else { params };
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let answer = chain.call(request.to_string().as_bytes()).await;
    let response: Response = serde_json::from_slice(&answer).map_err(TransportErrorKind::custom)?;
    match (response.error, response.result) {
        (Some(error), _) => Err(RpcError::ErrorResp(error)),
        (None, result) => {
            let text = result.as_deref().map_or("null", RawValue::get);
            serde_json::from_str(text).map_err(|error| TransportError::deser_err(error, text))
        }
    }
}
