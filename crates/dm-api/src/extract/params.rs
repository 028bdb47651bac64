//! Parameters of the path and the query string.

use actix_web::{HttpRequest, http::StatusCode, web::Query};
use dm_core::{Address, address::parse_address, contact::Party, hash::DataHash};
use serde::{Deserialize, de::DeserializeOwned};

use crate::error::ApiError;

/// The path's `{data_hash}`.
pub(crate) fn data_hash_param(request: &HttpRequest) -> Result<DataHash, ApiError> {
    request
        .match_info()
        .query("data_hash")
        .parse()
        .map_err(|reason| ApiError::invalid("data_hash", reason))
}

/// An address that was given in the path or the query string.
pub(crate) fn address_param(name: &'static str, text: &str) -> Result<Address, ApiError> {
    parse_address(text).map_err(|reason| ApiError::invalid(name, reason))
}

/// An address or the name of a contact that was given in the path or the query string.
pub(crate) fn party_param(name: &'static str, text: &str) -> Result<Party, ApiError> {
    text.parse().map_err(|reason| ApiError::invalid(name, reason))
}

/// A switch in the query string, which is off where it is not given.
pub(crate) fn switch_param(name: &'static str, text: Option<&str>) -> Result<bool, ApiError> {
    match text.map(str::to_ascii_lowercase).as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(ApiError::invalid(name, "must be true or false")),
    }
}

/// Whether the query string asks for a trace of the retrieval.
pub(crate) fn wants_explanation(request: &HttpRequest) -> Result<bool, ApiError> {
    let Explain { explain } = query(request)?;
    switch_param("explain", explain.as_deref())
}

#[derive(Deserialize)]
struct Explain {
    explain: Option<String>,
}

/// The query string; parameters that are not in `T` are skipped.
pub(crate) fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, ApiError> {
    Query::<T>::from_query(request.query_string())
        .map(Query::into_inner)
        .map_err(|_| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "the query string is not valid"))
}
