//! `POST /blockchain`: moves the running node to other endpoints of its chain, or to
//! another account there.

use actix_web::{HttpResponse, http::Method, web::Data};
use dm_core::{api_key::Scope, secret::SecretString};
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
    router.add(Endpoint::at("/blockchain").on(Method::POST, Access::Needs(Scope::Admin), switch));
}

#[derive(Deserialize)]
struct SwitchRequest<'a> {
    #[serde(borrow)]
    blockchain_url: Field<'a>,
    #[serde(borrow)]
    private_key: Field<'a>,
}

#[derive(Serialize)]
struct SwitchAnswer {
    success: bool,
    /// How many are used now, where some were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoints: Option<usize>,
    /// Whether a restart keeps the endpoints: the configuration is not changed.
    persistent: bool,
    /// The operator account from now on; this is kept.
    operator: String,
}

async fn switch(body: JsonBody, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let asked: SwitchRequest<'_> = body.parse()?;
    let urls: Vec<String> = fields::text("blockchain_url", asked.blockchain_url)?
        .unwrap_or_default()
        .split(',')
        .map(|url| url.trim().to_owned())
        .filter(|url| !url.is_empty())
        .collect();
    let private_key = fields::text("private_key", asked.private_key)?.map(SecretString::new);
    if urls.is_empty() && private_key.is_none() {
        return Err(ApiError::invalid(
            "blockchain_url",
            "cannot be empty without a private_key",
        ));
    }
    let (control, endpoints) = (state.services.chain_control.clone(), urls.len());
    let switching = async move { control.switch(&urls, private_key.as_ref()).await };
    let operator = state.complete(switching).await?;
    Ok(HttpResponse::Ok().json(SwitchAnswer {
        success: true,
        endpoints: Some(endpoints).filter(|endpoints| *endpoints > 0),
        persistent: false,
        operator: operator.to_string(),
    }))
}
