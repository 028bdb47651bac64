//! `/plugins`: shows plugins, switches them on and off, and loads them anew.

use actix_web::{HttpRequest, HttpResponse, http::Method, web::Data};
use dm_core::{api_key::Scope, plugin::PluginStatus};
use serde::Serialize;

use crate::{
    endpoint::{Endpoint, Router},
    error::ApiError,
    route_info::Access,
    state::State,
};

pub(super) fn add(router: &mut Router) {
    const ADMIN: Access = Access::Needs(Scope::Admin);
    router.add(Endpoint::at("/plugins").on(Method::GET, ADMIN, list));
    router.add(Endpoint::at("/plugins/{name}/enable").on(Method::POST, ADMIN, enable));
    router.add(Endpoint::at("/plugins/{name}/disable").on(Method::POST, ADMIN, disable));
    router.add(Endpoint::at("/plugins/{name}/reload").on(Method::POST, ADMIN, reload));
}

#[derive(Serialize)]
struct PluginsAnswer {
    plugins: Vec<PluginStatus>,
}

async fn list(state: Data<State>) -> HttpResponse {
    HttpResponse::Ok().json(PluginsAnswer {
        plugins: state.services.plugins.statuses(),
    })
}

async fn enable(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let (plugins, name) = (state.services.plugins.clone(), name(&request));
    let status = state.complete(async move { plugins.enable(&name).await }).await?;
    Ok(HttpResponse::Ok().json(status))
}

async fn disable(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let (plugins, name) = (state.services.plugins.clone(), name(&request));
    let status = state
        .complete(async move { plugins.disable(&name).await })
        .await?;
    Ok(HttpResponse::Ok().json(status))
}

async fn reload(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let (plugins, name) = (state.services.plugins.clone(), name(&request));
    let status = state.complete(async move { plugins.reload(&name).await }).await?;
    Ok(HttpResponse::Ok().json(status))
}

fn name(request: &HttpRequest) -> String {
    request.match_info().query("name").to_owned()
}
