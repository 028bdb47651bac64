//! The composition root: makes every adapter, hands them to the services, and
//! takes the whole down again.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use dm_api::{ApiHandle, ApiServers, Services};
use dm_backup::{BackupMaker, BackupPorts};
use dm_chain::{AccountHealth, embedded::EmbeddedChain};
use dm_compliance::ComplianceManager;
use dm_core::{
    Address,
    address::parse_address,
    bus::{EventBus, Topic},
    config::{NodeConfig, ObjectEngine},
    ports::{Authorizer, ComplianceLog, KeptLimits, LogControl, Network, ObjectStore},
    tasks::Supervisor,
};
use dm_keys::{NodeKeys, UserAuthorizer};
use dm_p2p::{Identity, P2p, P2pOptions};
use dm_services::{
    AuthorizationPorts, AuthorizationSettings, DataManager, DataPorts, DataSettings, HealthMonitor,
    HealthPorts, KeyGuard, KeyRotationPorts, KnownObjects, MoneyPorts, MoneySettings, OperatorChangePorts,
    OrderDesk, PaymentProcessor, PluginManager, RegisteredPlugins, RepairPorts, ScrubPorts, TokenManager,
    repairer::StoredHolderIndex,
};
use dm_storage::{SqliteCatalog, Storage};
use serde_json::json;

use crate::{
    background::{self, supervise},
    chain::{self, ChainSwitch},
    data_dir_lock::DataDirLock,
    logging::LogFilter,
    plugins::{self, Functions},
    stop_signal::StopSignal,
    vouching,
};

/// How long requests in progress are waited for when the node stops.
const REQUEST_PATIENCE: Duration = Duration::from_secs(15);
/// How long background tasks are waited for after that.
const TASK_PATIENCE: Duration = Duration::from_secs(10);

