//! Nodes on one network find each other by multicast.

use std::net::IpAddr;

use crate::common::{Node, start_changed};

async fn node() -> Node {
    start_changed(Vec::new(), |network| {
        network.mdns = true;
        network.host = IpAddr::from([0, 0, 0, 0]);
    })
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
