//! What a client is told of its share, however the data came.

use actix_web::HttpResponse;
use dm_core::{
    B256,
    hash::DataHash,
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
    /// Position of the share's event in the log.
    receipt: u64,
    replicas: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<&'static str>,
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
        grant: outcome.grant_pending.then_some("pending"),
    })
}
