//! Puts the layers of a server together.
//!
//! A request meets them in this order: the note that it is in progress, request
//! id, tracing span, form of the answer, host check and rate limit (health excepted),
//! and for each route its access check and its time limit.

use std::{net::IpAddr, sync::Arc};

use actix_web::{
    App, Error,
    body::BoxBody,
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    middleware::{Next, from_fn},
    web,
};
use tokio::runtime::Handle;

use crate::{
    console::{ConsoleState, Sessions},
    endpoint::{Router, not_found},
    middleware::{
        dialect,
        host::{self, AllowedHosts},
        in_progress::{self, Requests},
        known_keys::KnownKeys,
        rate_limit::RateLimits,
        request_id::{self, RequestIds},
        trace,
    },
    request_meter::RequestMeter,
    routes,
    state::{Limits, Services, State},
    uploads::UploadPlaces,
};

/// Whom a server is for.
#[derive(Clone)]
pub(crate) enum Audience {
    Operators,
    Clients,
    /// The console in the browser.
    Console(Box<ConsoleState>),
}

impl Audience {
    /// What metrics call its server.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Operators => "internal",
            Self::Clients => "external",
            Self::Console(_) => "console",
        }
    }
}

/// What the worker threads of one server are made from.
#[derive(Clone)]
pub(crate) struct Blueprint {
    pub(crate) audience: Audience,
    pub(crate) services: Services,
    pub(crate) limits: Limits,
    pub(crate) rates: RateLimits,
    pub(crate) hosts: AllowedHosts,
    pub(crate) known_keys: KnownKeys,
    pub(crate) uploads: UploadPlaces,
    pub(crate) sessions: Sessions,
    pub(crate) trusted_proxies: Arc<[IpAddr]>,
    pub(crate) runtime: Handle,
    pub(crate) requests: Requests,
    pub(crate) meter: RequestMeter,
}

impl Blueprint {
    /// The application of one worker thread.
    pub(crate) fn app(
        &self,
    ) -> App<
        impl ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<BoxBody>,
            Error = Error,
            InitError = (),
        > + use<>,
    > {
        // Health is told under every name, also to who gives none.
        let health = match self.audience {
            Audience::Operators => routes::internal_health(),
            Audience::Clients => routes::external_health(),
            Audience::Console(_) => Router::default(),
        };
        let state = State::new(
            self.services.clone(),
            self.limits,
            self.trusted_proxies.clone(),
            self.runtime.clone(),
            self.uploads.clone(),
            routes::served_routes().into(),
            self.sessions.clone(),
        );
        let (hosts, requests, meter) = (self.hosts.clone(), self.requests.clone(), self.meter.clone());
        let tracer = self.services.tracer.clone();
        let (audience, rates) = (self.audience.clone(), &self.rates);
        let rest = web::scope("")
            .wrap(from_fn(move |request, next: Next<BoxBody>| {
                host::check(hosts.clone(), request, next)
            }))
            .configure(|config| match audience {
                Audience::Operators => limited(routes::internal(), rates, config),
                Audience::Clients => limited(routes::external(), rates, config),
                Audience::Console(console) => console.configure(rates, config),
            });
        App::new()
            .app_data(web::Data::new(state))
            .app_data(self.known_keys.clone())
            .app_data(RequestIds::new())
            .configure(|config| health.configure(config))
            .service(rest)
            .default_service(web::to(not_found))
            .wrap(from_fn(dialect::fit))
            .wrap(from_fn(move |request, next: Next<BoxBody>| {
                trace::span(meter.clone(), tracer.clone(), request, next)
            }))
            .wrap(from_fn(request_id::assign))
            .wrap(from_fn(move |request, next: Next<BoxBody>| {
                in_progress::note(requests.clone(), request, next)
            }))
    }
}

/// The routes of an API that are subject to its rate limit.
fn limited(routes: Router, rates: &RateLimits, config: &mut web::ServiceConfig) {
    let routes = web::scope("")
        .wrap(rates.layer())
        .configure(|config| routes.configure(config))
        .default_service(web::to(not_found));
    config.service(routes);
}
