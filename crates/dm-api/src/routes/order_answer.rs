//! What a client is told of an order.

use actix_web::{HttpResponse, HttpResponseBuilder};
use dm_core::{
    Address, B256,
    hash::DataHash,
    order::{Order, OrderRecord, OrderState, Purpose},
};
use dm_services::ServiceError;
use serde::Serialize;

use super::seconds::seconds;
use crate::error::ApiError;

/// An order with everything that can be said of it.
#[derive(Serialize)]
pub(super) struct OrderLine {
    id: String,
    kind: &'static str,
    purpose: &'static str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// Who pays.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    amount: String,
    /// Why the operator account may move the payer's money.
    #[serde(skip_serializing_if = "Option::is_none")]
    consent: Option<&'static str>,
    tx_hash: Option<B256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    block: Option<u64>,
    /// What arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    received: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_hash: Option<DataHash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refund_of: Option<String>,
    /// How often a refund was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u32>,
    /// When a refund that waits is tried next, in seconds since the Unix epoch, with
    /// milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_try: Option<f64>,
    /// Position of its event in the compliance log.
    receipt: Option<u64>,
    /// Seconds since the Unix epoch, with milliseconds.
    timestamp: f64,
}

impl From<&OrderRecord> for OrderLine {
    fn from(record: &OrderRecord) -> Self {
        let text = |address: &Address| Some(address.to_string());
        let (token, from, to, amount, consent) = match &record.order {
            Order::Transfer(transfer) => (
                text(&transfer.token),
                record.payer().as_ref().and_then(text),
                text(&transfer.to),
                transfer.amount,
                Some(transfer.consent.as_str()),
            ),
            Order::Approve {
                token,
                spender,
                amount,
            } => (text(token), None, text(spender), *amount, None),
            Order::IssueToken { initial_supply, .. } => (
                contract(&record.state).as_ref().and_then(text),
                None,
                None,
                *initial_supply,
                None,
            ),
            Order::Mint { token, to, amount } => (text(token), None, text(to), *amount, None),
        };
        let (block, received) = match &record.state {
            OrderState::Completed { block, received, .. } => (Some(*block), Some(received.to_string())),
            _ => (None, None),
        };
        Self {
            id: record.id.to_string(),
            kind: record.order.kind(),
            purpose: record.purpose.as_str(),
            status: record.state.as_str(),
            token,
            from,
            to,
            amount: amount.to_string(),
            consent,
            tx_hash: record.state.tx_hash(),
            block,
            received,
            reason: reason(record),
            data_hash: match record.purpose {
                Purpose::Payment { data_hash, .. } => Some(data_hash),
                _ => None,
            },
            refund_of: match record.purpose {
                Purpose::Refund { of } => Some(of.to_string()),
                _ => None,
            },
            attempts: matches!(record.purpose, Purpose::Refund { .. }).then(|| attempts(record)),
            next_try: next_try(record),
            receipt: record.event_index,
            timestamp: seconds(record.created_at),
        }
    }
}

/// Why an order is where it is, where that needs a reason.
fn reason(record: &OrderRecord) -> Option<String> {
    match &record.state {
        OrderState::Failed { reason, .. } | OrderState::Ended { reason } => Some(reason.clone()),
        OrderState::Accepted | OrderState::Sent { .. } => record.tries.reason.clone(),
        OrderState::Completed { .. } | OrderState::CalledOff => None,
    }
}

fn attempts(record: &OrderRecord) -> u32 {
    let under_way = matches!(
        record.state,
        OrderState::Sent { .. } | OrderState::Completed { .. }
    );
    record.tries.failed.saturating_add(u32::from(under_way))
}

fn next_try(record: &OrderRecord) -> Option<f64> {
    let waits = record.state == OrderState::Accepted && record.tries.next_at > 0;
    waits.then(|| seconds(record.tries.next_at))
}

/// The contract that an order has made.
pub(super) fn contract(state: &OrderState) -> Option<Address> {
    match state {
        OrderState::Completed { contract, .. } => *contract,
        _ => None,
    }
}

/// Nothing more than the order itself is said.
#[derive(Serialize)]
pub(super) struct Nothing {}

#[derive(Serialize)]
struct OrderAnswer<'a, T: Serialize> {
    success: bool,
    #[serde(flatten)]
    more: &'a T,
    #[serde(flatten)]
    order: OrderLine,
}

/// The answer to an order: `done` where it is done, 202 where it will be, an
/// error where it has failed.
pub(super) fn order_answer(
    record: &OrderRecord,
    mut done: HttpResponseBuilder,
    more: &impl Serialize,
) -> Result<HttpResponse, ApiError> {
    let answer = OrderAnswer {
        success: true,
        more,
        order: record.into(),
    };
    match &record.state {
        OrderState::Completed { .. } | OrderState::Ended { .. } | OrderState::CalledOff => {
            Ok(done.json(answer))
        }
        OrderState::Accepted | OrderState::Sent { .. } => Ok(HttpResponse::Accepted().json(answer)),
        OrderState::Failed { reason, .. } => Err(ServiceError::TransactionFailed(reason.clone()).into()),
    }
}
