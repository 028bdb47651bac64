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

mod notices {
    use std::sync::Arc;

    use dm_core::bus::EventBus;
    use dm_p2p::{Identity, P2pDeps};
    use dm_testing::{
        catalog::MemoryCatalog,
        key_value::MemoryKeyValueStore,
        network::{Member, Notifier},
        objects::MemoryObjectStore,
    };

    use crate::common::{Node, config, start_with};

    async fn open(members: Vec<Member>) -> (Vec<Arc<dyn Notifier>>, Vec<Node>) {
        let mut nodes: Vec<Node> = Vec::new();
        let others = members.len() - 1;
        for (account, sink) in members {
            let mut config = config(Identity::generate(), nodes.iter().map(Node::address).collect());
            config.own_address = account;
            let deps = P2pDeps {
                notices: Some(Arc::new(MemoryKeyValueStore::new())),
                notice_sink: Some(sink),
                ..P2pDeps::new(
                    Arc::new(MemoryObjectStore::new()),
                    Arc::new(MemoryCatalog::new()),
                    EventBus::new(),
                )
            };
            nodes.push(start_with(config, deps).await);
        }
        for node in &nodes {
            node.knows_peers(others).await;
        }
        let notifiers = nodes.iter().map(|node| node.p2p.clone() as Arc<dyn Notifier>);
        (notifiers.collect(), nodes)
    }

    dm_testing::notice_network_conformance!(open);
}
