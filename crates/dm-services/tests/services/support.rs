//! Nodes that consist of services and in-memory ports.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use dm_core::{
    Address,
    bus::EventBus,
    config::{Acknowledge, UploadsConfig},
    hash::DataHash,
    idempotency::IdempotencyKey,
    journal::{JournalEvent, Topics},
    ports::{ComplianceLog, EventJournal, ObjectStore, Signer},
    share::ShareTerms,
    tasks::Supervisor,
    token::NATIVE_TOKEN,
    trace::Trace,
};
use dm_services::{
    DataConfig, DataManager, DataPorts, Deliveries, DeliveryPorts, DeliverySettings, KnownObjects, LateNews,
    MoneyConfig, MoneyPorts, OrderExecutor, PaymentProcessor, ServiceError, TokenManager,
};
pub(crate) use dm_testing::waiting::eventually;
use dm_testing::{
    catalog::MemoryCatalog,
    compliance::{MemoryComplianceLog, TestLedger},
    crypto::{MemoryGrants, MemoryKeyRing, MemorySealer},
    faults::Faults,
    money::{MemoryMoney, MemoryOperations},
    network::{MemoryNetwork, MemoryNode},
    objects::MemoryObjectStore,
    signer::TestSigner,
};
use futures::TryStreamExt;
use tokio_util::sync::CancellationToken;

/// A chain and a network for several nodes.
pub(crate) struct World {
    pub(crate) network: MemoryNetwork,
    pub(crate) money: Arc<MemoryMoney>,
    ledger: TestLedger,
}

pub(crate) struct TestNode {
    pub(crate) data: DataManager,
    pub(crate) ports: DataPorts,
    pub(crate) objects: Arc<MemoryObjectStore>,
    pub(crate) catalog: Arc<MemoryCatalog>,
    pub(crate) log: Arc<MemoryComplianceLog>,
    pub(crate) network: Arc<MemoryNode>,
    pub(crate) executor: OrderExecutor,
    pub(crate) operations: Arc<MemoryOperations>,
    supervisor: Supervisor,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            network: MemoryNetwork::new(),
            money: Arc::new(MemoryMoney::new()),
            ledger: TestLedger::new(),
        }
    }

    /// A node that acts for the test account `n`, and is announced.
    pub(crate) async fn node(&self, n: u8) -> TestNode {
        self.node_with(n, &Faults::new()).await
    }

    /// A node whose stores fail when these say so.
    pub(crate) async fn node_with(&self, n: u8, faults: &Faults) -> TestNode {
        let objects = Arc::new(MemoryObjectStore::with_faults(faults));
        let catalog = Arc::new(MemoryCatalog::with_faults(faults));
        self.assemble(n, objects.clone(), objects, catalog).await
    }

    /// A node whose peers see another store than it uses itself.
    pub(crate) async fn node_over(
        &self,
        n: u8,
        objects: Arc<MemoryObjectStore>,
        shown: Arc<dyn ObjectStore>,
    ) -> TestNode {
        self.assemble(n, objects, shown, Arc::new(MemoryCatalog::new()))
            .await
    }

    async fn assemble(
        &self,
        n: u8,
        objects: Arc<MemoryObjectStore>,
        shown: Arc<dyn ObjectStore>,
        catalog: Arc<MemoryCatalog>,
    ) -> TestNode {
        let signer = Arc::new(TestSigner::new(n));
        let log = MemoryComplianceLog::new(signer.address(), &self.ledger).kept_in(catalog.clone());
        let log = Arc::new(log);
        let known = KnownObjects::new(shown, catalog.clone(), signer.address());
        let network = self.network.join(Arc::new(known));
        let bus = EventBus::new();
        let operations = self.money.operations(signer.address());
        let executor = OrderExecutor::new(
            MoneyPorts {
                chain: self.money.clone(),
                tokens: self.money.clone(),
                operations: operations.clone(),
                orders: catalog.clone(),
                supported: catalog.clone(),
                log: log.clone(),
                bus: bus.clone(),
            },
            money_settings(),
        );
        let ports = DataPorts {
            objects: objects.clone(),
            unfinished: objects.clone(),
            catalog: catalog.clone(),
            sealer: Arc::new(MemorySealer),
            key_ring: Arc::new(MemoryKeyRing::default()),
            grants: Arc::new(MemoryGrants::new(signer.address())),
            signer,
            operators: None,
            network: network.clone(),
            log: log.clone(),
            payments: Some(PaymentProcessor::new(executor.clone())),
            authorization: None,
            attestation: None,
            instances: None,
            deliveries: None,
            late_news: LateNews::default(),
            plugins: None,
            bus,
        };
        let data = DataManager::new(&ports, settings()).unwrap();
        data.announce().await.unwrap();
        TestNode {
            data,
            ports,
            objects,
            catalog,
            log,
            network,
            executor,
            operations,
            supervisor: Supervisor::new(),
        }
    }
}

