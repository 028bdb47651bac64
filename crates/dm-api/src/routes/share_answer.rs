//! What a client is told of its share, however the data came.

use actix_web::HttpResponse;
use dm_core::{
    B256,
    hash::DataHash,
    payment::PaymentReceipt,
    share::{ShareOutcome, ShareStatus},
};
use serde::Serialize;

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
struct PaymentAnswer {
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

/// 201 where the share is anchored, 202 where it will be.
pub(super) fn share_answer(outcome: &ShareOutcome) -> HttpResponse {
    let mut response = match outcome.status {
        ShareStatus::Anchored => HttpResponse::Created(),
        ShareStatus::Pending => HttpResponse::Accepted(),
    };
    response.json(ShareAnswer {
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
    })
}
