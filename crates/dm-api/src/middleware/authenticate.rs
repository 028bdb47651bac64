//! Lets nobody pass whose API key does not allow it.

use actix_web::{
    Error, HttpMessage,
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
    api_key::{Principal, Scope},
    ports::ApiKeyError,
};

use crate::{endpoint::Access, error::ApiError, state::State};

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Looks up the request's API key and leaves its [`Principal`] among the
/// request's extensions.
pub(crate) async fn check(
    access: Access,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if let Access::Needs(scope) = access {
        let principal = authenticate(&request).await?;
        if !principal.allows(scope) {
            return Err(forbidden(scope).into());
        }
        request.extensions_mut().insert(principal);
    }
    next.call(request).await
}

/// The request's API key, if it has one that is text.
pub(super) fn api_key(headers: &HeaderMap) -> Option<&str> {
    headers.get(&X_API_KEY)?.to_str().ok()
}

async fn authenticate(request: &ServiceRequest) -> Result<Principal, ApiError> {
    let key = api_key(request.headers()).ok_or_else(ApiError::unauthorized)?;
    let state = request
        .app_data::<web::Data<State>>()
        .ok_or_else(ApiError::unauthorized)?;
    let found = state.run(state.services.api_keys.authenticate(key)).await;
    #[cfg(feature = "rate-limit")]
    if let Some(known) = request.app_data::<super::known_keys::KnownKeys>() {
        known.note(key, found.as_ref().ok());
    }
    if let Err(ApiKeyError::Unknown) = found {
        tracing::debug!("an API key was not recognised");
    }
    Ok(found?)
}

fn forbidden(scope: Scope) -> ApiError {
    ApiError::new(
        StatusCode::FORBIDDEN,
        format!("Forbidden. The API key does not have the scope `{scope}`."),
    )
}
