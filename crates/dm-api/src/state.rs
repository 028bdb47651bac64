//! What the handlers work with.

use std::{net::IpAddr, sync::Arc, time::Duration};

use dm_core::{
    Address,
    address::InvalidAddress,
    config::ApiConfig,
    contact::Party,
    ports::{ApiKeys, Backups, ChainControl, ComplianceLog, LogControl, Network},
    span::{Tracer, in_same_trace},
};
use dm_services::{
    Authorizer, ContactError, Contacts, DataManager, HealthMonitor, KeyGuard, KeyRotation, Membership,
    PaymentProcessor, People, PluginManager, Readiness, Repairer, Scrubber, ServiceError, ShareAuthorization,
    Subscriptions, TokenManager, Trend, events::Events, inbox::Inbox, shares::Shares,
};
use tokio::runtime::Handle;
use tracing::Instrument;

use crate::{
    console::Sessions, error::ApiError, on_runtime::OnRuntime, route_info::RouteInfo, uploads::UploadPlaces,
};

/// The parts of the node that clients reach through HTTP; cheap to clone.
#[derive(Clone)]
pub struct Services {
    /// Shares data and reads it back.
    pub data: DataManager,
    /// Tokens and balances.
    pub tokens: TokenManager,
    /// Moves money.
    pub payments: PaymentProcessor,
    /// How the node is.
    pub health: Arc<HealthMonitor>,
    /// How it was.
    pub trend: Trend,
    /// Whether clients should be sent here.
    pub readiness: Arc<Readiness>,
    /// Which instances the node has.
    pub membership: Membership,
    /// The transparency log: history, and checking receipts.
    pub log: Arc<dyn ComplianceLog>,
    /// Is told of requests and their parts.
    pub tracer: Tracer,
    /// What happened.
    pub events: Events,
    /// Programs that are called when something happens.
    pub subscriptions: Subscriptions,
    /// What others have shared with this node.
    pub inbox: Inbox,
    /// Where the shares of this node stand.
    pub shares: Shares,
    /// The peers.
    pub network: Arc<dyn Network>,
    /// Who holds which object.
    pub repairer: Repairer,
    /// How the object store is.
    pub scrubber: Scrubber,
    /// Extend the node.
    pub plugins: PluginManager,
    /// Recognises clients.
    pub api_keys: Arc<dyn ApiKeys>,
    /// Knows the people who sign in with an account.
    pub people: People,
    /// Knows the users who may order shares.
    pub users: Authorizer,
    /// Names for the addresses of others.
    pub contacts: Contacts,
    /// Checks who orders a share.
    pub authorization: ShareAuthorization,
    /// Slows down those who try API keys.
    pub key_guard: Arc<KeyGuard>,
    /// Rotates the key-encryption key.
    pub key_rotation: KeyRotation,
    /// Makes backups.
    pub backups: Arc<dyn Backups>,
    /// Moves the node to other endpoints of its chain.
    pub chain_control: Arc<dyn ChainControl>,
    /// Changes what is logged.
    pub log_control: Arc<dyn LogControl>,
}

/// What a handler of one server works with: one for each worker thread.
pub(crate) struct State {
    pub(crate) services: Services,
    pub(crate) limits: Limits,
    pub(crate) trusted_proxies: Arc<[IpAddr]>,
    pub(crate) uploads: UploadPlaces,
    /// The routes of both APIs, to which keys can be narrowed.
    pub(crate) served: Arc<[RouteInfo]>,
    /// Who is signed in to the console.
    pub(crate) sessions: Sessions,
    runtime: Handle,
}

/// How large and how slow a request may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Largest JSON body in bytes.
    pub(crate) json_bytes: usize,
    /// How long a request may take, streaming excepted.
    pub(crate) request: Duration,
    /// How long a body may stand still.
    pub(crate) idle: Duration,
}

impl From<&ApiConfig> for Limits {
    fn from(config: &ApiConfig) -> Self {
        Self {
            json_bytes: config.max_json_bytes,
            request: Duration::from_secs(config.request_timeout_secs),
            idle: Duration::from_secs(config.idle_timeout_secs),
        }
    }
}

impl State {
    pub(crate) fn new(
        services: Services,
        limits: Limits,
        trusted_proxies: Arc<[IpAddr]>,
        runtime: Handle,
        uploads: UploadPlaces,
        served: Arc<[RouteInfo]>,
        sessions: Sessions,
    ) -> Self {
        Self {
            services,
            limits,
            trusted_proxies,
            uploads,
            served,
            sessions,
            runtime,
        }
    }

    /// Runs a call of a service so that what it starts belongs to the node's
    /// runtime; see [`OnRuntime`].
    pub(crate) fn run<F: Future>(&self, call: F) -> OnRuntime<F> {
        OnRuntime::new(&self.runtime, call)
    }

    /// Runs a call that changes something to its end, also where the client goes away
    /// meanwhile or the request takes too long.
    pub(crate) async fn complete<T, E>(
        &self,
        call: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, ApiError>
    where
        T: Send + 'static,
        E: Into<ApiError> + Send + 'static,
    {
        match self.runtime.spawn(in_same_trace(call).in_current_span()).await {
            Ok(result) => result.map_err(Into::into),
            Err(error) => Err(ServiceError::Unavailable(format!("work was cut off: {error}").into()).into()),
        }
    }

    /// The address of a party that a field names.
    pub(crate) async fn address(&self, field: &'static str, party: Party) -> Result<Address, ApiError> {
        match self.run(self.services.contacts.address_of(party)).await {
            Err(unknown @ ContactError::Unknown(_)) => {
                let form = InvalidAddress::Format;
                let reason = format!("{form}, or the name of a contact: {unknown}");
                Err(ApiError::invalid(field, reason))
            }
            address => Ok(address?),
        }
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }
}
