//! [`MemoryNetwork`], a store that lies, and the suite for networks.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod conformance;
mod lying_store;
mod memory;
mod notices;
mod notices_conformance;
mod replication;
mod replication_conformance;

pub use self::{
    conformance::*,
    lying_store::LyingStore,
    memory::{MemoryNetwork, MemoryNode, Stall},
    notices_conformance::*,
    replication_conformance::*,
};

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dm_core::ports::{Network, ObjectStore};

    use super::{MemoryNetwork, Replicator};

    async fn open(stores: Vec<Arc<dyn ObjectStore>>) -> (Vec<Arc<dyn Network>>, MemoryNetwork) {
        let hub = MemoryNetwork::new();
        let nodes = stores
            .into_iter()
            .map(|store| hub.join(store) as Arc<dyn Network>)
            .collect();
        (nodes, hub)
    }

    crate::network_conformance!(open);

    mod replication {
        use super::{Arc, MemoryNetwork, ObjectStore, Replicator};

        async fn open(stores: Vec<Arc<dyn ObjectStore>>) -> (Vec<Arc<dyn Replicator>>, MemoryNetwork) {
            let hub = MemoryNetwork::new();
            let nodes = stores
                .into_iter()
                .map(|store| hub.join(store) as Arc<dyn Replicator>)
                .collect();
            (nodes, hub)
        }

        crate::replication_conformance!(open);
    }
    mod notices {
        use std::sync::Arc;

        use super::MemoryNetwork;
        use crate::{
            network::{Member, Notifier},
            objects::MemoryObjectStore,
        };

        async fn open(members: Vec<Member>) -> (Vec<Arc<dyn Notifier>>, MemoryNetwork) {
            let hub = MemoryNetwork::new();
            let nodes = members.into_iter().map(|(account, sink)| {
                let node = hub.join(Arc::new(MemoryObjectStore::new()));
                node.take_notices(account, sink);
                node as Arc<dyn Notifier>
            });
            (nodes.collect(), hub)
        }

        crate::notice_network_conformance!(open);
    }
}
