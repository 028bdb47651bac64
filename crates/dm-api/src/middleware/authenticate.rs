//! Lets nobody pass whose API key, or whose roles, do not allow it.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::BoxBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderName},
    },
    middleware::Next,
    web,
};
use dm_core::{
    api_key::{Principal, RouteName, Scope},
    clock::now_ms,
    ports::{ApiKeyError, IdentityError},
};
use tokio_util::sync::CancellationToken;
use tracing::Span;

use super::{acts, client_address::client_address, host, known_keys::KnownKeys, meter, standing::Standing};
use crate::{
    console::{Holder, Session},
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

/// Somebody who was recognised.
struct Admitted {
    bearer: Principal,
    /// How long they stay so.
    standing: Standing,
}

/// Looks up who makes the request: by its API key, its token, its session, or the API key that
/// the client's certificate stands for. Leaves the [`Principal`] among the request's extensions.
/// Bytes that pass for an API key are counted, and what somebody changes is noted.
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
    let Admitted { bearer, standing } = authenticate(request.request(), &state).await?;
    Span::current().record("client", &*bearer.key_id);
    Span::current().record("client_name", &*bearer.name);
    let who = match bearer.person {
        Some(_) => "account",
        None => "API key",
    };
    if !bearer.rights.allow_scope(scope) {
        return Err(forbidden(&format!("The {who} does not have the scope `{scope}`.")).into());
    }
    if !bearer.rights.allow_route(&gate.route) {
        return Err(forbidden(&format!("The {who} is not for `{}`.", gate.route)).into());
    }
    request.extensions_mut().insert(bearer.clone());
    let act = acts::begin(&bearer, &gate, &request, &state.services.people);
    let answer = match bearer.person {
        Some(_) => standing.pass(request, next).await,
        None => meter::pass(bearer, standing, &state, request, next).await,
    };
    if let Some(act) = act {
        act.end(&answer);
    }
    answer
}

/// The request's API key, if it has one that is text.
pub(super) fn api_key(headers: &HeaderMap) -> Option<&str> {
    headers.get(&X_API_KEY)?.to_str().ok()
}

/// The request's access token, if it has one.
pub(super) fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
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
    let found = authenticate(request, state).await;
    found.is_ok_and(|Admitted { bearer, .. }| {
        bearer.rights.allow_scope(scope) && bearer.rights.allow_route(route)
    })
}

async fn authenticate(request: &HttpRequest, state: &State) -> Result<Admitted, ApiError> {
    if let Some(key) = api_key(request.headers()) {
        return Ok(by_key(bearer_of(key, request, state).await?, state));
    }
    if let Some(token) = bearer_token(request.headers()) {
        let bearer = bearer_of_token(token, request, state).await?;
        let standing = Standing::of_person(remaining(&bearer), CancellationToken::new());
        return Ok(Admitted { bearer, standing });
    }
    let session = request.extensions().get::<Session>().cloned();
    if let Some(session) = session
        && let Holder::Person { bearer, .. } = &session.holder
    {
        let standing = Standing::of_person(session.remaining(), session.ended.clone());
        let bearer = bearer.clone();
        return Ok(Admitted { bearer, standing });
    }
    let client = certified_client(request).ok_or_else(ApiError::unauthorized)?;
    host::refuse_foreign_page(request.method(), request.headers())?;
    let bearer = state.run(state.services.api_keys.bearer(&client.key_id)).await?;
    Ok(by_key(bearer, state))
}

fn by_key(bearer: Principal, state: &State) -> Admitted {
    let keys = state.services.api_keys.clone();
    let standing = Standing::of_key(keys, bearer.clone(), state.runtime().clone());
    Admitted { bearer, standing }
}

/// For how long a token still counts.
fn remaining(bearer: &Principal) -> Duration {
    let ends_at = bearer.expires_at.unwrap_or_default();
    Duration::from_millis(ends_at.saturating_sub(now_ms()))
}

/// Whose this access token is. Wrong ones do not make their address wait: nobody finds a
/// signature by trying.
async fn bearer_of_token(token: &str, request: &HttpRequest, state: &State) -> Result<Principal, ApiError> {
    let provider = state
        .services
        .people
        .provider()
        .ok_or_else(ApiError::unauthorized)?;
    let found = state.run(provider.recognise(token)).await;
    // A provider that does not answer says nothing about the token.
    let is_known = !matches!(found, Err(IdentityError::Unreachable(_)));
    if let Some(known) = request.app_data::<KnownKeys>().filter(|_| is_known) {
        known.note(token, found.as_ref().ok());
    }
    Ok(found?)
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
