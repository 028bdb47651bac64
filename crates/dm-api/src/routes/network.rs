//! `/network`: what the node knows of other nodes.

use actix_web::{HttpRequest, HttpResponse, http::Method, web::Data};
use dm_core::{api_key::Scope, peer::PeerStatus};
use serde::{Deserialize, Serialize};

use crate::{
    endpoint::{Access, Endpoint, Router},
    error::ApiError,
    extract::query,
    state::State,
};

pub(super) fn add(router: &mut Router) {
    router.add(Endpoint::at("/network/stats").on(Method::GET, Access::Needs(Scope::Read), stats));
    router.add(Endpoint::at("/network/peers").on(Method::GET, Access::Needs(Scope::Read), peers));
}

async fn stats(state: Data<State>) -> HttpResponse {
    HttpResponse::Ok().json(state.services.network.stats())
}

#[derive(Deserialize)]
struct PeersQuery {
    healthy: Option<String>,
}

#[derive(Serialize)]
struct PeersAnswer {
    count: usize,
    peers: Vec<PeerStatus>,
}

async fn peers(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let PeersQuery { healthy } = query(&request)?;
    let only_healthy = match healthy.map(|text| text.to_ascii_lowercase()).as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(ApiError::invalid("healthy", "must be true or false")),
    };
    let mut peers = state.services.network.peers();
    if only_healthy {
        peers.retain(|peer| peer.healthy);
    }
    Ok(HttpResponse::Ok().json(PeersAnswer {
        count: peers.len(),
        peers,
    }))
}
