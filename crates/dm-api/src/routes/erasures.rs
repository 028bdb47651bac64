//! `DELETE /data/{data_hash}`: erases data for good.

use actix_web::{HttpRequest, HttpResponse, web::Data};
use dm_core::{B256, hash::DataHash, share::ShareStatus};
use serde::Serialize;

use crate::{error::ApiError, extract::data_hash_param, state::State};

#[derive(Serialize)]
struct ErasureAnswer {
    success: bool,
    hash: DataHash,
    /// How far the event is: the data is erased in any case.
    status: ShareStatus,
    tx_hash: Option<B256>,
    /// Milliseconds since the Unix epoch.
    erased_at: u64,
    /// Position of the event in the log.
    receipt: u64,
    /// Peers that have the tombstone.
    replicas: u32,
}

pub(super) async fn erase(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let hash = data_hash_param(&request)?;
    let erasure = state.run(state.services.data.erase(&hash)).await?;
    Ok(HttpResponse::Ok().json(ErasureAnswer {
        success: true,
        hash,
        status: ShareStatus::of(erasure.tx_hash.as_ref()),
        tx_hash: erasure.tx_hash,
        erased_at: erasure.erased_at,
        receipt: erasure.leaf_index,
        replicas: erasure.replicas,
    }))
}
