//! One tracing span, one span of a distributed trace and one count for each request.
//!
//! The spans hold the method, the route's pattern, the id and name of the API key or person, the status,
//! and the time to the response's head. Paths, query strings and headers stay out of them: they may
//! hold what is nobody's business, the API key first of all.

use std::{cell::Cell, rc::Rc, time::Instant};

use actix_web::{
    Error, HttpMessage,
    body::BoxBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
};
use dm_core::span::{Span as TraceSpan, SpanKind, TraceContext, Tracer};
use tracing::{Instrument, Span, field::Empty};

use super::request_id::{RequestId, with_header};
use crate::request_meter::{self, RequestMeter};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The pattern of the route that a request was found to have, among its extensions.
#[derive(Clone, Default)]
struct FoundRoute(Rc<Cell<Option<&'static str>>>);

/// Runs the request inside its spans, and notes and counts what came of it.
pub(crate) async fn span(
    meter: RequestMeter,
    tracer: Tracer,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let mut traced = tracer.begin(
        request_meter::known(request.method()),
        SpanKind::Server,
        caller_of(request.headers()),
    );
    let context = traced.context();
    let span = tracing::info_span!(
        "request",
        id = Empty,
        trace_id = %context.trace_id,
        method = %request.method(),
        route = Empty,
        client = Empty,
        client_name = Empty,
        status = Empty,
        duration_ms = Empty,
    );
    let (method, route) = (request.method().clone(), FoundRoute::default());
    request.extensions_mut().insert(route.clone());
    if let Some(id) = request.extensions().get::<RequestId>() {
        span.record("id", id.as_str());
    }
    let started = Instant::now();
    let answer = traced.run(next.call(request).instrument(span.clone())).await;
    let took = started.elapsed();
    let status = match &answer {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    let example = traced.is_recorded().then_some(context);
    meter.note(&method, route.0.get(), status, took, example);
    describe(&mut traced, &method, route.0.get(), status);
    drop(traced);
    let answer = with_traceparent(answer, &context);
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

/// The place in a trace from which the client calls, if it says so. It may say anything: what is
/// not valid, or comes twice, counts as nothing.
fn caller_of(headers: &HeaderMap) -> Option<TraceContext> {
    let mut given = headers.get_all(TRACEPARENT);
    match (given.next(), given.next()) {
        (Some(given), None) => TraceContext::parse(given.as_bytes()),
        _ => None,
    }
}

fn describe(traced: &mut TraceSpan, method: &Method, route: Option<&'static str>, status: StatusCode) {
    let method = request_meter::known(method);
    traced.set("http.request.method", method);
    if let Some(route) = route {
        traced.rename(|| format!("{method} {route}"));
        traced.set("http.route", route);
    }
    traced.set("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        traced.fail();
    }
}

/// Tells the client the trace of its request, and the span in it.
fn with_traceparent(
    answer: Result<ServiceResponse<BoxBody>, Error>,
    context: &TraceContext,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match HeaderValue::try_from(context.traceparent()) {
        Ok(traceparent) => with_header(answer, TRACEPARENT, traceparent),
        Err(_) => answer,
    }
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
