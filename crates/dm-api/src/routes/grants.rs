//! `/data/{data_hash}/grants`: who can read data, further readers, and those who
//! no longer shall.

use actix_web::{HttpRequest, HttpResponse, http::Method, web::Data};
use dm_core::{
    B256,
    api_key::Scope,
    hash::DataHash,
    share::{ShareStatus, ShareTerms},
};
use serde::{Deserialize, Serialize};

use super::share_answer::share_answer;
use crate::{
    endpoint::{Endpoint, Router},
    error::ApiError,
    extract::{
        JsonBody, allowed_recipient, data_hash_param,
        fields::{self, Field},
        mandate::MandateFields,
    },
    route_info::Access,
    state::State,
};

pub(super) fn add(router: &mut Router) {
    router.add(
        Endpoint::at("/data/{data_hash}/grants")
            .on(Method::GET, Access::Needs(Scope::Read), list)
            .on(Method::POST, Access::Needs(Scope::Share), grant)
            .on(Method::DELETE, Access::Needs(Scope::Share), revoke),
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

/// What no key and no deletion reaches.
const NOT_TAKEN_BACK: &str = "What the recipient has read or copied cannot be taken back, \
    and whoever kept the earlier ciphertext and its key can still open it.";

#[derive(Serialize)]
struct RevocationAnswer {
    success: bool,
    hash: DataHash,
    recipient: String,
    /// How far the event is: the access is withdrawn in any case.
    status: ShareStatus,
    tx_hash: Option<B256>,
    /// Milliseconds since the Unix epoch.
    revoked_at: u64,
    /// Position of the event in the log.
    receipt: u64,
    /// Peers that hold the data as it is encrypted now.
    replicas: u32,
    /// Readers who can read again once their nodes are seen.
    waiting: Vec<String>,
    note: &'static str,
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
    let recipient = fields::party("recipient", asked.recipient)?;
    let recipient = state.address("recipient", recipient).await?;
    let recipient = allowed_recipient(&request, "recipient", recipient)?;
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

async fn revoke(request: HttpRequest, body: JsonBody, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let hash = data_hash_param(&request)?;
    let asked: GrantRequest<'_> = body.parse()?;
    let recipient = fields::party("recipient", asked.recipient)?;
    let recipient = state.address("recipient", recipient).await?;
    let recipient = allowed_recipient(&request, "recipient", recipient)?;
    let revocation = state.run(state.services.data.revoke(&hash, recipient)).await?;
    Ok(HttpResponse::Ok().json(RevocationAnswer {
        success: true,
        hash,
        recipient: revocation.recipient.to_string(),
        status: ShareStatus::of(revocation.tx_hash.as_ref()),
        tx_hash: revocation.tx_hash,
        revoked_at: revocation.revoked_at,
        receipt: revocation.leaf_index,
        replicas: revocation.replicas,
        waiting: revocation.waiting.iter().map(ToString::to_string).collect(),
        note: NOT_TAKEN_BACK,
    }))
}
