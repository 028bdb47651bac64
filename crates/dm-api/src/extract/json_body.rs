//! JSON bodies: bounded in size and time.

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    error::PayloadError,
    http::{StatusCode, header},
    web,
};
use bytes::{Bytes, BytesMut};
use dm_core::ports::ApiKeyError;
use futures::{StreamExt, future::LocalBoxFuture};
use serde::Deserialize;

use super::refuse_encoded_body;
use crate::{
    error::ApiError,
    state::{Limits, State},
};

/// The bytes of a body that should be JSON.
pub(crate) struct JsonBody(Bytes);

impl JsonBody {
    /// The body as a value; whatever is not in `T` is skipped.
    pub(crate) fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, ApiError> {
        serde_json::from_slice(&self.0).map_err(|_| not_json())
    }

    /// The bytes, for those who tell faults of form and content apart.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// 422: the body cannot be read.
pub(crate) fn not_json() -> ApiError {
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid JSON body")
}

impl FromRequest for JsonBody {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move {
            refuse_encoded_body(request.headers())?;
            let limits = request
                .app_data::<web::Data<State>>()
                .map(|state| state.limits)
                .ok_or_else(not_json)?;
            if announced_length(&request) > limits.json_bytes {
                return Err(too_large(limits.json_bytes));
            }
            read(payload, limits).await.map(Self)
        })
    }
}

fn announced_length(request: &HttpRequest) -> usize {
    request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .unwrap_or(0)
}

async fn read(mut payload: Payload, limits: Limits) -> Result<Bytes, ApiError> {
    let mut body = BytesMut::new();
    loop {
        let next = tokio::time::timeout(limits.idle, payload.next());
        match next.await.map_err(|_| body_stalled())? {
            None => return Ok(body.freeze()),
            Some(piece) => body.extend_from_slice(&piece.map_err(body_cut_off)?),
        }
        if body.len() > limits.json_bytes {
            return Err(too_large(limits.json_bytes));
        }
    }
}

fn too_large(limit: usize) -> ApiError {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("the body is larger than {limit} bytes"),
    )
}

/// 408: no byte of the body arrived for too long.
pub(crate) fn body_stalled() -> ApiError {
    ApiError::new(StatusCode::REQUEST_TIMEOUT, "the body stood still for too long")
}

/// 400: the connection or the framing broke before the body's end; or the
/// budget of the client's API key ended before it did.
pub(crate) fn body_cut_off(error: PayloadError) -> ApiError {
    let sentence = format!("the body ended too early: {error}");
    if let PayloadError::Io(error) = error
        && let Ok(error) = error.downcast::<ApiKeyError>()
    {
        return error.into();
    }
    ApiError::new(StatusCode::BAD_REQUEST, sentence)
}
