//! `/network`: what the node knows of other nodes and accounts.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode},
    web::Data,
};
use dm_core::{
    address_record::AddressRecord, api_key::Scope, hash::DataHash, node_attestation::NodeAttestation,
    peer::PeerStatus,
};
use dm_services::HeldObject;
use serde::{Deserialize, Serialize};

use crate::{
    endpoint::{Endpoint, Router},
    error::ApiError,
    extract::{data_hash_param, party_param, query, switch_param},
    route_info::Access,
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
    router.add(Endpoint::at("/network/addresses/{address}").on(
        Method::GET,
        Access::Needs(Scope::Read),
        address_record,
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
    let objects = state.run(state.services.repairer.holders(&hash)).await?;
    Ok(HttpResponse::Ok().json(HoldersAnswer { hash, objects }))
}

/// What the address record of an account says.
#[derive(Serialize)]
struct AddressAnswer {
    address: String,
    /// The account that anchors, pays and is paid for the address.
    operator: String,
    peer_id: String,
    /// The peers of the other instances of the node.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    further_peers: Vec<String>,
    hpke_public_key: String,
    /// Can be checked by whoever has the user's public key.
    #[serde(rename = "vouching", skip_serializing_if = "Option::is_none")]
    attestation: Option<AttestationAnswer>,
    /// Of two records the one with the higher number holds.
    sequence: u64,
}

#[derive(Serialize)]
struct AttestationAnswer {
    #[serde(flatten)]
    attestation: NodeAttestation,
    /// What was signed.
    statement: String,
}

impl From<&AddressRecord> for AddressAnswer {
    fn from(record: &AddressRecord) -> Self {
        Self {
            address: record.address.to_string(),
            operator: record.operator_account().to_string(),
            peer_id: record.peer_id.clone(),
            further_peers: record.further_peers.clone(),
            hpke_public_key: hex::encode(record.hpke_public_key),
            attestation: record.attestation.as_ref().map(|attestation| AttestationAnswer {
                statement: attestation
                    .statement(record.address, &record.peer_id)
                    .canonical()
                    .unwrap_or_default(),
                attestation: attestation.clone(),
            }),
            sequence: record.sequence,
        }
    }
}

async fn address_record(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let address = party_param("address", request.match_info().query("address"))?;
    let address = state.address("address", address).await?;
    let record = state.run(state.services.data.address_record(address)).await?;
    let record = record.ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, "Address record not found"))?;
    Ok(HttpResponse::Ok().json(AddressAnswer::from(record.statement())))
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
