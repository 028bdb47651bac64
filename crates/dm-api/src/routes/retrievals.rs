//! `GET /retrievals/{id}`: what a download took.

use actix_web::{HttpRequest, HttpResponse, http::Method, web::Data};
use dm_core::api_key::Scope;
use dm_services::ServiceError;

use crate::{
    endpoint::{Endpoint, Router},
    error::ApiError,
    route_info::Access,
    state::State,
};

pub(super) fn add(router: &mut Router) {
    router.add(Endpoint::at("/retrievals/{id}").on(Method::GET, Access::Needs(Scope::Read), get));
}

async fn get(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let report = state.services.data.retrieval(request.match_info().query("id"));
    Ok(HttpResponse::Ok().json(report.ok_or(ServiceError::NotFound)?))
}
