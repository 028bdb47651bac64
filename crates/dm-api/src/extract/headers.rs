//! Headers that handlers look at, and who the caller is.

use actix_web::{
    HttpMessage, HttpRequest,
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderName},
    },
};
use dm_core::{Address, api_key::Principal, idempotency::IdempotencyKey};

use crate::error::ApiError;

/// Longest idempotency key.
const MAX_IDEMPOTENCY_KEY: usize = 255;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Whose API key the request came with.
pub(crate) fn bearer(request: &HttpRequest) -> Result<Principal, ApiError> {
    request
        .extensions()
        .get::<Principal>()
        .cloned()
        .ok_or_else(ApiError::unauthorized)
}

/// The address that a field names, where the request's API key may have data,
/// rights or money go there; else 403.
pub(crate) fn allowed_recipient(
    request: &HttpRequest,
    field: &'static str,
    address: Address,
) -> Result<Address, ApiError> {
    if bearer(request)?.rights.allow_recipient(address) {
        Ok(address)
    } else {
        Err(ApiError::forbidden_field(
            field,
            format!("Forbidden. The API key is not for the {field} {address}."),
        ))
    }
}

/// The `Idempotency-Key` header: 1 to 255 visible ASCII characters.
pub(crate) fn idempotency_key(request: &HttpRequest) -> Result<Option<IdempotencyKey>, ApiError> {
    let mut values = request.headers().get_all(&IDEMPOTENCY_KEY);
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let bytes = value.as_bytes();
    let is_valid = (1..=MAX_IDEMPOTENCY_KEY).contains(&bytes.len())
        && bytes.iter().all(u8::is_ascii_graphic)
        && values.next().is_none();
    let key =
        value.to_str().ok().filter(|_| is_valid).ok_or_else(|| {
            ApiError::invalid("Idempotency-Key", "must be 1 to 255 visible ASCII characters")
        })?;
    Ok(Some(IdempotencyKey {
        client: bearer(request)?.key_id.to_string(),
        key: key.to_owned(),
    }))
}

/// The text of a header that may be given once.
pub(super) fn header_text(
    headers: &HeaderMap,
    header: &HeaderName,
    name: &'static str,
) -> Result<Option<String>, ApiError> {
    let mut values = headers.get_all(header);
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = std::str::from_utf8(value.as_bytes()).ok();
    match text.filter(|_| values.next().is_none()) {
        Some(text) => Ok(Some(text.to_owned())),
        None => Err(ApiError::invalid(name, "must be given once, in UTF-8")),
    }
}

/// 415 for a body with a `Content-Encoding`: what is shared is the bytes as
/// they are, and a small body that inflates without end is nobody's friend.
pub(crate) fn refuse_encoded_body(headers: &HeaderMap) -> Result<(), ApiError> {
    let plain = headers
        .get_all(header::CONTENT_ENCODING)
        .all(|value| value.as_bytes().eq_ignore_ascii_case(b"identity"));
    if plain {
        Ok(())
    } else {
        Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "bodies with a Content-Encoding are not supported",
        ))
    }
}
