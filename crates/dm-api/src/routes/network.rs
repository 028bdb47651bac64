//! `/network`: what the node knows of other nodes.

use actix_web::{HttpRequest, HttpResponse, http::Method, web::Data};
use dm_core::{api_key::Scope, hash::DataHash, peer::PeerStatus, services::HeldObject};
use serde::{Deserialize, Serialize};

use crate::{
    endpoint::{Access, Endpoint, Router},
    error::ApiError,
    extract::{data_hash_param, query, switch_param},
    state::State,
};

pub(super) fn add(router: &mut Router) {
    router.add(Endpoint::at("/network/stats").on(Method::GET, Access::Needs(Scope::Read), stats));
    router.add(Endpoint::at("/network/peers").on(Method::GET, Access::Needs(Scope::Read), peers));
    router.add(Endpoint::at("/network/storage").on(Method::GET, Access::Needs(Scope::Read), storage));
    router.add(Endpoint::at("/network/objects/{data_hash}").on(
        Method::GET,
        Access::Needs(Scope::Admin),
        holders,
    ));
}

async fn stats(state: Data<State>) -> HttpResponse {
    HttpResponse::Ok().json(state.services.network.stats())
}

async fn storage(state: Data<State>) -> Result<HttpResponse, ApiError> {
    let status = state.run(state.services.scrubber.status()).await?;
    Ok(HttpResponse::Ok().json(status))
}

#[derive(Serialize)]
struct HoldersAnswer {
    hash: DataHash,
    objects: Vec<HeldObject>,
}

async fn holders(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let hash = data_hash_param(&request)?;
    let objects = state.run(state.services.caretaker.holders(&hash)).await?;
    Ok(HttpResponse::Ok().json(HoldersAnswer { hash, objects }))
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
    let only_healthy = switch_param("healthy", healthy.as_deref())?;
    let mut peers = state.services.network.peers();
    if only_healthy {
        peers.retain(|peer| peer.healthy);
    }
    Ok(HttpResponse::Ok().json(PeersAnswer {
        count: peers.len(),
        peers,
    }))
}
