//! `/users`: adds, lists and removes authorised users.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode},
    web::Data,
};
use dm_core::{
    api_key::Scope,
    user::{AuthorizedUser, UserId},
};
use serde::{Deserialize, Serialize};

use crate::{
    endpoint::{Endpoint, Router},
    error::ApiError,
    extract::{
        JsonBody,
        fields::{self, Field},
        page_limit, query,
    },
    route_info::Access,
    state::State,
};

pub(super) fn add(router: &mut Router) {
    router.add(
        Endpoint::at("/users")
            .on(Method::GET, Access::Needs(Scope::Admin), list)
            .on(Method::POST, Access::Needs(Scope::Admin), authorize),
    );
    router.add(Endpoint::at("/users/{id}").on(Method::DELETE, Access::Needs(Scope::Admin), remove));
}

#[derive(Deserialize)]
struct PageParams {
    limit: Option<String>,
    cursor: Option<String>,
}

#[derive(Serialize)]
struct UsersAnswer {
    users: Vec<AuthorizedUser>,
    /// The last id of a page that is full.
    next_cursor: Option<UserId>,
}

async fn list(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let params: PageParams = query(&request)?;
    let limit = page_limit(params.limit.as_deref())?;
    let after = params
        .cursor
        .map(|cursor| user_id("cursor", &cursor))
        .transpose()?;
    let users = state
        .run(state.services.users.list(after.as_ref(), limit))
        .await?;
    let last = users.last().filter(|_| users.len() == limit);
    Ok(HttpResponse::Ok().json(UsersAnswer {
        next_cursor: last.map(|user| user.id.clone()),
        users,
    }))
}

#[derive(Deserialize)]
struct UserRequest<'a> {
    #[serde(borrow)]
    user_id: Field<'a>,
    #[serde(borrow)]
    public_key: Field<'a>,
}

async fn authorize(body: JsonBody, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let asked: UserRequest<'_> = body.parse()?;
    let id = fields::text("user_id", asked.user_id)?.unwrap_or_default();
    let id = user_id("user_id", &id)?;
    let key = fields::text("public_key", asked.public_key)?.unwrap_or_default();
    let users = state.services.users.clone();
    let user = state.complete(async move { users.add(id, &key).await }).await?;
    Ok(HttpResponse::Created().json(user))
}

#[derive(Serialize)]
struct RemovedAnswer {
    success: bool,
    user_id: UserId,
}

async fn remove(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let user_id = user_id("user_id", request.match_info().query("id"))?;
    let (users, removed) = (state.services.users.clone(), user_id.clone());
    if !state
        .complete(async move { users.remove(&removed).await })
        .await?
    {
        return Err(ApiError::new(StatusCode::NOT_FOUND, "Authorised user not found"));
    }
    Ok(HttpResponse::Ok().json(RemovedAnswer {
        success: true,
        user_id,
    }))
}

fn user_id(name: &'static str, text: &str) -> Result<UserId, ApiError> {
    text.parse().map_err(|reason| ApiError::invalid(name, reason))
}
