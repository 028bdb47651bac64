//! `/api_keys`: makes, lists and ends API keys.

use std::{collections::BTreeSet, fmt::Display, sync::Arc};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode},
    web::Data,
};
use dm_core::{
    api_key::{ApiKeyRecord, Principal, Rights, Scope},
    contact::Party,
    ports::NewApiKeyRequest,
};
use serde::{Deserialize, Serialize};

use crate::{
    endpoint::{Endpoint, Router},
    error::ApiError,
    extract::{
        JsonBody, bearer,
        fields::{self, Field},
        time,
    },
    key_routes::check_routes,
    route_info::Access,
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
    routes: Field<'a>,
    #[serde(borrow)]
    recipients: Field<'a>,
    #[serde(borrow)]
    bytes_budget: Field<'a>,
    #[serde(borrow)]
    expires_at: Field<'a>,
}

#[derive(Serialize)]
struct CreatedAnswer {
    #[serde(flatten)]
    record: ApiKeyRecord,
    key: String,
}

async fn create(request: HttpRequest, body: JsonBody, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let maker = bearer(&request)?;
    refuse_narrowed(&maker)?;
    let asked: CreateRequest<'_> = body.parse()?;
    let mut recipients = BTreeSet::new();
    for party in names("recipients", asked.recipients, str::parse::<Party>)? {
        recipients.insert(state.address("recipients", party).await?);
    }
    let rights = Rights {
        scopes: names("scopes", asked.scopes, scope)?,
        routes: names("routes", asked.routes, str::parse)?,
        recipients,
        bytes_budget: fields::value("bytes_budget", asked.bytes_budget, "must be a number of bytes")?,
    };
    check_routes(&rights, &state.served).map_err(|fault| ApiError::invalid("routes", fault))?;
    let request = NewApiKeyRequest {
        name: fields::text("name", asked.name)?.unwrap_or_default(),
        rights: Arc::new(rights),
        expires_at: time("expires_at", asked.expires_at)?,
    };
    refuse_to_be_outlived(&maker, request.expires_at)?;
    let keys = state.services.api_keys.clone();
    let made = state.complete(async move { keys.create(request).await }).await?;
    Ok(HttpResponse::Created().json(CreatedAnswer {
        record: made.record,
        key: made.key,
    }))
}

/// Else a narrowed key could make one that may do more than itself.
fn refuse_narrowed(maker: &Principal) -> Result<(), ApiError> {
    if maker.rights.are_narrowed() {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "Forbidden. Only a key that nothing narrows makes keys.",
        ));
    }
    Ok(())
}

/// Else a key that ends could make one that does not.
fn refuse_to_be_outlived(maker: &Principal, expires_at: Option<u64>) -> Result<(), ApiError> {
    match (maker.expires_at, expires_at) {
        (None, _) => Ok(()),
        (Some(own), Some(asked)) if asked <= own => Ok(()),
        (Some(own), _) => Err(ApiError::forbidden_field(
            "expires_at",
            format!("Forbidden. A key that ends at {own} makes no key that ends later or never."),
        )),
    }
}

/// A list of names, which is empty where the field is not there.
fn names<T: Ord, E: Display>(
    name: &'static str,
    field: Field<'_>,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<BTreeSet<T>, ApiError> {
    let names: Vec<String> = fields::value(name, field, "must be a list of names")?.unwrap_or_default();
    names
        .iter()
        .map(|text| parse(text).map_err(|reason| ApiError::invalid(name, reason)))
        .collect()
}

fn scope(name: &str) -> Result<Scope, String> {
    name.parse()
        .map_err(|_| format!("must be a list of {}", Scope::names()))
}

#[derive(Serialize)]
struct RevokedAnswer<'a> {
    success: bool,
    id: &'a str,
}

async fn revoke(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let id = request.match_info().query("id");
    let (keys, revoked) = (state.services.api_keys.clone(), id.to_owned());
    if !state.complete(async move { keys.revoke(&revoked).await }).await? {
        return Err(ApiError::new(StatusCode::NOT_FOUND, "API key not found"));
    }
    Ok(HttpResponse::Ok().json(RevokedAnswer { success: true, id }))
}
