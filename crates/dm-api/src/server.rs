//! The two API servers.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use actix_http::HttpService;
use actix_web::dev::Server;
use dm_core::config::{ApiConfig, UploadsConfig};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{Audience, Blueprint},
    listener::listen,
    middleware::{host::AllowedHosts, in_progress::Requests, known_keys::KnownKeys, rate_limit::RateLimits},
    on_demand,
    request_meter::{RequestMeter, RequestReading},
    running::RunningServer,
    state::{Limits, Services},
    uploads::UploadPlaces,
};

/// Worker threads of the API for operators.
const INTERNAL_WORKERS: usize = 1;
/// Most worker threads of the API for clients: what they do beside their
/// requests' heads and bodies runs on the node's own threads.
const MAX_EXTERNAL_WORKERS: usize = 4;
/// Connections that one worker holds at most.
const CONNECTIONS_PER_WORKER: usize = 4096;
/// How long a client may take for a request's head.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// How long a connection is kept for a next request.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a closing connection may take.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The address is taken, or not this machine's.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The rate limit allows nothing.
    #[error("rate limit: rate and burst must be at least 1")]
    RateLimit,
    /// The socket cannot be used.
    #[error("the HTTP server does not start: {0}")]
    Start(#[from] io::Error),
}

/// Both API servers, listening and not serving yet: clients that connect wait.
pub struct ApiServers {
    internal: Bound,
    external: Bound,
    uploads: UploadPlaces,
}

struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    config: ApiConfig,
    rates: RateLimits,
}

impl Bound {
    fn new(config: &ApiConfig) -> Result<Self, ServerError> {
        let address = SocketAddr::new(config.host, config.port);
        let listener = listen(address, Limits::from(config).idle)
            .map_err(|source| ServerError::Bind { address, source })?;
        Ok(Self {
            address: listener.local_addr()?,
            listener,
            rates: RateLimits::new(config).ok_or(ServerError::RateLimit)?,
            config: config.clone(),
        })
    }

    /// The API for clients is meant for the world, unless it is given its names.
    fn hosts(&self, audience: Audience) -> AllowedHosts {
        let allowed = &self.config.allowed_hosts;
        if audience == Audience::Clients && allowed.is_empty() {
            return AllowedHosts::Any;
        }
        AllowedHosts::Only {
            bound: self.address,
            allowed: allowed.as_slice().into(),
        }
    }
}

impl ApiServers {
    /// Takes the ports; port 0 lets the system choose.
    ///
    /// # Errors
    /// [`ServerError`], which names the address.
    pub fn bind(
        internal: &ApiConfig,
        external: &ApiConfig,
        uploads: UploadsConfig,
    ) -> Result<Self, ServerError> {
        Ok(Self {
            internal: Bound::new(internal)?,
            external: Bound::new(external)?,
            uploads: UploadPlaces::new(uploads),
        })
    }

    /// Where the API for operators listens.
    pub fn internal_address(&self) -> SocketAddr {
        self.internal.address
    }

    /// Where the API for clients listens.
    pub fn external_address(&self) -> SocketAddr {
        self.external.address
    }

    /// Begins to serve. Call it on the node's tokio runtime: what the services
    /// spawn goes there, while the servers' own threads only speak HTTP.
    /// Requests in progress get `patience` (rounded up to seconds) when the
    /// servers are stopped.
    ///
    /// # Errors
    /// [`ServerError::Start`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn serve(self, services: &Services, patience: Duration) -> Result<ApiHandle, ServerError> {
        let stopped = CancellationToken::new();
        let external_workers = std::thread::available_parallelism()
            .map_or(1, usize::from)
            .min(MAX_EXTERNAL_WORKERS);
        let plans = [
            (self.internal, Audience::Operators, INTERNAL_WORKERS),
            (self.external, Audience::Clients, external_workers),
        ];
        let mut servers = Vec::with_capacity(plans.len());
        let known_keys = KnownKeys::default();
        let mut meters = Vec::with_capacity(plans.len());
        for (bound, audience, workers) in plans {
            tokio::spawn(bound.rates.clone().sweep(stopped.clone()));
            let blueprint = Blueprint {
                audience,
                services: services.clone(),
                limits: Limits::from(&bound.config),
                hosts: bound.hosts(audience),
                rates: bound.rates,
                known_keys: known_keys.clone(),
                uploads: self.uploads.clone(),
                trusted_proxies: bound.config.trusted_proxies.as_slice().into(),
                runtime: Handle::current(),
                requests: Requests::default(),
                meter: RequestMeter::default(),
            };
            meters.push((audience, blueprint.meter.clone()));
            servers.push(start(bound.listener, blueprint, workers, patience)?);
        }
        Ok(ApiHandle {
            servers,
            stopped,
            meters: ApiMeters(meters),
        })
    }
}

fn start(
    listener: TcpListener,
    blueprint: Blueprint,
    workers: usize,
    patience: Duration,
) -> Result<RunningServer, ServerError> {
    let requests = blueprint.requests.clone();
    let address = listener.local_addr()?;
    let builder = Server::build()
        .workers(workers)
        .max_concurrent_connections(CONNECTIONS_PER_WORKER)
        .worker_max_blocking_threads(1)
        .disable_signals()
        .shutdown_timeout(patience.as_secs_f64().ceil() as u64);
    let stopping = builder.graceful_shutdown_signal();
    let protocol = move || {
        let stopping = stopping.clone();
        HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .client_request_timeout(HEAD_PATIENCE)
            .client_disconnect_timeout(CLOSE_PATIENCE)
            .keep_alive(KEEP_ALIVE)
            // A client that has closed its side has gone away: its request ends.
            .h1_allow_half_closed(false)
            .tcp_nodelay(true)
            .local_addr(address)
            .expect(on_demand::expectation(blueprint.app()))
            .finish(on_demand::service(blueprint.app()))
            .tcp()
    };
    let server = builder.listen("dm-api", listener, protocol)?.run();
    Ok(RunningServer::new(server, patience).watching(requests))
}

/// Both API servers while they serve. Dropping it does not stop them.
pub struct ApiHandle {
    servers: Vec<RunningServer>,
    stopped: CancellationToken,
    meters: ApiMeters,
}

/// Counts the requests of both servers; cheap to clone.
#[derive(Clone)]
pub struct ApiMeters(Vec<(Audience, RequestMeter)>);

impl ApiMeters {
    /// The requests of each server since its start: those of operators under `internal`, and
    /// those of clients under `external`.
    pub fn readings(&self) -> Vec<(&'static str, Vec<RequestReading>)> {
        let readings = self.0.iter().map(|(audience, meter)| {
            let api = match audience {
                Audience::Operators => "internal",
                Audience::Clients => "external",
            };
            (api, meter.readings())
        });
        readings.collect()
    }
}

impl ApiHandle {
    /// What counts the requests.
    pub fn meters(&self) -> ApiMeters {
        self.meters.clone()
    }

    /// Takes no more requests and waits for those in progress, no longer than
    /// the patience given to [`ApiServers::serve`]; what is left then is cut off. Nobody
    /// waits for a client that neither sends its request nor takes its answer.
    pub async fn stop(self) {
        self.stopped.cancel();
        futures::future::join_all(self.servers.into_iter().map(RunningServer::stop)).await;
    }
}
