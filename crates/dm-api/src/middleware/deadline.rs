//! Ends requests that take too long.

use actix_web::{
    Error,
    body::BoxBody,
    dev::{ServiceRequest, ServiceResponse},
    http::StatusCode,
    middleware::Next,
    web,
};

use crate::{error::ApiError, route_info::Pace, state::State};

/// Gives the handler the server's request timeout to begin its response; what
/// it streams afterwards is not limited. Routes that stream their request's
/// body watch over it themselves.
pub(crate) async fn limit(
    pace: Pace,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let limit = match (pace, request.app_data::<web::Data<State>>()) {
        (Pace::Limited, Some(state)) => state.limits.request,
        _ => return next.call(request).await,
    };
    match tokio::time::timeout(limit, next.call(request)).await {
        Ok(answer) => answer,
        Err(_) => Err(timed_out().into()),
    }
}

/// 503: no answer in time; what was begun may still be completed.
pub(crate) fn timed_out() -> ApiError {
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "the request took too long and was given up; what it asked for may still happen",
    )
    .retry_soon()
}
