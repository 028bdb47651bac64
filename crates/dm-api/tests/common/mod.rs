//! Both API servers over in-memory ports, on ports of the system's choice.
#![allow(dead_code, unreachable_pub, reason = "every test file uses its own part")]

use std::{sync::Arc, time::Duration};

use dm_api::{ApiHandle, ApiServers, Console, Services, SettingOrigin, ShownSetting};
use dm_core::{
    Address,
    api_key::{Rights, Scope},
    bus::EventBus,
    damage::DamageLog,
    ports::{ApiKeys, IdentityProvider, NewApiKeyRequest, Signer},
    span::Tracer,
    tasks::Supervisor,
};
use dm_services::{
    AuthorizationConfig, AuthorizationPorts, Authorizer, ContactPorts, Contacts, DataConfig, DataManager,
    DataPorts, Deliveries, DeliveryPorts, DeliverySettings, HealthMonitor, HealthPorts, KeyGuard,
    KeyRotation, KeyRotationConfig, KeyRotationPorts, LateNews, Membership, MoneyConfig, MoneyPorts,
    OrderExecutor, PaymentProcessor, People, Readiness, RepairPorts, Repairer, ScrubConfig, ScrubPorts,
    Scrubber, ShareAuthorization, SubscriptionPorts, Subscriptions, TokenManager, Trend, TrendPorts,
    events::Events,
    inbox::{Arrivals, Inbox, InboxPorts, InboxSettings},
    repairer::plan::RepairConfig,
    shares::{Shares, SharesPorts},
};
use dm_testing::{
    api_keys::MemoryApiKeys,
    catalog::MemoryCatalog,
    compliance::{MemoryComplianceLog, TestLedger},
    crypto::{MemoryGrants, MemoryKeyRing, MemoryPassword, MemorySealer},
    key_value::MemoryKeyValueStore,
    money::{MemoryMoney, MemoryOperations},
    network::MemoryNetwork,
    objects::MemoryObjectStore,
    signer::TestSigner,
    user_keys::AccountKeys,
    webhooks::MemoryWebhooks,
};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

mod answer;
pub mod company;
mod config;
mod names;
pub mod operation;
mod plugins;
pub mod ports;
pub mod raw;
pub mod schema;
pub mod watched_store;

pub use answer::Answer;
pub use config::TestConfig;
pub use names::*;
use ports::{FixedChain, FixedEndpoint, HeldLogFilter, OnePage, QuietNetwork, ShortBackups, own_instance};
use watched_store::WatchedStore;

/// The master password of a node.
pub const PASSWORD: &str = "the master password";

/// A running node as far as HTTP goes.
pub struct TestNode {
    pub internal: String,
    pub external: String,
    pub console: String,
    pub keys: Keys,
    pub api_keys: Arc<MemoryApiKeys>,
    pub scrubber: Scrubber,
    pub log: Arc<MemoryComplianceLog>,
    pub network: Arc<QuietNetwork>,
    pub chain: Arc<FixedChain>,
    pub store: Arc<WatchedStore>,
    pub money: Arc<MemoryMoney>,
    pub operations: Arc<MemoryOperations>,
    pub events: Events,
    pub readiness: Arc<Readiness>,
    pub webhooks: Arc<MemoryWebhooks>,
    _tasks: Supervisor,
    pub catalog: Arc<MemoryCatalog>,
    pub address: Address,
    pub bus: EventBus,
    pub handle: ApiHandle,
    client: reqwest::Client,
}

/// A key for each scope.
pub struct Keys {
    pub share: String,
    pub read: String,
    pub admin: String,
}

pub async fn start() -> TestNode {
    start_with(TestConfig::default()).await
}

