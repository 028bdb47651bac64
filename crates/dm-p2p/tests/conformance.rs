//! The adapter keeps every promise of the port, over TCP on loopback.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::Arc;

use common::Cluster;
use dm_core::ports::{Network, ObjectStore};

async fn open(stores: Vec<Arc<dyn ObjectStore>>) -> (Vec<Arc<dyn Network>>, Cluster) {
    let cluster = Cluster::start(stores).await;
    (cluster.networks(), cluster)
}

dm_core::network_conformance!(open);
