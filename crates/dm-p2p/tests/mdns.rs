//! Nodes on one network find each other by multicast.

use std::{net::IpAddr, sync::Arc};

use dm_core::ports::NetworkStatus;
use dm_p2p::Identity;
use dm_testing::{catalog::MemoryCatalog, objects::MemoryObjectStore};

use crate::common::{Node, config, start};

async fn node() -> Node {
    let mut config = config(Identity::generate(), Vec::new());
    config.network.mdns = true;
    config.network.host = IpAddr::from([0, 0, 0, 0]);
    start(
        config,
        Arc::new(MemoryObjectStore::new()),
        Arc::new(MemoryCatalog::new()),
    )
    .await
}

/// Run it in a network namespace of its own, which no packet leaves:
/// `unshare -rn sh -c 'ip link set lo up multicast on; ip addr add 10.9.0.1/24
/// dev lo; ip route add 224.0.0.0/4 dev lo; TEST --ignored mdns::'`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "sends multicast to the network that the machine is in"]
async fn nodes_that_know_of_nobody_find_each_other() {
    let (first, second) = (node().await, node().await);
    first.has_active_peers(1).await;
    second.has_active_peers(1).await;
}
