//! The HTTP servers, and what only they need: health, backups, API keys.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use dm_api::{ApiHandle, ApiMeters, ApiServers, Services};
use dm_backup::{BackupMaker, BackupPorts};
use dm_chain::AccountHealth;
use dm_core::ports::{BackupError, BackupStream, Backups, HealthCheck, IdentityProvider};
use dm_metrics::{Listener, ListenerHealth};
use dm_oidc::OidcProvider;
use dm_services::{
    HealthMonitor, HealthPorts, KeyGuard, Membership, NetworkHealth, People, Readiness, RegisteredPlugins,
    Subscriptions, TokenManager, Trend, TrendPorts, events::Events,
};
use dm_traces::{CollectorHealth, Exporter};

use super::{Ground, data::Data, ledger::Ledger, network::Peers, stores::Stores};
use crate::{
    background,
    chain::ChainSwitch,
    logging::LogFilter,
    metrics::{self, Metered},
    namespaces::Namespace,
    plugins::{self, Functions},
};

/// How long requests in progress are waited for when the node stops.
const REQUEST_PATIENCE: Duration = Duration::from_secs(15);

/// All parts of the node that the servers speak of.
pub(super) struct Parts<'a> {
    pub(super) stores: &'a Stores,
    pub(super) ledger: &'a Ledger,
    pub(super) peers: &'a Peers,
    pub(super) data: &'a Data,
    pub(super) membership: Membership,
    pub(super) events: Events,
    pub(super) subscriptions: Subscriptions,
    pub(super) metrics: Option<Listener>,
    /// Where traces are sent at all.
    pub(super) exporter: Option<Exporter>,
}

/// Starts the plugins, which may ask for health, and serves. What comes of it says when the node
/// is about to stop.
pub(super) async fn serve(
    ground: &Ground<'_>,
    parts: Parts<'_>,
    servers: ApiServers,
    log_filter: LogFilter,
    registered: RegisteredPlugins,
) -> anyhow::Result<(ApiHandle, Arc<Readiness>)> {
    let provider = identity_provider(ground)?;
    let mut of_servers = servers.health_checks();
    of_servers.extend(provider.clone().map(|provider| provider as Arc<dyn HealthCheck>));
    let health = health(ground, &parts, of_servers).await;
    let readiness = Arc::new(Readiness::new(health.clone(), parts.membership.clone()));
    let Parts {
        stores,
        ledger,
        peers,
        data,
        membership,
        events,
        subscriptions,
        metrics,
        exporter,
    } = parts;
    let functions = Functions {
        health: health.clone(),
        data: data.data.clone(),
    };
    plugins::start(
        &data.plugins,
        ground.config,
        registered,
        functions,
        &ground.supervisor,
    )
    .await?;
    let chain_control = ChainSwitch::new(
        ledger.chain.clone(),
        ledger.embedded_chain.is_some(),
        ledger.operator_change.clone(),
    );
    let trend = Trend::new(TrendPorts {
        health: health.clone(),
        network: peers.network.clone(),
        storage: peers.scrubber.clone(),
    });
    background::supervise(&ground.supervisor, "trend", &trend, Trend::run);
    let services = Services {
        data: data.data.clone(),
        tokens: TokenManager::new(ledger.executor.clone()),
        payments: ledger.payments.clone(),
        health,
        trend,
        readiness: readiness.clone(),
        membership,
        log: ledger.compliance.clone(),
        tracer: ground.tracer.clone(),
        events,
        subscriptions,
        inbox: data.inbox.clone(),
        shares: data.shares.clone(),
        network: peers.network.clone(),
        repairer: peers.repairer.clone(),
        scrubber: peers.scrubber.clone(),
        plugins: data.plugins.clone(),
        api_keys: background::start_api_keys(stores.catalog.clone(), &ground.supervisor),
        key_guard: Arc::new(KeyGuard::new(&ground.config.api_keys, ground.bus.clone())),
        people: People::new(
            provider.map(|provider| provider as Arc<dyn IdentityProvider>),
            ground.bus.clone(),
        ),
        users: data.users.clone(),
        contacts: data.contacts.clone(),
        authorization: data.authorization.clone(),
        key_rotation: data.key_rotation.clone(),
        backups: backups(ground, stores, data),
        chain_control: Arc::new(chain_control),
        log_control: Arc::new(log_filter),
    };
    let apis = servers.serve(&services, REQUEST_PATIENCE)?;
    if let Some(listener) = metrics {
        let metered = Metered {
            exporter,
            ..metered(ground, stores, ledger, peers, &services, apis.meters())
        };
        metrics::start(listener, metered, &ground.supervisor);
    }
    Ok((apis, readiness))
}

