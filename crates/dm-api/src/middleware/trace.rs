//! One tracing span and one count for each request.
//!
//! The span holds the method, the route's pattern, the status, and the time to the
//! response's head. Paths, query strings and headers stay out of it: they may
//! hold what is nobody's business, the API key first of all.

use std::{cell::Cell, rc::Rc, time::Instant};

use actix_web::{
    Error, HttpMessage,
    body::BoxBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
};
use tracing::{Instrument, Span, field::Empty};

use super::request_id::RequestId;
use crate::request_meter::RequestMeter;

/// The pattern of the route that a request was found to have, among its extensions.
#[derive(Clone, Default)]
struct FoundRoute(Rc<Cell<Option<&'static str>>>);

/// Runs the request inside its span, and notes and counts what came of it.
pub(crate) async fn span(
    meter: RequestMeter,
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
    let (method, route) = (request.method().clone(), FoundRoute::default());
    request.extensions_mut().insert(route.clone());
    if let Some(id) = request.extensions().get::<RequestId>() {
        span.record("id", id.as_str());
    }
    let started = Instant::now();
    let answer = next.call(request).instrument(span.clone()).await;
    let took = started.elapsed();
    let status = match &answer {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    meter.note(&method, route.0.get(), status, took);
    span.record("status", status.as_u16());
    span.record("duration_ms", took.as_secs_f64() * 1000.0);
    // A line without the span says nothing of the request.
    if span.is_disabled() {
        return answer;
    }
    span.in_scope(|| {
        if status.is_server_error() {
            tracing::warn!("request failed");
        } else {
            tracing::debug!("request answered");
        }
    });
    answer
}

/// Notes the pattern of the route that was found, for the request's span and its count.
pub(crate) async fn note_route(
    pattern: &'static str,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    Span::current().record("route", pattern);
    if let Some(route) = request.extensions().get::<FoundRoute>() {
        route.0.set(Some(pattern));
    }
    next.call(request).await
}