pub async fn start_with(config: TestConfig) -> TestNode {
    let signer = Arc::new(TestSigner::new(1));
    let address = signer.address();
    let catalog = Arc::new(MemoryCatalog::new());
    let log = Arc::new(MemoryComplianceLog::new(address, &TestLedger::new()));
    let network = Arc::new(QuietNetwork);
    let chain = Arc::new(FixedChain::default());
    let store = Arc::new(WatchedStore::default());
    let api_keys = config.api_keys_before;
    let bus = EventBus::new();
    let kept_bus = bus.clone();
    let money = Arc::new(MemoryMoney::new());
    let operations = money.operations(address);
    let executor = OrderExecutor::new(
        MoneyPorts {
            chain: chain.clone(),
            tokens: money.clone(),
            operations: operations.clone(),
            orders: catalog.clone(),
            supported: catalog.clone(),
            log: log.clone(),
            bus: bus.clone(),
        },
        MoneyConfig {
            native_alias: Address::ZERO,
            patience: config.money_patience,
            refund_after: Duration::from_secs(3600),
            retry_interval: Duration::from_secs(15),
        },
    );
    let payments = PaymentProcessor::new(executor.clone());
    let key_ring = Arc::new(MemoryKeyRing::default());
    let grants = Arc::new(MemoryGrants::new(address));
    let key_rotation = KeyRotation::new(
        KeyRotationPorts {
            key_ring: key_ring.clone(),
            readable: catalog.clone(),
            uses: catalog.clone(),
            grants: grants.clone(),
            password: Arc::new(MemoryPassword::new(PASSWORD)),
            changes: catalog.clone(),
            log: log.clone(),
        },
        KeyRotationConfig::default(),
    );
    let plugins = plugins::start(config.plugins, address, catalog.clone(), bus.clone()).await;
    let users = Authorizer::new(Arc::new(MemoryCatalog::new()), Arc::new(AccountKeys));
    let authorization = ShareAuthorization::new(
        AuthorizationPorts {
            authorizer: users.clone(),
            used: catalog.clone(),
            chain: chain.clone(),
        },
        AuthorizationConfig {
            required: config.authorization_required,
            node_id: "test".to_owned(),
            log: address,
        },
    );
    let deliveries = Deliveries::new(
        DeliveryPorts {
            catalog: catalog.clone(),
            objects: store.clone(),
            log: log.clone(),
            signer: signer.clone(),
        },
        DeliverySettings {
            acknowledge: config.acknowledge,
            retry_interval: Duration::from_millis(20),
        },
    );
    let recording = deliveries.clone();
    tokio::spawn(async move { recording.run(tokio_util::sync::CancellationToken::new()).await });
    let ports = DataPorts {
        objects: store.clone(),
        unfinished: store.unfinished(),
        catalog: catalog.clone(),
        payments: Some(payments.clone()),
        plugins: Some(plugins.clone()),
        authorization: Some(authorization.clone()),
        attestation: None,
        instances: None,
        deliveries: Some(deliveries.clone()),
        late_news: LateNews::default(),
        sealer: Arc::new(MemorySealer),
        key_ring: key_ring.clone(),
        grants,
        signer,
        operators: None,
        network: network.clone(),
        log: log.clone(),
        bus: bus.clone(),
    };
    let arrivals = Arrivals::new(catalog.clone());
    let settings = DataConfig {
        replication_factor: 3,
        anchor_patience: config.anchor_patience,
        retry_interval: Duration::from_secs(15),
        uploads: config.uploads,
    };
    let repairer = Repairer::new(
        RepairPorts {
            objects: store.clone(),
            replication: MemoryNetwork::new().join(store.clone()),
            changes: Arc::new(MemoryObjectStore::new()),
            index: Arc::new(MemoryKeyValueStore::new()),
            earlier_holders: Arc::new(MemoryKeyValueStore::new()),
            shares: catalog.clone(),
            quota: Arc::new(MemoryObjectStore::new()),
            arrivals: None,
            replica_notices: None,
            standing: None,
        },
        address,
        "this-peer",
        RepairConfig::default(),
    );
    let key_guard = Arc::new(KeyGuard::new(&config.api_keys, bus.clone()));
    let scrubber = Scrubber::new(
        ScrubPorts {
            objects: store.clone(),
            damage: DamageLog::new(),
            quota: Arc::new(MemoryObjectStore::new()),
            network: network.clone(),
            bus: bus.clone(),
        },
        ScrubConfig {
            bytes_per_second: u64::MAX,
            interval: Duration::from_secs(3600),
        },
    );
    let events = Events::new(catalog.clone(), bus.clone(), address);
    let webhooks = Arc::new(MemoryWebhooks::new());
    let subscriptions = Subscriptions::new(SubscriptionPorts {
        tracer: Tracer::default(),
        catalog: catalog.clone(),
        journal: catalog.clone(),
        webhooks: webhooks.clone(),
        sealer: Arc::new(MemorySealer),
        signer: ports.signer.clone(),
    })
    .unwrap();
    let delivering = subscriptions.clone();
    let tasks = Supervisor::new();
    tasks.spawn("subscriptions", move |shutdown| {
        let subscriptions = delivering.clone();
        async move { subscriptions.run(shutdown).await }
    });
    let data = DataManager::new(&ports, settings).unwrap();
    let inbox = Inbox::new(
        InboxPorts {
            objects: store.clone(),
            catalog: catalog.clone(),
            network: network.clone(),
            grants: ports.grants.clone(),
            sealer: ports.sealer.clone(),
            signer: ports.signer.clone(),
            log: log.clone(),
            acquaintance: None,
            arrivals,
            deliveries,
            plugins: None,
            fetches: None,
            data: data.clone(),
        },
        InboxSettings {
            accept: dm_core::config::Accept::Anyone,
            retry_interval: Duration::from_millis(20),
        },
    )
    .unwrap();
    let shares = Shares::new(
        SharesPorts {
            catalog: catalog.clone(),
            log: log.clone(),
            sealer: ports.sealer.clone(),
            signer: ports.signer.clone(),
            payments: payments.clone(),
            data: data.clone(),
        },
        settings.replication_factor,
    )
    .unwrap();
    let listing = inbox.clone();
    tokio::spawn(async move { listing.run(tokio_util::sync::CancellationToken::new()).await });
    let console = Console {
        node_id: "test".to_owned(),
        pages: Arc::new(OnePage),
        url: config.console_url,
        settings: Arc::new([ShownSetting {
            name: "p2p_port".to_owned(),
            value: 9000.into(),
            origin: SettingOrigin::Environment("P2P_PORT".to_owned()),
        }]),
    };
    let servers = ApiServers::bind(&config.internal, &config.external, config.uploads)
        .and_then(|servers| servers.with_console(&config.dashboard, console))
        .unwrap();
    let mut checks = config.checks;
    checks.extend(servers.health_checks());
    let health = HealthMonitor::start(
        HealthPorts {
            chain: chain.clone(),
            network: network.clone(),
            log: log.clone(),
            plugins: Some(plugins.clone()),
            checks,
            bus,
        },
        &Supervisor::new(),
    )
    .await;
    let trend = Trend::new(TrendPorts {
        health: health.clone(),
        network: network.clone(),
        storage: scrubber.clone(),
    });
    let sampling = trend.clone();
    tasks.spawn("trend", move |shutdown| sampling.clone().run(shutdown));
    let membership = Membership::alone(own_instance());
    let readiness = Arc::new(Readiness::new(health.clone(), membership.clone()));
    let services = Services {
        data,
        inbox,
        shares,
        tokens: TokenManager::new(executor),
        payments,
        readiness: readiness.clone(),
        membership,
        health,
        trend,
        log: log.clone(),
        tracer: Tracer::default(),
        events: events.clone(),
        subscriptions,
        network: network.clone(),
        repairer,
        scrubber: scrubber.clone(),
        plugins,
        api_keys: api_keys.clone(),
        people: People::new(
            config
                .identity
                .map(|provider| provider as Arc<dyn IdentityProvider>),
            kept_bus.clone(),
        ),
        users,
        contacts: Contacts::new(ContactPorts {
            book: catalog.clone(),
            directory: network.clone(),
            bus: kept_bus.clone(),
        }),
        authorization,
        key_guard: key_guard.clone(),
        key_rotation,
        backups: Arc::new(ShortBackups),
        chain_control: Arc::new(FixedEndpoint),
        log_control: Arc::new(HeldLogFilter::default()),
    };
    TestNode {
        internal: servers.internal_url(),
        external: servers.external_url(),
        console: servers.console_url().unwrap(),
        keys: Keys {
            share: new_key(&api_keys, Scope::Share).await,
            read: new_key(&api_keys, Scope::Read).await,
            admin: new_key(&api_keys, Scope::Admin).await,
        },
        handle: servers.serve(&services, config.stop_patience).unwrap(),
        api_keys,
        scrubber,
        log,
        network,
        chain,
        store,
        money,
        operations,
        catalog,
        events,
        readiness,
        webhooks,
        _tasks: tasks,
        address,
        bus: kept_bus,
        client: reqwest::Client::new(),
    }
}

