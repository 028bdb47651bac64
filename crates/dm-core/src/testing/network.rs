//! [`MemoryNetwork`], a store that lies, and the suite for networks.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod conformance;
mod lying_store;
mod memory;

pub use self::{
    conformance::*,
    lying_store::LyingStore,
    memory::{MemoryNetwork, MemoryNode},
};

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::MemoryNetwork;
    use crate::ports::{Network, ObjectStore};

    async fn open(stores: Vec<Arc<dyn ObjectStore>>) -> (Vec<Arc<dyn Network>>, MemoryNetwork) {
        let hub = MemoryNetwork::new();
        let nodes = stores
            .into_iter()
            .map(|store| hub.join(store) as Arc<dyn Network>)
            .collect();
        (nodes, hub)
    }

    crate::network_conformance!(open);
}
