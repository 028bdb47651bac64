//! What it takes to announce everything that a node stores to its peers, all of them in this
//! process, so that the processor time is that of both sides:
//! `cargo bench -p dm-p2p --bench announce`; numbers after `--` are the objects and the peers.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use dm_core::{Address, bus::EventBus, ports::NetworkStatus, tasks::Supervisor};
use dm_p2p::{Identity, P2p, P2pConfig, P2pDeps, Transport};
use dm_testing::{
    catalog::MemoryCatalog,
    objects::{MemoryObjectStore, SampleObject},
};

const OBJECTS: u64 = 100_000;
const PEERS: usize = 30;
/// Objects that a node announces in a second while it sweeps.
const PACE: f64 = 250.0;
/// Longer than joining peers take to meet each other.
const SETTLING: Duration = Duration::from_secs(3);

fn main() {
    let sizes: Vec<u64> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let objects = sizes.first().copied().unwrap_or(OBJECTS);
    let peers = sizes.get(1).map_or(PEERS, |peers| *peers as usize);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(measure(objects, peers));
}

async fn measure(objects: u64, peers: usize) {
    let supervisor = Supervisor::new();
    let first = start(Arc::default(), None, &supervisor).await;
    let known = first.listen_addresses().remove(0);
    let mut others = vec![first];
    while others.len() < peers {
        others.push(start(Arc::default(), Some(known.clone()), &supervisor).await);
    }
    let store = Arc::new(MemoryObjectStore::new());
    let node = start(store.clone(), Some(known), &supervisor).await;
    tokio::time::sleep(SETTLING).await;
    // Not before: what is stored at the start is announced in its own time.
    for number in 0..objects {
        let object = SampleObject::new(1, number, 10);
        object.store_in(&*store).await.expect("the store works");
    }
    let (begun, used) = (Instant::now(), processor_time());
    let swept = node.announce_stored().await.expect("the objects are listed");
    let (took, used) = (begun.elapsed(), processor_time().saturating_sub(used));
    let per_object = used.as_secs_f64() / swept.locators as f64;
    println!("{swept:?}");
    println!("{:>10.0} objects/s", swept.locators as f64 / took.as_secs_f64());
    println!(
        "{:>10.1} µs of CPU for an object, all peers included",
        per_object * 1e6
    );
    println!(
        "{:>10.2} % of a core at {PACE} objects/s",
        per_object * PACE * 100.0
    );
    supervisor.shut_down(Duration::from_secs(10)).await;
}

async fn start(store: Arc<MemoryObjectStore>, known: Option<String>, supervisor: &Supervisor) -> Arc<P2p> {
    let mut config = P2pConfig {
        initial_peers: known.into_iter().collect(),
        transport: Transport::Memory,
        ..P2pConfig::new(Identity::generate(), Address::ZERO)
    };
    // It counts the whole process, which is all nodes here.
    config.network.max_memory = u64::MAX;
    let catalog = Arc::new(MemoryCatalog::new());
    P2p::start(config, P2pDeps::new(store, catalog, EventBus::new()), supervisor)
        .await
        .expect("the node starts")
}

/// What this process has used so far, as Linux counts it: in hundredths of a second.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    // The name of the program, in parentheses, may have spaces.
    let fields = stat.rsplit(')').next().expect("a name");
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}
