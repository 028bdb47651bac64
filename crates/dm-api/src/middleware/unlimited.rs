//! What stands in place of the rate limit without the feature `rate-limit`.

use actix_web::middleware::Identity;
use dm_core::config::ApiConfig;
use tokio_util::sync::CancellationToken;

/// No limit.
#[derive(Clone)]
pub(crate) struct RateLimits;

impl RateLimits {
    /// Never `None`.
    pub(crate) fn new(_: &ApiConfig) -> Option<Self> {
        Some(Self)
    }

    /// A middleware that does nothing.
    pub(crate) fn layer(&self) -> Identity {
        Identity::default()
    }

    /// Ends when the server stops.
    pub(crate) async fn sweep(self, stopped: CancellationToken) {
        stopped.cancelled().await;
    }
}
