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
    ports::Network,
    tasks::Supervisor,
    testing::{
        catalog::MemoryCatalog,
        objects::{MemoryObjectStore, SampleObject},
    },
};
use dm_p2p::{Identity, P2p, P2pOptions, Transport};

const SIZES: [usize; 4] = [25, 50, 100, 200];
const LOOKUPS: usize = 40;
/// Time for messages that are still on their way.
const SETTLING: Duration = Duration::from_millis(500);

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    println!(
        "{:>6} {:>8} {:>8} {:>10} {:>8} {:>12}",
        "nodes", "median", "90 %", "log2(n)", "ratio", "median time"
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
    let supervisor = Supervisor::new();
    let nodes = form_network(size, &supervisor).await;
    let mut requests = Vec::new();
    let mut times = Vec::new();
    for number in 0..LOOKUPS {
        let object = SampleObject::new(1, number as u64, 100);
        let provider = &nodes[number * 7 % size];
        object.store_in(&*provider.store).await.expect("the store works");
        provider
            .p2p
            .push(&object.id(), 0)
            .await
            .expect("the network runs");
        let reader = &nodes[(number * 7 + size / 2 + 1) % size];
        announced(&nodes[(number * 7 + 1) % size], &object).await;
        let (count, time) = look_up(reader, &object).await;
        requests.push(count);
        times.push(time);
    }
    requests.sort_unstable();
    times.sort_unstable();
    let (median, limit) = (requests[LOOKUPS / 2], (size as f64).log2());
    println!(
        "{size:>6} {median:>8} {:>8} {limit:>10.1} {:>8.2} {:>9} µs",
        requests[LOOKUPS * 9 / 10],
        f64::from(median) / limit,
        times[LOOKUPS / 2].as_micros(),
    );
    supervisor.shut_down(Duration::from_secs(30)).await;
}

/// Starts nodes that each know one earlier node, and waits until their
/// routing tables no longer grow.
async fn form_network(size: usize, supervisor: &Supervisor) -> Vec<Simulated> {
    let mut nodes: Vec<Simulated> = Vec::new();
    for number in 0..size {
        let known = (number > 0).then(|| nodes[number / 2].p2p.listen_addresses().remove(0));
        let store = Arc::new(MemoryObjectStore::new());
        let mut options = P2pOptions {
            initial_peers: known.into_iter().collect(),
            transport: Transport::Memory,
            ..P2pOptions::new(Identity::generate(), Address::ZERO)
        };
        // It counts the whole process, which is all nodes here.
        options.network.max_memory = u64::MAX;
        let p2p = P2p::start(
            options,
            store.clone(),
            Arc::new(MemoryCatalog::new()),
            EventBus::new(),
            supervisor,
        )
        .await
        .expect("the node starts");
        nodes.push(Simulated { p2p, store });
    }
    let known = |nodes: &[Simulated]| -> u64 { nodes.iter().map(|node| node.p2p.stats().total_peers).sum() };
    let mut before = 0;
    while before != known(&nodes) || before < size as u64 {
        before = known(&nodes);
        tokio::time::sleep(SETTLING).await;
    }
    nodes
}

/// Waits until the announcement of an object has arrived: other nodes than
/// the reader, which must not remember it, find it.
async fn announced(observer: &Simulated, object: &SampleObject) {
    let locator = object.id().locator;
    let found = || async {
        let trace = observer
            .p2p
            .trace_lookup(&locator)
            .await
            .expect("the network runs");
        !trace.providers.is_empty()
    };
    while !found().await {}
    tokio::time::sleep(SETTLING).await;
}

/// What looking an object up takes.
async fn look_up(reader: &Simulated, object: &SampleObject) -> (u32, Duration) {
    let begun = Instant::now();
    let trace = reader
        .p2p
        .trace_lookup(&object.id().locator)
        .await
        .expect("the network runs");
    (
        trace.requests_to_first.expect("the object was announced"),
        begun.elapsed(),
    )
}
