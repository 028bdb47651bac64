//! The console in the browser: its page, its sessions, and the routes that only it has.
//! Both APIs are served below `/api` as they are.

mod attempts;
mod pages;
mod routes;
mod sessions;
mod settings;
mod sign_in;
mod sockets;
mod wire;

use std::sync::Arc;

use actix_web::{
    body::BoxBody,
    middleware::{Next, from_fn},
    web,
};
use dm_core::ports::ConsolePages;

use self::{attempts::Attempts, sockets::Sockets};
use crate::{
    endpoint::not_found,
    middleware::{rate_limit::RateLimits, session},
    routes::{external, external_health, internal, internal_health},
};

pub(crate) use self::sessions::{Holder, Session, Sessions};
pub use self::settings::{SettingOrigin, ShownSetting};

/// What the console shows beside what the services know.
#[derive(Clone)]
pub struct Console {
    /// Name of the node.
    pub node_id: String,
    /// The files of the page.
    pub pages: Arc<dyn ConsolePages>,
    /// URL under which browsers reach it; that of its own address if there is none.
    pub url: Option<String>,
    /// How it is set up.
    pub settings: Arc<[ShownSetting]>,
}

/// TCP ports of the servers.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(crate) struct Ports {
    pub(crate) internal: u16,
    pub(crate) external: u16,
    pub(crate) dashboard: u16,
}

/// What the handlers of the console work with, shared by the worker threads.
#[derive(Clone)]
pub(crate) struct ConsoleState {
    console: Console,
    ports: Ports,
    pub(crate) sessions: Sessions,
    sockets: Sockets,
    attempts: Attempts,
    /// URL under which browsers reach it, without a slash at its end.
    url: Arc<str>,
}

impl ConsoleState {
    pub(crate) fn new(console: Console, ports: Ports, sessions: Sessions, url: &str) -> Self {
        Self {
            console,
            ports,
            sessions,
            sockets: Sockets::default(),
            attempts: Attempts::default(),
            url: url.trim_end_matches('/').into(),
        }
    }

    /// Serves the page, and both APIs below `/api`, to those who are signed in.
    pub(crate) fn configure(self, rates: &RateLimits, config: &mut web::ServiceConfig) {
        let sessions = self.sessions.clone();
        let api = web::scope("/api")
            .configure(|config| routes::of_api().configure(config))
            .configure(|config| sign_in::of_api().configure(config))
            .configure(|config| internal_health().configure(config))
            .configure(|config| internal().configure(config))
            // What both APIs have, such as `/health`, is answered as operators are.
            .configure(|config| external_health().configure(config))
            .configure(|config| external().configure(config))
            .default_service(web::to(not_found))
            .wrap(rates.layer())
            .wrap(from_fn(pages::keep_from_view));
        let all = web::scope("")
            .service(api)
            .configure(|config| wire::router().configure(config))
            .default_service(web::to(pages::serve))
            // Before the rate limit, which counts by API key.
            .wrap(from_fn(move |request, next: Next<BoxBody>| {
                session::recognise(sessions.clone(), request, next)
            }));
        config.app_data(web::Data::new(self)).service(all);
    }
}
