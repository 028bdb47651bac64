//! `/livez` and `/readyz`: what load balancers and supervisors ask, without a key.

use actix_web::{HttpResponse, http::Method, web::Data};
use serde::Serialize;

use crate::{
    endpoint::{Endpoint, Router},
    route_info::Access,
    state::State,
};

pub(super) fn add(router: &mut Router) {
    router.add(Endpoint::at("/livez").on(Method::GET, Access::Open, live));
    router.add(Endpoint::at("/readyz").on(Method::GET, Access::Open, ready));
}

#[derive(Serialize)]
struct Liveness {
    alive: bool,
}

/// The process answers; no more is asked.
async fn live() -> HttpResponse {
    HttpResponse::Ok().json(Liveness { alive: true })
}

#[derive(Serialize)]
struct ReadinessAnswer {
    ready: bool,
}

async fn ready(state: Data<State>) -> HttpResponse {
    let ready = state.services.readiness.is_ready();
    let mut answer = if ready {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    };
    answer.json(ReadinessAnswer { ready })
}
