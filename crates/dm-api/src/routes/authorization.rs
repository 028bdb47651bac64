//! `GET /authorization`: what users' signed statements for this node have to say.

use actix_web::{HttpResponse, http::Method, web::Data};
use dm_core::{api_key::Scope, mandate::ShareDomain};
use serde::Serialize;

use crate::{
    endpoint::{Endpoint, Router},
    error::ApiError,
    route_info::Access,
    state::State,
};

pub(super) fn add(router: &mut Router) {
    router.add(Endpoint::at("/authorization").on(Method::GET, Access::Needs(Scope::Share), get));
}

#[derive(Serialize)]
struct AuthorizationAnswer {
    /// Whether a share needs a statement.
    required: bool,
    /// The parts of a statement that are the same in all of them, as they stand there.
    statement: ShareDomain,
    chain_id: u64,
    log: dm_core::Address,
    node_id: String,
    /// With `log` and `node_id`, what a user signs to attest the node.
    peer_id: String,
}

async fn get(state: Data<State>) -> Result<HttpResponse, ApiError> {
    let context = state.run(state.services.authorization.context()).await?;
    Ok(HttpResponse::Ok().json(AuthorizationAnswer {
        required: context.required,
        statement: ShareDomain::V1,
        chain_id: context.chain_id,
        log: context.log,
        node_id: context.node_id,
        peer_id: state.services.network.local_peer_id(),
    }))
}
