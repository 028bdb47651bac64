//! `GET /instances`: the processes that together are this node.

use actix_web::{HttpResponse, http::Method, web::Data};
use dm_core::api_key::Scope;
use dm_services::ServiceError;

use crate::{
    endpoint::{Endpoint, Router},
    error::ApiError,
    route_info::Access,
    state::State,
};

pub(super) fn add(router: &mut Router) {
    router.add(Endpoint::at("/instances").on(Method::GET, Access::Needs(Scope::Admin), list));
}

async fn list(state: Data<State>) -> Result<HttpResponse, ApiError> {
    let listed = state.run(state.services.membership.list()).await;
    Ok(HttpResponse::Ok().json(listed.map_err(ServiceError::from)?))
}
