//! One tracing span for each request.
//!
//! It holds the method, the route's pattern, the status, and the time to the
//! response's head. Paths, query strings and headers stay out of it: they may
//! hold what is nobody's business, the API key first of all.

use std::time::Instant;

use actix_web::{
    Error, HttpMessage,
    body::BoxBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
};
use tracing::{Instrument, Span, field::Empty};

use super::request_id::RequestId;

/// Runs the request inside its span and notes what came of it.
pub(crate) async fn span(
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let span = tracing::info_span!(
        "request",
        id = Empty,
        method = %request.method(),
        route = Empty,
        status = Empty,
        duration_ms = Empty,
    );
    if span.is_disabled() {
        return next.call(request).await;
    }
    if let Some(id) = request.extensions().get::<RequestId>() {
        span.record("id", id.as_str());
    }
    let started = Instant::now();
    let answer = next.call(request).instrument(span.clone()).await;
    let status = match &answer {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    span.record("status", status.as_u16());
    span.record("duration_ms", started.elapsed().as_secs_f64() * 1000.0);
    span.in_scope(|| {
        if status.is_server_error() {
            tracing::warn!("request failed");
        } else {
            tracing::debug!("request answered");
        }
    });
    answer
}

/// Notes the pattern of the route that was found in the request's span.
pub(crate) async fn note_route(
    pattern: &'static str,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    Span::current().record("route", pattern);
    next.call(request).await
}