/// A node that runs.
pub(crate) struct Node {
    /// Held as long as the node uses its data directory.
    lock: DataDirLock,
    storage: Storage,
    catalog: SqliteCatalog,
    embedded_chain: Option<EmbeddedChain>,
    supervisor: Supervisor,
    bus: EventBus,
    apis: ApiHandle,
    data: DataManager,
    plugins: PluginManager,
    network: Arc<dyn Network>,
    address: Address,
    internal_api: String,
    external_api: String,
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
        log_filter: LogFilter,
        registered: RegisteredPlugins,
    ) -> anyhow::Result<Self> {
        let supervisor = Supervisor::new();
        let bus = EventBus::new();
        let signer = keys.signer();
        let address = signer.address();

        let objects_dir = config.objects_dir();
        let storage_config = config.storage.clone();
        if storage_config.engine == ObjectEngine::Sled {
            tracing::warn!("storage.engine is sled, which may lose acknowledged data when the power goes");
        }
        let limits = kept_limits(config, address);
        let storage =
            tokio::task::spawn_blocking(move || Storage::open_within(&objects_dir, &storage_config, limits))
                .await??;
        let catalog = SqliteCatalog::open(config.catalog_file()).await?;
        let shared_catalog = Arc::new(catalog.clone());
        let (chain, embedded_chain) = chain::connect(config, keys, &storage).await?;
        let chain = Arc::new(chain);

        // Peers and repair see what belongs to a share, and nothing else.
        let known: Arc<dyn ObjectStore> = Arc::new(KnownObjects::new(
            storage.objects(),
            shared_catalog.clone(),
            address,
        ));
        let holders = Arc::new(StoredHolderIndex::new(storage.namespace("holders")));
        let p2p = P2p::start(
            P2pOptions {
                port: config.p2p_port,
                initial_peers: config.initial_peers.clone(),
                network: config.network.clone(),
                holder_index: Some(holders.clone()),
                ..P2pOptions::new(Identity::from_seed(&keys.identity_seed())?, address)
            },
            known.clone(),
            shared_catalog.clone(),
            bus.clone(),
            &supervisor,
        )
        .await?;
        let network: Arc<dyn Network> = p2p.clone();
        let repairer = background::start_repairer(
            RepairPorts {
                objects: known.clone(),
                replication: p2p,
                holders,
                shares: shared_catalog.clone(),
                quota: storage.quota(),
            },
            address,
            &network.local_peer_id(),
            &config.network,
            &supervisor,
        );
        let scrubber = background::start_scrubber(
            ScrubPorts {
                objects: storage.objects(),
                damage: storage.damage(),
                quota: storage.quota(),
                network: network.clone(),
                bus: bus.clone(),
            },
            &config.storage,
            &supervisor,
        );
        let compliance = ComplianceManager::start(
            address,
            shared_catalog.clone(),
            chain.clone(),
            config.compliance.clone(),
            bus.clone(),
            &supervisor,
        )
        .await?;
        let log: Arc<dyn ComplianceLog> = compliance.clone();
        let desk = OrderDesk::new(
            MoneyPorts {
                chain: chain.clone(),
                tokens: chain.clone(),
                operations: chain.clone(),
                orders: shared_catalog.clone(),
                supported: shared_catalog.clone(),
                log: log.clone(),
                bus: bus.clone(),
            },
            MoneySettings {
                native_alias: parse_address(&config.native_token_address)?,
                patience: Duration::from_secs(config.payments.patience_secs),
                refund_after: Duration::from_secs(config.payments.refund_after_secs),
                retry_interval: Duration::from_secs(config.network.retry_interval_secs),
            },
        );
        let operator_change = background::start_operator_change(
            OperatorChangePorts {
                chain: chain.clone(),
                keys: Arc::new(keys.clone()),
                changes: shared_catalog.clone(),
                log: log.clone(),
            },
            desk.clone(),
            &supervisor,
        );
        let key_rotation = background::start_key_rotation(
            KeyRotationPorts {
                key_ring: keys.key_ring(),
                readable: shared_catalog.clone(),
                uses: shared_catalog.clone(),
                grants: keys.grants(),
                password: Arc::new(keys.clone()),
                changes: shared_catalog.clone(),
                log: log.clone(),
            },
            &config.keys,
            &supervisor,
        );
        let payments = PaymentProcessor::new(desk.clone());
        let plugins = plugins::open(config, address, storage.namespace("plugins"), bus.clone()).await?;
        let users: Arc<dyn Authorizer> = Arc::new(UserAuthorizer::new(shared_catalog.clone()));
        let peer_id = network.local_peer_id();
        let vouching = vouching::check(config, users.as_ref(), address, &peer_id).await?;
        let authorization = background::start_authorization(
            AuthorizationPorts {
                authorizer: users.clone(),
                used: shared_catalog.clone(),
                chain: chain.clone(),
            },
            AuthorizationSettings {
                required: config.authorization.required,
                node_id: config.node_id.clone(),
                log: address,
            },
            &supervisor,
        );
        let data = DataManager::new(
            DataPorts {
                objects: storage.objects(),
                shares: shared_catalog.clone(),
                readable: shared_catalog.clone(),
                erasures: shared_catalog.clone(),
                revocations: shared_catalog.clone(),
                sealer: keys.sealer(),
                key_ring: keys.key_ring(),
                grants: keys.grants(),
                signer,
                operators: Some(Arc::new(keys.clone())),
                network: network.clone(),
                log: log.clone(),
                payments: Some(payments.clone()),
                authorization: Some(authorization.clone()),
                vouching,
                plugins: Some(plugins.clone()),
                bus: bus.clone(),
            },
            DataSettings {
                replication_factor: config.network.replication_factor,
                anchor_patience: Duration::from_secs(config.compliance.anchor_timeout_secs),
                retry_interval: Duration::from_secs(config.network.retry_interval_secs),
            },
        )?;
        data.announce().await?;
        supervise(&supervisor, "upkeep", &data, |data, shutdown| async move {
            data.run_upkeep(shutdown).await
        });
        supervise(&supervisor, "orders", &desk, |desk, shutdown| async move {
            desk.run(shutdown).await
        });
        let health = HealthMonitor::start(
            HealthPorts {
                chain: chain.clone(),
                network: network.clone(),
                log: log.clone(),
                plugins: Some(plugins.clone()),
                checks: vec![
                    shared_catalog.clone(),
                    storage.health(),
                    chain.clone(),
                    Arc::new(AccountHealth::new(chain.clone())),
                    compliance,
                    Arc::new(repairer.clone()),
                    Arc::new(data.clone()),
                ],
                bus: bus.clone(),
            },
            &supervisor,
        )
        .await;
        let functions = Functions {
            health: health.clone(),
            data: data.clone(),
        };
        plugins::start(&plugins, config, registered, functions, &supervisor).await?;
        let backups = BackupMaker::new(BackupPorts {
            catalog: shared_catalog.clone(),
            namespaces: storage.namespaces(),
            // Not the journal of transactions: nothing that it speaks of is to be sent again.
            namespace_names: vec!["chain", "holders", "plugins"],
            objects: known,
            keys: Arc::new(keys.clone()),
            rekeying: Arc::new(data.content_keys()),
            signer: keys.signer(),
            scratch: config.data_dir.clone(),
        });
        let log_control: Arc<dyn LogControl> = Arc::new(log_filter);
        let internal_api = format!("http://{}", servers.internal_address());
        let external_api = format!("http://{}", servers.external_address());
        let apis = servers.serve(
            &Services {
                data: data.clone(),
                tokens: TokenManager::new(desk),
                payments,
                health,
                log,
                network: network.clone(),
                repairer,
                scrubber,
                plugins: plugins.clone(),
                api_keys: background::start_api_keys(shared_catalog, &supervisor),
                key_guard: Arc::new(KeyGuard::new(&config.api_keys, bus.clone())),
                users,
                authorization,
                key_rotation,
                backups: Arc::new(backups),
                chain_control: Arc::new(ChainSwitch::new(chain, embedded_chain.is_some(), operator_change)),
                log_control,
            },
            REQUEST_PATIENCE,
        )?;
        bus.publish(
            Topic::NodeStarted,
            json!({"node_id": config.node_id, "address": address}),
        );
        tracing::info!(%address, internal_api, external_api, "the node runs");
        Ok(Self {
            lock,
            storage,
            catalog,
            embedded_chain,
            supervisor,
            bus,
            apis,
            data,
            plugins,
            network,
            address,
            internal_api,
            external_api,
        })
    }

    /// Where the node is reached, for people and for scripts.
    pub(crate) fn document(&self) -> serde_json::Value {
        json!({
            "address": self.address.to_string(),
            "internal_api": self.internal_api,
            "external_api": self.external_api,
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

    /// Runs until SIGINT or SIGTERM, and then finishes what was accepted.
    ///
    /// # Errors
    /// Where the stores cannot be closed in order.
    pub(crate) async fn run_until_stopped(self, mut stop: StopSignal) -> anyhow::Result<()> {
        stop.wait().await;
        self.stop().await
    }

    async fn stop(self) -> anyhow::Result<()> {
        tracing::info!("the node stops");
        self.bus.publish(Topic::NodeStopping, json!({}));
        self.data.stop_waiting();
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

/// How much is kept; nothing by a node that only introduces others.
fn kept_limits(config: &NodeConfig, account: Address) -> KeptLimits {
    let (own, foreign) = if config.network.bootstrap_only {
        (0, 0)
    } else {
        (config.storage.max_own_bytes, config.network.max_foreign_bytes)
    };
    KeptLimits {
        account,
        own,
        foreign,
    }
}
