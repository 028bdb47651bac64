//! Counts the bytes of bodies that pass for an API key, and holds back those
//! for which its budget has no room, or which come after the key's end.

use std::{io, pin::Pin, sync::Arc};

use actix_web::{
    Error, HttpMessage,
    body::{BodySize, BodyStream, BoxBody, MessageBody, SizedStream},
    dev::{Payload, ServiceRequest, ServiceResponse},
    error::PayloadError,
    http::{Method, header},
    middleware::Next,
};
use bytes::Bytes;
use dm_core::{
    api_key::Principal,
    ports::{ApiKeyError, ApiKeys},
};
use futures::{Stream, StreamExt, stream};

use super::standing::Standing;
use crate::{error::ApiError, state::State};

/// Counts for one request.
#[derive(Clone)]
struct Meter {
    keys: Arc<dyn ApiKeys>,
    bearer: Principal,
}

/// Has the request answered, and counts its body and the answer's. A body that
/// announces more than is left of the budget is refused before it is read, as is
/// every request once nothing is left.
pub(super) async fn pass(
    bearer: Principal,
    standing: Standing,
    state: &State,
    mut request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let keys = state.services.api_keys.clone();
    let meter = Meter { keys, bearer };
    meter.require_room(announced_length(&request).max(1))?;
    match request.take_payload() {
        Payload::None => {}
        payload => request.set_payload(meter.clone().received(standing.received(payload))),
    }
    let method = request.method().clone();
    let answer = standing.answered(&method, next.call(request)).await;
    let (request, response) = answer?.into_parts();
    if method == Method::HEAD {
        return Ok(ServiceResponse::new(request, response));
    }
    // What was done is answered, also where the answer overdraws the budget.
    let is_reading = method == Method::GET && response.status().is_success();
    let (head, body) = response.into_parts();
    let body = meter.sent(body, is_reading).await?;
    Ok(ServiceResponse::new(request, head.set_body(standing.sent(body))))
}

impl Meter {
    /// Checks that so many bytes may pass, without counting them.
    fn require_room(&self, bytes: u64) -> Result<(), ApiError> {
        match self.keys.bytes_left(&self.bearer) {
            Some(left) if left < bytes => Err(ApiKeyError::OverBudget { left }.into()),
            _ => Ok(()),
        }
    }

    /// Counts a body as it comes in.
    fn received(self, payload: Payload) -> Payload {
        let counted = payload.then(move |piece| {
            let meter = self.clone();
            async move {
                let piece = piece?;
                let spent = meter.keys.spend(&meter.bearer, piece.len() as u64).await;
                spent.map_err(|error| PayloadError::Io(io::Error::other(error)))?;
                Ok(piece)
            }
        });
        Payload::Stream {
            payload: Box::pin(counted),
        }
    }

    /// Counts an answer: at once where it is there, else as it goes out.
    async fn sent(self, body: BoxBody, may_be_refused: bool) -> Result<BoxBody, ApiError> {
        let body = match body.try_into_bytes() {
            Err(body) => body,
            Ok(bytes) => {
                let length = bytes.len() as u64;
                if may_be_refused {
                    self.keys.spend(&self.bearer, length).await?;
                } else {
                    self.keys.note(&self.bearer, length);
                }
                return Ok(BoxBody::new(bytes));
            }
        };
        Ok(match body.size() {
            BodySize::None => body,
            BodySize::Sized(size) => {
                self.require_room(size)?;
                BoxBody::new(SizedStream::new(size, self.counted(body)))
            }
            BodySize::Stream => BoxBody::new(BodyStream::new(self.counted(body))),
        })
    }

    fn counted(self, mut body: BoxBody) -> impl Stream<Item = Result<Bytes, Error>> {
        stream::poll_fn(move |context| Pin::new(&mut body).poll_next(context)).then(move |piece| {
            let meter = self.clone();
            async move {
                let piece = piece.map_err(actix_web::error::ErrorInternalServerError)?;
                let spent = meter.keys.spend(&meter.bearer, piece.len() as u64).await;
                spent.map_err(ApiError::from)?;
                Ok(piece)
            }
        })
    }
}

/// The length that the request's head announces; 0 where it does not.
fn announced_length(request: &ServiceRequest) -> u64 {
    request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .unwrap_or(0)
}
