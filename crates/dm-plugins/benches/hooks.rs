//! What a hook that does nothing costs: opening an object, with and without it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what fails ends the benchmark"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use common::{Folder, SAMPLE_MANIFEST, SAMPLE_TEXT};
use dm_core::{
    bus::EventBus,
    config::UploadsConfig,
    hash::DataHash,
    plugin::{Hook, PluginFault, PluginInfo},
    ports::{Plugin, PluginContext, PluginSource, Signer},
    share::ShareTerms,
    tasks::Supervisor,
};
use dm_services::{
    DataConfig, DataManager, DataPorts, LateNews, PluginConfig, PluginManager, RegisteredPlugins,
};
use dm_testing::{
    catalog::MemoryCatalog,
    compliance::{MemoryComplianceLog, TestLedger},
    crypto::{MemoryGrants, MemoryKeyRing, MemorySealer},
    key_value::MemoryKeyValueStore,
    network::MemoryNetwork,
    objects::MemoryObjectStore,
    signer::TestSigner,
};

/// Calls whose time is taken together.
const BATCH: u32 = 200;
/// Batches; the median counts.
const BATCHES: usize = 51;

/// Allows everything.
struct Nothing;

#[async_trait]
impl Plugin for Nothing {
    fn info(&self) -> PluginInfo {
        PluginInfo::new("nothing", "1.0.0", &[Hook::Retrieval])
    }

    async fn initialize(&self, _context: PluginContext) -> Result<(), PluginFault> {
        Ok(())
    }

    async fn shutdown(&self) {}
}

/// A node with one object, and these plugins.
async fn node(sources: Option<Vec<Arc<dyn PluginSource>>>) -> (DataManager, DataHash) {
    let signer = Arc::new(TestSigner::new(1));
    let address = signer.address();
    let catalog = Arc::new(MemoryCatalog::new());
    let objects = Arc::new(MemoryObjectStore::new());
    let bus = EventBus::new();
    let plugins = match sources {
        None => None,
        Some(sources) => {
            let settings = PluginConfig {
                node_id: "bench".to_owned(),
                address,
                required: Vec::new(),
                examine_received: false,
            };
            let store = Arc::new(MemoryKeyValueStore::new());
            let manager = PluginManager::open(settings, store, catalog.clone(), bus.clone())
                .await
                .unwrap();
            manager.start(sources, &Supervisor::new()).await;
            Some(manager)
        }
    };
    let ports = DataPorts {
        network: MemoryNetwork::new().join(objects.clone()),
        unfinished: objects.clone(),
        objects,
        catalog: catalog.clone(),
        sealer: Arc::new(MemorySealer),
        key_ring: Arc::new(MemoryKeyRing::default()),
        grants: Arc::new(MemoryGrants::new(address)),
        signer,
        operators: None,
        log: Arc::new(MemoryComplianceLog::new(address, &TestLedger::new()).kept_in(catalog)),
        payments: None,
        authorization: None,
        attestation: None,
        instances: None,
        deliveries: None,
        late_news: LateNews::default(),
        plugins,
        bus,
    };
    let settings = DataConfig {
        replication_factor: 0,
        anchor_patience: Duration::from_secs(5),
        retry_interval: Duration::from_secs(15),
        uploads: UploadsConfig::default(),
    };
    let data = DataManager::new(&ports, settings).unwrap();
    let shared = data
        .share_bytes("some data".into(), ShareTerms::with(address))
        .await
        .unwrap();
    (data, shared.data_hash)
}

/// The median time of opening the object.
async fn opening(sources: Option<Vec<Arc<dyn PluginSource>>>) -> Duration {
    let (data, hash) = node(sources).await;
    let mut times = Vec::new();
    for _ in 0..BATCHES {
        let start = Instant::now();
        for _ in 0..BATCH {
            data.open(&hash).await.unwrap();
        }
        times.push(start.elapsed() / BATCH);
    }
    times.sort_unstable();
    times[BATCHES / 2]
}

#[tokio::main]
async fn main() {
    let nothing: Arc<dyn Plugin> = Arc::new(Nothing);
    let rust = RegisteredPlugins::from_iter([nothing]);
    let wasm = Folder::with_text(SAMPLE_MANIFEST, SAMPLE_TEXT, &[]);
    let without = opening(None).await;
    println!("opening an object, no plugins at all: {without:?}");
    for (what, sources, limit) in [
        ("a manager without plugins", Vec::new(), None),
        (
            "a Rust plugin",
            vec![Arc::new(rust) as Arc<dyn PluginSource>],
            Some(20),
        ),
        (
            "a WebAssembly plugin",
            vec![wasm.source.clone() as Arc<dyn PluginSource>],
            Some(100),
        ),
    ] {
        let with = opening(Some(sources)).await;
        let cost = with.saturating_sub(without);
        let ratio = with.as_secs_f64() / without.as_secs_f64();
        println!("{what}: {with:?}, {ratio:.2} times as long; the hook costs {cost:?}");
        if let Some(limit) = limit {
            let share = cost.as_secs_f64() * 1e6 / f64::from(limit) * 100.0;
            println!("  that is {share:.1} % of its limit of {limit} µs");
        }
    }
}
