//! Lets a browser that is signed in call routes without its API key.

use actix_web::{
    Error, HttpMessage,
    body::BoxBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
};

use super::authenticate::{X_API_KEY, bearer_token};
use crate::{
    console::{Holder, Session, Sessions},
    error::ApiError,
};

/// Names the cookie that holds the id of a session.
pub(crate) const COOKIE: &str = "dm_session";
const X_CSRF_TOKEN: HeaderName = HeaderName::from_static("x-csrf-token");

/// Leaves the [`Session`] of a request with its cookie among the request's extensions, and gives
/// the request the API key of a session that has one. One that may change something must show
/// the session's token. A request with a key or token of its own is left as it is: no page can
/// make a browser send one.
pub(crate) async fn recognise(
    sessions: Sessions,
    mut request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if !request.headers().contains_key(X_API_KEY)
        && bearer_token(request.headers()).is_none()
        && let Some(session) = session_id(request.headers()).and_then(|id| sessions.find(id))
    {
        if !request.method().is_safe() {
            require_token(&session, request.headers())?;
        }
        if let Holder::Key { key, .. } = &session.holder {
            let key = HeaderValue::from_str(key.expose()).map_err(|_| ApiError::unauthorized())?;
            request.headers_mut().insert(X_API_KEY, key);
        }
        request.extensions_mut().insert(session);
    }
    next.call(request).await
}

/// The id in the cookie of a session.
pub(crate) fn session_id(headers: &HeaderMap) -> Option<&str> {
    cookie(headers, COOKIE)
}

/// What a cookie holds.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

fn require_token(session: &Session, headers: &HeaderMap) -> Result<(), ApiError> {
    let token = headers.get(X_CSRF_TOKEN).map_or(&b""[..], HeaderValue::as_bytes);
    if session.has_csrf_token(token) {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::FORBIDDEN,
        "Forbidden. The X-CSRF-Token header is not that of this session.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_found_among_other_cookies() {
        let mut headers = HeaderMap::new();
        assert_eq!(session_id(&headers), None);
        headers.append(header::COOKIE, HeaderValue::from_static("a=b; xdm_session=1"));
        assert_eq!(session_id(&headers), None);
        headers.append(header::COOKIE, HeaderValue::from_static("c=d;dm_session=abc; e"));
        assert_eq!(session_id(&headers), Some("abc"));
    }
}
