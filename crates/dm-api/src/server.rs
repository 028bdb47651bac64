//! The two API servers, and the console's.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix_web::dev::Server;
use dm_core::{
    config::{ApiConfig, UploadsConfig},
    ports::HealthCheck,
};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{Audience, Blueprint},
    console::{Console, ConsoleState, Ports, Sessions},
    listener::listen,
    middleware::{host::AllowedHosts, in_progress::Requests, known_keys::KnownKeys, rate_limit::RateLimits},
    protocol::Protocol,
    request_meter::{RequestMeter, RequestReading},
    running::RunningServer,
    state::{Limits, Services},
    tls::{LiveTls, TlsFault},
    uploads::UploadPlaces,
};

/// Worker threads of the API for operators, and of the console.
const INTERNAL_WORKERS: usize = 1;
/// Most worker threads of the API for clients: what they do beside their
/// requests' heads and bodies runs on the node's own threads.
const MAX_EXTERNAL_WORKERS: usize = 4;
/// Connections that one worker holds at most.
const CONNECTIONS_PER_WORKER: usize = 4096;

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
    /// A file of TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsFault),
    /// The rate limit allows nothing.
    #[error("rate limit: rate and burst must be at least 1")]
    RateLimit,
    /// The socket cannot be used.
    #[error("the HTTP server does not start: {0}")]
    Start(#[from] io::Error),
}

/// The servers, listening and not serving yet: clients that connect wait.
pub struct ApiServers {
    internal: Bound,
    external: Bound,
    console: Option<(Bound, Console)>,
    uploads: UploadPlaces,
}

struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    config: ApiConfig,
    rates: RateLimits,
    tls: Option<Arc<LiveTls>>,
}

impl Bound {
    fn new(config: &ApiConfig, tls: Option<Arc<LiveTls>>) -> Result<Self, ServerError> {
        let address = SocketAddr::new(config.host, config.port);
        let listener = listen(address, Limits::from(config).idle)
            .map_err(|source| ServerError::Bind { address, source })?;
        Ok(Self {
            address: listener.local_addr()?,
            listener,
            rates: RateLimits::new(config).ok_or(ServerError::RateLimit)?,
            config: config.clone(),
            tls,
        })
    }

    fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// The API for clients is meant for the world, unless it is given its names.
    fn hosts(&self, audience: &Audience) -> AllowedHosts {
        let allowed = &self.config.allowed_hosts;
        if matches!(audience, Audience::Clients) && allowed.is_empty() {
            return AllowedHosts::Any;
        }
        AllowedHosts::Only {
            bound: self.address,
            allowed: allowed.as_slice().into(),
        }
    }
}

impl ApiServers {
    /// Takes the ports, and reads the files of TLS; port 0 lets the system choose.
    ///
    /// # Errors
    /// [`ServerError`], which names the address, or the setting of a file.
    pub fn bind(
        internal: &ApiConfig,
        external: &ApiConfig,
        uploads: UploadsConfig,
    ) -> Result<Self, ServerError> {
        Ok(Self {
            internal: Bound::new(internal, LiveTls::internal(internal)?)?,
            external: Bound::new(external, LiveTls::external(external)?)?,
            console: None,
            uploads: UploadPlaces::new(uploads),
        })
    }

    /// Takes a port for the console, too.
    ///
    /// # Errors
    /// As [`ApiServers::bind`].
    pub fn with_console(self, config: &ApiConfig, console: Console) -> Result<Self, ServerError> {
        let bound = Bound::new(config, LiveTls::console(config)?)?;
        Ok(Self {
            console: Some((bound, console)),
            ..self
        })
    }

    /// URL of the console, if there is one.
    pub fn console_url(&self) -> Option<String> {
        self.console.as_ref().map(|(bound, _)| bound.url())
    }

    /// URL of the API for operators.
    pub fn internal_url(&self) -> String {
        self.internal.url()
    }

    /// URL of the API for clients.
    pub fn external_url(&self) -> String {
        self.external.url()
    }

    /// The parts that judge the certificates, where there are some.
    pub fn health_checks(&self) -> Vec<Arc<dyn HealthCheck>> {
        let console = self.console.as_ref().map(|(bound, _)| bound);
        [&self.internal, &self.external]
            .into_iter()
            .chain(console)
            .filter_map(|bound| Some(bound.tls.clone()? as Arc<dyn HealthCheck>))
            .collect()
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
        let (internal, external) = (self.internal.address.port(), self.external.address.port());
        let mut plans = vec![
            (self.internal, Audience::Operators, INTERNAL_WORKERS),
            (self.external, Audience::Clients, external_workers),
        ];
        let sessions = Sessions::default();
        if let Some((bound, console)) = self.console {
            let ports = Ports {
                internal,
                external,
                dashboard: bound.address.port(),
            };
            let address = console.url.clone().unwrap_or_else(|| bound.url());
            let console = ConsoleState::new(console, ports, sessions.clone(), &address);
            let audience = Audience::Console(Box::new(console));
            plans.push((bound, audience, INTERNAL_WORKERS));
        }
        let mut servers = Vec::with_capacity(plans.len());
        let known_keys = KnownKeys::default();
        let mut meters = Vec::with_capacity(plans.len());
        for (bound, audience, workers) in plans {
            tokio::spawn(bound.rates.clone().sweep(stopped.clone()));
            if let Some(tls) = &bound.tls {
                tokio::spawn(tls.clone().watch(stopped.clone()));
            }
            let name = audience.name();
            let blueprint = Blueprint {
                hosts: bound.hosts(&audience),
                audience,
                services: services.clone(),
                limits: Limits::from(&bound.config),
                rates: bound.rates,
                known_keys: known_keys.clone(),
                uploads: self.uploads.clone(),
                sessions: sessions.clone(),
                trusted_proxies: bound.config.trusted_proxies.as_slice().into(),
                runtime: Handle::current(),
                requests: Requests::default(),
                meter: RequestMeter::default(),
            };
            meters.push((name, blueprint.meter.clone()));
            servers.push(start(bound.listener, bound.tls, blueprint, workers, patience)?);
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
    tls: Option<Arc<LiveTls>>,
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
    let signal = builder.graceful_shutdown_signal();
    let protocol = Protocol {
        blueprint,
        address,
        stopping: move || {
            let signal = signal.clone();
            async move { signal.notified().await }
        },
    };
    let server = match tls {
        None => builder.listen("dm-api", listener, move || protocol.clone().plain())?,
        Some(tls) => {
            let config = tls.server_config().map_err(io::Error::other)?;
            builder.listen("dm-api", listener, move || {
                protocol.clone().over_tls(tls.clone(), config.clone())
            })?
        }
    };
    Ok(RunningServer::new(server.run(), patience).watching(requests))
}

/// The servers while they serve. Dropping it does not stop them.
pub struct ApiHandle {
    servers: Vec<RunningServer>,
    stopped: CancellationToken,
    meters: ApiMeters,
}

/// Counts the requests of each server; cheap to clone.
#[derive(Clone)]
pub struct ApiMeters(Vec<(&'static str, RequestMeter)>);

impl ApiMeters {
    /// The requests of each server since its start: those of operators under `internal`, those
    /// of clients under `external`, and those of people under `console`.
    pub fn readings(&self) -> Vec<(&'static str, Vec<RequestReading>)> {
        let meters = self.0.iter();
        meters.map(|(api, meter)| (*api, meter.readings())).collect()
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
