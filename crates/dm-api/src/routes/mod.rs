//! The routes, one file for each resource.

use crate::{endpoint::Router, route_info::RouteInfo};

mod api_keys;
mod authorization;
mod backup;
mod blockchain;
mod contacts;
mod data;
mod erasures;
mod events;
mod grants;
mod health;
mod history;
mod inbox;
mod instances;
mod keys;
mod log_filter;
mod network;
mod objects;
mod openapi;
mod order_answer;
mod plugins;
mod probes;
mod receipts;
mod retrievals;
mod said_of_data;
mod seconds;
mod sent;
mod sessions;
mod share_answer;
mod shares;
mod subscriptions;
mod tokens;
mod transfers;
mod uploads;
mod users;
mod verification;

/// Every route of the API for operators.
pub fn internal_routes() -> Vec<RouteInfo> {
    [health::internal().routes(), internal().routes()].concat()
}

/// Every route of the API for clients.
pub fn external_routes() -> Vec<RouteInfo> {
    [health::external().routes(), external().routes()].concat()
}

/// Every route of both APIs.
pub fn served_routes() -> Vec<RouteInfo> {
    [internal_routes(), external_routes()].concat()
}

/// The routes of the API for operators that are subject to its rate limit.
pub(crate) fn internal() -> Router {
    let mut router = Router::default();
    tokens::add(&mut router);
    transfers::add(&mut router);
    blockchain::add(&mut router);
    api_keys::add(&mut router);
    sessions::add(&mut router);
    users::add(&mut router);
    contacts::add(&mut router);
    backup::add(&mut router);
    keys::add(&mut router);
    log_filter::add(&mut router);
    plugins::add(&mut router);
    instances::add(&mut router);
    subscriptions::add(&mut router);
    openapi::add_internal(&mut router);
    router
}

/// The routes of the API for clients that are subject to its rate limit.
pub(crate) fn external() -> Router {
    let mut router = Router::default();
    authorization::add(&mut router);
    shares::add(&mut router);
    data::add(&mut router);
    grants::add(&mut router);
    objects::add(&mut router);
    uploads::add(&mut router);
    retrievals::add(&mut router);
    verification::add(&mut router);
    receipts::add(&mut router);
    inbox::add(&mut router);
    sent::add(&mut router);
    history::add(&mut router);
    events::add(&mut router);
    network::add(&mut router);
    health::add_parts(&mut router);
    openapi::add_external(&mut router);
    router
}

/// The routes of the API for operators that have no rate limit.
pub(crate) fn internal_health() -> Router {
    health::internal()
}

/// The routes of the API for clients that have no rate limit.
pub(crate) fn external_health() -> Router {
    health::external()
}
