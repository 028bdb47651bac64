//! `/keys`: the node's own keys, and how they are replaced and destroyed.

use actix_web::{HttpRequest, HttpResponse, http::Method, web::Data};
use dm_core::{api_key::Scope, ports::GrantKeyInfo, secret::SecretString};
use dm_services::KeyVersionUse;
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
    let admin = Access::Needs(Scope::Admin);
    router.add(Endpoint::at("/keys").on(Method::GET, admin, list));
    router.add(Endpoint::at("/keys/rotate").on(Method::POST, admin, rotate));
    router.add(Endpoint::at("/keys/hpke/rotate").on(Method::POST, admin, rotate_grant_key));
    router.add(Endpoint::at("/keys/password").on(Method::POST, admin, change_password));
    router.add(Endpoint::at("/keys/{version}").on(Method::DELETE, admin, destroy));
}

#[derive(Serialize)]
struct KeysAnswer {
    versions: Vec<KeyVersionUse>,
    hpke_keys: Vec<GrantKeyInfo>,
}

async fn list(state: Data<State>) -> Result<HttpResponse, ApiError> {
    let keys = &state.services.key_rotation;
    let versions = state.run(keys.versions()).await?;
    Ok(HttpResponse::Ok().json(KeysAnswer {
        versions,
        hpke_keys: keys.grant_keys(),
    }))
}

#[derive(Serialize)]
struct VersionAnswer {
    version: u32,
}

async fn rotate(state: Data<State>) -> Result<HttpResponse, ApiError> {
    let version = state.run(state.services.key_rotation.rotate()).await?;
    Ok(HttpResponse::Ok().json(VersionAnswer { version }))
}

#[derive(Serialize)]
struct HpkeAnswer {
    public_key: String,
}

async fn rotate_grant_key(state: Data<State>) -> Result<HttpResponse, ApiError> {
    let public_key = state.run(state.services.key_rotation.rotate_grant_key()).await?;
    state.services.data.announce_changes();
    let public_key = hex::encode(public_key);
    Ok(HttpResponse::Ok().json(HpkeAnswer { public_key }))
}

#[derive(Deserialize)]
struct PasswordRequest<'a> {
    #[serde(borrow)]
    old_password: Field<'a>,
    #[serde(borrow)]
    new_password: Field<'a>,
}

#[derive(Serialize)]
struct PasswordAnswer {
    success: bool,
    /// Whether a restart needs nothing more: the node does not know where it gets its
    /// password from.
    persistent: bool,
}

async fn change_password(body: JsonBody, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let asked: PasswordRequest<'_> = body.parse()?;
    let old = password("old_password", asked.old_password)?;
    let new = password("new_password", asked.new_password)?;
    state
        .run(state.services.key_rotation.change_password(old, new))
        .await?;
    Ok(HttpResponse::Ok().json(PasswordAnswer {
        success: true,
        persistent: false,
    }))
}

fn password(name: &'static str, field: Field<'_>) -> Result<SecretString, ApiError> {
    let text = fields::text(name, field)?.unwrap_or_default();
    if text.is_empty() {
        return Err(ApiError::invalid(name, "cannot be empty"));
    }
    Ok(SecretString::new(text))
}

async fn destroy(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let version = request.match_info().query("version");
    let version = version
        .parse()
        .map_err(|_| ApiError::invalid("version", "must be the number of a version"))?;
    state.run(state.services.key_rotation.destroy(version)).await?;
    Ok(HttpResponse::Ok().json(VersionAnswer { version }))
}
