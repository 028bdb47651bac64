//! Acts: what people and the bearers of API keys ask the node to change.

use serde::Serialize;

/// What somebody has asked the node to change, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Act {
    /// Method of the request.
    pub method: String,
    /// Pattern of the route, such as `/api_keys/{id}`.
    pub route: String,
    /// What the request named in its path, without the query.
    pub path: String,
    /// HTTP status of the answer; `None` where the connection broke before it.
    pub status: Option<u16>,
    /// The answer's `X-Request-Id`.
    pub request_id: String,
}
