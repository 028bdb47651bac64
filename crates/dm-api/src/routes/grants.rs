//! `/data/{data_hash}/grants`: who can read data, and further readers.

use actix_web::{HttpRequest, HttpResponse, http::Method, web::Data};
use dm_core::{api_key::Scope, hash::DataHash};
use serde::{Deserialize, Serialize};

use super::share_answer::share_answer;
use crate::{
    endpoint::{Access, Endpoint, Router},
    error::ApiError,
    extract::{
        JsonBody, allowed_recipient, data_hash_param,
        fields::{self, Field},
    },
    state::State,
};

pub(super) fn add(router: &mut Router) {
    router.add(
        Endpoint::at("/data/{data_hash}/grants")
            .on(Method::GET, Access::Needs(Scope::Read), list)
            .on(Method::POST, Access::Needs(Scope::Share), grant),
    );
}

#[derive(Deserialize)]
struct GrantRequest<'a> {
    #[serde(borrow)]
    recipient: Field<'a>,
}

#[derive(Serialize)]
struct GrantsAnswer {
    hash: DataHash,
    recipients: Vec<String>,
}

async fn list(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let hash = data_hash_param(&request)?;
    let readers = state.run(state.services.data.readers(&hash)).await?;
    let recipients = readers.iter().map(ToString::to_string).collect();
    Ok(HttpResponse::Ok().json(GrantsAnswer { hash, recipients }))
}

async fn grant(request: HttpRequest, body: JsonBody, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let hash = data_hash_param(&request)?;
    let asked: GrantRequest<'_> = body.parse()?;
    let recipient = fields::address("recipient", asked.recipient)?;
    let recipient = allowed_recipient(&request, "recipient", recipient)?;
    let outcome = state.run(state.services.data.grant(&hash, recipient)).await?;
    Ok(share_answer(&outcome))
}
