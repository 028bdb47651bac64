//! Rate limits by actix-governor: a token bucket for each client.
//!
//! A client is its API key or token once that was found valid, the person whose session it has, or
//! the API key that its certificate stands for, else its address, so that sending random keys opens no new bucket.

use std::{net::IpAddr, sync::Arc, time::Duration};

use actix_governor::{
    Governor, GovernorConfig, GovernorConfigBuilder, KeyExtractor, SimpleKeyExtractionError,
    governor::{
        NotUntil,
        clock::{Clock, DefaultClock, QuantaInstant},
        middleware::NoOpMiddleware,
    },
};
use actix_web::{HttpMessage, HttpResponse, HttpResponseBuilder, ResponseError, dev::ServiceRequest};
use dm_core::config::ApiConfig;
use tokio_util::sync::CancellationToken;

use super::{
    authenticate::{address_of, api_key, bearer_token, certified_client},
    known_keys::KnownKeys,
};
use crate::{console::Session, error::ApiError};

/// Between two removals of buckets that are full again.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// The buckets of one server, shared by its worker threads.
#[derive(Clone)]
pub(crate) struct RateLimits {
    config: GovernorConfig<Clients, NoOpMiddleware<QuantaInstant>>,
}

impl RateLimits {
    /// Full buckets; `None` where the rate or the burst is 0.
    pub(crate) fn new(config: &ApiConfig) -> Option<Self> {
        let limit = config.rate_limit;
        let period = Duration::from_secs(1).checked_div(limit.per_second)?;
        let config = GovernorConfigBuilder::default()
            .key_extractor(Clients {
                trusted_proxies: config.trusted_proxies.as_slice().into(),
            })
            .period(period)
            .burst_size(limit.burst)
            .finish()?;
        Some(Self { config })
    }

    /// The middleware of one worker thread.
    pub(crate) fn layer(&self) -> Governor<Clients, NoOpMiddleware<QuantaInstant>> {
        Governor::new(&self.config)
    }

    /// Removes full buckets at intervals, so that passing clients leave nothing.
    pub(crate) async fn sweep(self, stopped: CancellationToken) {
        let limiter = self.config.limiter();
        let sweeping = async {
            loop {
                tokio::time::sleep(SWEEP_INTERVAL).await;
                limiter.retain_recent();
                limiter.shrink_to_fit();
            }
        };
        stopped.run_until_cancelled(sweeping).await;
    }
}

/// Finds out whose bucket a request takes from.
#[derive(Clone)]
pub(crate) struct Clients {
    trusted_proxies: Arc<[IpAddr]>,
}

/// Whose bucket it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    /// The bearer of the API key with this id, or the person.
    Key(Arc<str>),
    /// Whoever comes from this address.
    Address(IpAddr),
}

impl KeyExtractor for Clients {
    type Key = Client;
    type KeyExtractionError = SimpleKeyExtractionError<&'static str>;

    fn extract(&self, request: &ServiceRequest) -> Result<Client, Self::KeyExtractionError> {
        let known = request.app_data::<KnownKeys>();
        let presented = api_key(request.headers()).or_else(|| bearer_token(request.headers()));
        let id = match presented {
            Some(presented) => known.and_then(|known| known.id(presented)),
            None => {
                let session = request.extensions().get::<Session>().cloned();
                let certified = certified_client(request.request());
                session
                    .map(|session| session.holder.id().clone())
                    .or_else(|| certified.map(|client| client.key_id.clone()))
            }
        };
        if let Some(id) = id {
            return Ok(Client::Key(id));
        }
        Ok(Client::Address(address_of(
            request.request(),
            &self.trusted_proxies,
        )))
    }

    fn exceed_rate_limit_response(
        &self,
        negative: &NotUntil<QuantaInstant>,
        _response: HttpResponseBuilder,
    ) -> HttpResponse {
        let wait = negative.wait_time_from(DefaultClock::default().now());
        ApiError::too_many("Rate limit exceeded", wait).error_response()
    }
}
