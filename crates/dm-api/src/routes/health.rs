//! `/health`, with `/healthz` and `/ready` as other names for it, and `/health/parts`.

use std::collections::BTreeMap;

use actix_web::{
    HttpResponse,
    http::{Method, StatusCode},
    web::Data,
};
use dm_core::{
    api_key::Scope,
    health::{HealthLevel, HealthReport, PartHealth},
};
use serde::Serialize;

use super::probes;
use crate::{
    endpoint::{Endpoint, Router},
    route_info::Access,
    state::State,
};

const PATHS: [&str; 3] = ["/health", "/healthz", "/ready"];

/// Health for operators: every component.
pub(crate) fn internal() -> Router {
    let mut router = Router::default();
    for path in PATHS {
        router.add(Endpoint::at(path).on(Method::GET, Access::Open, components));
    }
    probes::add(&mut router);
    router
}

/// Health for clients: whether it is worth asking.
pub(crate) fn external() -> Router {
    let mut router = Router::default();
    for path in PATHS {
        router.add(Endpoint::at(path).on(Method::GET, Access::Open, summary));
    }
    probes::add(&mut router);
    router
}

/// `GET /health/parts`: for those whom the parts' reasons concern.
pub(super) fn add_parts(router: &mut Router) {
    router.add(Endpoint::at("/health/parts").on(Method::GET, Access::Needs(Scope::Read), parts));
}

#[derive(Serialize)]
struct Parts {
    parts: BTreeMap<&'static str, PartHealth>,
}

async fn parts(state: Data<State>) -> HttpResponse {
    HttpResponse::Ok().json(Parts {
        parts: state.services.health.report().parts,
    })
}

#[derive(Serialize)]
struct Components {
    #[serde(flatten)]
    report: HealthReport,
    /// Wrong API keys that came since the start.
    wrong_api_keys: u64,
}

async fn components(state: Data<State>) -> HttpResponse {
    let report = state.services.health.report();
    HttpResponse::build(status_code(report.status)).json(Components {
        report,
        wrong_api_keys: state.services.key_guard.wrong_keys(),
    })
}

#[derive(Serialize)]
struct Summary {
    status: HealthLevel,
    p2p: PeerToPeer,
}

#[derive(Serialize)]
struct PeerToPeer {
    running: bool,
    peers: u64,
}

async fn summary(state: Data<State>) -> HttpResponse {
    let status = state.services.health.report().status;
    HttpResponse::build(status_code(status)).json(Summary {
        status,
        p2p: PeerToPeer {
            running: state.services.network.is_running(),
            peers: state.services.network.stats().active_peers,
        },
    })
}

fn status_code(level: HealthLevel) -> StatusCode {
    match level {
        HealthLevel::Healthy | HealthLevel::Degraded => StatusCode::OK,
        HealthLevel::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
    }
}
