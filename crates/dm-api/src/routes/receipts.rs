//! `/receipts`: what an auditor needs to check a share, and the check itself.

use actix_web::{HttpRequest, HttpResponse, http::Method, web::Data};
use dm_core::{
    api_key::Scope,
    event::EventKind,
    ports::ComplianceError,
    receipt::{Receipt, Verification},
};
use dm_services::ServiceError;
use serde::{Deserialize, Serialize};

use crate::{
    endpoint::{Endpoint, Router},
    error::ApiError,
    extract::{JsonBody, data_hash_param, not_json, party_param, query},
    route_info::Access,
    state::State,
};

/// What reads receipts.
pub(super) const SCOPE: Scope = Scope::Read;

pub(super) fn add(router: &mut Router) {
    // Before `/receipts/{data_hash}`, which would match the first, too.
    router.add(Endpoint::at("/receipts/verify").on(Method::POST, Access::Needs(SCOPE), verify));
    router.add(Endpoint::at("/receipts/events/{index}").on(Method::GET, Access::Needs(SCOPE), of_event));
    router.add(Endpoint::at("/receipts/{data_hash}").on(Method::GET, Access::Needs(SCOPE), get));
}

#[derive(Deserialize)]
struct ReceiptQuery {
    recipient: Option<String>,
    event: Option<String>,
}

/// The kind of the event whose receipt is asked for.
fn asked_kind(text: Option<&str>) -> Result<EventKind, ApiError> {
    let kind = text.map_or(Ok(EventKind::DataShare), str::parse).ok();
    let has_receipt = |kind: &EventKind| kind.has_evidence() || *kind == EventKind::DataShare;
    kind.filter(has_receipt)
        .ok_or_else(|| ApiError::invalid("event", "must be data_share, delivery or acknowledgement"))
}

async fn get(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let hash = data_hash_param(&request)?;
    let ReceiptQuery { recipient, event } = query(&request)?;
    let kind = asked_kind(event.as_deref())?;
    let recipient = match recipient {
        Some(text) => Some(
            state
                .address("recipient", party_param("recipient", &text)?)
                .await?,
        ),
        None => None,
    };
    let data = &state.services.data;
    let receipt = match kind.has_evidence() {
        true => state.run(data.evidence(kind, &hash, recipient)).await?,
        false => state.run(data.receipt(&hash, recipient)).await?,
    };
    Ok(HttpResponse::Ok().json(receipt))
}

/// The receipt of whatever event stands at a position of the log.
async fn of_event(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let index = request.match_info().query("index").parse().ok();
    let index = index
        .filter(|index| i64::try_from(*index).is_ok())
        .ok_or_else(|| ApiError::invalid("index", "must be a position of the log"))?;
    let log = &state.services.log;
    let receipt = state
        .run(async {
            match log.receipt(index).await {
                Ok(receipt) => receipt.ok_or(ServiceError::NotAnchored),
                Err(ComplianceError::NoEvent(_)) => Err(ServiceError::NotFound),
                Err(error) => Err(error.into()),
            }
        })
        .await?;
    Ok(HttpResponse::Ok().json(receipt))
}

#[derive(Serialize)]
struct VerificationAnswer {
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

async fn verify(body: JsonBody, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let receipt = read_receipt(&body)?;
    let answer = match state.run(state.services.log.verify(&receipt)).await? {
        Verification::Valid => VerificationAnswer {
            valid: true,
            reason: None,
        },
        Verification::Invalid { reason } => VerificationAnswer {
            valid: false,
            reason: Some(reason),
        },
    };
    Ok(HttpResponse::Ok().json(answer))
}

/// Tells a body that is no JSON from JSON that is no receipt.
fn read_receipt(body: &JsonBody) -> Result<Receipt, ApiError> {
    serde_json::from_slice(body.bytes()).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => ApiError::invalid("receipt", format!("cannot be read: {error}")),
        _ => not_json(),
    })
}
