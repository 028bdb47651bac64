//! `POST /share_data`: shares a text with a recipient, or with several.

use actix_web::{HttpRequest, HttpResponse, http::Method, web::Data};
use dm_core::{api_key::Scope, share::ShareTerms};
use serde::Deserialize;

use super::share_answer::{share_answer, shares_answer};
use crate::{
    endpoint::{Endpoint, Router},
    error::ApiError,
    extract::{
        JsonBody,
        description::DescriptionFields,
        fields::{self, Field},
        idempotency_key,
        mandate::MandateFields,
        money::PaymentFields,
        recipients::{NamedRecipients, Recipients},
        time,
    },
    route_info::Access,
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
    recipients: Field<'a>,
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
    name: Field<'a>,
    #[serde(borrow)]
    media_type: Field<'a>,
    #[serde(borrow)]
    labels: Field<'a>,
    #[serde(borrow)]
    correlation_id: Field<'a>,
    #[serde(borrow)]
    supersedes: Field<'a>,
    #[serde(borrow)]
    user_id: Field<'a>,
    #[serde(borrow)]
    statement: Field<'a>,
    #[serde(borrow)]
    signature: Field<'a>,
}

async fn share(request: HttpRequest, body: JsonBody, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let asked: ShareRequest<'_> = body.parse()?;
    let data = data(asked.data)?;
    let recipients = NamedRecipients::in_fields(asked.recipient, asked.recipients)?;
    let recipients = recipients.addresses(&request, &state).await?;
    for (field, given) in [
        ("permit", asked.permit),
        ("authorization", asked.authorization),
        ("user_id", asked.user_id),
    ] {
        recipients.ensure_fit_for(field, fields::is_given(given))?;
    }
    let price = PaymentFields {
        payment_token: asked.payment_token,
        payment_amount: asked.payment_amount,
        permit: asked.permit,
        authorization: asked.authorization,
    };
    let payment = price.terms(recipients.first(), state.services.tokens.operator())?;
    let mandate = MandateFields {
        user_id: asked.user_id,
        statement: asked.statement,
        signature: asked.signature,
    };
    let presented = mandate.presented()?;
    let description = DescriptionFields {
        name: asked.name,
        media_type: asked.media_type,
        labels: asked.labels,
        correlation_id: asked.correlation_id,
        supersedes: asked.supersedes,
    };
    let terms = ShareTerms {
        idempotency_key: idempotency_key(&request)?,
        payment,
        expires_at: time("expires_at", asked.expires_at)?,
        description: description.description()?,
        ..ShareTerms::with(recipients.first())
    };
    drop(body);
    let terms = state
        .run(state.services.authorization.admit(presented, terms))
        .await?;
    let manager = &state.services.data;
    match recipients {
        Recipients::One(_) => {
            let outcome = state.run(manager.share_bytes(data.into(), terms)).await?;
            Ok(share_answer(&outcome))
        }
        Recipients::Several(several) => {
            let shares = manager.share_bytes_with_each(data.into(), several.terms(terms));
            let outcomes = state.run(shares).await?;
            Ok(shares_answer(several.outcomes(outcomes)))
        }
    }
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