/// Who knows those that sign in with an account, where the configuration names somebody.
fn identity_provider(ground: &Ground<'_>) -> anyhow::Result<Option<Arc<OidcProvider>>> {
    let provider = OidcProvider::new(&ground.config.sign_in)?.map(Arc::new);
    if let Some(provider) = &provider {
        background::supervise(&ground.supervisor, "sign_in", provider, OidcProvider::run);
    }
    Ok(provider)
}

/// Whom whoever reads the metrics asks.
fn metered(
    ground: &Ground<'_>,
    stores: &Stores,
    ledger: &Ledger,
    peers: &Peers,
    services: &Services,
    api: ApiMeters,
) -> Metered {
    Metered {
        api,
        key_guard: services.key_guard.clone(),
        storage: stores.storage.meter(),
        limits: stores.storage.quota().limits(),
        catalog: stores.catalog.clone(),
        log: ledger.compliance.clone(),
        chain: ledger.chain.clone(),
        repairer: peers.repairer.clone(),
        network: peers.network.clone(),
        subscriptions: services.subscriptions.clone(),
        exporter: None,
        membership: services.membership.clone(),
        key_ring: ground.keys.key_ring(),
        plugins: services.plugins.clone(),
        health: services.health.clone(),
    }
}

async fn health(
    ground: &Ground<'_>,
    parts: &Parts<'_>,
    of_servers: Vec<Arc<dyn HealthCheck>>,
) -> Arc<HealthMonitor> {
    let chain = &parts.ledger.chain;
    let account: Arc<dyn HealthCheck> = Arc::new(AccountHealth::new(chain.clone()));
    let account = match &ground.leadership {
        Some(leadership) => leadership.judge(account),
        None => account,
    };
    let mut checks: Vec<Arc<dyn HealthCheck>> = vec![
        parts.stores.catalog.clone(),
        parts.stores.storage.health(),
        chain.clone(),
        account,
        parts.ledger.compliance.clone(),
        Arc::new(NetworkHealth::new(parts.peers.network.clone())),
        Arc::new(parts.peers.repairer.clone()),
        Arc::new(parts.data.data.clone()),
        Arc::new(parts.data.plugins.clone()),
        Arc::new(parts.subscriptions.clone()),
    ];
    if let Some(leadership) = &ground.leadership {
        checks.push(leadership.health());
    }
    if let Some(listener) = &parts.metrics {
        checks.push(Arc::new(ListenerHealth(listener.clone())));
    }
    if let Some(exporter) = &parts.exporter {
        checks.push(Arc::new(CollectorHealth(exporter.clone())));
    }
    checks.extend(of_servers);
    let ports = HealthPorts {
        chain: chain.clone(),
        network: parts.peers.network.clone(),
        log: parts.ledger.compliance.clone(),
        plugins: Some(parts.data.plugins.clone()),
        checks,
        bus: ground.bus.clone(),
    };
    HealthMonitor::start(ports, &ground.supervisor).await
}

/// Of a catalog in a database the server makes copies.
struct BackupsOfServer;

#[async_trait]
impl Backups for BackupsOfServer {
    async fn begin(&self) -> Result<BackupStream, BackupError> {
        Err(BackupError::Elsewhere(
            "its catalog is in PostgreSQL, whose server makes its own copies, such as pg_basebackup",
        ))
    }
}

fn backups(ground: &Ground<'_>, stores: &Stores, data: &Data) -> Arc<dyn Backups> {
    if ground.config.catalog_url.is_some() {
        return Arc::new(BackupsOfServer);
    }
    Arc::new(BackupMaker::new(BackupPorts {
        catalog: stores.catalog.clone(),
        namespaces: stores.storage.namespaces(),
        // Not the journal of transactions: nothing that it speaks of is to be sent again.
        namespace_names: [Namespace::Chain, Namespace::Plugins]
            .map(Namespace::name)
            .to_vec(),
        objects: stores.known.clone(),
        keys: Arc::new(ground.keys.clone()),
        rekeying: Arc::new(data.data.content_keys()),
        signer: ground.keys.signer(),
        scratch: ground.config.data_dir.clone(),
    }))
}
