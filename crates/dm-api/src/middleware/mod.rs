//! What happens to every request before and after its handler.

mod acts;
pub(crate) mod authenticate;
mod client_address;
pub(crate) mod deadline;
pub(crate) mod dialect;
pub(crate) mod host;
pub(crate) mod in_progress;
pub(crate) mod known_keys;
mod meter;
#[cfg(feature = "rate-limit")]
pub(crate) mod rate_limit;
#[cfg(not(feature = "rate-limit"))]
#[path = "unlimited.rs"]
pub(crate) mod rate_limit;
pub(crate) mod request_id;
pub(crate) mod session;
mod standing;
pub(crate) mod trace;
