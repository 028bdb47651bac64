//! Two nodes in one process: one shares data, the other reads it. The code is that of the
//! README.

use std::{sync::Arc, time::Duration};

use dm_core::{
    bus::EventBus,
    config::UploadsConfig,
    ports::{ComplianceLog, Signer},
    share::ShareTerms,
};
use dm_services::{DataConfig, DataManager, DataPorts, KnownObjects, LateNews};
use dm_testing::{
    catalog::MemoryCatalog,
    compliance::{MemoryComplianceLog, TestLedger},
    crypto::{MemoryGrants, MemoryKeyRing, MemorySealer},
    network::MemoryNetwork,
    objects::MemoryObjectStore,
    signer::TestSigner,
};
use futures::TryStreamExt;

/// A node over ports in memory. Real adapters of the same ports take their places in
/// `dm-node`.
async fn node(n: u8, network: &MemoryNetwork) -> Result<DataManager, Box<dyn std::error::Error>> {
    let signer = Arc::new(TestSigner::new(n));
    let address = signer.address();
    let (objects, catalog) = (Arc::new(MemoryObjectStore::new()), Arc::new(MemoryCatalog::new()));
    let known = KnownObjects::new(objects.clone(), catalog.clone(), address);
    let log = MemoryComplianceLog::new(address, &TestLedger::new()).kept_in(catalog.clone());
    let ports = DataPorts {
        objects: objects.clone(),
        unfinished: objects,
        catalog,
        sealer: Arc::new(MemorySealer),
        key_ring: Arc::new(MemoryKeyRing::default()),
        grants: Arc::new(MemoryGrants::new(address)),
        signer,
        operators: None,
        network: network.join(Arc::new(known)),
        log: Arc::new(log) as Arc<dyn ComplianceLog>,
        payments: None,
        authorization: None,
        attestation: None,
        instances: None,
        deliveries: None,
        late_news: LateNews::default(),
        plugins: None,
        bus: EventBus::new(),
    };
    let config = DataConfig {
        replication_factor: 1,
        anchor_patience: Duration::from_secs(1),
        retry_interval: Duration::from_secs(1),
        uploads: UploadsConfig::default(),
    };
    let data = DataManager::new(&ports, config)?;
    data.announce().await?;
    Ok(data)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let network = MemoryNetwork::new();
    let (owner, reader) = (node(1, &network).await?, node(2, &network).await?);

    let terms = ShareTerms::with(reader.address());
    let shared = owner.share_bytes("hello".into(), terms).await?;

    let object = reader.open(&shared.data_hash).await?;
    let size = object.size();
    let pieces: Vec<_> = object.read(0..size).try_collect().await?;
    assert_eq!(pieces.concat(), b"hello");
    assert!(owner.verify(&shared.data_hash).await?.verified);
    println!("{} reads what {} has shared", reader.address(), owner.address());
    Ok(())
}
