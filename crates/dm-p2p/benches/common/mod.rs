//! What the benchmarks of fetches share: nodes over loopback, and the time that
//! a fetch takes.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use dm_core::{
    Address,
    bus::EventBus,
    ports::{Found, NetworkStatus, ObjectExchange},
    tasks::Supervisor,
    trace::Trace,
};
use dm_p2p::{Identity, P2p, P2pConfig, P2pDeps};
use dm_testing::{
    catalog::MemoryCatalog,
    objects::{MemoryObjectStore, SampleObject},
};
use futures::StreamExt;
use tokio::runtime::{Builder, Runtime};

pub(crate) fn two_threads() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// A store that holds one object of so many bytes.
pub(crate) async fn store_with_object(size: u64) -> (Arc<MemoryObjectStore>, SampleObject) {
    let store = Arc::new(MemoryObjectStore::new());
    let object = SampleObject::new(1, 7, size);
    object.store_in(&*store).await.expect("the store works");
    (store, object)
}

/// A node that listens on loopback.
pub(crate) async fn holder(store: Arc<MemoryObjectStore>, supervisor: &Supervisor) -> Arc<P2p> {
    start(store, Vec::new(), supervisor).await
}

/// A node without objects, connected with so many peers at these addresses.
pub(crate) async fn reader(addresses: Vec<String>, peers: u64, supervisor: &Supervisor) -> Arc<P2p> {
    let reader = start(Arc::default(), addresses, supervisor).await;
    while reader.stats().active_peers < peers {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    reader
}

async fn start(
    store: Arc<MemoryObjectStore>,
    initial_peers: Vec<String>,
    supervisor: &Supervisor,
) -> Arc<P2p> {
    let mut config = P2pConfig::new(Identity::generate(), Address::ZERO);
    config.network.host = IpAddr::from([127, 0, 0, 1]);
    config.initial_peers = initial_peers;
    let peers = Arc::new(MemoryCatalog::new());
    P2p::start(config, P2pDeps::new(store, peers, EventBus::new()), supervisor)
        .await
        .expect("the node starts")
}

/// Fetches an object from these holders: the rate in MiB/s, and the time until
/// its first chunk.
pub(crate) async fn fetch(reader: &P2p, object: &SampleObject, holders: &[Arc<P2p>]) -> (f64, Duration) {
    let found = Found {
        envelope: object.envelope.clone(),
        holders: holders.iter().map(|holder| holder.local_peer_id()).collect(),
    };
    let (begun, mut chunks, mut bytes) = (Instant::now(), reader.fetch(&found, 0, &Trace::default()), 0);
    let mut first_chunk = None;
    while let Some(chunk) = chunks.next().await {
        first_chunk.get_or_insert_with(|| begun.elapsed());
        bytes += chunk.expect("an honest holder").bytes().len() as u64;
    }
    let rate = rate(bytes, begun.elapsed());
    (rate, first_chunk.expect("an object has a chunk"))
}

/// MiB/s.
pub(crate) fn rate(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / f64::from(1 << 20) / time.as_secs_f64()
}
