//! Requests that a lookup of a locator takes until the first provider is
//! known, in networks of growing size within one process, compared with
//! log2(n): `cargo bench -p dm-p2p --bench lookup`; numbers after `--` are
//! other sizes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use dm_core::{
    Address,
    bus::EventBus,
    hash::Locator,
    ports::{NetworkStatus, ObjectExchange},
    tasks::Supervisor,
};
use dm_p2p::{Identity, LookupTrace, P2p, P2pConfig, P2pDeps, Transport};
use dm_testing::{
    catalog::MemoryCatalog,
    objects::{MemoryObjectStore, SampleObject},
};

const SIZES: [usize; 4] = [25, 50, 100, 200];
const LOOKUPS: usize = 40;
/// Nodes that join at the same time. With k = 20 a node of a small network meets
/// nearly everybody while it joins: all at once they would do so for minutes,
/// and their queries run out of time.
const JOINING: usize = 20;
/// Nodes that meet nobody new for this time have joined: longer than they wait
/// before they look around.
const SETTLING: Duration = Duration::from_secs(1);
/// Between two looks whether an announcement has arrived.
const PAUSE: Duration = Duration::from_millis(50);
/// An announcement that has not arrived after this time is lost.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    println!(
        "{:>6} {:>10} {:>8} {:>8} {:>10} {:>8} {:>12}",
        "nodes", "formed in", "median", "90 %", "log2(n)", "ratio", "median time"
    );
    let mut sizes: Vec<usize> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = SIZES.to_vec();
    }
    for size in sizes {
        runtime.block_on(measure(size));
    }
}

struct Simulated {
    p2p: Arc<P2p>,
    store: Arc<MemoryObjectStore>,
}

async fn measure(size: usize) {
    let begun = Instant::now();
    let supervisor = Supervisor::new();
    let nodes = form_network(size, &supervisor).await;
    let formation = begun.elapsed();
    let objects: Vec<SampleObject> = (0..LOOKUPS as u64)
        .map(|number| SampleObject::new(1, number, 100))
        .collect();
    for (number, object) in objects.iter().enumerate() {
        announce(&nodes[number * 7 % size], object).await;
    }
    // Others than the readers, which must not remember it.
    for (number, object) in objects.iter().enumerate() {
        announced(&nodes[(number * 7 + 1) % size], object).await;
    }
    at_rest(&nodes).await;
    let mut requests = Vec::new();
    let mut times = Vec::new();
    for (number, object) in objects.iter().enumerate() {
        let (count, time) = look_up(&nodes[(number * 7 + size / 2 + 1) % size], object).await;
        requests.push(count);
        times.push(time);
    }
    requests.sort_unstable();
    times.sort_unstable();
    let (median, limit) = (requests[LOOKUPS / 2], (size as f64).log2());
    println!(
        "{size:>6} {:>8} s {median:>8} {:>8} {limit:>10.1} {:>8.2} {:>9} µs",
        formation.as_secs(),
        requests[LOOKUPS * 9 / 10],
        f64::from(median) / limit,
        times[LOOKUPS / 2].as_micros(),
    );
    supervisor.shut_down(Duration::from_secs(30)).await;
}

/// Starts nodes that each know one earlier node, a few at a time.
async fn form_network(size: usize, supervisor: &Supervisor) -> Vec<Simulated> {
    let mut nodes: Vec<Simulated> = Vec::new();
    while nodes.len() < size {
        let present = nodes.len();
        for number in present..size.min(present + JOINING) {
            let known = (number > 0).then(|| nodes[number / 2].p2p.listen_addresses().remove(0));
            nodes.push(start(known, supervisor).await);
        }
        at_rest(&nodes[present..]).await;
    }
    at_rest(&nodes).await;
    nodes
}

async fn start(known: Option<String>, supervisor: &Supervisor) -> Simulated {
    let store = Arc::new(MemoryObjectStore::new());
    let mut config = P2pConfig {
        initial_peers: known.into_iter().collect(),
        transport: Transport::Memory,
        ..P2pConfig::new(Identity::generate(), Address::ZERO)
    };
    // It counts the whole process, which is all nodes here.
    config.network.max_memory = u64::MAX;
    let p2p = P2p::start(
        config,
        P2pDeps::new(store.clone(), Arc::new(MemoryCatalog::new()), EventBus::new()),
        supervisor,
    )
    .await
    .expect("the node starts");
    Simulated { p2p, store }
}

fn acquaintances(nodes: &[Simulated]) -> u64 {
    nodes.iter().map(|node| node.p2p.stats().total_peers).sum()
}

/// Waits until these nodes have joined and meet nobody new.
async fn at_rest(nodes: &[Simulated]) {
    let mut before = 0;
    loop {
        let now = acquaintances(nodes);
        if now == before && now >= nodes.len() as u64 {
            return;
        }
        before = now;
        tokio::time::sleep(SETTLING).await;
    }
}

/// Has a node announce an object of its own.
async fn announce(provider: &Simulated, object: &SampleObject) {
    object.store_in(&*provider.store).await.expect("the store works");
    provider
        .p2p
        .push(&object.id(), 0)
        .await
        .expect("the network runs");
}

/// Waits until the announcement of an object has arrived.
async fn announced(observer: &Simulated, object: &SampleObject) {
    let locator = object.id().locator;
    let arrival = async {
        while trace(observer, &locator).await.providers.is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(PATIENCE, arrival)
        .await
        .expect("the announcement arrives");
}

/// What looking an object up takes.
async fn look_up(reader: &Simulated, object: &SampleObject) -> (u32, Duration) {
    let begun = Instant::now();
    let trace = trace(reader, &object.id().locator).await;
    let requests = trace.requests_to_first.expect("the object was announced");
    (requests, begun.elapsed())
}

async fn trace(node: &Simulated, locator: &Locator) -> LookupTrace {
    node.p2p.trace_lookup(locator).await.expect("the network runs")
}
