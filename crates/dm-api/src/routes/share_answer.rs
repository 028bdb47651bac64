//! What a client is told of its share, however the data came.

use actix_web::{HttpResponse, ResponseError, body::BoxBody};
use dm_core::{
    Address, B256,
    hash::DataHash,
    payment::PaymentReceipt,
    share::{ShareOutcome, ShareStatus},
};
use serde::Serialize;

use crate::error::ApiError;

#[derive(Serialize)]
struct ShareAnswer {
    success: bool,
    status: ShareStatus,
    tx_hash: Option<B256>,
    recipient: String,
    data_hash: DataHash,
    /// Position of the share's event in the log, once it is there.
    receipt: Option<u64>,
    replicas: u32,
    /// When the data is erased, in milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<PaymentAnswer>,
}

#[derive(Serialize)]
pub(super) struct PaymentAnswer {
    id: String,
    tx_hash: B256,
    paid_by: String,
    token: String,
    amount: String,
}

impl From<&PaymentReceipt> for PaymentAnswer {
    fn from(payment: &PaymentReceipt) -> Self {
        Self {
            id: payment.id.to_string(),
            tx_hash: payment.tx_hash,
            paid_by: payment.payer.to_string(),
            token: payment.token.to_string(),
            amount: payment.amount.to_string(),
        }
    }
}

impl From<&ShareOutcome> for ShareAnswer {
    fn from(outcome: &ShareOutcome) -> Self {
        Self {
            success: true,
            status: outcome.status,
            tx_hash: outcome.tx_hash,
            recipient: outcome.recipient.to_string(),
            data_hash: outcome.data_hash,
            receipt: outcome.leaf_index,
            replicas: outcome.replicas,
            expires_at: outcome.expires_at,
            grant: outcome.grant_pending.then_some("pending"),
            payment: outcome.payment.as_ref().map(PaymentAnswer::from),
        }
    }
}

/// 201 where the share is anchored, 202 where it will be.
pub(super) fn share_answer(outcome: &ShareOutcome) -> HttpResponse {
    let mut response = match outcome.status {
        ShareStatus::Anchored => HttpResponse::Created(),
        ShareStatus::Pending => HttpResponse::Accepted(),
    };
    response.json(ShareAnswer::from(outcome))
}

#[derive(Serialize)]
#[serde(untagged)]
enum EachAnswer {
    Made(ShareAnswer),
    Failed(FailedAnswer),
}

#[derive(Serialize)]
struct FailedAnswer {
    success: bool,
    status: &'static str,
    recipient: String,
    /// The HTTP status that the share would have had as the only one.
    code: u16,
    #[serde(flatten)]
    error: ApiError,
}

#[derive(Serialize)]
struct SharesAnswer<'a> {
    /// Where all have failed, as the first has.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    error: Option<&'a ApiError>,
    shares: &'a [EachAnswer],
}

/// What became of each share of one request: 201 where one of them is anchored, else 202
/// where one was made. Where none was, the status is that of the first.
pub(super) fn shares_answer(outcomes: Vec<(Address, Result<ShareOutcome, ApiError>)>) -> HttpResponse {
    let shares: Vec<EachAnswer> = outcomes.into_iter().map(each_answer).collect();
    let status = |share: &EachAnswer| match share {
        EachAnswer::Made(made) => Some(made.status),
        EachAnswer::Failed(_) => None,
    };
    let made: Vec<ShareStatus> = shares.iter().filter_map(status).collect();
    match (shares.first(), made.is_empty()) {
        (Some(EachAnswer::Failed(first)), true) => all_failed(&first.error, &shares),
        _ => {
            let mut response = match made.contains(&ShareStatus::Anchored) {
                true => HttpResponse::Created(),
                false => HttpResponse::Accepted(),
            };
            response.json(SharesAnswer {
                error: None,
                shares: &shares,
            })
        }
    }
}

fn each_answer((recipient, outcome): (Address, Result<ShareOutcome, ApiError>)) -> EachAnswer {
    match outcome {
        Ok(outcome) => EachAnswer::Made(ShareAnswer::from(&outcome)),
        Err(error) => EachAnswer::Failed(FailedAnswer {
            success: false,
            status: "failed",
            recipient: recipient.to_string(),
            code: error.status_code().as_u16(),
            error,
        }),
    }
}

/// The refusal of the first, and beside it all of them.
fn all_failed(first: &ApiError, shares: &[EachAnswer]) -> HttpResponse {
    let answer = SharesAnswer {
        error: Some(first),
        shares,
    };
    // Texts, numbers and lists always have a JSON form.
    let body = serde_json::to_vec(&answer).unwrap_or_default();
    first.error_response().set_body(BoxBody::new(body))
}
