//! What happens to every request before and after its handler.

pub(crate) mod authenticate;
#[cfg(feature = "rate-limit")]
mod client_address;
pub(crate) mod deadline;
pub(crate) mod host;
#[cfg(feature = "rate-limit")]
mod known_keys;
#[cfg(feature = "rate-limit")]
pub(crate) mod rate_limit;
#[cfg(not(feature = "rate-limit"))]
#[path = "unlimited.rs"]
pub(crate) mod rate_limit;
pub(crate) mod request_id;
pub(crate) mod trace;
