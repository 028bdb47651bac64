//! `GET /openapi.json`: the description of the API that answers.

use actix_web::{HttpResponse, http::Method};

use crate::{
    endpoint::{Endpoint, Router},
    route_info::Access,
};

const INTERNAL: &str = include_str!("../../openapi/internal.json");
const EXTERNAL: &str = include_str!("../../openapi/external.json");

pub(super) fn add_internal(router: &mut Router) {
    add(router, INTERNAL);
}

pub(super) fn add_external(router: &mut Router) {
    add(router, EXTERNAL);
}

fn add(router: &mut Router, document: &'static str) {
    let answer = move || async move { HttpResponse::Ok().content_type("application/json").body(document) };
    router.add(Endpoint::at("/openapi.json").on(Method::GET, Access::Open, answer));
}
