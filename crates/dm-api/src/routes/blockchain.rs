//! `POST /blockchain`: moves the running node to other endpoints of its chain.

use actix_web::{HttpResponse, http::Method, web::Data};
use dm_core::{api_key::Scope, secret::SecretString};
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
    endpoints: usize,
    /// The configuration is not changed: a restart returns to what it says.
    persistent: bool,
}

async fn switch(body: JsonBody, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let asked: SwitchRequest<'_> = body.parse()?;
    let urls: Vec<String> = fields::text("blockchain_url", asked.blockchain_url)?
        .unwrap_or_default()
        .split(',')
        .map(|url| url.trim().to_owned())
        .filter(|url| !url.is_empty())
        .collect();
    if urls.is_empty() {
        return Err(ApiError::invalid("blockchain_url", "cannot be empty"));
    }
    let private_key = fields::text("private_key", asked.private_key)?.map(SecretString::new);
    let control = &state.services.chain_control;
    state.run(control.switch(&urls, private_key.as_ref())).await?;
    Ok(HttpResponse::Ok().json(SwitchAnswer {
        success: true,
        endpoints: urls.len(),
        persistent: false,
    }))
}
