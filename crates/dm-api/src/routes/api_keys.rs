//! `/api_keys`: makes, lists and ends API keys.

use std::collections::BTreeSet;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode},
    web::Data,
};
use dm_core::{
    api_key::{ApiKeyRecord, Scope},
    ports::NewApiKeyRequest,
};
use serde::{Deserialize, Serialize};

use crate::{
    endpoint::{Access, Endpoint, Router},
    error::ApiError,
    extract::{
        JsonBody,
        fields::{self, Field},
    },
    state::State,
};

pub(super) fn add(router: &mut Router) {
    router.add(
        Endpoint::at("/api_keys")
            .on(Method::GET, Access::Needs(Scope::Admin), list)
            .on(Method::POST, Access::Needs(Scope::Admin), create),
    );
    router.add(Endpoint::at("/api_keys/{id}").on(Method::DELETE, Access::Needs(Scope::Admin), revoke));
}

#[derive(Serialize)]
struct KeysAnswer {
    api_keys: Vec<ApiKeyRecord>,
}

async fn list(state: Data<State>) -> Result<HttpResponse, ApiError> {
    let api_keys = state.run(state.services.api_keys.list()).await?;
    Ok(HttpResponse::Ok().json(KeysAnswer { api_keys }))
}

#[derive(Deserialize)]
struct CreateRequest<'a> {
    #[serde(borrow)]
    name: Field<'a>,
    #[serde(borrow)]
    scopes: Field<'a>,
    #[serde(borrow)]
    expires_at: Field<'a>,
}

#[derive(Serialize)]
struct CreatedAnswer {
    #[serde(flatten)]
    record: ApiKeyRecord,
    key: String,
}

async fn create(body: JsonBody, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let asked: CreateRequest<'_> = body.parse()?;
    let request = NewApiKeyRequest {
        name: fields::text("name", asked.name)?.unwrap_or_default(),
        scopes: scopes(asked.scopes)?,
        expires_at: fields::value(
            "expires_at",
            asked.expires_at,
            "must be a time in milliseconds since the Unix epoch",
        )?,
    };
    let made = state.run(state.services.api_keys.create(request)).await?;
    Ok(HttpResponse::Created().json(CreatedAnswer {
        record: made.record,
        key: made.key,
    }))
}

fn scopes(field: Field<'_>) -> Result<BTreeSet<Scope>, ApiError> {
    let names: Vec<String> = fields::value("scopes", field, "must be a list of names")?.unwrap_or_default();
    names
        .iter()
        .map(|name| {
            name.parse()
                .map_err(|_| ApiError::invalid("scopes", "must be a list of share, read, admin"))
        })
        .collect()
}

#[derive(Serialize)]
struct RevokedAnswer<'a> {
    success: bool,
    id: &'a str,
}

async fn revoke(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let id = request.match_info().query("id");
    if !state.run(state.services.api_keys.revoke(id)).await? {
        return Err(ApiError::new(StatusCode::NOT_FOUND, "API key not found"));
    }
    Ok(HttpResponse::Ok().json(RevokedAnswer { success: true, id }))
}
