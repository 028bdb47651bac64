//! `POST /keys/rotate`: a new version of the node's data key.

use actix_web::{HttpResponse, http::Method, web::Data};
use dm_core::api_key::Scope;
use serde::Serialize;

use crate::{
    endpoint::{Access, Endpoint, Router},
    error::ApiError,
    state::State,
};

pub(super) fn add(router: &mut Router) {
    router.add(Endpoint::at("/keys/rotate").on(Method::POST, Access::Needs(Scope::Admin), rotate));
}

#[derive(Serialize)]
struct RotationAnswer {
    version: u32,
}

async fn rotate(state: Data<State>) -> Result<HttpResponse, ApiError> {
    let version = state.run(state.services.key_rotation.rotate()).await?;
    Ok(HttpResponse::Ok().json(RotationAnswer { version }))
}
