//! `/data/{data_hash}/grants`: who can read data, and further readers.

use actix_web::{HttpRequest, HttpResponse, http::Method, web::Data};
use dm_core::{api_key::Scope, hash::DataHash, share::ShareTerms};
use serde::{Deserialize, Serialize};

use super::share_answer::share_answer;
use crate::{
    endpoint::{Access, Endpoint, Router},
    error::ApiError,
    extract::{
        JsonBody, data_hash_param,
        fields::{self, Field},
        mandate::MandateFields,
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
    #[serde(borrow)]
    user_id: Field<'a>,
    #[serde(borrow)]
    statement: Field<'a>,
    #[serde(borrow)]
    signature: Field<'a>,
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
    let mandate = MandateFields {
        user_id: asked.user_id,
        statement: asked.statement,
        signature: asked.signature,
    };
    let (presented, terms) = (mandate.presented()?, ShareTerms::with(recipient));
    let terms = state
        .run(state.services.authorization.admit(presented, terms))
        .await?;
    let outcome = state.run(state.services.data.grant(&hash, terms)).await?;
    Ok(share_answer(&outcome))
}
