//! JSON-RPC 2.0 as text: <https://www.jsonrpc.org/specification>.

use std::borrow::Cow;

use async_trait::async_trait;
use dm_core::ports::JsonRpc;
use futures::{StreamExt, stream::FuturesOrdered};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    EmbeddedChain,
    rpc::{Methods, RpcError},
};

/// Bytes of one request or batch.
const MAX_REQUEST_BYTES: usize = 2 * 1024 * 1024;
/// Requests in one batch.
const MAX_BATCH: usize = 1_000;
/// Requests of a batch that are worked on at a time.
const CONCURRENT: usize = 16;
/// Bytes that the responses of one batch may have together.
const MAX_RESPONSE_BYTES: usize = 32 * 1024 * 1024;

#[async_trait]
impl JsonRpc for EmbeddedChain {
    async fn call(&self, request: &[u8]) -> Vec<u8> {
        if request.len() > MAX_REQUEST_BYTES {
            let why = format!("the request has more than {MAX_REQUEST_BYTES} bytes");
            return failure(None, &RpcError::invalid_request(why));
        }
        let Ok(text) = serde_json::from_slice::<&RawValue>(request) else {
            return failure(None, &RpcError::PARSE);
        };
        match text.get().starts_with('[') {
            true => answer_batch(self.methods(), text).await,
            false => answer(self.methods(), text).await.unwrap_or_default(),
        }
    }
}

/// A request as it arrives; what is wrong with it shows later.
#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    jsonrpc: Option<Cow<'a, str>>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    /// Present and `null` is an id, too.
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

#[derive(Serialize)]
struct Success<'a> {
    jsonrpc: &'static str,
    id: &'a RawValue,
    result: &'a RawValue,
}

#[derive(Serialize)]
struct Failure<'a> {
    jsonrpc: &'static str,
    id: Option<&'a RawValue>,
    error: ErrorObject<'a>,
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    code: i64,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
}

async fn answer_batch(methods: &Methods, text: &RawValue) -> Vec<u8> {
    let requests: Vec<&RawValue> = match serde_json::from_str(text.get()) {
        Ok(requests) => requests,
        Err(_) => return failure(None, &RpcError::PARSE),
    };
    if requests.is_empty() || requests.len() > MAX_BATCH {
        return failure(
            None,
            &RpcError::invalid_request(format!("a batch has 1 to {MAX_BATCH} requests")),
        );
    }
    let mut requests = requests.into_iter();
    let mut answers = FuturesOrdered::new();
    for request in requests.by_ref().take(CONCURRENT) {
        answers.push_back(answer(methods, request));
    }
    let mut body = Vec::new();
    while let Some(next) = answers.next().await {
        if let Some(request) = requests.next() {
            answers.push_back(answer(methods, request));
        }
        let Some(answer) = next else { continue };
        if body.len() + answer.len() > MAX_RESPONSE_BYTES {
            return failure(
                None,
                &RpcError::refused("the responses of the batch are too large together"),
            );
        }
        body.push(if body.is_empty() { b'[' } else { b',' });
        body.extend(answer);
    }
    if !body.is_empty() {
        body.push(b']');
    }
    body
}

/// The response to one request; `None` to a notification.
async fn answer(methods: &Methods, text: &RawValue) -> Option<Vec<u8>> {
    let request: Request<'_> = match serde_json::from_str(text.get()) {
        Ok(request) => request,
        Err(_) => return Some(failure(None, &RpcError::invalid_request("not a request object"))),
    };
    let id = request.id.filter(|id| is_id(id));
    let method = match check(&request) {
        Ok(method) => method,
        Err(error) => return Some(failure(id, &error)),
    };
    let result = methods.answer(method, request.params).await;
    let id = id?;
    Some(match result {
        Ok(result) => serialize(&Success {
            jsonrpc: "2.0",
            id,
            result: &result,
        }),
        Err(error) => failure(Some(id), &error),
    })
}

fn check<'a>(request: &'a Request<'_>) -> Result<&'a str, RpcError> {
    if request.jsonrpc.as_deref() != Some("2.0") {
        return Err(RpcError::invalid_request("jsonrpc must be \"2.0\""));
    }
    if request.id.is_some_and(|id| !is_id(id)) {
        return Err(RpcError::invalid_request(
            "the id must be a string, a number or null",
        ));
    }
    request
        .method
        .as_deref()
        .ok_or_else(|| RpcError::invalid_request("the method is missing"))
}

fn is_id(id: &RawValue) -> bool {
    !id.get().starts_with(['{', '[', 't', 'f'])
}

fn failure(id: Option<&RawValue>, error: &RpcError) -> Vec<u8> {
    let error = ErrorObject {
        code: error.code,
        message: &error.message,
        data: error.data.as_deref(),
    };
    serialize(&Failure {
        jsonrpc: "2.0",
        id,
        error,
    })
}

fn serialize(response: &impl Serialize) -> Vec<u8> {
    // Text and numbers alone cannot fail to be written.
    serde_json::to_vec(response).unwrap_or_default()
}
