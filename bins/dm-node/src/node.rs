//! The composition root: makes every adapter, hands them to the services, and
//! takes the whole down again. Each module starts one part and says what comes of it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use dm_api::{ApiHandle, ApiServers};
use dm_chain::embedded::EmbeddedChain;
use dm_core::{
    Address, bus::EventBus, config::NodeConfig, news::News, ports::Network, span::Tracer, tasks::Supervisor,
};
use dm_keys::NodeKeys;
use dm_metrics::Listener;
use dm_services::{DataManager, Leadership, PluginManager, Readiness, RegisteredPlugins, events::Events};
use dm_storage::{SqliteCatalog, Storage};
use serde_json::json;

use crate::{
    background, data_dir_lock::DataDirLock, logging::LogFilter, service_manager::Service, shared_keys,
    stop_signal::StopSignal, traces,
};

mod apis;
mod data;
mod leadership;
mod ledger;
mod network;
mod stores;

use apis::Parts;
use data::Data;
use ledger::Ledger;
use network::Peers;
use stores::Stores;

/// How long background tasks are waited for when the node stops, after the requests.
const TASK_PATIENCE: Duration = Duration::from_secs(10);

/// What every part stands on.
struct Ground<'a> {
    config: &'a NodeConfig,
    keys: &'a NodeKeys,
    /// The node account.
    address: Address,
    supervisor: Supervisor,
    /// Where the node may have several instances.
    leadership: Option<Leadership>,
    bus: EventBus,
    /// Is told of requests and their parts.
    tracer: Tracer,
}

/// A node that runs.
pub(crate) struct Node {
    /// Held as long as the node uses its data directory.
    lock: DataDirLock,
    storage: Storage,
    catalog: Arc<SqliteCatalog>,
    embedded_chain: Option<EmbeddedChain>,
    supervisor: Supervisor,
    bus: EventBus,
    apis: ApiHandle,
    readiness: Arc<Readiness>,
    /// For how long it serves on when it is told to stop.
    drain: Duration,
    data: DataManager,
    events: Events,
    plugins: PluginManager,
    network: Arc<dyn Network>,
    address: Address,
    internal_api: String,
    external_api: String,
    metrics: Option<SocketAddr>,
    console: Option<String>,
}

impl Node {
    /// Starts everything; the servers have taken their ports already.
    ///
    /// # Errors
    /// Where a part does not start; those that had started end with the process.
    pub(crate) async fn start(
        lock: DataDirLock,
        config: &NodeConfig,
        keys: &NodeKeys,
        servers: ApiServers,
        metrics: Option<Listener>,
        log_filter: LogFilter,
        registered: RegisteredPlugins,
    ) -> anyhow::Result<Self> {
        let address = keys.signer().address();
        let stores = Stores::open(config, address).await?;
        let (supervisor, leadership) = leadership::start(config, &stores);
        let exporter = traces::start(&config.traces, &supervisor)?;
        let ground = Ground {
            config,
            keys,
            address,
            supervisor,
            leadership,
            bus: EventBus::new(),
            tracer: traces::tracer(exporter.as_ref(), &config.traces),
        };
        let internal_api = servers.internal_url();
        let external_api = servers.external_url();
        let console = servers.console_url();
        if config.catalog_url.is_some() {
            shared_keys::follow(&stores.catalog, keys, &ground.supervisor);
        }
        let metrics_address = metrics.as_ref().map(Listener::address);
        let events = background::start_events(
            stores.catalog.clone(),
            ground.bus.clone(),
            ground.address,
            &config.events,
            &ground.supervisor,
        );
        let subscriptions = background::start_subscriptions(
            stores.catalog.clone(),
            keys,
            &config.events,
            ground.tracer.clone(),
            &ground.supervisor,
        )?;
        let ledger = Ledger::start(&ground, &stores).await?;
        let peers = Peers::start(&ground, &stores, &ledger).await?;
        // Before it takes turns at data, which it would lose if it were silent.
        let membership = leadership::join(&ground, &stores, &*peers.network);
        let data = Data::start(&ground, &stores, &ledger, &peers).await?;
        let parts = Parts {
            stores: &stores,
            ledger: &ledger,
            peers: &peers,
            data: &data,
            membership,
            events: events.clone(),
            subscriptions,
            metrics,
            exporter,
        };
        let (apis, readiness) = apis::serve(&ground, parts, servers, log_filter, registered).await?;
        let Ground {
            address,
            supervisor,
            bus,
            ..
        } = ground;
        bus.publish(News::NodeStarted {
            node_id: config.node_id.clone(),
            address,
        });
        tracing::info!(%address, internal_api, external_api, "the node runs");
        Ok(Self {
            lock,
            storage: stores.storage,
            catalog: stores.catalog,
            embedded_chain: ledger.embedded_chain,
            supervisor,
            bus,
            apis,
            readiness,
            drain: Duration::from_secs(config.drain_secs),
            data: data.data,
            events,
            plugins: data.plugins,
            network: peers.network,
            address,
            internal_api,
            external_api,
            metrics: metrics_address,
            console,
        })
    }

    /// Where the node is reached, for people and for scripts.
    pub(crate) fn document(&self) -> serde_json::Value {
        json!({
            "address": self.address.to_string(),
            "internal_api": self.internal_api,
            "external_api": self.external_api,
            "metrics": self.metrics.map(|address| format!("http://{address}/metrics")),
            "console": self.console,
            "peer_id": self.network.local_peer_id(),
            "p2p": self.network.listen_addresses(),
        })
    }

    /// The node has started: its data directory stays.
    pub(crate) fn keep_data_dir(&mut self) {
        self.lock.keep();
    }

    /// The catalog, for keys that a command makes beside the running node.
    pub(crate) fn catalog(&self) -> &SqliteCatalog {
        &self.catalog
    }

    /// Runs until SIGINT or SIGTERM, serves on for as long as is set, and then finishes what
    /// was accepted.
    ///
    /// # Errors
    /// Where the stores cannot be closed in order.
    pub(crate) async fn run_until_stopped(self, mut stop: StopSignal) -> anyhow::Result<()> {
        let service = Service::ready();
        stop.wait().await;
        service.stopping();
        self.readiness.drain();
        if !self.drain.is_zero() {
            tracing::info!(
                secs = self.drain.as_secs(),
                "the node serves on until load balancers have noticed"
            );
            // Who is in a hurry says it once more.
            let _ = tokio::time::timeout(self.drain, stop.wait()).await;
        }
        self.stop().await
    }

    async fn stop(self) -> anyhow::Result<()> {
        tracing::info!("the node stops");
        self.bus.publish(News::NodeStopping {});
        self.data.stop_waiting();
        self.events.end_waiting();
        self.apis.stop().await;
        if !self.supervisor.shut_down(TASK_PATIENCE).await {
            tracing::warn!("background tasks did not end in time");
        }
        self.plugins.shut_down().await;
        if let Some(chain) = self.embedded_chain {
            chain.close().await;
        }
        self.catalog.close().await.context("closing the catalog")?;
        self.storage.close().await.context("closing the object store")?;
        tracing::info!("the node has stopped");
        Ok(())
    }
}
