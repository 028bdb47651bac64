//! `/data/{data_hash}`: shared text, in JSON.

use std::{collections::BTreeMap, ops::Range};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode},
    web::Data,
};
use bytes::Bytes;
use dm_core::{
    api_key::Scope,
    hash::DataHash,
    plugin::Notes,
    trace::{Trace, TraceReport},
};
use dm_services::ServiceError;
use futures::{StreamExt, stream::BoxStream};
use serde::Serialize;

use super::erasures::erase;
use crate::{
    endpoint::{Endpoint, Router},
    error::ApiError,
    extract::{data_hash_param, wants_explanation},
    route_info::Access,
    state::State,
};

/// Largest text in bytes that is answered in JSON.
const MAX_DATA: u64 = 1024 * 1024;

pub(super) fn add(router: &mut Router) {
    router.add(
        Endpoint::at("/data/{data_hash}")
            .on(Method::GET, Access::Needs(Scope::Read), get)
            .on(Method::DELETE, Access::Needs(Scope::Admin), erase),
    );
}

#[derive(Serialize)]
struct DataAnswer<'a> {
    hash: DataHash,
    data: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    explain: Option<TraceReport>,
    /// What plugins note on the retrieval, by their names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    notes: Notes,
}

async fn get(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let hash = data_hash_param(&request)?;
    let explains = wants_explanation(&request)?;
    let retrieved = state.run(read_all(&state, &hash)).await?;
    let bytes = joined(retrieved.pieces);
    let data = std::str::from_utf8(&bytes).map_err(|_| elsewhere(&hash, "is not UTF-8 text"))?;
    Ok(HttpResponse::Ok().json(DataAnswer {
        hash,
        data,
        explain: explains.then(|| retrieved.trace.report()),
        notes: retrieved.notes,
    }))
}

/// Data with what belongs to its retrieval.
struct Retrieved {
    pieces: Vec<Bytes>,
    trace: Trace,
    notes: Notes,
}

async fn read_all(state: &State, hash: &DataHash) -> Result<Retrieved, ApiError> {
    let object = state.services.data.open(hash).await?;
    let trace = object.trace();
    let size = object.size();
    let notes = object.notes().clone();
    if size > MAX_DATA {
        return Err(elsewhere(hash, "is larger than 1 MiB"));
    }
    let whole: Range<u64> = 0..size;
    let mut stream: BoxStream<'static, Result<Bytes, ServiceError>> = object.read(whole);
    let mut pieces = Vec::new();
    while let Some(piece) = stream.next().await {
        pieces.push(piece?);
    }
    Ok(Retrieved { pieces, trace, notes })
}

/// Small data is one piece, which is not copied.
fn joined(mut pieces: Vec<Bytes>) -> Bytes {
    match pieces.len() {
        1 => pieces.swap_remove(0),
        _ => pieces.concat().into(),
    }
}

fn elsewhere(hash: &DataHash, why: &str) -> ApiError {
    ApiError::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        format!("the data {why} and has no JSON form; get it from /objects/{hash}"),
    )
}
