//! `GET /verify_data/{data_hash}`: whether a share of the data is on the chain.
//!
//! It needs no key, and so it does not say who shared with whom: that stands in the
//! receipt. The place of the anchor on the chain leads to the log, and with it to the
//! account that shared; of other nodes' shares it is said only to those who may read
//! receipts.

use actix_web::{HttpRequest, HttpResponse, http::Method, web::Data};
use dm_core::{B256, api_key::RouteName, event::EventKind, hash::DataHash};
use serde::Serialize;

use super::receipts;
use crate::{
    endpoint::{Endpoint, Router},
    error::ApiError,
    extract::data_hash_param,
    middleware::authenticate::may_call,
    route_info::Access,
    state::State,
};

/// Where the same stands, and more.
const RECEIPT: &str = "/receipts/{data_hash}";

pub(super) fn add(router: &mut Router) {
    router.add(Endpoint::at("/verify_data/{data_hash}").on(Method::GET, Access::Open, verify));
}

#[derive(Serialize)]
struct VerifyAnswer {
    hash: DataHash,
    verified: bool,
    event_type: EventKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    tx_hash: Option<B256>,
    block: Option<u64>,
    /// Seconds since the Unix epoch.
    anchored_at: Option<u64>,
}

async fn verify(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let hash = data_hash_param(&request)?;
    let found = state.run(state.services.data.verify(&hash)).await?;
    let may_know =
        found.own || may_call(&request, &state, receipts::SCOPE, &RouteName::of("GET", RECEIPT)).await;
    let anchor = found.anchor.as_ref().filter(|_| may_know);
    Ok(HttpResponse::Ok().json(VerifyAnswer {
        hash,
        verified: found.verified,
        event_type: EventKind::DataShare,
        tx_hash: anchor.map(|anchor| anchor.tx_hash),
        block: anchor.map(|anchor| anchor.block),
        anchored_at: anchor.map(|anchor| anchor.timestamp),
        reason: found.reason,
    }))
}
