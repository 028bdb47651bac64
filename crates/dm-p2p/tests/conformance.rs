//! The adapter keeps every promise of the port, over TCP on loopback.

use std::sync::Arc;

use dm_core::ports::{Network, ObjectStore};

use crate::common::Cluster;

async fn open(stores: Vec<Arc<dyn ObjectStore>>) -> (Vec<Arc<dyn Network>>, Cluster) {
    let cluster = Cluster::start(stores).await;
    (cluster.networks(), cluster)
}

dm_testing::network_conformance!(open);

mod replication {
    use std::sync::Arc;

    use dm_core::ports::ObjectStore;
    use dm_testing::network::Replicator;

    use crate::common::Cluster;

    async fn open(stores: Vec<Arc<dyn ObjectStore>>) -> (Vec<Arc<dyn Replicator>>, Cluster) {
        let cluster = Cluster::start(stores).await;
        let nodes = cluster.nodes.iter();
        let nodes = nodes
            .map(|node| node.p2p.clone() as Arc<dyn Replicator>)
            .collect();
        (nodes, cluster)
    }

    dm_testing::replication_conformance!(open);
}
