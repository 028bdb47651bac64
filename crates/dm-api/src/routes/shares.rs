//! `POST /share_data`: shares a text with a recipient.

use actix_web::{HttpRequest, HttpResponse, http::Method, web::Data};
use dm_core::{api_key::Scope, share::ShareTerms};
use serde::Deserialize;

use super::share_answer::share_answer;
use crate::{
    endpoint::{Access, Endpoint, Router},
    error::ApiError,
    extract::{
        JsonBody, allowed_recipient,
        fields::{self, Field},
        idempotency_key,
        money::PaymentFields,
        time,
    },
    state::State,
};

/// Largest text in bytes; for more there is `PUT /objects`.
const MAX_DATA: usize = 1024 * 1024;

pub(super) fn add(router: &mut Router) {
    router.add(Endpoint::at("/share_data").on(Method::POST, Access::Needs(Scope::Share), share));
}

#[derive(Deserialize)]
struct ShareRequest<'a> {
    #[serde(borrow)]
    data: Field<'a>,
    #[serde(borrow)]
    recipient: Field<'a>,
    #[serde(borrow)]
    payment_token: Field<'a>,
    #[serde(borrow)]
    payment_amount: Field<'a>,
    #[serde(borrow)]
    permit: Field<'a>,
    #[serde(borrow)]
    authorization: Field<'a>,
    #[serde(borrow)]
    expires_at: Field<'a>,
    #[serde(borrow)]
    user_id: Field<'a>,
    #[serde(borrow)]
    signature: Field<'a>,
}

async fn share(request: HttpRequest, body: JsonBody, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let asked: ShareRequest<'_> = body.parse()?;
    let data = data(asked.data)?;
    let recipient = fields::address("recipient", asked.recipient)?;
    let recipient = allowed_recipient(&request, "recipient", recipient)?;
    let price = PaymentFields {
        payment_token: asked.payment_token,
        payment_amount: asked.payment_amount,
        permit: asked.permit,
        authorization: asked.authorization,
    };
    let payment = price.terms(recipient, state.services.data.address())?;
    check_order("user_id", asked.user_id)?;
    check_order("signature", asked.signature)?;
    let terms = ShareTerms {
        recipient,
        idempotency_key: idempotency_key(&request)?,
        payment,
        expires_at: time("expires_at", asked.expires_at)?,
    };
    drop(body);
    let outcome = state
        .run(state.services.data.share_bytes(data.into(), terms))
        .await?;
    Ok(share_answer(&outcome))
}

fn data(field: Field<'_>) -> Result<String, ApiError> {
    let data = fields::text("data", field)?.unwrap_or_default();
    if data.is_empty() {
        return Err(ApiError::invalid("data", "cannot be empty"));
    }
    if data.len() > MAX_DATA {
        return Err(ApiError::invalid(
            "data",
            format!("must be at most {MAX_DATA} bytes here; use PUT /objects for more"),
        ));
    }
    Ok(data)
}

/// Whoever signs an order counts on its being checked.
fn check_order(name: &'static str, field: Field<'_>) -> Result<(), ApiError> {
    if fields::is_given(field) {
        return Err(ApiError::invalid(
            name,
            "cannot be used: this node does not check orders of users",
        ));
    }
    Ok(())
}