pub(crate) fn settings() -> DataConfig {
    DataConfig {
        replication_factor: 3,
        anchor_patience: Duration::from_secs(5),
        retry_interval: Duration::from_millis(20),
        uploads: UploadsConfig::default(),
    }
}

pub(crate) fn money_settings() -> MoneyConfig {
    MoneyConfig {
        native_alias: NATIVE_TOKEN,
        patience: Duration::from_millis(50),
        refund_after: Duration::from_millis(100),
        retry_interval: Duration::from_millis(20),
    }
}

pub(crate) fn terms(recipient: Address) -> ShareTerms {
    ShareTerms::with(recipient)
}

pub(crate) fn keyed(recipient: Address, key: &str) -> ShareTerms {
    ShareTerms {
        idempotency_key: Some(IdempotencyKey {
            client: "client".to_owned(),
            key: key.to_owned(),
        }),
        ..ShareTerms::with(recipient)
    }
}

impl TestNode {
    pub(crate) fn address(&self) -> Address {
        self.data.address()
    }

    pub(crate) fn payments(&self) -> PaymentProcessor {
        PaymentProcessor::new(self.executor.clone())
    }

    pub(crate) fn tokens(&self) -> TokenManager {
        TokenManager::new(self.executor.clone())
    }

    /// Goes on in the background with orders that are not done.
    pub(crate) fn look_after_orders(&self) {
        let executor = self.executor.clone();
        self.supervisor.spawn("orders", move |shutdown| {
            let executor = executor.clone();
            async move { executor.run(shutdown).await }
        });
    }

    /// Completes in the background what is owed.
    pub(crate) fn spread(&self) {
        let data = self.data.clone();
        self.supervisor.spawn("upkeep", move |shutdown| {
            let data = data.clone();
            async move {
                tokio::try_join!(data.run_upkeep(shutdown.clone()), data.run_own_upkeep(shutdown)).map(|_| ())
            }
        });
    }

    pub(crate) async fn read(&self, hash: &DataHash) -> Result<Vec<u8>, ServiceError> {
        let object = self.data.open(hash).await?;
        let size = object.size();
        let pieces: Vec<Bytes> = object.read(0..size).try_collect().await?;
        Ok(pieces.concat())
    }

    pub(crate) async fn read_part(
        &self,
        hash: &DataHash,
        part: std::ops::Range<u64>,
    ) -> Result<Vec<u8>, ServiceError> {
        let pieces: Vec<Bytes> = self.data.open(hash).await?.read(part).try_collect().await?;
        Ok(pieces.concat())
    }

    /// The events of this topic in the journal.
    pub(crate) async fn told(&self, topic: &str) -> Vec<JournalEvent> {
        let topics = Topics::new([topic]).unwrap();
        let page = self.catalog.journal_page(&topics, 0, 1000).await.unwrap();
        page.events
    }

    /// Events of this node's log.
    pub(crate) async fn events(&self) -> u64 {
        let mut count = 0;
        while self.log.receipt(count).await.is_ok() {
            count += 1;
        }
        count
    }
}

/// What the node acknowledges, and what is acknowledged to it, recorded in the background.
pub(crate) fn deliveries_of(node: &TestNode, acknowledge: Acknowledge) -> Deliveries {
    let ports = DeliveryPorts {
        catalog: node.catalog.clone(),
        objects: node.objects.clone(),
        log: node.log.clone(),
        signer: node.ports.signer.clone(),
    };
    let settings = DeliverySettings {
        acknowledge,
        retry_interval: settings().retry_interval,
    };
    let deliveries = Deliveries::new(ports, settings);
    let running = deliveries.clone();
    tokio::spawn(async move { running.run(CancellationToken::new()).await });
    deliveries
}

/// Bytes that differ from place to place.
pub(crate) fn data(len: usize) -> Bytes {
    (0..len).map(|i| (i * 31 + i / 251) as u8).collect()
}

/// The names of peers that hold the object of this data.
pub(crate) async fn holders(node: &TestNode, hash: &DataHash) -> usize {
    let found = node
        .ports
        .network
        .find(&hash.locator(), &[], &Trace::default())
        .await
        .unwrap();
    found.first().map_or(0, |found| found.holders.len())
}
