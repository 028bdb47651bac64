//! What is known of a route before a request comes: its name, who may call it, and how
//! long it may take.

use actix_web::http::Method;
use dm_core::api_key::Scope;

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Open,
    /// Bearers of a key with this scope.
    Needs(Scope),
}

/// A route of a server, for those who compare it with a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteInfo {
    /// Method, such as `GET`.
    pub method: Method,
    /// Path with its parameters, such as `/data/{data_hash}`.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
}

/// How long a route may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// The server's request timeout.
    Limited,
    /// As long as bytes arrive: the handler watches over its body itself.
    Streamed,
}
