//! `/log_filter`: what is logged, changed at run time.

use actix_web::{HttpResponse, http::Method, web::Data};
use dm_core::api_key::Scope;
use serde::{Deserialize, Serialize};

use crate::{
    endpoint::{Endpoint, Router},
    error::ApiError,
    extract::{
        JsonBody,
        fields::{self, Field},
    },
    route_info::Access,
    state::State,
};

pub(super) fn add(router: &mut Router) {
    router.add(
        Endpoint::at("/log_filter")
            .on(Method::GET, Access::Needs(Scope::Admin), get)
            .on(Method::PUT, Access::Needs(Scope::Admin), put),
    );
}

#[derive(Serialize)]
struct FilterAnswer {
    filter: String,
}

async fn get(state: Data<State>) -> HttpResponse {
    answer(&state)
}

#[derive(Deserialize)]
struct FilterRequest<'a> {
    #[serde(borrow)]
    filter: Field<'a>,
}

async fn put(body: JsonBody, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let asked: FilterRequest<'_> = body.parse()?;
    let filter = fields::text("filter", asked.filter)?
        .filter(|filter| !filter.trim().is_empty())
        .ok_or_else(|| ApiError::invalid("filter", "cannot be empty"))?;
    state
        .services
        .log_control
        .set_filter(&filter)
        .map_err(|error| ApiError::invalid("filter", error))?;
    tracing::info!(filter, "the log filter was changed");
    Ok(answer(&state))
}

fn answer(state: &State) -> HttpResponse {
    HttpResponse::Ok().json(FilterAnswer {
        filter: state.services.log_control.filter(),
    })
}
