//! Counts requests by their route and their status, and how long answers take.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use actix_web::http::{Method, StatusCode};
use dm_core::{
    meter::{Counter, Histogram, HistogramReading},
    span::TraceContext,
};

/// The route of requests that no endpoint has got: their path is nobody's, or they were
/// refused before.
const NO_ROUTE: &str = "none";

/// Which requests are counted together. There are no more than routes with their methods,
/// whatever clients send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    method: &'static str,
    route: &'static str,
}

#[derive(Debug)]
struct Answers {
    seconds: Histogram,
    by_status: BTreeMap<u16, Counter>,
}

/// The requests of one server since its start; clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestMeter(Arc<RwLock<BTreeMap<Kind, Answers>>>);

impl RequestMeter {
    /// Counts a request that was answered; `route` is the pattern of its endpoint, and `trace` an
    /// example of what took so long.
    pub(crate) fn note(
        &self,
        method: &Method,
        route: Option<&'static str>,
        status: StatusCode,
        took: Duration,
        trace: Option<TraceContext>,
    ) {
        let kind = Kind {
            method: known(method),
            route: route.unwrap_or(NO_ROUTE),
        };
        let kinds = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let is_counted = kinds
            .get(&kind)
            .is_some_and(|answers| answers.note(status.as_u16(), took, trace));
        drop(kinds);
        if !is_counted {
            let mut kinds = self.0.write().unwrap_or_else(PoisonError::into_inner);
            let answers = kinds.entry(kind).or_default();
            answers.by_status.entry(status.as_u16()).or_default();
            answers.note(status.as_u16(), took, trace);
        }
    }

    pub(crate) fn readings(&self) -> Vec<RequestReading> {
        let kinds = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let readings = kinds.iter().map(|(kind, answers)| RequestReading {
            method: kind.method,
            route: kind.route,
            seconds: answers.seconds.reading(),
            by_status: answers
                .by_status
                .iter()
                .map(|(status, count)| (*status, count.value()))
                .collect(),
        });
        readings.collect()
    }
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            seconds: Histogram::of_seconds(),
            by_status: BTreeMap::new(),
        }
    }
}

impl Answers {
    /// Counts an answer, unless it is the first one with this status; whether it is counted.
    fn note(&self, status: u16, took: Duration, trace: Option<TraceContext>) -> bool {
        let Some(count) = self.by_status.get(&status) else {
            return false;
        };
        count.increment();
        self.seconds.took_in(took, trace);
        true
    }
}

/// A client may invent methods; those that no endpoint has are counted together.
pub(crate) fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The requests with one method to one route.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestReading {
    /// The method; `other` for one that no endpoint has.
    pub method: &'static str,
    /// The pattern of the route; `none` where no endpoint has got the request.
    pub route: &'static str,
    /// How long it took until the heads of the answers were there.
    pub seconds: HistogramReading,
    /// Answers by their status.
    pub by_status: Vec<(u16, u64)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_invent_is_counted_together() {
        let meter = RequestMeter::default();
        let took = Duration::from_millis(1);
        for method in ["GET", "BREW", "WHEN"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            meter.note(&method, None, StatusCode::NOT_FOUND, took, None);
        }
        for _ in 0..2 {
            meter.note(
                &Method::GET,
                Some("/data/{data_hash}"),
                StatusCode::OK,
                took,
                None,
            );
        }
        meter.note(
            &Method::GET,
            Some("/data/{data_hash}"),
            StatusCode::NOT_FOUND,
            took,
            None,
        );
        let readings = meter.readings();
        let counted: Vec<_> = readings
            .iter()
            .map(|reading| (reading.method, reading.route, reading.by_status.clone()))
            .collect();
        assert_eq!(
            counted,
            [
                ("GET", "/data/{data_hash}", vec![(200, 2), (404, 1)]),
                ("GET", "none", vec![(404, 1)]),
                ("other", "none", vec![(404, 2)]),
            ]
        );
        assert_eq!(readings[0].seconds.count(), 3);
    }
}
