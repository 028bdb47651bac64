//! Lets nobody pass whose API key does not allow it.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::BoxBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{HeaderMap, HeaderName},
    },
    middleware::Next,
    web,
};
use dm_core::{
    api_key::{Principal, RouteName, Scope},
    ports::ApiKeyError,
};

use super::{client_address::client_address, known_keys::KnownKeys, meter};
use crate::{
    error::ApiError,
    route_info::Access,
    state::State,
    tls::{CertifiedClient, Encrypted},
};

pub(super) const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Who may call a route.
pub(crate) struct Gate {
    pub(crate) access: Access,
    pub(crate) route: RouteName,
}

/// Looks up the request's API key, or the one that the client's certificate stands for, leaves its [`Principal`] among the request's
/// extensions, and has the bytes counted that pass for it.
pub(crate) async fn check(
    gate: Arc<Gate>,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Access::Needs(scope) = gate.access else {
        return next.call(request).await;
    };
    let state = request
        .app_data::<web::Data<State>>()
        .cloned()
        .ok_or_else(ApiError::unauthorized)?;
    let bearer = authenticate(request.request(), &state).await?;
    if !bearer.rights.allow_scope(scope) {
        return Err(forbidden(&format!("The API key does not have the scope `{scope}`.")).into());
    }
    if !bearer.rights.allow_route(&gate.route) {
        return Err(forbidden(&format!("The API key is not for `{}`.", gate.route)).into());
    }
    request.extensions_mut().insert(bearer.clone());
    meter::pass(bearer, &state, request, next).await
}

/// The request's API key, if it has one that is text.
pub(super) fn api_key(headers: &HeaderMap) -> Option<&str> {
    headers.get(&X_API_KEY)?.to_str().ok()
}

/// The client that the certificate of the connection names, if there is one.
pub(super) fn certified_client(request: &HttpRequest) -> Option<&CertifiedClient> {
    request.conn_data()
}

/// The client's address, as far as the network tells.
pub(super) fn address_of(request: &HttpRequest, trusted_proxies: &[IpAddr]) -> IpAddr {
    let peer = request
        .peer_addr()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    client_address(peer, request.headers(), trusted_proxies)
}

/// Whether the client's connection is encrypted: to this server, or to a trusted proxy that
/// says so.
pub(crate) fn came_encrypted(request: &HttpRequest, state: &State) -> bool {
    let peer = request.peer_addr().map(|peer| peer.ip().to_canonical());
    let forwarded = request.headers().get(X_FORWARDED_PROTO);
    request.conn_data::<Encrypted>().is_some()
        || peer.is_some_and(|peer| state.trusted_proxies.contains(&peer))
            && forwarded.is_some_and(|scheme| scheme.as_bytes().eq_ignore_ascii_case(b"https"))
}

/// Whether the request comes with a key that may read what `route` shows, for routes that
/// say more to such a one.
pub(crate) async fn may_call(request: &HttpRequest, state: &State, scope: Scope, route: &RouteName) -> bool {
    let bearer = authenticate(request, state).await;
    bearer.is_ok_and(|bearer| bearer.rights.allow_scope(scope) && bearer.rights.allow_route(route))
}

async fn authenticate(request: &HttpRequest, state: &State) -> Result<Principal, ApiError> {
    match api_key(request.headers()) {
        Some(key) => bearer_of(key, request, state).await,
        None => {
            let client = certified_client(request).ok_or_else(ApiError::unauthorized)?;
            Ok(state.run(state.services.api_keys.bearer(&client.key_id)).await?)
        }
    }
}

/// Whose this key is, which has come with the request.
pub(crate) async fn bearer_of(
    key: &str,
    request: &HttpRequest,
    state: &State,
) -> Result<Principal, ApiError> {
    let known = request.app_data::<KnownKeys>();
    let address = address_of(request, &state.trusted_proxies);
    let guard = &state.services.key_guard;
    if let Some(wait) = guard.wait(address)
        && known.is_none_or(|known| known.id(key).is_none())
    {
        return Err(ApiError::too_many(
            "Too many wrong API keys came from this address",
            wait,
        ));
    }
    let found = state.run(state.services.api_keys.authenticate(key)).await;
    // A catalog that failed says nothing about the key.
    let verdict = match &found {
        Ok(bearer) => Some(Some(bearer)),
        Err(ApiKeyError::Unknown) => Some(None),
        Err(_) => None,
    };
    if let (Some(known), Some(bearer)) = (known, verdict) {
        known.note(key, bearer);
    }
    if let Some(None) = verdict {
        guard.note_wrong_key(address);
    }
    Ok(found?)
}

fn forbidden(why: &str) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, format!("Forbidden. {why}"))
}