async fn new_key(keys: &MemoryApiKeys, scope: Scope) -> String {
    let request = NewApiKeyRequest {
        name: scope.to_string(),
        rights: Arc::new(Rights::of([scope])),
        expires_at: None,
    };
    keys.create(request).await.unwrap().key
}

impl TestNode {
    /// A request to the API for clients, with the admin key.
    pub fn external(&self, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, &format!("{}{path}", self.external))
            .header("X-API-Key", &self.keys.admin)
    }

    /// A request to the API for operators, with the admin key.
    pub fn internal(&self, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, &format!("{}{path}", self.internal))
            .header("X-API-Key", &self.keys.admin)
    }

    /// A request without a key.
    pub fn bare(&self, method: Method, url: &str) -> RequestBuilder {
        self.client.request(method, url)
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.external(Method::GET, path)).await
    }

    pub async fn get_internal(&self, path: &str) -> Answer {
        Answer::of(self.internal(Method::GET, path)).await
    }

    pub async fn post_internal(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.internal(Method::POST, path).json(body)).await
    }

    pub async fn share(&self, body: &Value) -> Answer {
        Answer::of(self.external(Method::POST, "/share_data").json(body)).await
    }

    /// Uploads bytes and returns their data hash.
    pub async fn put(&self, bytes: Vec<u8>) -> String {
        let path = format!("/objects?recipient={RECIPIENT}");
        let answer = Answer::of(self.external(Method::PUT, &path).body(bytes)).await;
        assert_eq!(answer.status, 201, "{:?}", answer.body);
        answer.body["data_hash"].as_str().unwrap().to_owned()
    }
}
