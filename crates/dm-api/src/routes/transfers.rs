//! Transfers: `POST /transfer` makes one, `GET /transfers` pages through all
//! that this node has done with money; refunds that are owed are tried again and ended.

use actix_web::{HttpRequest, HttpResponse, http::Method, web::Data};
use dm_core::{api_key::Scope, operation::OperationId};
use dm_services::TransferRequest;
use serde::{Deserialize, Serialize};

use super::order_answer::{Nothing, OrderLine, order_answer};
use crate::{
    endpoint::{Endpoint, Router},
    error::ApiError,
    extract::{
        JsonBody, allowed_recipient,
        fields::{self, Field},
        idempotency_key,
        money::{Parties, consent},
        page_cursor, page_limit, query,
    },
    route_info::Access,
    state::State,
};

pub(super) fn add(router: &mut Router) {
    router.add(Endpoint::at("/transfer").on(Method::POST, Access::Needs(Scope::Admin), transfer));
    router.add(Endpoint::at("/transfers").on(Method::GET, Access::Needs(Scope::Read), list));
    router.add(Endpoint::at("/transfers/{id}/retry").on(Method::POST, Access::Needs(Scope::Admin), retry));
    router.add(Endpoint::at("/transfers/{id}/end").on(Method::POST, Access::Needs(Scope::Admin), end));
}

#[derive(Deserialize)]
struct TransferFields<'a> {
    #[serde(borrow)]
    from: Field<'a>,
    #[serde(borrow)]
    to: Field<'a>,
    #[serde(borrow)]
    amount: Field<'a>,
    #[serde(borrow)]
    token: Field<'a>,
    #[serde(borrow)]
    permit: Field<'a>,
    #[serde(borrow)]
    authorization: Field<'a>,
}

#[derive(Serialize)]
struct GasPayer {
    /// Whose transaction it is.
    gas_paid_by: String,
}

async fn transfer(
    request: HttpRequest,
    body: JsonBody,
    state: Data<State>,
) -> Result<HttpResponse, ApiError> {
    let asked: TransferFields<'_> = body.parse()?;
    let operator = state.services.tokens.operator();
    let (from, to) = (fields::party("from", asked.from)?, fields::party("to", asked.to)?);
    let parties = Parties {
        from: state.address("from", from).await?,
        to: allowed_recipient(&request, "to", state.address("to", to).await?)?,
        amount: fields::amount("amount", asked.amount)?,
        operator,
    };
    let transfer = TransferRequest {
        token: fields::address("token", asked.token)?,
        from: parties.from,
        to: parties.to,
        amount: parties.amount,
        consent: consent(asked.permit, asked.authorization, parties)?,
    };
    let key = idempotency_key(&request)?;
    let record = state.run(state.services.payments.transfer(transfer, key)).await?;
    let payer = GasPayer {
        gas_paid_by: operator.to_string(),
    };
    order_answer(&record, HttpResponse::Ok(), &payer)
}

#[derive(Deserialize)]
struct PageParams {
    limit: Option<String>,
    cursor: Option<String>,
}

#[derive(Serialize)]
struct TransfersAnswer {
    transfers: Vec<OrderLine>,
    count: usize,
    next_cursor: Option<String>,
}

async fn list(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let params: PageParams = query(&request)?;
    let limit = page_limit(params.limit.as_deref())?;
    let before = page_cursor(params.cursor.as_deref())?;
    // One more tells whether there is a next page.
    let mut page = state
        .run(state.services.payments.orders(before, limit + 1))
        .await?;
    let has_next = page.len() > limit;
    page.truncate(limit);
    let last = page.last().map(|(number, _)| number.to_string());
    Ok(HttpResponse::Ok().json(TransfersAnswer {
        count: page.len(),
        transfers: page.iter().map(|(_, record)| record.into()).collect(),
        next_cursor: last.filter(|_| has_next),
    }))
}

/// Tries a refund at once.
async fn retry(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let id = refund_id(&request)?;
    let record = state.run(state.services.payments.retry_refund(id)).await?;
    order_answer(&record, HttpResponse::Ok(), &Nothing {})
}

#[derive(Deserialize)]
struct EndFields<'a> {
    #[serde(borrow)]
    reason: Field<'a>,
}

/// Ends a refund that was settled otherwise.
async fn end(request: HttpRequest, body: JsonBody, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let id = refund_id(&request)?;
    let asked: EndFields<'_> = body.parse()?;
    let reason = fields::text("reason", asked.reason)?.unwrap_or_default();
    let record = state.run(state.services.payments.end_refund(id, &reason)).await?;
    order_answer(&record, HttpResponse::Ok(), &Nothing {})
}

fn refund_id(request: &HttpRequest) -> Result<OperationId, ApiError> {
    let id = request.match_info().query("id").parse();
    id.map_err(|reason| ApiError::invalid("id", reason))
}
